"""Append, read and sum up history."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.database import AsyncSession
from identity_service.events import actions as events
from identity_service.history import rules
from identity_service.history.tables import HistoryEntry


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One thing that happened, as a service tells it."""

    reference: str
    kind: str
    occurred_at: datetime
    amount: Decimal | None
    currency: str | None
    link: str | None
    details: dict[str, Any]


class Appended(NamedTuple):
    """An entry, and whether it is new; a repeat answers with the one that was there."""

    entry: HistoryEntry
    is_new: bool


async def append(
    session: AsyncSession, user_id: str, source: str, new: Sequence[NewEntry], *, actor: str, now: datetime
) -> list[Appended]:
    """Add entries of one source, in order; one per reference, whoever repeats it (decision 8)."""
    if not new:
        return []
    rows = [
        {
            "id": uuid.uuid4(), "user_id": user_id, "source": source, "reference": entry.reference,
            "kind": entry.kind, "occurred_at": entry.occurred_at, "recorded_at": now, "amount": entry.amount,
            "currency": entry.currency, "link": entry.link, "details": entry.details,
        }
        for entry in new
    ]  # fmt: skip
    # In the order of the references, so that two batches that overlap wait for one another and never deadlock.
    rows.sort(key=lambda row: str(row["reference"]))
    fresh = {
        str(reference)
        for reference in await session.scalars(
            insert(HistoryEntry).on_conflict_do_nothing().returning(HistoryEntry.reference), rows
        )
    }
    mine = select(HistoryEntry).where(
        HistoryEntry.source == source, HistoryEntry.reference.in_([entry.reference for entry in new])
    )
    found = {entry.reference: entry for entry in await session.scalars(mine)}
    if fresh:
        data = {"source": source, "entries": len(fresh)}
        await events.record(session, "history.appended", user_id=user_id, actor=actor, data=data, now=now)
    answered = []
    for entry in new:
        answered.append(Appended(found[entry.reference], entry.reference in fresh))
        fresh.discard(entry.reference)
    return answered


async def listing(
    session: AsyncSession,
    user_ids: Sequence[str],
    *,
    kind: str | None = None,
    source: str | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[HistoryEntry]:
    """Return entries newest first, under every User ID of the customer."""
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


async def summary(session: AsyncSession, user_ids: Sequence[str], *, since: datetime) -> rules.Summary:
    """Sum up a customer's history: three aggregates over an index, however long it is."""
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
        amounts=rules.net((kind, str(currency), total or Decimal(0)) for kind, currency, total in amounts),
    )
