"""Rate limits shared by all processes: the `limits` library on a counter table, or on a store it supports (Redis).

A hit is counted in a short transaction of its own, so it counts even if the request's is rolled back. The counter's key
is the limit's name and a client, a network or the keyed hash of an address; never an address.
"""

import re
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from sqlalchemy import Integer, case, cast, delete, false, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, PROVING, TablePrivacy
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.database.types import Base, UtcDateTime
from identity_service.errors import Problem, Unavailable
from identity_service.web import networks


class TooManyRequests(Problem):
    """There were too many requests. Wait before you try again."""

    status = 429


class RateLimitsUnavailable(Unavailable):
    """We can't count requests right now, so we didn't do anything. Try again in a moment."""


RATE_LIMIT_ERRORS: tuple[type[Problem], ...] = (TooManyRequests, RateLimitsUnavailable)
"""The errors of every rate-limited endpoint."""


class RateLimitCounter(Base):
    """One window of one limit: its hits, and when it ends."""

    __tablename__ = "rate_limit_counter"
    privacy = TablePrivacy()

    key: Mapped[str] = mapped_column(primary_key=True, info=PROVING)
    count: Mapped[int] = mapped_column(info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)


_COUNTER = RateLimitCounter.metadata.tables["rate_limit_counter"]
_NEW = insert(_COUNTER)
_ENDED = _COUNTER.c.expires_at <= func.now()
_COUNT = _NEW.on_conflict_do_update(
    index_elements=["key"],
    set_={
        "count": case((_ENDED, _NEW.excluded.count), else_=_COUNTER.c.count + _NEW.excluded.count),
        "expires_at": case((_ENDED, _NEW.excluded.expires_at), else_=_COUNTER.c.expires_at),
    },
).returning(_COUNTER.c.count)


class RateLimiter:
    """Counts hits in the store that all processes share."""

    def __init__(self, database: Database) -> None:
        """Open the store that `IDENTITY_RATE_LIMIT_STORAGE_URL` names."""
        store = database.settings.rate_limit_storage_url
        # The library's default Redis client is not the one that our extra installs.
        client = {"implementation": "redispy"} if "redis" in store.partition(":")[0] else {}
        self._limiter = FixedWindowRateLimiter(
            _DatabaseStorage(database)
            if store == "database"
            else storage_from_string(store, wrap_exceptions=True, **client)
        )

    async def hit(self, name: str, rates: str, *who: str, times: int = 1) -> None:
        """Count one hit of `who` against the limit `name`, with rates like `10/minute; 100/hour`, each so many `times`.

        Raises:
            TooManyRequests: with `retry_after` in seconds.
            RateLimitsUnavailable: the store does not answer, so the limited action must not run.
        """
        try:
            for rate in rates.split(";"):
                parsed = parse(rate.strip())
                limit = type(parsed)(parsed.amount * times, parsed.multiples)
                if not await self._limiter.hit(limit, name, *who):
                    raise await self._refusal(limit, name, *who)
        except StorageError as unavailable:
            raise RateLimitsUnavailable from unavailable

    async def hit_network(self, name: str, rates: str, network: str, *who: str) -> None:
        """Count one hit of a network, and of the wider networks that one customer may have (`networks.list_networks`).

        Raises:
            TooManyRequests, RateLimitsUnavailable
        """
        for counted, times in networks.list_networks(network):
            await self.hit(name, rates, counted, *who, times=times)

    async def wait(self, name: str, rates: str, *who: str) -> int:
        """Count like `hit`, but return the seconds to wait if the limit is exceeded, else 0."""
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
    """Counters in PostgreSQL; one upsert per hit, so concurrent processes lose no hit."""

    STORAGE_SCHEME = None

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return DBAPIError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        row = {"key": key, "count": amount, "expires_at": _later(expiry)}

        async def count(session: DatabaseSession) -> int:
            counted: int = (await session.execute(_COUNT, row)).scalar_one()
            return counted

        return await self._database.in_transaction(count)

    async def get(self, key: str) -> int:
        row = await self._row(key)
        return row.count if row else 0

    async def get_expiry(self, key: str) -> float:
        row = await self._row(key)
        return row.expires_at.timestamp() if row else time.time()

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        return await self._database.in_transaction(_delete)

    async def clear(self, key: str) -> None:
        await self._database.in_transaction(lambda session: _delete(session, key))

    async def _row(self, key: str) -> RateLimitCounter | None:
        found = select(RateLimitCounter).where(RateLimitCounter.key == key, RateLimitCounter.expires_at > func.now())
        return await self._database.in_transaction(lambda session: session.scalar(found))


class Limited(NamedTuple):
    """A limit that refuses requests now: its name, whom it concerns, and until when."""

    key: str
    name: str
    who: tuple[str, ...]
    until: datetime


# A key is `LIMITER/name/who/amount/multiple/unit`; `who` has parts of its own, and networks contain slashes.
_owner = func.regexp_replace(RateLimitCounter.key, "(/[^/]*){3}$", "")
_amount = cast(func.nullif(func.split_part(RateLimitCounter.key, "/", -3), ""), Integer)


async def list_in_force(
    session: DatabaseSession, of: Collection[str] | None = None, *, limit: int = 50
) -> list[Limited]:
    """Return the limits that refuse requests now, the latest to end first; each once, however many windows are full.

    `of` selects those whose key has one of these parts: a network, a name, a User ID or the hash of an address.
    """
    until = func.max(RateLimitCounter.expires_at)
    wanted = select(_owner, until).where(RateLimitCounter.expires_at > func.now(), RateLimitCounter.count >= _amount)
    if of is not None:
        wanted = wanted.where(or_(false(), *(func.strpos(_owner + "/", f"/{part}/") > 0 for part in of)))
    rows = await session.execute(wanted.group_by(_owner).order_by(until.desc(), _owner).limit(limit))
    return [Limited(owner, *_read_owner(owner), ends) for owner, ends in rows]


async def lift_limit(session: DatabaseSession, key: str) -> str | None:
    """Delete the windows of one limit of one owner (`Limited.key`), so that they need not wait; return the name of the
    limit, None if there was none. The name does not say whom the limit concerned.
    """
    deleted = await session.execute(delete(_COUNTER).where(_owner == key).returning(_COUNTER.c.key))
    return key.split("/")[1] if "/" in key and deleted.all() else None


def _read_owner(key: str) -> tuple[str, tuple[str, ...]]:
    _, name, *who = key.split("/", 2)
    # The length of a prefix belongs to its network.
    return name, tuple(part for part in re.split(r"/(?!\d{1,3}(?:/|$))", "".join(who)) if part)


async def purge_counters(session: DatabaseSession) -> None:
    """Delete windows that have ended."""
    await session.execute(delete(RateLimitCounter).where(RateLimitCounter.expires_at < func.now()))


async def _delete(session: DatabaseSession, key: str | None = None) -> int:
    statement = delete(RateLimitCounter) if key is None else delete(RateLimitCounter).where(RateLimitCounter.key == key)
    return len((await session.execute(statement.returning(RateLimitCounter.key))).all())


def _later(seconds: int) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)
