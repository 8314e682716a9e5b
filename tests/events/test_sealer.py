"""The sealer: committed events get their place in the order of their transactions, gap-free, by one at a time."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError

from identity_service.events import actions, rules
from identity_service.worker import Worker
from tests.events import chain
from tests.events.given import events, record

MY_PID = text("SELECT pg_backend_pid()")
MANY = """
    INSERT INTO event (name, user_id, actor, occurred_at, data)
    SELECT 'account.updated', NULL, 'operator', now(), jsonb_build_object('number', n) FROM generate_series(1, :n) n
"""


def numbers(rows) -> list[int]:
    return [row.data["number"] for row in rows]


async def test_events_get_the_positions_from_one_on(service):
    """AUD-02."""
    await events(service, 5)
    assert await service.seal() == 5
    assert numbers(await chain.sealed(service)) == [0, 1, 2, 3, 4]


async def test_where_nothing_is_new_nothing_is_sealed(service):
    await events(service, 1)
    assert [await service.seal(), await service.seal()] == [1, 0]


async def test_the_chain_goes_on_over_batches(service):
    """AUD-02: a seal covers the one before it, whichever sealer made that."""
    await events(service, 7)
    limited = [await service.database.in_transaction(lambda s: actions.seal_events(s, 3)) for _ in range(4)]
    assert limited == [3, 3, 1, 0]
    await events(service, 2)
    assert len(await chain.sealed(service)) == 9


async def test_a_sealer_does_not_stop_at_a_full_batch(service, settings):
    """A backlog of many batches is worked off in one round, not one batch each 0.1 s."""
    async with service.database.transaction() as session:
        await session.execute(text(MANY), {"n": 2 * actions.BATCH + 1})
    await Worker(service.database, settings.key())._seal()
    assert await service.rows(chain.UNSEALED) == [(0,)]
    assert len(await chain.sealed(service)) == 2 * actions.BATCH + 1


async def test_an_older_transaction_that_still_runs_is_waited_for(service, clock):
    """AUD-02: by id alone the younger event would be seen, and the older one missed for ever."""
    async with service.database.transaction() as slow:
        await record(slow, clock, number=1)
        await events(service, 1)
        assert await service.seal() == 0
        await record(slow, clock, number=2)
    assert await service.seal() == 3
    rows = await chain.sealed(service)
    assert numbers(rows) == [1, 2, 0]
    assert [row.id for row in rows] != sorted(row.id for row in rows)


async def test_a_transaction_that_has_written_nothing_yet_may_come_later(service, clock):
    """It has no number before its first write, so it holds nobody up, and is not missed either."""
    async with service.database.transaction() as idle:
        await idle.execute(MY_PID)
        await events(service, 1)
        assert await service.seal() == 1
        await record(idle, clock, number=9)
    assert await service.seal() == 1
    assert numbers(await chain.sealed(service)) == [0, 9]


async def test_what_was_rolled_back_leaves_no_gap(service, clock):
    """AUD-06: ids have gaps, positions have none."""
    await events(service, 1)
    async with service.database.transaction() as session:
        await record(session, clock, number=7)
        await session.rollback()
    await events(service, 1)
    rows = await chain.sealed(service)
    assert [row.position for row in rows] == [1, 2]
    assert rows[1].id - rows[0].id == 2


async def test_two_sealers_are_never_at_work_at_once(service):
    """AUD-02, REL-36: the second goes home at once, and finds nothing undone or done twice."""
    await events(service, 3)
    async with service.database.transaction() as first:
        assert await actions.seal_events(first, 2) == 2
        async with asyncio.timeout(5):
            assert await service.seal() == 0
    assert await service.seal() == 1
    assert numbers(await chain.sealed(service)) == [0, 1, 2]


async def test_a_writer_waits_for_no_sealer(service):
    """AUD-02: while one is at work, events are recorded and committed."""
    await events(service, 1)
    async with service.database.transaction() as sealer:
        await actions.seal_events(sealer)
        async with asyncio.timeout(5):
            await events(service, 1)
    assert numbers(await chain.sealed(service)) == [0, 0]


async def test_a_sealer_that_dies_in_the_middle_leaves_nothing_behind(service, owner):
    """AUD-02: its connection is cut before the commit; the next begins where the last whole one ended."""
    await events(service, 2)
    await service.seal()
    await events(service, 3)

    async def die(session) -> None:
        assert await actions.seal_events(session, 2) == 2
        pid = await session.scalar(MY_PID)
        async with owner.begin() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(DBAPIError):
        await service.database.in_transaction(die)
    assert await service.rows("SELECT count(*) FROM sealed_event") == [(2,)]
    assert await service.seal() == 3
    assert numbers(await chain.sealed(service)) == [0, 1, 0, 1, 2]


async def test_no_two_events_can_have_one_place_nor_one_event_two(service):
    """AUD-02: where everything else fails, the database refuses."""
    await events(service, 2)
    await service.seal()
    for position, event_id in (("1", "max(id)"), ("3", "max(id)"), ("3", "max(id) + 1")):
        again = f"INSERT INTO sealed_event (position, event_id, seal) SELECT {position}, {event_id}, '' FROM event"
        with pytest.raises(DBAPIError) as refused:
            await service.rows(again)
        assert refused.value.orig.sqlstate in ("23505", "23503")


async def test_an_event_that_nobody_listed_is_not_recorded(service, clock):
    with pytest.raises(rules.UnknownEvent):
        await service.database.in_transaction(lambda s: record(s, clock, name="account.invented"))
    assert await service.rows("SELECT count(*) FROM event") == [(0,)]


async def test_a_moment_without_a_zone_is_not_recorded(service, clock):
    """A naive moment would mean another one on another server."""
    clock.now = clock.now.replace(tzinfo=None)
    with pytest.raises(StatementError, match="time zone"):
        await service.database.in_transaction(lambda s: record(s, clock))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"number": 0},
        {"number": -(2**53)},
        {"kids": ["kö", "ß", "\u2028", '"', "\\"]},
        {"deep": {"er": [None, True]}},
    ],
    ids=["nothing", "zero", "large", "letters", "nested"],
)
async def test_what_was_recorded_is_what_is_sealed(service, caller, given):
    """AUD-02: the seal is over the row as it stands there, whatever the database makes of JSON."""
    await events(service, 1, name="account.email_added", **{"number": 1, **given})
    rows = await chain.sealed(service)
    assert rows[-1].data == {"number": 1, **given}
    assert (await caller.get("/v1/events")).json()["items"][-1]["data"] == {"number": 1, **given}
