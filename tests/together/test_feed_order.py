"""AUD-02: many writers, slow transactions, some that are undone, two sealers, and readers who must miss nothing."""

import asyncio
import contextlib
import random

from sqlalchemy import text

from identity_service.database.transactions import Database
from identity_service.events import actions
from tests.events import chain
from tests.events.given import follow, record

WRITERS, TRANSACTIONS, SLOW, READERS = 16, 40, 4, 3


class Undone(Exception):
    """This transaction is rolled back."""


class Writers:
    """What was committed, as the writers themselves know it."""

    def __init__(self, database: Database, clock) -> None:
        self.database, self.clock = database, clock
        self.committed: set[tuple[str, int]] = set()
        self.grown = asyncio.Condition()

    async def write(self, name: str) -> None:
        """One to three events a transaction; one in eight is undone."""
        chance, number = random.Random(name), 0
        for _ in range(TRANSACTIONS):
            count = chance.randint(1, 3)
            mine = [(name, n) for n in range(number, number + count)]
            number += count
            with contextlib.suppress(Undone):
                await self._commit(mine, undone=chance.random() < 1 / 8)

    async def write_slowly(self, name: str) -> None:
        """An event, a hundred commits of others, another event: so its ids come late and its place is early."""
        for turn in range(3):
            async with self.database.transaction() as session:
                await record(session, self.clock, writer=name, number=2 * turn)
                await self._others_have_committed(100)
                await record(session, self.clock, writer=name, number=2 * turn + 1)
            await self._remember([(name, 2 * turn), (name, 2 * turn + 1)])

    async def _commit(self, mine: list[tuple[str, int]], *, undone: bool) -> None:
        async with self.database.transaction() as session:
            for name, number in mine:
                await record(session, self.clock, writer=name, number=number)
                await asyncio.sleep(0)
            if undone:
                raise Undone
        await self._remember(mine)

    async def _remember(self, mine: list[tuple[str, int]]) -> None:
        async with self.grown:
            self.committed |= set(mine)
            self.grown.notify_all()

    async def _others_have_committed(self, count: int) -> None:
        """Wait for so many, or for as many as there still come."""
        wanted = len(self.committed) + count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2), self.grown:
                await self.grown.wait_for(lambda: len(self.committed) >= wanted)


async def seal_until(database: Database, over: asyncio.Event) -> None:
    while not over.is_set():
        await database.in_transaction(lambda s: actions.seal_events(s, 50))
        await asyncio.sleep(0.005)


async def read(database: Database, over: asyncio.Event, limit: int) -> list:
    """Follow the feed by cursor, from before the first event until after the last."""
    seen, cursor = [], None
    while True:
        last = over.is_set()
        page = await database.in_transaction(lambda s, after=cursor: actions.read_feed(s, after, limit=limit))
        seen += page.events
        cursor = page.cursor
        if last and not page.events:
            return seen
        await asyncio.sleep(0 if page.events else 0.005)


async def everything_at_once(service, clock) -> tuple[set, list[list]]:
    """Run it all; return what was committed and what each reader saw."""
    settings = service.database.settings.model_copy(update={"database_pool_size": WRITERS + SLOW + READERS + 2})
    database = Database(settings, service.database._url)
    database.keys = service.database.keys
    writers, over = Writers(database, clock), asyncio.Event()
    try:
        around = [asyncio.create_task(seal_until(database, over)) for _ in range(2)]
        readers = [asyncio.create_task(read(database, over, limit)) for limit in (1, 7, 200)]
        await asyncio.gather(
            *(writers.write(f"w{number}") for number in range(WRITERS)),
            *(writers.write_slowly(f"slow{number}") for number in range(SLOW)),
        )
        # The other sealers are still at work: who finds one there seals nothing, and that is not the end.
        while await service.rows(chain.UNSEALED) != [(0,)]:  # noqa: ASYNC110 (the database notices when they do)
            await asyncio.sleep(0.01)
        over.set()
        seen = await asyncio.gather(*readers)
        await asyncio.gather(*around)
    finally:
        await database.close()
    return writers.committed, seen


async def test_many_writers_and_slow_ones_and_nothing_is_missed(service, clock):
    """AUD-02, REL-36: what was committed is seen by every reader, once; positions have no gap; the chain holds.

    And one writer's events, committed one after the other, are told one after the other.
    """
    committed, seen = await everything_at_once(service, clock)
    assert len(committed) > WRITERS * TRANSACTIONS
    rows = await chain.sealed(service)
    assert {(row.data["writer"], row.data["number"]) for row in rows} == committed
    assert len(rows) == len(committed)
    for events in seen:
        assert [event.position for event in events] == list(range(1, len(rows) + 1))
        assert [event.public_id for event in events] == [row.public_id for row in rows]
    assert [row.id for row in rows] != sorted(row.id for row in rows)
    for name in {writer for writer, _ in committed}:
        mine = [row.data["number"] for row in rows if row.data["writer"] == name]
        assert mine == sorted(mine)


async def test_over_http_too_a_reader_who_starts_early_misses_nothing(service, caller):
    """AUD-02: customers are registered by many while a reader polls; he sees each registration once."""
    over, seen = asyncio.Event(), []

    async def follow_the_feed() -> None:
        after: dict = {}
        while True:
            last = over.is_set()
            page = (await caller.get("/v1/events", params={"limit": 5, **after})).json()
            seen.extend(page["items"])
            after = {"after": page["next"]}
            if last and not page["items"]:
                return

    reading = asyncio.create_task(follow_the_feed())
    sealing = asyncio.create_task(seal_until(service.database, over))
    answers = await asyncio.gather(*(caller.post("/v1/accounts", {}) for _ in range(60)))
    while (await service.rows(chain.UNSEALED)) != [(0,)]:
        await service.seal()
    over.set()
    await asyncio.gather(reading, sealing)
    registered = [event["subject"] for event in seen if event["type"] == "account.registered"]
    assert sorted(registered) == sorted(answer.json()["user_id"] for answer in answers)
    assert [event["sequence"] for event in seen] == list(range(1, len(seen) + 1))
    assert seen == await follow(caller, "/v1/events")


async def test_the_checker_sees_what_is_wrong(service, clock, owner):
    """A chain that is edited, cut, reordered or added to is not found whole; else the above would prove nothing."""
    for number in range(6):
        await service.database.in_transaction(lambda s, n=number: record(s, clock, number=n))
    rows = list(await chain.sealed(service))
    assert chain.faults(rows[1:])
    assert chain.faults(rows[:2] + rows[3:])
    assert chain.faults([rows[1], rows[0], *rows[2:]])
    assert chain.faults([rows[0], rows[0], *rows[1:]])
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text("UPDATE event SET actor = 'nobody' WHERE id = :id"), {"id": rows[3].id})
    assert chain.faults(await service.rows(chain.ROWS)) == ["the seal of 4 does not hold"]
