"""A real streaming replica that lags, or is away: nobody is told nonsense, and nobody waits for it.

The replica stands still while the primary goes on, so that every lag is one that the test has made.
"""

import asyncio

import httpx2
import pytest

from identity_service import app as web
from identity_service.database.transactions import Database
from identity_service.events import actions
from identity_service.key_store import flows as key_store_flows
from identity_service.settings import Settings, read_master_key
from tests.accounts.given import an_account
from tests.conftest import BASE, MASTER_KEY, Service, empty
from tests.events.given import follow, sealed_events
from tests.faults.standby import Pair

FEED = "/v1/events"


@pytest.fixture(scope="module")
async def pair(tmp_path_factory, unused_tcp_port_factory):
    found = Pair(tmp_path_factory.mktemp("pair"), [], unused_tcp_port_factory)
    await found.prepare()
    database = Database(Settings(environment="development"), found.environment["DATABASE_URL"])
    await key_store_flows.load_key_ring(database, read_master_key(MASTER_KEY))
    await database.close()
    yield found
    await found.stop()


@pytest.fixture
async def far(pair, settings, clock):
    """A process that reads from the replica."""
    url = pair.environment["DATABASE_URL"]
    found = Database(settings, url, read_url=pair.environment["DATABASE_READ_URL"])
    await key_store_flows.load_key_ring(found, settings.key())
    app = web.create_app(found, settings.key(), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.8", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
            yield Service(app, http, found, None, clock)
    await found.close()
    await pair.catch_up()
    await empty(pair.owner)


@pytest.fixture
async def caller(far):
    return await far.caller()


async def page(caller, **query) -> dict:
    answer = await caller.get(FEED, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def at_the_primary(far: Service, *, limit: int) -> str:
    """Return the cursor of a reader whose process asks the primary."""
    found = await far.database.in_transaction(lambda session: actions.read_feed(session, None, limit=limit))
    return found.cursor


async def status(caller, user_id: str) -> str:
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": [user_id]})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]["status"]


async def test_the_feed_is_read_from_the_replica(pair, far, caller):
    """What the replica does not show yet is not told yet; when it does, it is told."""
    await sealed_events(far, 2)
    await pair.catch_up()
    assert len((await page(caller))["items"]) == 3
    await pair.pause()
    await sealed_events(far, 2)
    assert len((await page(caller))["items"]) == 3
    await pair.catch_up()
    assert len((await page(caller))["items"]) == 5


async def test_a_cursor_that_is_ahead_of_the_replica_waits_where_it_is(pair, far, caller):
    """AUD-06: a reader who was further elsewhere sees nothing twice, skips nothing, and is not refused."""
    await pair.catch_up()
    await pair.pause()
    await sealed_events(far, 4)
    ahead = await at_the_primary(far, limit=3)
    for wait in (0, 1):
        assert await page(caller, after=ahead, wait=wait) == {"items": [], "next": ahead, "epoch": 1}
    await pair.catch_up()
    rest = await follow(caller, FEED, after=ahead)
    assert [event["sequence"] for event in rest] == [4, 5]


async def test_a_long_poll_is_answered_when_the_replica_shows_something(pair, far, caller):
    await sealed_events(far, 1)
    await pair.catch_up()
    end = (await page(caller))["next"]
    await pair.pause()
    await sealed_events(far, 1, name="account.email_added")
    waiting = asyncio.create_task(page(caller, after=end, wait=30))
    await asyncio.sleep(0)
    await pair.catch_up()
    async with asyncio.timeout(20):
        assert [told["type"] for told in (await waiting)["items"]] == ["account.email_added"]


async def test_a_restore_that_the_replica_has_not_heard_of_confuses_no_reader(pair, far, caller):
    """AUD-07: a cursor of the new epoch is good at once; one of the old is refused as soon as the replica knows."""
    await sealed_events(far, 2)
    await pair.catch_up()
    old = (await page(caller, limit=1))["next"]
    await pair.pause()
    async with pair.owner.begin() as connection:
        await connection.exec_driver_sql("UPDATE feed_state SET epoch = epoch + 1")
    new = await at_the_primary(far, limit=1)
    assert [event["sequence"] for event in (await page(caller, after=new))["items"]] == [2, 3]
    assert [event["sequence"] for event in (await page(caller, after=old))["items"]] == [2, 3]
    await pair.catch_up()
    assert [event["sequence"] for event in (await page(caller, after=new))["items"]] == [2, 3]
    refused = await caller.get(FEED, params={"after": old})
    assert (refused.status_code, refused.json()["code"]) == (410, "feed_restored")


async def test_an_id_that_the_replica_does_not_know_yet_is_valid(pair, far, caller):
    """NOM-06: issued a second ago, it must hold on the phone."""
    await pair.pause()
    user_id = await an_account(caller)
    assert await status(caller, user_id) == "valid"
    await pair.catch_up()
    assert await status(caller, user_id) == "valid"


async def test_a_replica_that_is_away_takes_nothing_down_and_is_used_again_when_it_is_back(pair, far, caller):
    """REL-07: verify and feed are asked of the primary; writing waits for a synchronous replica, reading does not."""
    user_id = await an_account(caller)
    await far.seal()
    whole = await page(caller)
    await pair.lose_the_replica()
    try:
        for _ in range(10):
            assert await status(caller, user_id) == "valid"
            assert await page(caller) == whole
    finally:
        await pair.bring_the_replica_back()
    await pair.pause()
    await sealed_events(far, 1)
    async with asyncio.timeout(20):
        while await page(caller) != whole:  # noqa: ASYNC110 (no reader is told where his answer came from)
            await asyncio.sleep(0.2)
