"""What happened to one customer, for those who may read it: his own, oldest first, page by page."""

import pytest

from identity_service.values import user_ids
from tests.accounts.given import an_account, erase, sql
from tests.events.given import follow, sealed_events


@pytest.fixture
async def anna(service, caller):
    """A customer of whom eight things are told, beside another of whom nine are."""
    found = await an_account(caller)
    berta = await an_account(caller)
    await sealed_events(service, 4, user_id=found.replace("-", ""))
    await sealed_events(service, 8, user_id=berta.replace("-", ""))
    await sealed_events(service, 3, user_id=found.replace("-", ""))
    return found


def path(user_id: str) -> str:
    return f"/v1/accounts/{user_id}/events"


async def test_a_customers_events_are_his_own_and_in_order(caller, anna):
    answer = (await caller.get(path(anna))).json()
    assert {event["subject"] for event in answer["items"]} == {anna}
    assert [event["type"] for event in answer["items"]] == ["account.registered", *["account.updated"] * 7]
    places = [event["sequence"] for event in answer["items"]]
    assert places == sorted(places)
    assert answer["next"] is None


async def test_they_are_the_events_of_the_feed(caller, anna):
    """AUD-02: feed and history of a customer are one."""
    feed = await follow(caller, "/v1/events")
    assert (await caller.get(path(anna))).json()["items"] == [event for event in feed if event["subject"] == anna]


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 8, 200])
async def test_page_by_page_each_comes_once(caller, anna, limit):
    """API-08: with the last page full, as with it half full."""
    whole = (await caller.get(path(anna))).json()["items"]
    assert len(whole) == 8
    assert await follow(caller, path(anna), limit=limit) == whole


async def test_the_last_page_says_that_it_is_the_last(caller, anna):
    first = (await caller.get(path(anna), params={"limit": 7})).json()
    assert first["next"] is not None
    last = (await caller.get(path(anna), params={"limit": 7, "after": first["next"]})).json()
    assert (len(last["items"]), last["next"]) == (1, None)


async def test_what_happens_between_two_pages_is_on_a_later_one(service, caller, anna):
    first = (await caller.get(path(anna), params={"limit": 7})).json()
    await caller.patch(f"/v1/accounts/{anna}", {"locale": "de"})
    await service.seal()
    last = (await caller.get(path(anna), params={"after": first["next"]})).json()
    assert [event["data"] for event in last["items"]] == [{"number": 2}, {"fields": ["locale"]}]


@pytest.mark.parametrize(
    "spelling", [str.lower, lambda shown: shown.replace("-", " "), lambda shown: shown[:4] + shown[5:]]
)
async def test_an_id_is_read_kindly_here_too(caller, anna, spelling):
    assert len((await caller.get(path(spelling(anna)))).json()["items"]) == 8


async def test_a_cursor_of_another_customer_is_refused(service, caller, anna):
    """API-08: nor does the cursor of the feed open a customer's list."""
    other = await an_account(caller)
    await sealed_events(service, 2, user_id=other.replace("-", ""))
    theirs = (await caller.get(path(other), params={"limit": 1})).json()["next"]
    feeds = (await caller.get("/v1/events", params={"limit": 1})).json()["next"]
    for cursor in (theirs, feeds, theirs[:-1], "", "x"):
        refused = await caller.get(path(anna), params={"after": cursor})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor"), cursor
    refused = await caller.get("/v1/events", params={"after": theirs})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


async def test_after_a_restore_an_old_cursor_is_told_so(caller, anna, owner):
    """AUD-07: positions may differ, for one customer as for all."""
    old = (await caller.get(path(anna), params={"limit": 1})).json()["next"]
    await sql(owner, "UPDATE feed_state SET epoch = epoch + 1")
    refused = await caller.get(path(anna), params={"after": old})
    assert (refused.status_code, refused.json()["code"]) == (410, "feed_restored")
    assert len(await follow(caller, path(anna), limit=3)) == 8


@pytest.mark.parametrize("limit", [0, 201, 10**9, "x"])
async def test_pages_are_bounded(caller, anna, limit):
    """API-08."""
    refused = await caller.get(path(anna), params={"limit": limit})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_nobodys_events_are_not_found(caller):
    refused = await caller.get(path(user_ids.show(user_ids.issue())))
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_user_id")


async def test_an_erased_customer_has_no_events_to_read(caller, anna, owner):
    await erase(owner, anna)
    refused = await caller.get(path(anna))
    assert (refused.status_code, refused.json()["code"]) == (410, "account_erased")


async def test_a_mistyped_id_is_told_what_is_wrong(caller, anna):
    wrong = ("0" if anna[0] != "0" else "1") + anna[1:]
    refused = await caller.get(path(wrong))
    assert refused.json()["code"] == "malformed_user_id"
    assert anna in [suggestion["user_id"] for suggestion in refused.json()["suggestions"]]


async def test_they_need_the_scope_of_the_feed(service, anna):
    desk = await service.caller("accounts:read", "accounts:read_personal", name="desk")
    refused = await desk.get(path(anna))
    assert (refused.status_code, refused.json()["scope"]) == (403, "events:read")
