"""Connections are given out in the order in which they were asked for (REL-06)."""

import asyncio
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool

from identity_service import database as databases
from identity_service.turns import PoolInTurn


async def the_read_pool(service, _):
    """Return how to ask one connection of the read pool, and how to close it."""
    reads = databases.Reads(await databases._read_pool(service.database._url, 1, None), 1)
    return reads.fetch, reads.close


async def the_engine(service, monkeypatch, pool=PoolInTurn):
    """Return the same for an engine with one connection."""
    monkeypatch.setattr(databases, "PoolInTurn", pool)
    engine = databases.engine(service.database._url, size=1)

    async def ask(statement: str) -> None:
        async with engine.connect() as connection:
            await connection.execute(text(statement))

    return ask, engine.dispose


async def served(ask) -> list[int]:
    """Return in which order callers are served, of whom one comes at every turn of the loop: also in the one in which
    the connection is given back."""
    found: list[int] = []

    async def one(name: int) -> None:
        await ask("SELECT 1")
        found.append(name)

    holder = asyncio.create_task(ask("SELECT pg_sleep(0.02)"))
    async with asyncio.TaskGroup() as all_of_them:
        for number in count():
            all_of_them.create_task(one(number))
            await asyncio.sleep(0)
            if len(found) >= 5:
                break
    await holder
    return found


@pytest.mark.parametrize("pool", [the_read_pool, the_engine])
async def test_who_waits_for_a_connection_is_served_before_who_comes_later(service, monkeypatch, pool):
    """REL-06: a support tool that has waited longest must not wait on, while a caller is on the phone."""
    ask, close = await pool(service, monkeypatch)
    order = await served(ask)
    await close()
    assert order == sorted(order)


async def test_the_librarys_own_pool_lets_others_pass(service, monkeypatch):
    """The day on which it does not, ours can go."""
    ask, close = await the_engine(service, monkeypatch, AsyncAdaptedQueuePool)
    order = await served(ask)
    await close()
    assert order != sorted(order)


async def test_who_waits_too_long_is_told_and_keeps_nobody_waiting(service, monkeypatch):
    """REL-06: a connection that comes back later goes to whoever is still there."""
    ask, close = await the_engine(service, monkeypatch)
    holder = asyncio.create_task(ask("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.05)
    gone = asyncio.create_task(ask("SELECT 1"))
    await asyncio.sleep(0.05)
    patient = asyncio.create_task(ask("SELECT 1"))
    gone.cancel()
    await asyncio.wait_for(asyncio.gather(holder, patient), 10)
    with pytest.raises(asyncio.CancelledError):
        await gone
    await close()
    engine = databases.engine(service.database._url, size=1)
    engine.sync_engine.pool._timeout = 0.05
    async with engine.connect():
        with pytest.raises(PoolTimeout):
            await engine.connect()
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()
