"""The database: the engine, the one place that commits, and the read pool of the hot road.

One request is one transaction, and it is committed before the answer leaves: a FastAPI dependency with `yield` commits
*after* the answer by default, and a failing commit still answers 200. `scope="function"` does it right. So only this
file commits; a verb returns what must be kept and raises what must be undone.

`short` is a transaction of its own, for what must stand whatever becomes of the request: throttle, counted tries,
`jti`, and a look at the feed inside a long poll. `reads` is a small asyncpg pool for the actions whose cost per call
counts (CONTRIBUTING, decision 14); everything else is SQLAlchemy.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import DateTime, Dialect, MetaData, TypeDecorator, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as AsyncSession  # noqa: PLC0414 (every concept takes it from here)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import Select

from identity_service.errors import Unavailable
from identity_service.settings import LOOPBACK, Settings

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
MIGRATIONS = HERE / "migrations" if (HERE / "migrations").is_dir() else HERE.parent / "migrations"

APPEND_ONLY = "append_only"
"""Key in a table's `info`: the application's role may INSERT and SELECT there, and a trigger refuses the rest."""


WHOLE = {"render_nulls": True}
"""Execution option: a row is written with the same statement whatever is NULL in it. Without it the statement leaves
those columns out, and what is prepared and planned tells whether there is an account behind an address (ATT-21)."""


class DatabaseAway(Unavailable):
    """The database does not answer right now; nothing was changed. Try again in a moment."""


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
        self._pools: dict[str, asyncpg.Pool] = {}
        self._told: Callable[[Any], None] | None = None
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session in a transaction; leaving it commits, an exception rolls back."""
        async with self._sessions() as session, session.begin():
            yield session

    async def short(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do `work` in a transaction of its own and commit it, whatever happens to the caller's."""
        async with self.transaction() as session:
            return await work(session)

    def in_use(self) -> int:
        """Return how many connections for writing are held right now."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101
        return pool.checkedout()

    @property
    def has_replica(self) -> bool:
        """Tell whether reads go to another server than writes, which may lag."""
        return self._read_url != self._url

    async def reads(self) -> asyncpg.Pool:
        """Return the read pool: read-only, statements end after 2 s, and no reset query between uses."""
        return await self._pool(self._read_url)

    async def primary_reads(self) -> asyncpg.Pool:
        """Return a read pool on the primary, for what a replica does not know yet."""
        return await self._pool(self._url)

    async def _pool(self, url: str) -> asyncpg.Pool:
        if url not in self._pools:
            async with self._opening:
                if url not in self._pools:
                    self._pools[url] = await _read_pool(url, self.settings.read_connections, self._told)
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
        await self.engine.dispose()


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
    return create_async_engine(
        target,
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,  # what a statement was about is somebody's, and no part of a log line or a traceback
        connect_args=arguments,
        **options,
    )


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
    if isinstance(problem, PoolTimeout | InterfaceError | OSError | asyncpg.InterfaceError):
        return True
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    # The server's good-bye can reach asyncpg between two of its own steps; it then says that its state is wrong.
    if isinstance(getattr(original, "__cause__", None) or original, asyncpg.InternalClientError):
        return True
    state = str(getattr(original, "sqlstate", None) or "")
    # Classes 08 connection, 53 resources, 57 operator intervention; 25006 a replica; 55P03 and 57014 took too long.
    if state.startswith(("08", "53", "57")) or state in ("25006", "55P03", "25P03"):
        return True
    return isinstance(problem, OperationalError) or (isinstance(problem, DBAPIError) and problem.connection_invalidated)


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
    elif target.host in LOOPBACK:
        arguments["ssl"] = False
    return target, arguments


def _for_asyncpg(url: str) -> dict[str, Any]:
    target, arguments = _connection(url)
    return {
        "host": target.query.get("host") or target.host,
        "port": target.port or 5432,
        "user": target.username,
        "password": target.password,
        "database": target.database,
        **arguments,
    }


async def _read_pool(url: str, size: int, told: Callable[[Any], None] | None) -> asyncpg.Pool:
    arguments = _for_asyncpg(url)

    async def watched(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(told)

    arguments["server_settings"] |= {"default_transaction_read_only": "on", "statement_timeout": "2000"}
    return await asyncpg.create_pool(
        **arguments, min_size=1, max_size=size, command_timeout=3, reset=_keep, init=watched if told else None
    )


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing: the two statements of the read pool touch no session state (1.13 to 1.19 times faster)."""
