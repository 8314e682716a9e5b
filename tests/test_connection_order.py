"""Connections are given out in the order in which they were asked for (REL-06)."""

import asyncio
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from identity_service.database import reads, transactions
from identity_service.database.transactions import Database


async def read_pool(service):
    """Return how to use one connection of the read pool, and how to close it."""
    pool = reads.ReadPool(await reads.open_read_pool(service.database._url, 1, None), 1)
    return pool.fetch, pool.close


def one_connection(service) -> Database:
    settings = service.database.settings.model_copy(update={"database_pool_size": 1})
    return Database(settings, service.database._url)


async def requests(service):
    """Return the same for the transactions of requests."""
    database = one_connection(service)

    async def ask(statement: str) -> None:
        async with database.transaction() as session:
            await session.execute(text(statement))

    return ask, database.close


async def short_transactions(service):
    """Return the same for transactions of their own."""
    database = one_connection(service)

    async def ask(statement: str) -> None:
        await database.in_transaction(lambda session: session.execute(text(statement)))

    return ask, database.close


async def served(ask) -> list[int]:
    """Return in which order callers are served; one comes at every step of the event loop."""
    found: list[int] = []

    async def one(name: int) -> None:
        await ask("SELECT 1")
        found.append(name)

    holder = asyncio.create_task(ask("SELECT pg_sleep(0.02)"))
    async with asyncio.TaskGroup() as callers:
        for number in count():
            callers.create_task(one(number))
            await asyncio.sleep(0)
            if len(found) >= 5:
                break
    await holder
    return found


@pytest.mark.parametrize("pool", [read_pool, requests, short_transactions])
async def test_who_waits_for_a_connection_is_served_before_who_comes_later(service, pool):
    """REL-06: a support tool that has waited longest must not wait on, while a caller is on the phone."""
    ask, close = await pool(service)
    order = await served(ask)
    await close()
    assert order == sorted(order)


@pytest.mark.parametrize("pool", [requests, short_transactions])
async def test_waiting_ends(service, monkeypatch, pool):
    """REL-06: an exhausted pool is an error that the caller sees, and not a request without an end."""
    monkeypatch.setattr(transactions, "QUEUE_SECONDS", 0.05)
    ask, close = await pool(service)
    holder = asyncio.create_task(ask("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0)
    with pytest.raises(PoolTimeout):
        await ask("SELECT 1")
    await holder
    await close()


async def test_a_request_may_begin_a_transaction_of_its_own_before_its_first_statement(service):
    """As many as there are connections do so at once, and none waits for another for ever."""
    database = one_connection(service)
    async with database.transaction() as session:
        assert await database.in_transaction(lambda inner: inner.scalar(text("SELECT 1"))) == 1
        assert await session.scalar(text("SELECT 2")) == 2
    await database.close()


async def test_requests_that_need_a_second_connection_do_not_wait_for_each_other(service):
    """REL-06: more requests than connections, each with a transaction of its own beside it, are all served."""
    database = Database(service.database.settings.model_copy(update={"database_pool_size": 4}), service.database._url)

    async def ask() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await asyncio.sleep(0)
            await database.in_transaction(lambda short: short.execute(text("SELECT 1")))

    await asyncio.gather(*(ask() for _ in range(12)))
    assert database.in_use() == 0
    await database.close()
