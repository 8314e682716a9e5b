"""A lock that somebody holds for long: who needs it is told so in time, who does not need it notices nothing."""

import asyncio
import time

import pytest
from sqlalchemy import text

from identity_service.database.transactions import Database
from tests.accounts.given import an_account
from tests.life.given import an_entry, append

ENDS_WITHIN = 15.0
"""Seconds: 5 for a connection and 5 for the lock, and some to spare; without an end it would be for ever."""


@pytest.fixture
async def small(service):
    """The application with eight connections."""
    there = service.database
    settings = there.settings.model_copy(update={"database_pool_size": 8})
    found = Database(settings, there._url)
    found.keys = there.keys
    service.app.state.database = found
    yield found
    await found.close()


async def hold(connection, user_id: str) -> None:
    row = "SELECT 1 FROM account WHERE user_id = :user_id FOR UPDATE"
    assert (await connection.execute(text(row), {"user_id": user_id.replace("-", "")})).one()


async def test_who_waits_for_a_held_row_is_told_so_and_the_others_go_on(service, caller, owner, small):
    """REL-10: four wait for one row; everybody else is served meanwhile, and afterwards the four are, too."""
    held, other = await an_account(caller), await an_account(caller)
    async with owner.connect() as holder:
        await hold(holder, held)
        asked = [
            asyncio.create_task(caller.patch(f"/v1/accounts/{held}", {"display_name": f"Anna {number}"}))
            for number in range(4)
        ]
        served = 0
        while not all(task.done() for task in asked):
            assert (await caller.patch(f"/v1/accounts/{other}", {"display_name": f"Berta {served}"})).status_code == 200
            assert (await caller.get(f"/v1/accounts/{held}")).status_code == 200
            served += 1
            await asyncio.sleep(0.05)
        assert served > 10
        for refused in await asyncio.gather(*asked):
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
            assert int(refused.headers["Retry-After"]) > 0
        await holder.rollback()
    assert small.in_use() == 0
    assert await service.rows("SELECT display_name FROM account WHERE user_id = :id", id=held.replace("-", "")) == [
        (None,)
    ]
    assert (await caller.patch(f"/v1/accounts/{held}", {"display_name": "Anna"})).status_code == 200


async def test_more_waiters_than_connections_do_not_pile_up(service, caller, owner, small):
    """REL-10: each is answered in its time, the connections are free again, and checking a token needs none."""
    held = await an_account(caller)
    async with owner.connect() as holder:
        await hold(holder, held)
        since = time.monotonic()
        asked = [
            asyncio.create_task(caller.patch(f"/v1/accounts/{held}", {"display_name": f"Anna {number}"}))
            for number in range(24)
        ]
        await asyncio.sleep(0.5)
        # The other two are kept for transactions beside a request.
        assert small.in_use() == 6
        assert (await service.http.get("/livez")).status_code == 200
        assert (await caller.post("/v1/accounts/verifications", {"user_ids": [held]})).status_code == 200
        refused = await asyncio.gather(*asked)
        assert {answer.status_code for answer in refused} == {503}
        assert time.monotonic() - since < ENDS_WITHIN
        assert small.in_use() == 0
        assert (await caller.post("/v1/accounts", {})).status_code == 201
        await holder.rollback()
    assert (await caller.patch(f"/v1/accounts/{held}", {"display_name": "Anna"})).status_code == 200


async def test_a_locked_table_stops_no_road_that_does_not_need_it(service, caller, owner):
    """REL-10: the history is locked by a careless hand; looking up and registering go on."""
    user_id = await an_account(caller)
    async with owner.connect() as holder:
        await holder.execute(text("LOCK TABLE history_entry IN ACCESS EXCLUSIVE MODE"))
        waits = asyncio.create_task(append(caller, user_id, an_entry("o1")))
        await asyncio.sleep(0.2)
        assert (await caller.get(f"/v1/accounts/{user_id}")).status_code == 200
        assert (await caller.post("/v1/accounts", {"email": "anna@example.com"})).status_code == 201
        assert not waits.done()
        await holder.rollback()
    assert (await waits).status_code == 201
