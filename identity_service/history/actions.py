"""Append, list and summarize history entries."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.history import rules
from identity_service.history.tables import HistoryEntry


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One entry as a service reports it; `amount` and `currency` are set together or not at all."""

    reference: str
    kind: str
    occurred_at: datetime
    amount: Decimal | None
    currency: str | None
    link: str | None
    details: dict[str, Any]


class Appended(NamedTuple):
    """The entry of a reference, and whether it is new; a repeat returns the stored entry.

    `entry` is `None` if the reference belongs to an entry of another customer; then nothing was added.
    """

    entry: HistoryEntry | None
    is_new: bool


async def append_entries(
    session: DatabaseSession,
    user_id: str,
    source: str,
    new: Sequence[NewEntry],
    *,
    customer: Sequence[str],
    actor: str,
    now: datetime,
) -> list[Appended]:
    """Add entries of one source, one per reference (decision 8); return a result for each, in the same order.

    `customer` is every User ID of the customer: a reference stored under any of them is a repeat.
    """
    if not new:
        return []
    rows = [_row(user_id, source, entry, now=now) for entry in new]
    # Insert in the order of the references, so that overlapping batches block each other but cannot deadlock.
    rows.sort(key=lambda row: str(row["reference"]))
    new_rows = insert(HistoryEntry).on_conflict_do_nothing().returning(HistoryEntry.reference, HistoryEntry.id)
    added = {row.reference: row.id for row in await session.execute(new_rows, rows)}
    fresh = set(added)
    mine = select(HistoryEntry).where(
        HistoryEntry.source == source, HistoryEntry.reference.in_([entry.reference for entry in new])
    )
    found = {entry.reference: entry for entry in await session.scalars(mine)}
    if fresh:
        data = {"source": source, "entries": len(added), "entry_ids": list(added.values())}
        await events.record_event(session, "history.appended", user_id=user_id, actor=actor, data=data, now=now)
    results = []
    for entry in new:
        stored = found[entry.reference]
        results.append(Appended(stored if stored.user_id in customer else None, entry.reference in fresh))
        fresh.discard(entry.reference)
    return results


def _row(user_id: str, source: str, entry: NewEntry, *, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(), "user_id": user_id, "source": source, "reference": entry.reference, "kind": entry.kind,
        "occurred_at": entry.occurred_at, "recorded_at": now, "amount": entry.amount, "currency": entry.currency,
        "link": entry.link, "details": entry.details,
    }  # fmt: skip


async def list_entries(
    session: DatabaseSession,
    user_ids: Sequence[str],
    *,
    kind: str | None = None,
    source: str | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[HistoryEntry]:
    """Return the entries under these User IDs, newest first; `before` is the time and id of the last one of a page."""
    wanted = select(HistoryEntry).where(HistoryEntry.user_id.in_(user_ids))
    if kind is not None:
        wanted = wanted.where(HistoryEntry.kind == kind)
    if source is not None:
        wanted = wanted.where(HistoryEntry.source == source)
    if before is not None:
        at, entry_id = before
        older = and_(HistoryEntry.occurred_at == at, HistoryEntry.id < entry_id)
        wanted = wanted.where(or_(HistoryEntry.occurred_at < at, older))
    newest = wanted.order_by(HistoryEntry.occurred_at.desc(), HistoryEntry.id.desc()).limit(limit)
    return (await session.scalars(newest)).all()


async def summarise(session: DatabaseSession, user_ids: Sequence[str], *, since: datetime) -> rules.Summary:
    """Return the summary of these User IDs, by three aggregates over an index; `since` is the account's own date."""
    mine = HistoryEntry.user_id.in_(user_ids)
    counted = await session.execute(
        select(HistoryEntry.kind, func.count(), func.max(HistoryEntry.occurred_at))
        .where(mine)
        .group_by(HistoryEntry.kind)
    )
    kinds = {kind: (count, last) for kind, count, last in counted}
    sums = select(HistoryEntry.kind, HistoryEntry.currency, func.sum(HistoryEntry.amount)).where(
        mine, HistoryEntry.amount.is_not(None), HistoryEntry.kind.in_((rules.ORDER, rules.REFUND))
    )
    amounts = await session.execute(sums.group_by(HistoryEntry.kind, HistoryEntry.currency))
    first = await session.scalar(select(func.min(HistoryEntry.occurred_at)).where(mine))
    nothing: tuple[int, datetime | None] = (0, None)
    opened, closed = kinds.get(rules.TICKET, nothing)[0], kinds.get(rules.TICKET_CLOSED, nothing)[0]
    return rules.Summary(
        customer_since=since if first is None else min(first, since),
        entries=sum(count for count, _ in kinds.values()),
        orders=kinds.get(rules.ORDER, nothing)[0],
        last_order_at=kinds.get(rules.ORDER, nothing)[1],
        open_tickets=max(0, opened - closed),
        amounts=rules.net_amount((kind, str(currency), total or Decimal(0)) for kind, currency, total in amounts),
    )
