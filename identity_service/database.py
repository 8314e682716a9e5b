"""The database: the engine, the one place that commits, and the read pool of the hot road.

One request is one transaction, and it is committed before the answer leaves: a FastAPI dependency with `yield` commits
*after* the answer by default, and a failing commit still answers 200. `scope="function"` does it right. So only this
file commits; a verb returns what must be kept and raises what must be undone.

`short` is a transaction of its own, for what must stand whatever becomes of the request: throttle, counted tries,
`jti`, and a look at the feed inside a long poll. `reads` is a small asyncpg pool for the actions whose cost per call
counts (CONTRIBUTING, decision 14); everything else is SQLAlchemy.

What the database breaks off for another transaction's sake is nobody's mistake: it is begun again (`repeated`).

A replica is a help and never a condition: what it does not know yet, what it refuses, and all that it should have said
while it is away is asked of the primary (`from_replica`, `look`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import DateTime, Dialect, MetaData, TypeDecorator, event, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as AsyncSession  # noqa: PLC0414 (every concept takes it from here)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import Select

from identity_service import logs
from identity_service.errors import Unavailable
from identity_service.settings import LOOPBACK, Settings, hosts_of
from identity_service.turns import PoolInTurn

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
MIGRATIONS = HERE / "migrations" if (HERE / "migrations").is_dir() else HERE.parent / "migrations"

_LOOKS = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

APPEND_ONLY = "append_only"
"""Key in a table's `info`: the application's role may INSERT and SELECT there, and a trigger refuses the rest."""


TRIES = 3
"""How often work is begun that the database breaks off for another transaction's sake."""

REPLICA_SECONDS = 2.0
"""How long a replica may take to say something; then the primary is asked."""
REPLICA_RESTS = 5.0
"""Seconds for which a replica that was away is left alone, so that not everybody waits for it."""


class DatabaseAway(Unavailable):
    """The database does not answer right now. Look in a moment whether this was done, and try again if not."""


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the condition that holds a text column to a list of words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """The tables; constraints get predictable names."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; a naive one is refused before it reaches the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a moment without a zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment in UTC, whatever zone the server speaks in."""
        return None if value is None else value.astimezone(UTC)


class Database:
    """The connections of one process. `settings` and the key ring ride on every session (`session.info`)."""

    def __init__(self, settings: Settings, url: str, *, read_url: str | None = None) -> None:
        """Prepare the pools; nothing is connected before the first use."""
        self.settings = settings
        self.engine = engine(url, size=settings.database_connections)
        self.info: dict[str, Any] = {"settings": settings}
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, info=self.info)
        self._url, self._read_url = url, read_url or url
        # Nothing is connected before the first look, and without a replica there is none.
        self.replica = engine(self._read_url, size=settings.read_connections, execution_options=_LOOKS)
        self._looks = async_sessionmaker(self.replica, info=self.info)
        self._replica_rests_until = 0.0
        self._pools: dict[str, Reads] = {}
        self._told: Callable[[Any], None] | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self, *, on_replica: bool = False) -> AsyncIterator[AsyncSession]:
        """Open a session in a transaction; leaving it commits, an exception rolls back."""
        async with (self._looks if on_replica else self._sessions)() as session, session.begin():
            yield session

    async def short(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do `work` in a transaction of its own and commit it, whatever happens to the caller's."""

        async def here() -> T:
            async with self.transaction() as session:
                return await work(session)

        return await repeated(here)

    async def look(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do `work`, which only reads and may be some moments late, on the replica where there is one."""

        async def there() -> T:
            async with self.transaction(on_replica=True) as session:
                return await work(session)

        found = await self.from_replica(there)
        return await self.short(work) if found is None else found

    async def from_replica(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return what a replica answers; None, where there is none, or it is away or refuses: ask the primary."""
        now = asyncio.get_running_loop().time()
        if not self.has_replica or now < self._replica_rests_until:
            return None
        try:
            async with asyncio.timeout(REPLICA_SECONDS):
                return await ask()
        except Exception as problem:  # noqa: BLE001
            # Nothing is hidden by this: the primary is asked the same, and tells its own failure.
            if is_away(problem):
                logs.log.warning("replica.away", error=type(problem).__name__)
                self._replica_rests_until = now + REPLICA_RESTS
            return None

    def in_use(self) -> int:
        """Return how many connections for writing are held right now."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101
        return pool.checkedout()

    @property
    def has_replica(self) -> bool:
        """Tell whether reads go to another server than writes, which may lag."""
        return self._read_url != self._url

    async def reads(self) -> "Reads":
        """Return the read pool: read-only, statements end after 2 s, and no reset query between uses."""
        return await self._pool(self._read_url)

    async def primary_reads(self) -> "Reads":
        """Return a read pool on the primary, for what a replica does not know yet."""
        return await self._pool(self._url)

    async def _pool(self, url: str) -> "Reads":
        if url not in self._pools:
            async with self._opening:
                if url not in self._pools:
                    size = self.settings.read_connections
                    self._pools[url] = Reads(await _read_pool(url, size, self._told), size)
        return self._pools[url]

    def watch_reads(self, told: Callable[[Any], None]) -> None:
        """Tell of every statement of the read pools (asyncpg's `LoggedQuery`); the engine has events of its own."""
        self._told = told

    async def connect(self) -> asyncpg.Connection:
        """Open a connection of its own, for LISTEN."""
        return await asyncpg.connect(**_for_asyncpg(self._url))

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
        await self.replica.dispose()
        await self.engine.dispose()


class Reads:
    """A pool that reads, and serves who waits in their order: asyncpg's own lets those pass who have just come."""

    def __init__(self, pool: asyncpg.Pool, size: int) -> None:
        """Let so many ask at once."""
        self._pool, self._turns = pool, asyncio.Semaphore(size)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:  # noqa: ANN401
        """Return the rows of a statement."""
        async with self._turns:
            rows: list[asyncpg.Record] = await self._pool.fetch(statement, *arguments)
            return rows

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


class Statement:
    """A `select()` compiled once for asyncpg, so that columns are named in `tables.py` alone on the read pool too."""

    def __init__(self, select: Select[*tuple[Any, ...]]) -> None:
        """Compile; the order of positional parameters is kept."""
        compiled = select.compile(dialect=postgresql.asyncpg.dialect())  # type: ignore[no-untyped-call]
        self.text = str(compiled)
        self._order: list[str] = list(compiled.positiontup or [])

    def arguments(self, **values: Any) -> list[Any]:  # noqa: ANN401
        """Return `values` in the order of the text's placeholders."""
        return [values[name] for name in self._order]


def engine(url: str, *, size: int = 5, **options: Any) -> AsyncEngine:  # noqa: ANN401
    """Return an engine whose connections end what takes too long, so that no lock or query holds everybody."""
    target, arguments = _connection(url)
    made = create_async_engine(
        target,
        poolclass=PoolInTurn,
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,  # what a statement was about is somebody's, and no part of a log line or a traceback
        connect_args=arguments,
        **options,
    )
    event.listen(made.sync_engine, "handle_error", _leave_a_replica)
    return made


def url_of(settings: Settings, secret: str) -> str:
    """Return the URL in the setting named `secret`."""
    value = getattr(settings, secret)
    return value.get_secret_value() if value is not None else ""


async def clock(session: AsyncSession) -> datetime:
    """Return the database's time: one clock for all workers (its transaction's start)."""
    return (await session.execute(select(func.now()))).scalar_one().astimezone(UTC)


def settings_of(session: AsyncSession) -> Settings:
    """Return the settings that ride on a session."""
    settings: Settings = session.info["settings"]
    return settings


def is_away(problem: BaseException) -> bool:
    """Tell whether `problem` means that the database cannot be reached or asked us to wait."""
    if isinstance(problem, DatabaseAway | PoolTimeout | InterfaceError | OSError | asyncpg.InterfaceError):
        return True
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    # The server's good-bye can reach asyncpg between two of its own steps; it then says that its state is wrong.
    if isinstance(getattr(original, "__cause__", None) or original, asyncpg.InternalClientError):
        return True
    state = str(getattr(original, "sqlstate", None) or "")
    # Classes 08 connection, 53 resources, 57 operator intervention; 25006 a replica; 55P03 and 57014 took too long;
    # 58030 its disk answered with an error.
    if state.startswith(("08", "53", "57")) or state in ("25006", "55P03", "25P03", "58030"):
        return True
    return isinstance(problem, OperationalError) or (isinstance(problem, DBAPIError) and problem.connection_invalidated)


def is_broken_off(problem: BaseException) -> bool:
    """Tell whether the database ended this transaction for another's sake: a deadlock, or no serial order (REL-38)."""
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    return getattr(original, "sqlstate", None) in ("40P01", "40001")


async def repeated(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, which begins a transaction of its own; where that was broken off, again from its beginning.

    Raises:
        DatabaseAway: it was broken off every time.
    """
    for left in range(TRIES - 1, -1, -1):
        try:
            return await work()
        except Exception as problem:
            if not is_broken_off(problem):
                raise
            logs.log.warning("database.broken_off", tries_left=left)
            last = problem
    raise DatabaseAway from last


def _leave_a_replica(context: ExceptionContext) -> None:
    """Connect anew after a write that was refused as read-only: this server is the primary no more (REL-07)."""
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True


def _connection(url: str) -> tuple[URL, dict[str, Any]]:
    target = make_url(url).set(drivername="postgresql+asyncpg")
    arguments: dict[str, Any] = {
        "timeout": 5,
        "server_settings": {
            "application_name": "identity-service",
            "statement_timeout": "15000",
            "lock_timeout": "5000",
            "idle_in_transaction_session_timeout": "30000",
        },
    }
    if "sslmode" in target.query:
        arguments["ssl"] = target.query["sslmode"]
        target = target.difference_update_query(["sslmode"])
    elif all(host in LOOPBACK for host in hosts_of(target)):
        arguments["ssl"] = False
    return target, arguments


def _for_asyncpg(url: str) -> dict[str, Any]:
    target, arguments = _connection(url)
    _, found = postgresql.asyncpg.dialect().create_connect_args(target)  # type: ignore[no-untyped-call]
    return {**found, **arguments}


async def _read_pool(url: str, size: int, told: Callable[[Any], None] | None) -> asyncpg.Pool:
    arguments = _for_asyncpg(url)

    async def watched(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(told)

    arguments["server_settings"] |= {"default_transaction_read_only": "on", "statement_timeout": "2000"}
    # Among several hosts this pool wants the primary, too, though its own sessions may only read.
    if arguments.get("target_session_attrs") == "read-write":
        arguments["target_session_attrs"] = "primary"
    return await asyncpg.create_pool(
        **arguments, min_size=0, max_size=size, command_timeout=3, reset=_keep, init=watched if told else None
    )


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing: the two statements of the read pool touch no session state (1.13 to 1.19 times faster)."""
