"""Prove that no event was altered: recompute the chain, and compare it with the published checkpoints.

Each seal covers the seal before it, so an edited, removed, reordered or inserted row breaks the chain at its position.
A cut tail breaks no seal; it is found because a signed checkpoint names a later position. Checkpoints are published at
`/v1/audit/checkpoints`; copies kept elsewhere reveal even a rewrite by the database's superuser (AUD-03, AUD-04).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import starmap
from typing import Any, Final, NamedTuple

from sqlalchemy import func, insert, select, text

from identity_service.audit.tables import Checkpoint
from identity_service.database.transactions import DatabaseSession
from identity_service.events import rules
from identity_service.events.tables import Event, FeedState, SealedEvent
from identity_service.keys import signing
from identity_service.keys.signing import InvalidToken, SignedAfterRevocation

TYPE: Final = "audit-checkpoint+jwt"
EVERY_EVENTS: Final = 1000
EVERY: Final = timedelta(minutes=10)
PAGE: Final = 2000

Progress = Callable[[int, int], None]


class SignedCheckpoint(NamedTuple):
    """A checkpoint: the newest position of the feed and its seal at that time, and the signed statement of both."""

    position: int
    seal: str
    occurred_at: datetime
    statement: str


class AuditFinding(NamedTuple):
    """The first mismatch: its position, and a sentence that describes it."""

    position: int
    sentence: str


class AuditResult(NamedTuple):
    """What an audit checked, its first finding, if any, and the losses that a recorded restore explains."""

    events: int
    checkpoints: int
    finding: AuditFinding | None
    explained: tuple[str, ...] = ()


class Restore(NamedTuple):
    """A restore that the feed records: when, and the position after which everything was lost."""

    occurred_at: datetime
    position: int


async def publish_checkpoint(session: DatabaseSession, *, now: datetime) -> SignedCheckpoint | None:
    """Sign and store a checkpoint if it is due, else return None; a row lock lets only one of several workers do it."""
    if await session.scalar(select(FeedState.id).with_for_update(skip_locked=True)) is None:
        return None
    newest = (
        await session.execute(
            select(SealedEvent.position, SealedEvent.seal).order_by(SealedEvent.position.desc()).limit(1)
        )
    ).one_or_none()
    last = await session.scalar(select(Checkpoint).order_by(Checkpoint.position.desc()).limit(1))
    if newest is None or (last is not None and newest.position == last.position):
        return None
    due = last is None or newest.position - last.position >= EVERY_EVENTS or now - last.occurred_at >= EVERY
    if not due:
        return None
    claims = {
        "iss": session.settings.issuer,
        "iat": int(now.timestamp()),
        "position": newest.position,
        "seal": newest.seal.hex(),
        "count": newest.position,
    }
    statement = signing.sign(claims, session.keys.signing(now), typ=TYPE)
    row = {"position": newest.position, "seal": newest.seal, "occurred_at": now, "statement": statement}
    await session.execute(insert(Checkpoint), row)
    return SignedCheckpoint(newest.position, newest.seal.hex(), now, statement)


async def list_checkpoints(session: DatabaseSession, before: int | None, *, limit: int) -> Sequence[SignedCheckpoint]:
    """Return published checkpoints, newest first."""
    wanted = select(Checkpoint).order_by(Checkpoint.position.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(Checkpoint.position < before)
    return [
        SignedCheckpoint(row.position, row.seal.hex(), row.occurred_at, row.statement)
        for row in await session.scalars(wanted)
    ]


def read_checkpoint(session: DatabaseSession, statement: str) -> SignedCheckpoint:
    """Verify the statement of a checkpoint, and return what it says.

    Raises:
        InvalidToken: the signature is not ours.
    """
    claims = signing.verify(statement.strip(), session.keys.published(), typ=TYPE)
    at = datetime.fromtimestamp(int(claims["iat"]), UTC)
    return SignedCheckpoint(int(claims["position"]), str(claims["seal"]), at, statement)


async def list_restores(session: DatabaseSession) -> Sequence[Restore]:
    """Return every restore that the feed records.

    Raises:
        InvalidToken: a restore is recorded without our signature.
    """
    recorded = select(Event.occurred_at, Event.data).where(Event.name == "feed.restored").order_by(Event.id)
    return [_restore(session, row.occurred_at, row.data) for row in await session.execute(recorded)]


def _restore(session: DatabaseSession, at: datetime, data: Mapping[str, Any]) -> Restore:
    claims = signing.verify(str(data.get("statement")), session.keys.published(), typ=rules.RESTORED_TYPE)
    signed = (claims["position"], claims["epoch"], claims["iat"])
    if signed != (data["position"], data["epoch"], int(at.timestamp())):
        raise InvalidToken
    return Restore(at, data["position"])


async def audit_events(
    session: DatabaseSession, *, kept: Iterable[str] = (), progress: Progress | None = None
) -> AuditResult:
    """Recompute the whole chain and compare it with every checkpoint, including the statements `kept` elsewhere."""
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
    return AuditResult(position, len(expected), finding, lost)


def _check(row: Mapping[str, Any], position: int, previous: bytes, expected: Mapping[int, str]) -> AuditFinding | None:
    here = row["position"]
    if here != position + 1:
        return AuditFinding(position + 1, f"Position {position + 1} is missing; the next one is {here}.")
    if row["id"] is None:
        return AuditFinding(here, f"The event of position {here} is missing.")
    if rules.seal(previous, here, row) != row["seal"]:
        return AuditFinding(
            here, f"The seal of position {here} does not match: this event, or one before it, was altered."
        )
    wanted = expected.get(here)
    if wanted is not None and wanted != row["seal"].hex():
        return AuditFinding(
            here, f"At position {here} a published checkpoint names another seal: the chain was rewritten."
        )
    return None


def _cut_tail(position: int, expected: Mapping[int, str]) -> AuditFinding | None:
    beyond = [known for known in expected if known > position]
    if not beyond:
        return None
    return AuditFinding(
        position + 1, f"The feed ends at {position}, but a checkpoint names {min(beyond)}: its tail was cut."
    )


async def _expected(
    session: DatabaseSession, kept: Iterable[str]
) -> tuple[dict[int, str], tuple[str, ...], AuditFinding | None]:
    """Return the seals that checkpoints name, the losses that a restore explains (AUD-07), and the first finding."""
    expected: dict[int, str] = {}
    lost: Counter[Restore] = Counter()
    worthless = 0
    try:
        restores = await list_restores(session)
    except InvalidToken:
        return {}, (), AuditFinding(0, "The feed records a restore that does not carry our signature.")
    published = await list_checkpoints(session, None, limit=1_000_000)
    stored = {checkpoint.statement: (checkpoint.position, checkpoint.seal) for checkpoint in published}
    for statement in filter(str.strip, [*stored, *kept]):
        try:
            position, seal, at, _ = read_checkpoint(session, statement)
        except SignedAfterRevocation:
            # A thief could have signed it: it proves nothing, neither for the chain nor against it.
            worthless += 1
            continue
        except InvalidToken:
            at_position = stored.get(statement, (0, ""))[0]
            which = (
                f"The checkpoint of position {at_position}" if at_position else "A checkpoint that was kept elsewhere"
            )
            return {}, (), AuditFinding(at_position, f"{which} does not carry our signature.")
        if stored.get(statement, (position, seal)) != (position, seal):
            wrong = f"The checkpoint of position {position} shows other values than it signed."
            return {}, (), AuditFinding(position, wrong)
        gap = next((restore for restore in restores if at < restore.occurred_at and position > restore.position), None)
        if gap is not None:
            lost[gap] += 1
        elif expected.setdefault(position, seal) != seal:
            return {}, (), AuditFinding(position, f"Two checkpoints for position {position} name different seals.")
    told = [_WORTHLESS.format(worthless)] if worthless else []
    return expected, (*starmap(_explain, lost.items()), *told), None


_WORTHLESS: Final = "{} checkpoints were signed with a key after it was revoked; they prove nothing."


def _explain(gap: Restore, checkpoints: int) -> str:
    return (
        f"The service was restored on {gap.occurred_at:%Y-%m-%d %H:%M:%S} UTC to position {gap.position}; "
        f"{checkpoints} checkpoints after it are of events that were lost."
    )


async def _unsealed(session: DatabaseSession) -> AuditFinding | None:
    """Find an event that the sealer skipped, because it was inserted with an old transaction id."""
    stray = (await session.execute(_STRAY)).one_or_none()
    if stray is None:
        return None
    return AuditFinding(
        0,
        f"Event {stray.public_id} is older than sealed events but not sealed: it was inserted, or this database was "
        "restored and `identity-service recover` was not run.",
    )


_PAGE = text(
    """
    SELECT s.position, s.seal, e.id, e.public_id, e.name, e.user_id, e.actor, e.occurred_at, e.data
    FROM sealed_event s LEFT JOIN event e ON e.id = s.event_id
    WHERE s.position > :after ORDER BY s.position LIMIT :limit
    """
)
_STRAY = text(
    """
    SELECT e.public_id FROM event e LEFT JOIN sealed_event s ON s.event_id = e.id
    WHERE s.event_id IS NULL AND (e.transaction_id, e.id) < (
        SELECT last.transaction_id, last.id FROM sealed_event newest JOIN event last ON last.id = newest.event_id
        ORDER BY newest.position DESC LIMIT 1
    ) ORDER BY e.transaction_id, e.id LIMIT 1
    """
)


async def list_sealed_events(session: DatabaseSession, after: int, *, limit: int) -> Sequence[Any]:
    """Return sealed events with their seals, by position; auditors recompute the chain from them."""
    wanted = (
        select(
            SealedEvent.position,
            SealedEvent.seal,
            Event.public_id,
            Event.name,
            Event.user_id,
            Event.actor,
            Event.occurred_at,
            Event.data,
        )
        .join(Event, Event.id == SealedEvent.event_id)
        .where(SealedEvent.position > after)
        .order_by(SealedEvent.position)
        .limit(limit)
    )
    return (await session.execute(wanted)).all()
