"""Append, correct, remove, list and summarize history entries."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.clients.tables import Source
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.history import rules
from identity_service.history.tables import HistoryEntry


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One entry as a service reports it; `amount` and `currency` are set together or not at all.

    `corrects` is the id of the stored entry that it replaces.
    """

    reference: str
    kind: str
    occurred_at: datetime
    amount: Decimal | None
    currency: str | None
    link: str | None
    details: dict[str, Any]
    corrects: uuid.UUID | None = None


class Appended(NamedTuple):
    """What became of an entry: `added`, `corrected`, `there` for a repeat, or the problem that refused it.

    `entry` is what is stored under its reference now; `None` if that is not the caller's to see.
    """

    status: Literal["added", "corrected", "there", "conflict", "refused"]
    entry: HistoryEntry | None
    problem: Problem | None = None


class Reporter(NamedTuple):
    """Who reports about whom: the source and actor, the User ID that was named, and every User ID of the customer."""

    source: str
    actor: str
    user_id: str
    customer: Sequence[str]


async def append_entries(
    session: DatabaseSession, by: Reporter, new: Sequence[NewEntry], *, now: datetime
) -> list[Appended]:
    """Add entries of one source, one per reference (decision 8); return a result for each, in the same order.

    A reference that is stored under any User ID of the customer with the same content is a repeat; so is the content
    of a version that was corrected since. With another content it is a conflict, and nothing changes.
    """
    fresh = await _insert_first(session, by, [entry for entry in new if entry.corrects is None], now=now)
    versions = await _find_versions(session, by.source, {entry.reference for entry in new})
    results = []
    for entry in new:
        if entry.corrects is not None:
            results.append(await _correct(session, by, entry, now=now))
            continue
        stored = versions[entry.reference]
        is_new = entry.reference in fresh
        fresh.discard(entry.reference)
        if stored[-1].user_id not in by.customer:
            results.append(Appended("refused", None, rules.ReferenceTaken()))
        elif is_new:
            results.append(Appended("added", stored[0]))
        elif any(_is_same(entry, version) for version in stored):
            results.append(Appended("there", stored[-1]))
        else:
            results.append(Appended("conflict", stored[-1], rules.ReferenceConflict()))
    return results


async def _insert_first(session: DatabaseSession, by: Reporter, new: Sequence[NewEntry], *, now: datetime) -> set[str]:
    """Insert entries whose reference is not stored yet; return those references, and record one event for them all."""
    if not new:
        return set()
    rows = [_row(by, entry, now=now) for entry in new]
    # Insert in the order of the references, so that overlapping batches block each other but cannot deadlock.
    rows.sort(key=lambda row: str(row["reference"]))
    inserted = insert(HistoryEntry).on_conflict_do_nothing().returning(HistoryEntry.reference, HistoryEntry.id)
    fresh = {str(row.reference): row.id for row in await session.execute(inserted, rows)}
    if fresh:
        data = {"source": by.source, "entries": len(fresh), "entry_ids": list(fresh.values())}
        await events.record_event(session, "history.appended", user_id=by.user_id, actor=by.actor, data=data, now=now)
    return set(fresh)


async def _find_versions(
    session: DatabaseSession, source: str, references: Collection[str]
) -> dict[str, list[HistoryEntry]]:
    """Map each reference to its stored versions; the last one counts now, unless it was removed."""
    mine = select(HistoryEntry).where(HistoryEntry.source == source, HistoryEntry.reference.in_(references))
    found: dict[str, list[HistoryEntry]] = {}
    newest_last = mine.order_by(HistoryEntry.superseded_at.asc().nulls_last())
    for entry in await session.scalars(newest_last, execution_options={"populate_existing": True}):
        found.setdefault(entry.reference, []).append(entry)
    return found


async def _correct(session: DatabaseSession, by: Reporter, entry: NewEntry, *, now: datetime) -> Appended:
    """Add an entry that supersedes the one it corrects; the same correction again is a repeat."""
    former = None if entry.corrects is None else await _find_own(session, by, entry.corrects)
    if former is None or former.reference != entry.reference:
        return Appended("refused", None, rules.UnknownEntry())
    if former.superseded_at is not None:
        stored = (await _find_versions(session, by.source, {entry.reference}))[entry.reference]
        is_repeat = any(version.corrects == former.id and _is_same(entry, version) for version in stored)
        return Appended("there", stored[-1]) if is_repeat else Appended("conflict", stored[-1], rules.EntryCorrected())
    if former.removed_at is None and _is_same(entry, former):
        return Appended("there", former)
    added = (await session.scalars(insert(HistoryEntry).returning(HistoryEntry), [_row(by, entry, now=now)])).one()
    await session.execute(update(HistoryEntry).where(HistoryEntry.id == former.id).values(superseded_at=now))
    data = {"source": by.source, "entry": str(added.id), "corrects": str(former.id)}
    await events.record_event(session, "history.corrected", user_id=by.user_id, actor=by.actor, data=data, now=now)
    return Appended("corrected", added)


async def remove_entry(session: DatabaseSession, by: Reporter, entry_id: uuid.UUID, *, now: datetime) -> HistoryEntry:
    """Mark an entry of this source as removed: it is kept and counts no more. Removing it again changes nothing.

    Raises:
        rules.UnknownEntry
        rules.EntryCorrected: another entry superseded it; that one can be removed.
    """
    entry = await _find_own(session, by, entry_id)
    if entry is None:
        raise rules.UnknownEntry
    if entry.superseded_at is not None:
        stored = (await _find_versions(session, by.source, {entry.reference}))[entry.reference]
        raise rules.EntryCorrected(entry=str(stored[-1].id))
    if entry.removed_at is None:
        await session.execute(update(HistoryEntry).where(HistoryEntry.id == entry.id).values(removed_at=now))
        await session.refresh(entry)
        data = {"source": by.source, "entry": str(entry.id)}
        await events.record_event(session, "history.removed", user_id=by.user_id, actor=by.actor, data=data, now=now)
    return entry


async def _find_own(session: DatabaseSession, by: Reporter, entry_id: uuid.UUID) -> HistoryEntry | None:
    """Return an entry of this source and customer, locked, so that two corrections of it follow one another."""
    mine = select(HistoryEntry).where(HistoryEntry.id == entry_id, HistoryEntry.source == by.source)
    found: HistoryEntry | None = await session.scalar(
        mine.where(HistoryEntry.user_id.in_(by.customer)).with_for_update().execution_options(populate_existing=True)
    )
    return found


def _is_same(entry: NewEntry, stored: HistoryEntry) -> bool:
    names = ("kind", "occurred_at", "amount", "currency", "link", "details")
    return all(getattr(entry, name) == getattr(stored, name) for name in names)


def _row(by: Reporter, entry: NewEntry, *, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(), "user_id": by.user_id, "source": by.source, "reference": entry.reference,
        "kind": entry.kind, "occurred_at": entry.occurred_at, "recorded_at": now, "corrects": entry.corrects,
        "amount": entry.amount, "currency": entry.currency, "link": entry.link, "details": entry.details,
    }  # fmt: skip


_COUNTS = HistoryEntry.superseded_at.is_(None) & HistoryEntry.removed_at.is_(None)


async def list_entries(
    session: DatabaseSession,
    user_ids: Sequence[str],
    *,
    kind: str | None = None,
    source: str | None = None,
    superseded: bool = False,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[HistoryEntry]:
    """Return the entries under these User IDs, newest first; `before` is the time and id of the last one of a page.

    With `superseded`, also those that were corrected or removed.
    """
    wanted = select(HistoryEntry).where(HistoryEntry.user_id.in_(user_ids))
    if not superseded:
        wanted = wanted.where(_COUNTS)
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


async def find_by_reference(session: DatabaseSession, reference: str, *, limit: int) -> Sequence[HistoryEntry]:
    """Return the entries that any source reported under exactly this reference, and that count."""
    # The index begins with the source, so the few sources are named.
    known = HistoryEntry.source.in_(select(Source.name)) & (HistoryEntry.reference == reference)
    return (await session.scalars(select(HistoryEntry).where(known, _COUNTS).limit(limit))).all()


async def summarise(session: DatabaseSession, user_ids: Sequence[str], *, since: datetime) -> rules.Summary:
    """Return the summary of these User IDs, by three aggregates over an index; `since` is the account's own date."""
    mine = HistoryEntry.user_id.in_(user_ids) & _COUNTS
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
