"""Prove that nothing was altered: walk the chain, and hold it against the checkpoints that were published.

The seal of every event covers the one before, so an edited, removed, reordered or inserted row breaks the chain at its
place. A cut tail breaks nothing; it is found because a signed checkpoint names a position behind it. Checkpoints are
published at `/v1/audit/heads`, so that they can be kept elsewhere: then a rewrite by the database's own superuser is
found as well (AUD-03, AUD-04).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import starmap
from typing import Any, Final, NamedTuple

from sqlalchemy import func, insert, select, text

from identity_service import keyring, tokens
from identity_service.database import AsyncSession, settings_of
from identity_service.events import rules
from identity_service.events.tables import Checkpoint, Event, Feed, SealedEvent
from identity_service.tokens import InvalidToken

TYPE: Final = "audit-checkpoint+jwt"
EVERY_EVENTS: Final = 1000
EVERY: Final = timedelta(minutes=10)
PAGE: Final = 2000

Progress = Callable[[int, int], None]


class Head(NamedTuple):
    """A checkpoint: how far the feed was sealed, and with which seal, at a moment."""

    position: int
    seal: str
    at: datetime
    statement: str


class Finding(NamedTuple):
    """The first thing that does not hold: where, and a sentence."""

    position: int
    sentence: str


class Walked(NamedTuple):
    """The result of an audit: what was walked, the first finding, if there is one, and what a restore explains."""

    events: int
    checkpoints: int
    finding: Finding | None
    explained: tuple[str, ...] = ()


class Restore(NamedTuple):
    """A restore that the feed tells of: when, and behind which position everything was lost."""

    at: datetime
    position: int


async def publish(session: AsyncSession, *, now: datetime) -> Head | None:
    """Sign and keep a checkpoint if enough has happened since the last one; several workers may try, one does."""
    if await session.scalar(select(Feed.id).with_for_update(skip_locked=True)) is None:
        return None
    newest = (
        await session.execute(
            select(SealedEvent.position, SealedEvent.seal).order_by(SealedEvent.position.desc()).limit(1)
        )
    ).one_or_none()
    last = await session.scalar(select(Checkpoint).order_by(Checkpoint.position.desc()).limit(1))
    if newest is None or (last is not None and newest.position == last.position):
        return None
    due = last is None or newest.position - last.position >= EVERY_EVENTS or now - last.at >= EVERY
    if not due:
        return None
    claims = {
        "iss": settings_of(session).issuer,
        "iat": int(now.timestamp()),
        "position": newest.position,
        "seal": newest.seal.hex(),
        "count": newest.position,
    }
    statement = tokens.sign(claims, keyring.of(session).signing(now), typ=TYPE)
    row = {"position": newest.position, "seal": newest.seal, "at": now, "statement": statement}
    await session.execute(insert(Checkpoint), row)
    return Head(newest.position, newest.seal.hex(), now, statement)


async def heads(session: AsyncSession, before: int | None, *, limit: int) -> Sequence[Head]:
    """Return published checkpoints, newest first."""
    wanted = select(Checkpoint).order_by(Checkpoint.position.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(Checkpoint.position < before)
    return [Head(row.position, row.seal.hex(), row.at, row.statement) for row in await session.scalars(wanted)]


def read_head(session: AsyncSession, statement: str) -> Head:
    """Return a checkpoint that was kept elsewhere.

    Raises:
        InvalidToken: it is not one of ours.
    """
    claims = tokens.verify(statement.strip(), keyring.of(session).published(), typ=TYPE)
    at = datetime.fromtimestamp(int(claims["iat"]), UTC)
    return Head(int(claims["position"]), str(claims["seal"]), at, statement)


async def restores(session: AsyncSession) -> Sequence[Restore]:
    """Return every restore that the feed tells of.

    Raises:
        InvalidToken: one is told of without our signature.
    """
    told = select(Event.at, Event.data).where(Event.name == "feed.restored").order_by(Event.id)
    return [_restore(session, row.at, row.data) for row in await session.execute(told)]


def _restore(session: AsyncSession, at: datetime, told: Mapping[str, Any]) -> Restore:
    claims = tokens.verify(str(told.get("statement")), keyring.of(session).published(), typ=rules.RESTORED_TYPE)
    signed = (claims["position"], claims["epoch"], claims["iat"])
    if signed != (told["position"], told["epoch"], int(at.timestamp())):
        raise InvalidToken
    return Restore(at, told["position"])


async def walk(session: AsyncSession, *, kept: Iterable[str] = (), progress: Progress | None = None) -> Walked:
    """Recompute the whole chain and hold it against every checkpoint, those `kept` elsewhere included."""
    total = await session.scalar(select(func.max(SealedEvent.position))) or 0
    expected, lost, unreadable = await _expected(session, kept)
    position, previous, finding = 0, rules.GENESIS, unreadable
    while finding is None:
        rows = (await session.execute(_PAGE, {"after": position, "limit": PAGE})).mappings().all()
        if not rows:
            break
        for row in rows:
            finding = _check(dict(row), position, previous, expected)
            if finding is not None:
                break
            position, previous = row["position"], row["seal"]
        if progress is not None:
            progress(position, total)
    if finding is None:
        finding = _cut_tail(position, expected) or await _unsealed(session)
    return Walked(position, len(expected), finding, lost)


def _check(row: Mapping[str, Any], position: int, previous: bytes, expected: Mapping[int, str]) -> Finding | None:
    here = row["position"]
    if here != position + 1:
        return Finding(position + 1, f"Position {position + 1} is missing; the next one there is {here}.")
    if row["id"] is None:
        return Finding(here, f"The event of position {here} is gone.")
    if rules.seal(previous, here, row) != row["seal"]:
        return Finding(here, f"The seal of position {here} does not fit: this event, or one before it, was altered.")
    wanted = expected.get(here)
    if wanted is not None and wanted != row["seal"].hex():
        return Finding(here, f"At position {here} a published checkpoint names another seal: the chain was rewritten.")
    return None


def _cut_tail(position: int, expected: Mapping[int, str]) -> Finding | None:
    beyond = [known for known in expected if known > position]
    if not beyond:
        return None
    return Finding(
        position + 1, f"The feed ends at {position}, but a checkpoint names {min(beyond)}: its tail was cut."
    )


async def _expected(
    session: AsyncSession, kept: Iterable[str]
) -> tuple[dict[int, str], tuple[str, ...], Finding | None]:
    """Return the seals that checkpoints name, and what was published before a restore and lost with it (AUD-07)."""
    expected: dict[int, str] = {}
    lost: Counter[Restore] = Counter()
    try:
        told = await restores(session)
    except InvalidToken:
        return {}, (), Finding(0, "The feed tells of a restore that does not carry our signature.")
    published = await heads(session, None, limit=1_000_000)
    shown = {head.statement: (head.position, head.seal) for head in published}
    for statement in filter(str.strip, [*shown, *kept]):
        try:
            position, seal, at, _ = read_head(session, statement)
        except InvalidToken:
            place = shown.get(statement, (0, ""))[0]
            named = f"The checkpoint of position {place}" if place else "A checkpoint that was kept elsewhere"
            return {}, (), Finding(place, f"{named} does not carry our signature.")
        if shown.get(statement, (position, seal)) != (position, seal):
            wrong = f"The checkpoint of position {position} shows other values than it signed."
            return {}, (), Finding(position, wrong)
        gap = next((restore for restore in told if at < restore.at and position > restore.position), None)
        if gap is not None:
            lost[gap] += 1
        elif expected.setdefault(position, seal) != seal:
            return {}, (), Finding(position, f"Two checkpoints for position {position} name different seals.")
    return expected, tuple(starmap(_explain, lost.items())), None


def _explain(gap: Restore, checkpoints: int) -> str:
    return (
        f"The service was restored on {gap.at:%Y-%m-%d %H:%M:%S} UTC to position {gap.position}; "
        f"{checkpoints} checkpoints behind it are of events that were lost with that."
    )


async def _unsealed(session: AsyncSession) -> Finding | None:
    """Find an event that the sealer passed by: it was inserted with a transaction id of long ago."""
    stray = (await session.execute(_STRAY)).one_or_none()
    if stray is None:
        return None
    return Finding(
        0,
        f"Event {stray.id} stands before sealed ones without a place: it was inserted, or this database was restored "
        "and `identity-service restored` not run.",
    )


_PAGE = text(
    """
    SELECT s.position, s.seal, e.id, e.name, e.user_id, e.actor, e.at, e.data
    FROM sealed_event s LEFT JOIN event e ON e.id = s.event_id
    WHERE s.position > :after ORDER BY s.position LIMIT :limit
    """
)
_STRAY = text(
    """
    SELECT e.id FROM event e LEFT JOIN sealed_event s ON s.event_id = e.id
    WHERE s.event_id IS NULL AND (e.transaction_id, e.id) < (
        SELECT last.transaction_id, last.id FROM sealed_event newest JOIN event last ON last.id = newest.event_id
        ORDER BY newest.position DESC LIMIT 1
    ) ORDER BY e.transaction_id, e.id LIMIT 1
    """
)


async def entries(session: AsyncSession, after: int, *, limit: int) -> Sequence[Any]:
    """Return sealed events with their seals, by position: what an auditor recomputes the chain from."""
    wanted = (
        select(
            SealedEvent.position,
            SealedEvent.seal,
            Event.id,
            Event.name,
            Event.user_id,
            Event.actor,
            Event.at,
            Event.data,
        )
        .join(Event, Event.id == SealedEvent.event_id)
        .where(SealedEvent.position > after)
        .order_by(SealedEvent.position)
        .limit(limit)
    )
    return (await session.execute(wanted)).all()
