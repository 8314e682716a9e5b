"""Limits that hold across processes: the `limits` library on a counter table, or on a store it knows itself (Redis).

A hit is counted in a short transaction of its own, so it stands whatever becomes of the request. What is counted is a
name and who: a client, a network, the keyed hash of an address; never an address.
"""

import time
from datetime import UTC, datetime

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, Database, UtcDateTime
from identity_service.errors import Problem, Unavailable


class TooManyRequests(Problem):
    """There were too many requests; please wait a little."""

    status = 429


class ThrottleAway(Unavailable):
    """What counts the requests does not answer right now; nothing was changed. Try again in a moment."""


REFUSALS: tuple[type[Problem], ...] = (TooManyRequests, ThrottleAway)
"""What every limited door may answer."""


class ThrottleCounter(Base):
    """One window of one limit: how often, and until when it counts."""

    __tablename__ = "throttle_counter"

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


_COUNTER = ThrottleCounter.metadata.tables["throttle_counter"]
_NEW = insert(_COUNTER)
_OVER = _COUNTER.c.ends_at <= func.now()
_COUNT = _NEW.on_conflict_do_update(
    index_elements=["key"],
    set_={
        "count": case((_OVER, _NEW.excluded.count), else_=_COUNTER.c.count + _NEW.excluded.count),
        "ends_at": case((_OVER, _NEW.excluded.ends_at), else_=_COUNTER.c.ends_at),
    },
).returning(_COUNTER.c.count)


class Throttle:
    """The limits of one process, on the store that all processes share."""

    def __init__(self, database: Database) -> None:
        """Open the store that `IDENTITY_THROTTLE_STORE` names."""
        store = database.settings.throttle_store
        # The library would take another Redis client than the one of our extra.
        client = {"implementation": "redispy"} if "redis" in store.partition(":")[0] else {}
        self._limiter = FixedWindowRateLimiter(
            _DatabaseStorage(database)
            if store == "database"
            else storage_from_string(store, wrap_exceptions=True, **client)
        )

    async def hit(self, name: str, rates: str, *who: str) -> None:
        """Count one use of `name` by `who` against rates like `10/minute; 100/hour`.

        Raises:
            TooManyRequests: with `retry_after` in seconds.
            ThrottleAway: the store does not answer; what is limited is not done uncounted.
        """
        try:
            for rate in rates.split(";"):
                limit = parse(rate.strip())
                if not await self._limiter.hit(limit, name, *who):
                    raise await self._refusal(limit, name, *who)
        except StorageError as away:
            raise ThrottleAway from away

    async def wait(self, name: str, rates: str, *who: str) -> int:
        """Count one use like `hit`, but return the seconds to wait where there were too many; 0: there were not."""
        try:
            await self.hit(name, rates, *who)
        except TooManyRequests as refused:
            return int(refused.members["retry_after"])
        return 0

    async def _refusal(self, limit: RateLimitItem, name: str, *who: str) -> TooManyRequests:
        ends, _ = await self._limiter.get_window_stats(limit, name, *who)
        wait = max(1, round(ends - time.time() + 0.5))
        policy = f'"{name}";q={limit.amount};w={limit.get_expiry()}'
        refusal = TooManyRequests(retry_after=wait)
        refusal.headers = {"RateLimit-Policy": policy, "RateLimit": f'"{name}";r=0;t={wait}'}  # type: ignore[misc]
        return refusal


class _DatabaseStorage(Storage):
    """Counters in PostgreSQL; an upsert each, so two processes never lose a count."""

    STORAGE_SCHEME = None

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return DBAPIError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        row = {"key": key, "count": amount, "ends_at": _later(expiry)}

        async def count(session: AsyncSession) -> int:
            counted: int = (await session.execute(_COUNT, row)).scalar_one()
            return counted

        return await self._database.short(count)

    async def get(self, key: str) -> int:
        row = await self._row(key)
        return row.count if row else 0

    async def get_expiry(self, key: str) -> float:
        row = await self._row(key)
        return row.ends_at.timestamp() if row else time.time()

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        return await self._database.short(_delete)

    async def clear(self, key: str) -> None:
        await self._database.short(lambda session: _delete(session, key))

    async def _row(self, key: str) -> ThrottleCounter | None:
        found = select(ThrottleCounter).where(ThrottleCounter.key == key, ThrottleCounter.ends_at > func.now())
        return await self._database.short(lambda session: session.scalar(found))


async def full(session: AsyncSession, *, limit: int = 50) -> list[tuple[str, int, datetime]]:
    """Return the windows that count the most now: key (a name and a keyed hash), count, and until when."""
    wanted = select(ThrottleCounter.key, ThrottleCounter.count, ThrottleCounter.ends_at)
    rows = await session.execute(
        wanted.where(ThrottleCounter.ends_at > func.now()).order_by(ThrottleCounter.count.desc()).limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def lift(session: AsyncSession, key: str) -> None:
    """Forget one window, so that its owner need not wait."""
    await _delete(session, key)


async def purge(session: AsyncSession) -> None:
    """Forget windows that are over."""
    await session.execute(delete(ThrottleCounter).where(ThrottleCounter.ends_at < func.now()))


async def _delete(session: AsyncSession, key: str | None = None) -> int:
    gone = delete(ThrottleCounter) if key is None else delete(ThrottleCounter).where(ThrottleCounter.key == key)
    return len((await session.execute(gone.returning(ThrottleCounter.key))).all())


def _later(seconds: int) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)
