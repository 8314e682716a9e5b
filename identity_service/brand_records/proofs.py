"""Which hosts and senders of brands are proven: load, claim a look-up, record what it saw (BRD-07)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.brand_records.tables import BrandProof
from identity_service.brands import proofs as rules
from identity_service.brands.proofs import Proof, Subject
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import actions as messages


async def load(session: DatabaseSession, *, now: datetime) -> frozenset[Subject] | None:
    """Return the subjects whose proof holds; None in development, where nothing needs one."""
    if session.settings.development:
        return None
    return frozenset(subject for subject, row in (await rows(session)).items() if _proof(row).holds(now))


async def rows(session: DatabaseSession) -> Mapping[Subject, BrandProof]:
    """Return everything that is recorded, by subject."""
    return {Subject(row.what, row.name): row for row in await session.scalars(select(BrandProof))}  # type: ignore[arg-type]


async def count_states(session: DatabaseSession, *, now: datetime) -> Mapping[tuple[str, str], int]:
    """Return how many hosts and senders that need a proof are `proven`, `lost` (and still in use) or `missing`."""
    known, counted = await rows(session), dict[tuple[str, str], int]()
    for what in ("host", "sender"):
        counted |= dict.fromkeys(((what, "proven"), (what, "lost"), (what, "missing")), 0)
    for subject in () if session.settings.development else rules.needed(session.settings.brands):
        counted[subject.what, state_of(known.get(subject), now)] += 1
    return counted


def state_of(row: BrandProof | None, now: datetime) -> str:
    """Return `proven`, `lost` for a proof that is no longer found and still holds, or `missing`."""
    if row is None or not _proof(row).holds(now):
        return "missing"
    return "proven" if row.lost_at is None else "lost"


def _proof(row: BrandProof) -> Proof:
    return Proof(row.proven_at, row.lost_at)


async def claim(session: DatabaseSession, wanted: Collection[Subject], *, now: datetime) -> Sequence[Subject]:
    """Return which of these are due for a look-up, and note that it is made now: of many workers one makes it."""
    due = or_(
        BrandProof.checked_at <= now - rules.REPEAT_EVERY,
        or_(BrandProof.proven_at.is_(None), BrandProof.lost_at.is_not(None))
        & (BrandProof.checked_at <= now - rules.RETRY_EVERY),
    )
    claimed = []
    for subject in sorted(wanted):
        row = insert(BrandProof).values(**subject._asdict(), checked_at=now, seen=[])
        key = [BrandProof.what, BrandProof.name]
        made = row.on_conflict_do_update(index_elements=key, set_={"checked_at": now}, where=due)
        if (await session.execute(made.returning(BrandProof.name))).scalar_one_or_none() is not None:
            claimed.append(subject)
    return claimed


async def record(
    session: DatabaseSession, subject: Subject, *, found: bool | None, seen: list[str], actor: str, now: datetime
) -> BrandProof:
    """Record what a look-up saw, as sentences; `found` is None if DNS did not answer, which changes nothing.

    What waited for a sender that is proven now is sent at once.
    """
    row = await _lock(session, subject, now)
    held, row.checked_at, row.seen = _proof(row).holds(now), now, seen
    if found and (row.proven_at is None or row.lost_at is not None):
        row.proven_at, row.lost_at = row.proven_at if held else now, None
        await _tell(session, "brand.proven", subject, actor, now)
        if subject.what == "sender":
            await messages.release_held(session, _brands_of(session, subject), now=now)
    elif found is False and row.proven_at is not None and row.lost_at is None:
        row.lost_at = now
        await _tell(session, "brand.proof_lost", subject, actor, now)
    return row


async def _lock(session: DatabaseSession, subject: Subject, now: datetime) -> BrandProof:
    made = insert(BrandProof).values(**subject._asdict(), checked_at=now, seen=[])
    await session.execute(made.on_conflict_do_nothing())
    wanted = select(BrandProof).where(BrandProof.what == subject.what, BrandProof.name == subject.name)
    return (await session.scalars(wanted.with_for_update())).one()


async def _tell(session: DatabaseSession, name: str, subject: Subject, actor: str, now: datetime) -> None:
    data = {**subject._asdict(), "brands": _brands_of(session, subject)}
    await events.record_event(session, name, actor=actor, data=data, now=now)


def _brands_of(session: DatabaseSession, subject: Subject) -> list[str]:
    return [brand.key for brand in rules.needed(session.settings.brands).get(subject, ())]
