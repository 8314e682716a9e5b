"""What the database breaks off for another transaction's sake, a deadlock first of all, is begun again, unseen."""

import asyncio

import pytest
from sqlalchemy import text

from identity_service.database.failures import TRIES
from tests.accounts.given import an_account
from tests.faults.conftest import Road
from tests.resets.given import a_browser

ANNA = {"email": "anna@example.com"}
KEY = {"Idempotency-Key": "k1"}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
BREAKS_OFF = """
    CREATE SEQUENCE broken_off;
    CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF nextval('broken_off') <= {times} THEN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER break_off BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION break_off();
"""
MENDS = "DROP TRIGGER IF EXISTS break_off ON {table}; DROP FUNCTION break_off; DROP SEQUENCE broken_off"


class Planted:
    """The database breaks off what writes to a table, as often as it is told; it counts what no rollback takes back."""

    def __init__(self, owner) -> None:
        self.owner, self.table = owner, ""

    async def plant(self, table: str, times: int, *, state: str = "40P01", verb: str = "INSERT") -> None:
        self.table = table
        await self._run(BREAKS_OFF.format(table=table, times=times, state=state, verb=verb))

    async def mend(self) -> None:
        if self.table:
            await self._run(MENDS.format(table=self.table))

    async def _run(self, script: str) -> None:
        async with self.owner.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.execute(script)


@pytest.fixture
async def planted(owner, service):
    found = Planted(owner)
    yield found
    await found.mend()


async def effects(service) -> list[tuple]:
    """Return how many accounts, letters, events of registering and remembered keys there are."""
    tables = ("account", "message", "event WHERE name = 'account.registered'", "idempotency_key")
    counted = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return [tuple(row) for row in await service.rows(f"SELECT {counted}")]


async def test_the_victim_of_a_deadlock_is_begun_again_and_nobody_sees_it(service, caller, owner):
    """REL-38: the other holds the address and wants the key; we hold the key and want the address."""
    await an_account(caller, email="bob@example.com")
    async with owner.connect() as other:
        # Who looks first becomes the victim; the other would look in an hour.
        await other.execute(text("SET LOCAL deadlock_timeout = '1h'"))
        await other.execute(
            text(
                "UPDATE account SET email = 'anna@example.com', email_ascii = 'anna@example.com',"
                " email_key = replace(email_key, 'bob', 'anna')"
            )
        )
        asked = asyncio.create_task(caller.post("/v1/accounts", ANNA, headers=KEY))
        async with asyncio.timeout(4):
            while await service.rows(WAITING) == [(0,)]:  # noqa: ASYNC110 (the database tells, nobody else knows)
                await asyncio.sleep(0.02)
        await other.execute(
            text(
                "INSERT INTO idempotency_key (client_id, route, key, fingerprint, expires_at)"
                " VALUES (:client, 'POST /v1/accounts', 'k1', '', now())"
            ),
            {"client": caller.client_id},
        )
        await other.rollback()
    assert (await asked).status_code == 201
    assert await effects(service) == [(2, 2, 2, 1)]
    replayed = await caller.post("/v1/accounts", ANNA, headers=KEY)
    assert replayed.json()["user_id"] == (await asked).json()["user_id"]


@pytest.mark.parametrize("state", ["40P01", "40001"], ids=["deadlock", "serialization failure"])
@pytest.mark.parametrize("table", ["account", "message", "event", "idempotency_key"])
async def test_what_is_broken_off_anywhere_is_done_once(service, caller, planted, table, state):
    """REL-38: whatever statement it was, the whole request begins again, and nothing stands there twice."""
    await planted.plant(table, TRIES - 1, state=state)
    made = await caller.post("/v1/accounts", ANNA, headers=KEY)
    assert made.status_code == 201, made.text
    assert await effects(service) == [(1, 1, 1, 1)]


async def test_what_is_broken_off_every_time_is_a_503_and_nothing_stands_there(service, caller, planted):
    """REL-38: three times, and then the caller decides; sent again later it is done."""
    await planted.plant("event", TRIES)
    refused = await caller.post("/v1/accounts", ANNA, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert await effects(service) == [(0, 0, 0, 0)]
    assert (await caller.post("/v1/accounts", ANNA, headers=KEY)).status_code == 201


async def test_a_form_is_begun_again_as_well(service, planted):
    """REL-38: a person sees the page that follows, and not that anything happened."""
    await planted.plant("message", TRIES - 1)
    browser = a_browser(service)
    await browser.open("/")
    page = await browser.send("/", email="anna@example.com")
    assert page.status_code < 400, page.text
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]


async def test_the_ending_of_a_letter_is_written_though_it_is_broken_off_for_long(road: Road, planted):
    """REL-38: the relay has it; an ending that were given up would send it a second time."""
    await road.put()
    await planted.plant("attempt", 2 * TRIES, verb="UPDATE")
    await road.turn()
    assert len(road.a.mails) == 1
    assert (await road.message())["state"] == "accepted"
