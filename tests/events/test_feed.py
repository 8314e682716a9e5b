"""The feed over HTTP: CloudEvents in sealed order, cursors that only we make, and honesty after a restore."""

import re
from datetime import datetime

import pytest
from sqlalchemy import text

from identity_service.keys import encoding
from identity_service.keys import ring as keys_ring
from identity_service.web import pagination
from tests.accounts.given import an_account, sql
from tests.conftest import BASE
from tests.events.given import events, follow, sealed_events

FEED = "/v1/events"


def internal_key(service) -> bytes:
    ring: keys_ring.KeyRing = service.database.keys
    return ring.internal()


async def test_an_event_has_the_shape_of_cloudevents(service, caller):
    """CloudEvents 1.0: these attributes by these names; lower case and digits only, so any library reads it."""
    user_id = await an_account(caller, email="anna@example.com")
    await service.seal()
    event = (await caller.get(FEED)).json()["items"][1]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event.pop("id"))
    assert datetime.fromisoformat(event.pop("time")) == service.clock()
    assert event == {
        "specversion": "1.0",
        "type": "account.registered",
        "source": BASE,
        "subject": user_id,
        "sequence": 2,
        "actor": f"client:{caller.client_id}",
        "data": {"kind": "consumer", "by": "email", "marketing": "never"},
    }


async def test_an_event_about_no_customer_has_no_subject(service, caller):
    await service.seal()
    (event,) = (await caller.get(FEED)).json()["items"]
    assert (event["type"], event["subject"]) == ("client.added", None)


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
async def test_page_by_page_everything_comes_once_and_in_order(service, caller, limit):
    """API-08."""
    await sealed_events(service, 9)
    seen = await follow(caller, FEED, limit=limit)
    assert [event["sequence"] for event in seen] == list(range(1, 11))
    assert [event["data"].get("number") for event in seen] == [None, *range(9)]
    assert len({event["id"] for event in seen}) == 10


async def test_a_page_has_no_more_than_was_asked_for(service, caller):
    await sealed_events(service, 120)
    assert len((await caller.get(FEED, params={"limit": 7})).json()["items"]) == 7
    assert len((await caller.get(FEED)).json()["items"]) == 100


async def test_what_is_not_sealed_is_not_told(service, caller):
    """AUD-06: the feed is some moments late, and that is its price."""
    await service.seal()
    await events(service, 1)
    assert len((await caller.get(FEED)).json()["items"]) == 1
    await service.seal()
    assert len((await caller.get(FEED)).json()["items"]) == 2


async def test_a_reader_at_the_end_goes_on_with_the_same_cursor(service, caller):
    await sealed_events(service, 1)
    end = (await caller.get(FEED)).json()["next"]
    nothing = (await caller.get(FEED, params={"after": end})).json()
    assert (nothing["items"], nothing["next"]) == ([], end)
    await sealed_events(service, 1, name="account.email_added")
    (event,) = (await caller.get(FEED, params={"after": end})).json()["items"]
    assert event["type"] == "account.email_added"


async def test_an_empty_feed_has_a_cursor_too(service, caller):
    empty = (await caller.get(FEED)).json()
    assert empty["items"] == []
    await service.seal()
    assert len((await caller.get(FEED, params={"after": empty["next"]})).json()["items"]) == 1


async def test_the_feed_needs_its_scope(service):
    shop = await service.caller("accounts:read", "accounts:write")
    refused = await shop.get(FEED)
    assert (refused.status_code, refused.json()["scope"]) == (403, "events:read")


async def test_a_cursor_is_changed_in_no_place(service, caller):
    """API-08: opaque and signed; every single symbol counts."""
    await sealed_events(service, 3)
    cursor = (await caller.get(FEED, params={"limit": 2})).json()["next"]
    for place, symbol in enumerate(cursor):
        other = "A" if symbol != "A" else "B"
        refused = await caller.get(FEED, params={"after": cursor[:place] + other + cursor[place + 1 :]})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor"), place


@pytest.mark.parametrize(
    "change",
    [
        lambda cursor: cursor[:-1],
        lambda cursor: cursor[1:],
        lambda cursor: cursor + "A",
        lambda cursor: cursor + "=",
        lambda cursor: cursor + " ",
        lambda cursor: cursor[::-1],
    ],
    ids="short beheaded longer padded blank reversed".split(),
)
async def test_a_cursor_that_was_changed_is_refused(service, caller, change):
    """API-08."""
    cursor = (await caller.get(FEED)).json()["next"]
    refused = await caller.get(FEED, params={"after": change(cursor)})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "1",
        "ünïcode",
        "' OR 1=1 --",
        encoding.base64url_encode(b"[1,0]"),
        encoding.base64url_encode(bytes(12) + b"[1,0]"),
    ],
    ids="empty number letters statement bare zeros".split(),
)
async def test_a_cursor_that_is_not_ours_is_refused(caller, cursor):
    """API-08."""
    refused = await caller.get(FEED, params={"after": cursor})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("place", ["messages", "events of 000000000000", "", "FEED"])
async def test_a_cursor_of_another_list_is_refused(service, caller, place):
    """API-08: what was made by us for something else is not ours here."""
    cursor = pagination.make_cursor(internal_key(service), place, 1, 0)
    refused = await caller.get(FEED, params={"after": cursor})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


async def test_a_cursor_of_another_deployment_is_refused(service, caller):
    """API-08: the same place, another key."""
    refused = await caller.get(FEED, params={"after": pagination.make_cursor(bytes(32), "feed", 1, 0)})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 201},
        {"limit": 10**9},
        {"limit": 2**63},
        {"limit": "1e2"},
        {"limit": "many"},
        {"wait": -1},
        {"wait": 31},
        {"wait": "0.5"},
        {"after": "A" * 201},
    ],
    ids=str,
)
async def test_pages_are_bounded(caller, query):
    """API-08, ASVS 1.3.3, 1.4.2: limit 10^9 is refused, not obeyed."""
    refused = await caller.get(FEED, params=query)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    (error,) = refused.json()["errors"]
    assert (error["parameter"], error["in"]) == (next(iter(query)), "query")


@pytest.fixture
async def restored(owner):
    """What a restore does to the feed: its epoch goes up."""

    async def restore() -> None:
        await sql(owner, "UPDATE feed_state SET epoch = epoch + 1")

    return restore


async def test_after_a_restore_an_old_cursor_is_told_so(service, caller, restored):
    """AUD-07, REL-32: it may point behind events that were never sent, or past those that will be."""
    await sealed_events(service, 2)
    old = (await caller.get(FEED, params={"limit": 1})).json()["next"]
    await restored()
    refused = await caller.get(FEED, params={"after": old})
    assert (refused.status_code, refused.json()["code"]) == (410, "feed_restored")
    assert "again without a cursor" in refused.json()["detail"]


async def test_after_a_restore_the_feed_is_read_from_its_beginning(service, caller, restored):
    """AUD-07."""
    await sealed_events(service, 2)
    await restored()
    again = await follow(caller, FEED, limit=1)
    assert [event["sequence"] for event in again] == [1, 2, 3]


async def test_there_is_one_feed(service):
    """Its one row is what a sealer holds; a second would be a second sealer's (AUD-02)."""
    async with service.database.transaction() as session:
        assert (await session.execute(text("SELECT count(*), min(id) FROM feed_state"))).one() == (1, 1)
