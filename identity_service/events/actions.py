"""Record events, seal the committed ones, read the feed.

Sequence ids commit out of order, so "everything after the last id I saw" misses events: with 16 writers, such a reader
saw 4,337 of 6,400. The sealer therefore takes only events whose transaction is older than every running one, in the
order (transaction, id). It misses no event, and no writer waits for it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row, Select, bindparam, func, insert, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB

from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.events import data as event_data
from identity_service.events import rules
from identity_service.events.tables import Event, FeedState, SealedEvent
from identity_service.web import pagination

BATCH = 1000
WINDOW: Final = 10_000
"""Positions that one page of the feed covers at most, so that a rare type does not read the whole table at once."""
_FEED_LIST = "feed"


class FeedRestored(Problem):
    """The service was restored from a backup; positions may differ. Read the feed again without a cursor."""

    status = 410


class Page(NamedTuple):
    """Events of the feed, the cursor after the last of them (None if there can be no more), and the epoch of the feed.

    `is_last` tells that no later event was sealed when the page was read.
    """

    events: Sequence[Row[Any]]
    cursor: str | None
    epoch: int
    is_last: bool


class AffectedCustomer(NamedTuple):
    """A customer whom events of a period name: the event names, the actors, and the first and last time."""

    user_id: str
    events: list[str]
    actors: list[str]
    first_at: datetime
    last_at: datetime


async def record_event(
    session: DatabaseSession,
    name: str,
    *,
    user_id: str | None = None,
    actor: str,
    data: Mapping[str, Any] | None = None,
    now: datetime,
) -> int:
    """Write an event in the transaction of the change it records; return its id in the table.

    `actor` is `client:<id>`, `staff:<id>`, `worker`, `operator` or `customer`. `data` has the members that `data.py`
    lists for this name; IDs may be given in any form. Record a cause before its effects.
    """
    row = _row(name, user_id, actor, data, now)
    event_id: int = (await session.execute(_RECORD, row)).scalar_one()
    return event_id


def insert_event(
    name: str, *, user_id: str | None, actor: str, data: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the parameters of `INSERTED_EVENT`, which writes an event in the statement of the change it records.

    `data` has `cause`, the name of an event that this transaction has recorded, and `cause_id`, which the statement
    sets.
    """
    return {f"event_{column}": value for column, value in _row(name, user_id, actor, data, now).items()} | {
        "event_cause": data["cause"]
    }


def _row(name: str, user_id: str | None, actor: str, data: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    shown = event_data.format_data(name, data or {})
    return {"name": name, "user_id": user_id, "actor": actor, "occurred_at": now, "data": shown}


# The Core table, not the ORM class: every change writes an event, and an ORM insert costs more than twice as much.
_EVENT = Event.metadata.tables["event"]
_RECORD = insert(_EVENT).returning(_EVENT.c.id)
_COLUMNS = ("name", "user_id", "actor", "occurred_at", "data")
_PARAMETERS = {name: bindparam(f"event_{name}", type_=_EVENT.c[name].type) for name in _COLUMNS}
# If a transaction has recorded several events of the name, the one about the same customer is the cause.
_CAUSE = (
    select(_EVENT.c.public_id)
    .where(
        _EVENT.c.transaction_id == text("(pg_current_xact_id()::text)::bigint"),
        _EVENT.c.name == bindparam("event_cause", type_=_EVENT.c.name.type),
    )
    .order_by(_EVENT.c.user_id.is_not_distinct_from(_PARAMETERS["user_id"]).desc(), _EVENT.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_CAUSED = {
    **_PARAMETERS,
    "data": _PARAMETERS["data"].op("||")(func.jsonb_build_object("cause_id", _CAUSE, type_=JSONB)),
}
INSERTED_EVENT: Final = (
    insert(_EVENT).from_select(_COLUMNS, select(*_CAUSED.values())).returning(_EVENT.c.id).cte("inserted_event")
)
"""For the WITH of another statement: change and event in one round trip. Its `id` is the event's in the table."""


async def list_affected(
    session: DatabaseSession, *, since: datetime, until: datetime, actor: str | None
) -> list[AffectedCustomer]:
    """Return each customer that an event from `since` to before `until` names.

    A desk tool's `actor` includes every person who works with it. Reads record no event, except those of a desk.
    """
    named = select(
        Event.user_id,
        func.array_agg(Event.name.distinct()).label("events"),
        func.array_agg(Event.actor.distinct()).label("actors"),
        func.min(Event.occurred_at).label("first_at"),
        func.max(Event.occurred_at).label("last_at"),
    ).where(Event.user_id.is_not(None), Event.occurred_at >= since, Event.occurred_at < until)
    if actor is not None:
        named = named.where(or_(Event.actor == actor, Event.actor.startswith(f"{actor}/", autoescape=True)))
    rows = await session.execute(named.group_by(Event.user_id).order_by(Event.user_id))
    return [AffectedCustomer._make(row) for row in rows]


async def record_events(
    session: DatabaseSession, events: Sequence[tuple[str, str | None, Mapping[str, Any]]], *, actor: str, now: datetime
) -> None:
    """Write many events, each given as name, User ID and data, in one round trip to the database."""
    if events:
        rows = [
            {"name": name, "user_id": user_id, "data": event_data.format_data(name, data)}
            for name, user_id, data in events
        ]
        await session.execute(_ALL, {"rows": orjson.dumps(rows).decode(), "actor": actor, "occurred_at": now})


# One statement, in the given order: inserting row by row costs three times as much.
_ALL = text(
    """
    INSERT INTO event (name, user_id, actor, occurred_at, data)
    SELECT name, user_id, :actor, CAST(:occurred_at AS timestamptz), data
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(name text, user_id text, data jsonb)
    """
)


async def seal_events(session: DatabaseSession, limit: int = BATCH) -> int:
    """Give committed events position and seal; return how many. 0 while another sealer holds the lock (AUD-02)."""
    locked = await session.scalar(select(FeedState.id).with_for_update(skip_locked=True))
    if locked is None:
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
    SELECT id, public_id, transaction_id, name, user_id, actor, occurred_at, data FROM event
    WHERE (transaction_id, id) > (:transaction_id, :id) AND id > (SELECT restored_event_id FROM feed_state)
      AND transaction_id < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
    ORDER BY transaction_id, id LIMIT :limit
    """
)


async def read_feed(
    session: DatabaseSession,
    after: str | None,
    *,
    from_now: bool = False,
    types: Collection[str] | None = None,
    hidden: Collection[str] = (),
    limit: int,
) -> Page:
    """Return the events after the cursor `after`, in sealed order, and the next cursor.

    Without a cursor, read from the first event, or with `from_now` from the newest. With `types`, return those alone;
    `hidden` ones are left out. A page covers at most `WINDOW` positions, so it may be empty before the last one.

    Raises:
        pagination.InvalidCursor: the cursor is not ours.
        FeedRestored: the cursor is older than the last restore (AUD-07).
    """
    epoch, position = await _start(session, _FEED_LIST, after)
    newest = await session.scalar(select(func.max(SealedEvent.position))) or 0
    if after is None and from_now:
        position = newest
    end = min(newest, position + WINDOW)
    page = _events().where(SealedEvent.position > position, SealedEvent.position <= end)
    if types is not None:
        page = page.where(Event.name.in_(types))
    if hidden:
        page = page.where(Event.name.not_in(hidden))
    events = (await session.execute(page.order_by(SealedEvent.position).limit(limit))).all()
    # A page that is not full has seen everything up to `end`: the cursor passes the events that were left out.
    reached = events[-1].position if len(events) == limit else max(position, end)
    return Page(events, _cursor(session, _FEED_LIST, epoch, reached), epoch, is_last=reached >= newest)


async def has_events_besides(session: DatabaseSession, user_id: str, names: Collection[str]) -> bool:
    """Return whether anything is recorded of a User ID besides events of these names and those of its messages."""
    mine = select(Event.id).where(Event.user_id == user_id, Event.name.not_in(names), Event.name.not_like("mail.%"))
    return await session.scalar(mine.limit(1)) is not None


async def list_account_events(
    session: DatabaseSession,
    user_ids: Sequence[str],
    after: str | None,
    *,
    hidden: Collection[str] = (),
    limit: int,
) -> Page:
    """Return the sealed events of one customer, under every User ID they have had, oldest first.

    Raises:
        pagination.InvalidCursor, FeedRestored: as in `read_feed`.
    """
    list_name = f"events of {user_ids[0]}"
    epoch, position = await _start(session, list_name, after)
    page = _events().where(Event.user_id.in_(user_ids), SealedEvent.position > position)
    if hidden:
        page = page.where(Event.name.not_in(hidden))
    events = (await session.execute(page.order_by(SealedEvent.position).limit(limit + 1))).all()
    more = len(events) > limit
    cursor = _cursor(session, list_name, epoch, events[limit - 1].position) if more else None
    return Page(events[:limit], cursor, epoch, is_last=not more)


async def _start(session: DatabaseSession, list_name: str, after: str | None) -> tuple[int, int]:
    """Return the current epoch, and the position after which the cursor continues the list `list_name`."""
    epoch: int = (await session.execute(select(FeedState.epoch))).scalar_one()
    if after is None:
        return epoch, 0
    cursor_epoch, position = pagination.read_cursor(session.keys.internal(), list_name, after)
    if cursor_epoch != epoch:
        raise FeedRestored
    return epoch, position


def _cursor(session: DatabaseSession, list_name: str, epoch: int, position: int) -> str:
    return pagination.make_cursor(session.keys.internal(), list_name, epoch, position)


async def position(session: DatabaseSession) -> tuple[int, int]:
    """Return the last sealed position, and how many events are not sealed yet."""
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
    return select(
        SealedEvent.position, Event.public_id, Event.name, Event.user_id, Event.actor, Event.occurred_at, Event.data
    ).join(Event, Event.id == SealedEvent.event_id)
