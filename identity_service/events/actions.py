"""Record an event, seal what has been committed, read the feed.

Sequence ids commit out of order, so "everything after the last id I saw" misses events: 4,337 of 6,400 were seen with
16 writers. The sealer therefore only takes events whose transaction is older than every one still running, in the
order (transaction, id). No writer waits for it, and none is missed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row, Select, bindparam, func, insert, or_, select, text

from identity_service import keyring, tokens
from identity_service.database import AsyncSession
from identity_service.errors import Problem
from identity_service.events import rules
from identity_service.events.tables import Event, Feed, SealedEvent

BATCH = 1000
_FEED = "feed"


class RestoredFeed(Problem):
    """The service was restored from a backup; positions may differ. Read the feed again without a cursor."""

    status = 410


class Page(NamedTuple):
    """Events of the feed, and the cursor behind the last of them (None where nothing more can come)."""

    events: Sequence[Row[Any]]
    cursor: str | None


class Touched(NamedTuple):
    """A customer whom events of a time name: what they are called, who did it, and the first and last moment."""

    user_id: str
    events: list[str]
    actors: list[str]
    first_at: datetime
    last_at: datetime


async def record(
    session: AsyncSession,
    name: str,
    *,
    user_id: str | None = None,
    actor: str,
    data: Mapping[str, Any] | None = None,
    now: datetime,
) -> int:
    """Write an event beside the change it tells about; return its id.

    `actor` is `client:<id>`, `staff:<id>`, `worker`, `operator` or `customer`.
    """
    row = _row(name, user_id, actor, data, now)
    event_id: int = (await session.execute(_RECORD, row)).scalar_one()
    return event_id


def told(name: str, *, user_id: str | None, actor: str, data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of `TOLD`: an event that is written by the statement that writes what it tells about."""
    return {f"told_{column}": value for column, value in _row(name, user_id, actor, data, now).items()}


def _row(name: str, user_id: str | None, actor: str, data: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    rules.check_name(name)
    return {"name": name, "user_id": user_id, "actor": actor, "at": now, "data": dict(data or {})}


# On the table and not on its class: every change writes one of these, and the ORM's way costs more than twice as much.
_EVENT = Event.metadata.tables["event"]
_RECORD = insert(_EVENT).returning(_EVENT.c.id)
_COLUMNS = ("name", "user_id", "actor", "at", "data")
TOLD: Final = (
    insert(_EVENT)
    .from_select(_COLUMNS, select(*(bindparam(f"told_{name}", type_=_EVENT.c[name].type) for name in _COLUMNS)))
    .returning(_EVENT.c.id)
    .cte("told")
)
"""For another statement's WITH: what is written and its event in one trip. Its `id` is the event's."""


async def affected(session: AsyncSession, *, since: datetime, until: datetime, actor: str | None) -> list[Touched]:
    """Return each customer that an event from `since` to before `until` names.

    A desk tool's `actor` stands for every person behind it. Reading alone is no event but of a desk.
    """
    named = select(
        Event.user_id,
        func.array_agg(Event.name.distinct()).label("events"),
        func.array_agg(Event.actor.distinct()).label("actors"),
        func.min(Event.at).label("first_at"),
        func.max(Event.at).label("last_at"),
    ).where(Event.user_id.is_not(None), Event.at >= since, Event.at < until)
    if actor is not None:
        named = named.where(or_(Event.actor == actor, Event.actor.startswith(f"{actor}/", autoescape=True)))
    rows = await session.execute(named.group_by(Event.user_id).order_by(Event.user_id))
    return [Touched._make(row) for row in rows]


async def record_all(
    session: AsyncSession, told: Sequence[tuple[str, str | None, Mapping[str, Any]]], *, actor: str, now: datetime
) -> None:
    """Write many events, each its name, User ID and data, in one round trip to the database."""
    for name, _, _ in told:
        rules.check_name(name)
    if told:
        rows = [{"name": name, "user_id": user_id, "data": dict(data)} for name, user_id, data in told]
        await session.execute(_ALL, {"rows": orjson.dumps(rows).decode(), "actor": actor, "at": now})


# In the order they are given, as one statement: a row at a time costs three times as much.
_ALL = text(
    """
    INSERT INTO event (name, user_id, actor, at, data)
    SELECT name, user_id, :actor, CAST(:at AS timestamptz), data
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(name text, user_id text, data jsonb)
    """
)


async def seal(session: AsyncSession, limit: int = BATCH) -> int:
    """Give committed events their place; return how many. 0 as well while another sealer is at work (AUD-02)."""
    mine = await session.scalar(select(Feed.id).with_for_update(skip_locked=True))
    if mine is None:
        return 0
    last = (
        await session.execute(
            select(SealedEvent.position, SealedEvent.seal, Event.transaction_id, Event.id)
            .join(Event, Event.id == SealedEvent.event_id)
            .order_by(SealedEvent.position.desc())
            .limit(1)
        )
    ).one_or_none()
    position, previous, transaction_id, event_id = last or (0, rules.GENESIS, 0, 0)
    waiting = await session.execute(_COMMITTED, {"transaction_id": transaction_id, "id": event_id, "limit": limit})
    rows = []
    for event in waiting.mappings():
        position += 1
        previous = rules.seal(previous, position, dict(event))
        rows.append({"position": position, "event_id": event["id"], "seal": previous})
    if rows:
        await session.execute(insert(SealedEvent), rows)
    return len(rows)


_COMMITTED = text(
    """
    SELECT id, transaction_id, name, user_id, actor, at, data FROM event
    WHERE (transaction_id, id) > (:transaction_id, :id) AND id > (SELECT restored_event_id FROM feed)
      AND transaction_id < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
    ORDER BY transaction_id, id LIMIT :limit
    """
)


async def feed(session: AsyncSession, after: str | None, *, limit: int) -> Page:
    """Return the events behind the cursor `after`, in sealed order, and the cursor to go on with.

    Raises:
        tokens.InvalidCursor: the cursor is not ours.
        RestoredFeed: the cursor is older than the last restore (AUD-07).
    """
    epoch, position = await _behind(session, _FEED, after)
    page = _events().where(SealedEvent.position > position).order_by(SealedEvent.position).limit(limit)
    events = (await session.execute(page)).all()
    return Page(events, _cursor(session, _FEED, epoch, events[-1].position if events else position))


async def of_account(session: AsyncSession, user_ids: Sequence[str], after: str | None, *, limit: int) -> Page:
    """Return the sealed events of one customer (under every User ID he has had), oldest first.

    Raises:
        tokens.InvalidCursor, RestoredFeed: as in `feed`.
    """
    place = f"events of {user_ids[0]}"
    epoch, position = await _behind(session, place, after)
    page = _events().where(Event.user_id.in_(user_ids), SealedEvent.position > position)
    events = (await session.execute(page.order_by(SealedEvent.position).limit(limit + 1))).all()
    more = len(events) > limit
    return Page(events[:limit], _cursor(session, place, epoch, events[limit - 1].position) if more else None)


async def _behind(session: AsyncSession, place: str, after: str | None) -> tuple[int, int]:
    """Return today's epoch, and the position behind which a reader goes on in the list named `place`."""
    epoch: int = (await session.execute(select(Feed.epoch))).scalar_one()
    if after is None:
        return epoch, 0
    seen, position = tokens.read_cursor(keyring.of(session).internal(), place, after)
    if seen != epoch:
        raise RestoredFeed
    return epoch, position


def _cursor(session: AsyncSession, place: str, epoch: int, position: int) -> str:
    return tokens.make_cursor(keyring.of(session).internal(), place, epoch, position)


async def position(session: AsyncSession) -> tuple[int, int]:
    """Return how far the feed is sealed, and how many events wait for their place."""
    sealed = await session.scalar(select(func.max(SealedEvent.position))) or 0
    waiting = await session.scalar(_WAITING) or 0
    return sealed, waiting


_WAITING = text(
    """
    SELECT count(*) FROM event e WHERE e.id > coalesce((
        SELECT max(s.event_id) - 1000 FROM (SELECT event_id FROM sealed_event ORDER BY position DESC LIMIT 1) s
    ), 0) AND NOT EXISTS (SELECT 1 FROM sealed_event s WHERE s.event_id = e.id)
    """
)


def _events() -> Select[Any]:
    return select(SealedEvent.position, Event.id, Event.name, Event.user_id, Event.actor, Event.at, Event.data).join(
        Event, Event.id == SealedEvent.event_id
    )
