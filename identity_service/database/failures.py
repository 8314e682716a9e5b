"""Which errors mean that the database is unavailable, and which transactions are retried."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from identity_service import logs
from identity_service.errors import Unavailable

T = TypeVar("T")

TRIES = 3
"""How often a transaction is attempted that ends in a serialization failure or deadlock."""


class DatabaseUnavailable(Unavailable):
    """Our database isn't responding right now. Wait a moment, check whether this was done, and try again if it
    wasn't.
    """


def is_unavailable(problem: BaseException) -> bool:
    """Return whether `problem` means that the database is unreachable, overloaded, shutting down or a standby."""
    if isinstance(problem, DatabaseUnavailable | PoolTimeout | InterfaceError | OSError | asyncpg.InterfaceError):
        return True
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    # A shutdown message of the server can interrupt asyncpg's protocol state, which it reports as an internal error.
    if isinstance(getattr(original, "__cause__", None) or original, asyncpg.InternalClientError):
        return True
    state = str(getattr(original, "sqlstate", None) or "")
    # Classes 08 connection, 53 resources, 57 operator intervention (57014: statement timeout); 25006 read-only standby;
    # 25P03 idle-in-transaction timeout; 55P03 lock timeout; 58030 I/O error.
    if state.startswith(("08", "53", "57")) or state in ("25006", "55P03", "25P03", "58030"):
        return True
    return isinstance(problem, OperationalError) or (isinstance(problem, DBAPIError) and problem.connection_invalidated)


def is_serialization_failure(problem: BaseException) -> bool:
    """Return whether `problem` is a deadlock or a serialization failure (REL-38)."""
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    return getattr(original, "sqlstate", None) in ("40P01", "40001")


async def retry_serialization(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, which opens a transaction of its own; run it again after a serialization failure or deadlock.

    Raises:
        DatabaseUnavailable: every one of the `TRIES` attempts failed so.
    """
    for left in range(TRIES - 1, -1, -1):
        try:
            return await work()
        except Exception as problem:
            if not is_serialization_failure(problem):
                raise
            logs.log.warning("database.retry", tries_left=left)
            last = problem
    raise DatabaseUnavailable from last
