"""Who sees what in the feed, and how a reader asks for less: by type, or from now on."""

import pytest

from identity_service.events import actions, rules
from tests.accounts.given import an_account
from tests.contacts.given import a_tool
from tests.events.given import events, follow, sealed_events

FEED = "/v1/events"


@pytest.fixture
async def shop(service):
    """A service that reads the feed and may not see what staff did."""
    return await service.caller("events:read", "accounts:read", "accounts:write", name="reader")


async def a_call(service, caller) -> str:
    """A customer, a contact with them by a clerk, and what administrators did to let them work."""
    user_id = await an_account(caller)
    tool = await a_tool(service, "ada.lovelace")
    number = await tool.contact(user_id)
    assert (await tool.open_account(user_id, number)).status_code == 201
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "technical"})
    while await service.seal():
        pass
    return user_id


async def test_a_service_does_not_see_what_staff_and_administrators_did(service, caller, shop):
    """OAU-10: that is what `audit:read` is for."""
    user_id = await a_call(service, caller)
    for path in (FEED, f"/v1/accounts/{user_id}/events"):
        seen = await follow(shop, path, limit=2)
        assert seen
        assert {event["type"] for event in seen} & rules.AUDIT_ONLY == set()
        assert "ada.lovelace" not in str(seen)
    everything = await follow(caller, FEED)
    assert {"client.added", "account.opened_by_staff"} <= {event["type"] for event in everything}
    assert any(event["actor"].endswith("/ada.lovelace") for event in everything)
    visible = [event["id"] for event in everything if event["type"] not in rules.AUDIT_ONLY]
    assert [event["id"] for event in await follow(shop, FEED)] == visible


def test_all_that_staff_and_administrators_do_is_kept_for_auditors():
    assert {
        name for name in rules.NAMES if name.partition(".")[0] in ("staff", "client", "rate_limit")
    } < rules.AUDIT_ONLY
    assert "account.opened_by_staff" in rules.AUDIT_ONLY
    assert "feed.restored" not in rules.AUDIT_ONLY


async def test_asking_for_what_one_may_not_see_is_refused_not_answered_with_nothing(service, shop):
    refused = await shop.get(FEED, params={"type": ["account.registered", "client.added"]})
    assert (refused.status_code, refused.json()["scope"]) == (403, "audit:read")


async def test_the_cursor_passes_what_is_not_shown(service, caller, shop):
    """A page without events moves on, or each poll would read the same events again."""
    await service.seal()
    first = (await shop.get(FEED)).json()
    assert first["items"] == []
    await service.caller(name="another")
    await service.seal()
    second = (await shop.get(FEED, params={"after": first["next"]})).json()
    assert (second["items"], second["next"] != first["next"]) == ([], True)
    await sealed_events(service, 1)
    (event,) = (await shop.get(FEED, params={"after": second["next"]})).json()["items"]
    assert event["type"] == "account.updated"


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_a_reader_asks_for_the_types_that_it_needs(service, caller, limit):
    for name in ("account.email_added", "account.updated", "account.closed", "account.updated"):
        await sealed_events(service, 2, name=name)
    one = await follow(caller, FEED, type="account.closed", limit=limit)
    assert [event["type"] for event in one] == ["account.closed"] * 2
    two = await follow(caller, FEED, type=["account.closed", "account.updated"], limit=limit)
    assert [event["type"][8:] for event in two] == ["updated"] * 2 + ["closed"] * 2 + ["updated"] * 2
    assert [event["sequence"] for event in two] == sorted(event["sequence"] for event in two)


@pytest.mark.parametrize("wrong", ["account.invented", "", "ACCOUNT.CLOSED", "account"])
async def test_an_unknown_type_is_refused(caller, wrong):
    refused = await caller.get(FEED, params={"type": ["account.closed", wrong]})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


@pytest.mark.parametrize("twice", ["limit", "wait", "after", "from"])
async def test_only_the_type_may_be_repeated(caller, twice):
    refused = await caller.get(f"{FEED}?{twice}=1&{twice}=1")
    assert (refused.status_code, refused.json()["code"]) == (400, "repeated_parameter")


async def test_a_new_reader_begins_with_what_happens_next(service, caller):
    await sealed_events(service, 3)
    start = (await caller.get(FEED, params={"from": "now"})).json()
    assert start["items"] == []
    await sealed_events(service, 1, name="account.email_added")
    (event,) = (await caller.get(FEED, params={"after": start["next"]})).json()["items"]
    assert event["type"] == "account.email_added"


async def test_a_start_and_a_cursor_together_are_refused(service, caller):
    cursor = (await caller.get(FEED)).json()["next"]
    refused = await caller.get(FEED, params={"from": "now", "after": cursor})
    assert (refused.status_code, refused.json()["code"]) == (422, "two_starts")


@pytest.mark.parametrize("wrong", ["today", "NOW", "", "2026-03-01T12:00:00Z"])
async def test_another_start_is_refused(caller, wrong):
    refused = await caller.get(FEED, params={"from": wrong})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_a_rare_type_is_found_behind_many_others(service, caller, monkeypatch):
    """A page covers a bounded number of positions; one request passes as many pages as it needs."""
    monkeypatch.setattr(actions, "WINDOW", 3)
    await events(service, 10)
    await sealed_events(service, 1, name="account.closed")
    found = (await caller.get(FEED, params={"type": "account.closed"})).json()
    assert [event["type"] for event in found["items"]] == ["account.closed"]
    assert len(await follow(caller, FEED, limit=2)) == 12


async def test_each_page_names_the_epoch(service, caller):
    """AUD-07."""
    user_id = await an_account(caller)
    await service.seal()
    ((epoch,),) = await service.rows("SELECT epoch FROM feed_state")
    for path in (FEED, f"/v1/accounts/{user_id}/events"):
        assert (await caller.get(path)).json()["epoch"] == epoch
