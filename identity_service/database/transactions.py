"""Transactions: the one place that commits.

One request is one transaction, committed before the answer is sent: a FastAPI dependency with `yield` commits *after*
the answer by default, and a failing commit still answers 200; `scope="function"` commits before. Only this module
commits: an action returns what must be kept and raises what must be undone.

`in_transaction` runs work in a transaction of its own, for what must be stored even if the request is rolled back: rate
limits, counted attempts, `jti`; and for reads of the feed inside a long poll. Serialization failures and deadlocks are
retried (`failures.retry_serialization`).

If the replica is down or behind, reads fall back to the primary (`try_replica`, `read_from_replica`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool

from identity_service import logs
from identity_service.brands.proofs import Subject
from identity_service.database import engine, failures
from identity_service.database import reads as database_reads
from identity_service.database.reads import ReadPool
from identity_service.keys.ring import KeyRing
from identity_service.settings import Settings

T = TypeVar("T")

_READ_ONLY = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

REPLICA_SECONDS = 2.0
"""Seconds that a replica may take to answer before the primary is read instead."""
REPLICA_PAUSE = 5.0
"""Seconds for which an unavailable replica is skipped, so that not every request waits for it."""
QUEUE_SECONDS = 5.0
"""Seconds that a transaction queues for a connection before it fails like an exhausted pool."""


class DatabaseSession(AsyncSession):
    """A session that carries what actions need besides the database: the settings, the key ring, and the brand whose
    client or host caused the work, if one did; without one, an account's own counts.
    """

    brand: str | None = None

    def __init__(self, bind: AsyncEngine, database: "Database") -> None:
        """Open no transaction yet; it carries what the database has now, which may be before the ring is loaded."""
        super().__init__(bind, expire_on_commit=False)
        self.settings, self._keys, self._proves = database.settings, database._keys, database.proves

    @property
    def default_language(self) -> str:
        """Return the language of whoever has not said one."""
        return self.settings.brands.find(self.brand).default_language

    @property
    def keys(self) -> KeyRing:
        """Return the key ring of the process; RuntimeError if it is not loaded."""
        if self._keys is None:
            raise RuntimeError("the key ring is not loaded")
        return self._keys

    def proves(self, subject: Subject | None) -> bool:
        """Return whether a brand's host may serve, or its sender may write (BRD-07)."""
        return self._proves(subject)


class Database:
    """The connections of one process, with the settings and the key ring that its sessions carry."""

    def __init__(self, settings: Settings, url: str, *, read_url: str | None = None) -> None:
        """Prepare the pools; they connect at first use."""
        size = settings.database_pool_size
        self.settings = settings
        self.engine = engine.create_engine(url, size=size)
        self._url, self._read_url = url, read_url or url
        # Without a replica this engine is never used, so it never connects.
        self.replica = engine.create_engine(self._read_url, size=settings.read_pool_size, execution_options=_READ_ONLY)
        self._keys: KeyRing | None = None
        self.proofs: frozenset[Subject] | None = None if settings.development else frozenset()
        """Which hosts and senders of brands are proven, as last loaded; None: nothing needs a proof (development)."""
        # First come, first served: in SQLAlchemy's pool newcomers can overtake (REL-06). A request that holds a
        # connection may call `in_transaction`; if both took from all connections, as many requests as there are would
        # wait for each other, so each has its own share.
        short = max(1, size // 3)
        self._requests, self._short = asyncio.Semaphore(max(1, size - short)), asyncio.Semaphore(short)
        self._replica_pause_until = 0.0
        self._pools: dict[str, ReadPool] = {}
        self._query_log: Callable[[Any], None] | None = None
        self._opening = asyncio.Lock()

    @property
    def keys(self) -> KeyRing:
        """Return the key ring that was loaded last; RuntimeError if none was."""
        if self._keys is None:
            raise RuntimeError("the key ring is not loaded")
        return self._keys

    @keys.setter
    def keys(self, ring: KeyRing) -> None:
        """Set the key ring of sessions that are opened from now on."""
        self._keys = ring

    def proves(self, subject: Subject | None) -> bool:
        """Return whether a brand's host may serve, or its sender may write; what has no subject needs no proof."""
        return subject is None or self.proofs is None or subject in self.proofs

    @contextlib.asynccontextmanager
    async def transaction(self, *, on_replica: bool = False) -> AsyncIterator[DatabaseSession]:
        """Open a session in a transaction that commits at the end of the block; an exception rolls it back."""
        bind = self.replica if on_replica else self.engine
        async with (
            _place_in(self._requests),
            DatabaseSession(bind, self) as session,
            session.begin(),
        ):
            yield session

    async def in_transaction(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        """Run `work` in a transaction of its own and commit it, independent of the caller's transaction."""

        async def attempt() -> T:
            async with (
                _place_in(self._short),
                DatabaseSession(self.engine, self) as session,
                session.begin(),
            ):
                return await work(session)

        return await failures.retry_serialization(attempt)

    async def read_from_replica(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        """Run `work`, which only reads and may see data some moments old, on the replica if there is one."""

        async def on_replica() -> T:
            async with self.transaction(on_replica=True) as session:
                return await work(session)

        found = await self.try_replica(on_replica)
        return await self.in_transaction(work) if found is None else found

    async def try_replica(self, read: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of `read`; None if there is no replica or it fails: read from the primary then."""
        now = asyncio.get_running_loop().time()
        if not self.has_replica or now < self._replica_pause_until:
            return None
        try:
            async with asyncio.timeout(REPLICA_SECONDS):
                return await read()
        except Exception as problem:  # noqa: BLE001
            # Swallowing is safe: the caller repeats the read on the primary, which raises its own failure.
            if failures.is_unavailable(problem):
                logs.log.warning("replica.unavailable", error=type(problem).__name__)
                self._replica_pause_until = now + REPLICA_PAUSE
            return None

    def in_use(self) -> int:
        """Return how many connections of the engine are in use."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101
        return pool.checkedout()

    @property
    def has_replica(self) -> bool:
        """Return whether reads go to a replica, which may lag behind."""
        return self._read_url != self._url

    async def reads(self) -> ReadPool:
        """Return the read pool: read-only, statements end after 2 s, and no reset query between uses."""
        return await self._pool(self._read_url)

    async def primary_reads(self) -> ReadPool:
        """Return a read pool on the primary, for data that a replica may not have yet."""
        return await self._pool(self._url)

    async def _pool(self, url: str) -> ReadPool:
        if url not in self._pools:
            async with self._opening:
                if url not in self._pools:
                    size = self.settings.read_pool_size
                    self._pools[url] = ReadPool(await database_reads.open_read_pool(url, size, self._query_log), size)
        return self._pools[url]

    def log_queries(self, log_query: Callable[[Any], None]) -> None:
        """Pass every query of the read pools to `log_query` (asyncpg's `LoggedQuery`); engines have own events."""
        self._query_log = log_query

    async def connect(self) -> asyncpg.Connection:
        """Open a connection outside the pools, for LISTEN."""
        return await asyncpg.connect(**engine.asyncpg_arguments(self._url))

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
        await self.replica.dispose()
        await self.engine.dispose()


async def database_now(session: DatabaseSession) -> datetime:
    """Return the database's time at the transaction's start: one clock for all workers."""
    return (await session.execute(select(func.now()))).scalar_one().astimezone(UTC)


@contextlib.asynccontextmanager
async def _place_in(queue: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            await queue.acquire()
    except TimeoutError as exhausted:
        raise PoolTimeout from exhausted
    try:
        yield
    finally:
        queue.release()
