"""Put a letter into the outbox, tell what became of it, and try again."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import keyring
from identity_service.database import AsyncSession, settings_of
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.events import rules as event_rules
from identity_service.mail import rules, suppressions
from identity_service.mail.tables import Attempt, Feedback, Inbound, Message, RelayState


class Fate(NamedTuple):
    """A message with everything that happened to it."""

    message: Message
    attempts: list[Row[Any]]
    feedback: list[Row[Any]]


class Put(NamedTuple):
    """A letter in the outbox; `is_new` is false where the ask joined one that is still on its way."""

    message_id: uuid.UUID
    is_new: bool


async def put(
    session: AsyncSession,
    kind: str,
    *,
    to: EmailAddress,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any] | None = None,
    resend_of: uuid.UUID | None = None,
    prefer_relay: str | None = None,
    anyway: bool = False,
    cause: str,
    actor: str,
    now: datetime,
) -> uuid.UUID:
    """Write a letter into the outbox, in the transaction of what it tells about; return its id.

    The letter holds facts, no words and no secrets, and names the event that caused it (NOM-03). A worker sees it when
    the transaction commits, not before. To a suppressed address it is not tried, unless `anyway`.
    """
    row = _new_row(session, kind, to, user_id=user_id, locale=locale, facts=facts or {}, now=now)
    row |= {"resend_of": resend_of, "prefer_relay": prefer_relay}
    await _write(session, row, anyway=anyway, cause=cause, actor=actor, now=now)
    message_id: uuid.UUID = row["id"]
    return message_id


async def put_or_join(
    session: AsyncSession,
    kind: str,
    *,
    pending_key: str,
    to: EmailAddress,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any],
    cause: str,
    actor: str,
    now: datetime,
) -> Put:
    """Write a letter into the outbox, unless one under the same `pending_key` is still on its way: then join that.

    Two that come at the same time make one letter: the second waits for the first and joins (RST-08).
    """
    # One at a time under the same key: an event cannot be taken back, so who joins must know it before he tells of it.
    await session.execute(_ONE_AT_A_TIME, {"key": pending_key})
    waiting = text("state IN ('queued', 'deferred', 'sending')")
    on_its_way = await session.scalar(select(Message.id).where(Message.pending_key == pending_key, waiting))
    if on_its_way is not None:
        return Put(on_its_way, is_new=False)
    row = _new_row(session, kind, to, user_id=user_id, locale=locale, facts=facts, now=now)
    row["pending_key"] = pending_key
    await _write(session, row, anyway=False, cause=cause, actor=actor, now=now)
    return Put(row["id"], is_new=True)


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def _new_row(
    session: AsyncSession,
    kind: str,
    to: EmailAddress,
    *,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any],
    now: datetime,
) -> dict[str, Any]:
    schedule = rules.KINDS[kind]
    message_id = rules.new_id(now)
    return {
        "id": message_id,
        "kind": kind,
        "purpose": schedule.purpose,
        "user_id": user_id,
        "to_addr": to.shown,
        "to_ascii": to.ascii,
        "to_hash": keyring.of(session).address_hash(to.key),
        "to_domain": to.domain,
        "locale": locale,
        "facts": facts,
        "message_id_header": f"<{message_id.hex}@{settings_of(session).sender_domain}>",
        "lane": schedule.lane,
        "state_changed_at": now,
        "created_at": now,
        "due_at": now,
        "deadline_at": now + schedule.hand_over,
    }


async def _write(
    session: AsyncSession, row: dict[str, Any], *, anyway: bool, cause: str, actor: str, now: datetime
) -> None:
    """Write a new letter, tell of it and of what caused it, and wake a worker: one statement, for the letter cannot be
    without its event. To a suppressed address it ends here."""
    event_rules.check_name(cause)
    about = {"message_id": str(row["id"]), "kind": row["kind"]}
    told = events.told("mail.queued", user_id=row["user_id"], actor=actor, data={**about, "cause": cause}, now=now)
    write = _WRITE_AND_WAKE if settings_of(session).mail_notify else _WRITE
    held = suppressions.held(row["to_hash"], row["kind"], now=now)
    written = (await session.execute(write, {**row, **told, **held})).one()
    if written.is_held and not anyway:
        stopped = {"state": "suppressed", "next_attempt_at": None}
        await session.execute(update(Message).where(Message.id == row["id"]).values(**stopped))
        await events.record(session, "mail.suppressed", user_id=row["user_id"], actor=actor, data=about, now=now)


# On the table and not on its class, as for events: the ORM's way costs more than twice as much.
_MESSAGE = Message.metadata.tables["message"]
_WAKE = func.pg_notify("outbox", "")
_WRITE = (
    insert(_MESSAGE)
    .values(
        event_id=select(events.TOLD.c.id).scalar_subquery(),
        # A process whose clock is ahead would let its letters wait: workers go by the database's.
        next_attempt_at=func.least(bindparam("due_at", type_=_MESSAGE.c.next_attempt_at.type), func.now()),
    )
    .returning(suppressions.HELD.label("is_held"))
)
_WRITE_AND_WAKE = _WRITE.returning(_WAKE)


async def find(session: AsyncSession, message_id: uuid.UUID, *, lock: bool = False) -> Message:
    """Return a message.

    Raises:
        rules.UnknownMessage
    """
    wanted = select(Message).where(Message.id == message_id)
    message = await session.scalar(wanted.with_for_update() if lock else wanted)
    if message is None:
        raise rules.UnknownMessage
    return message


async def newest(session: AsyncSession, message_id: uuid.UUID) -> Message:
    """Return the newest letter sent for the same thing: the one named, or its last successor.

    Raises:
        rules.UnknownMessage
    """
    family = select(Message).where(or_(Message.id == message_id, Message.resend_of == message_id))
    found = await session.scalar(
        family.order_by(Message.created_at.desc(), Message.id.desc()).limit(1),
        execution_options={"populate_existing": True},
    )
    if found is None:
        raise rules.UnknownMessage
    return found


async def fate(session: AsyncSession, message_id: uuid.UUID) -> Fate:
    """Return what became of a message: itself, its attempts, and what came back.

    Raises:
        rules.UnknownMessage
    """
    message = await session.scalar(
        select(Message).where(Message.id == message_id), execution_options={"populate_existing": True}
    )
    if message is None:
        raise rules.UnknownMessage
    attempts = select(*Attempt.__table__.columns).where(Attempt.message_id == message_id).order_by(Attempt.attempt_no)
    words = Inbound.detail["words"].astext.label("words")
    feedback = (
        select(Feedback.recorded_at, Feedback.type, Feedback.code, Feedback.enhanced, Feedback.source, words)
        .outerjoin(Inbound, Inbound.id == Feedback.inbound_id)
        .where(Feedback.message_id == message_id)
        .order_by(Feedback.recorded_at)
    )
    return Fate(message, list((await session.execute(attempts)).all()), list((await session.execute(feedback)).all()))


async def listing(
    session: AsyncSession,
    *,
    user_ids: Sequence[str] | None = None,
    to_hash: bytes | None = None,
    state: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[Message]:
    """Return messages, newest first; those of a merged customer are asked for with his whole chain of User IDs."""
    wanted = select(Message)
    if user_ids is not None:
        wanted = wanted.where(Message.user_id.in_(user_ids))
    if to_hash is not None:
        wanted = wanted.where(Message.to_hash == to_hash)
    if state is not None:
        wanted = wanted.where(Message.state == state)
    if kind is not None:
        wanted = wanted.where(Message.kind == kind)
    if since is not None:
        wanted = wanted.where(Message.created_at >= since)
    if before is not None:
        at, message_id = before
        wanted = wanted.where(or_(Message.created_at < at, and_(Message.created_at == at, Message.id < message_id)))
    return (await session.scalars(wanted.order_by(Message.created_at.desc(), Message.id.desc()).limit(limit))).all()


async def send_again(
    session: AsyncSession, message_id: uuid.UUID, *, relay: str | None, actor: str, now: datetime
) -> uuid.UUID:
    """Try a pending message now, by `relay` first if one is named; give an ended one a successor. Return whose fate
    to look at. Final rows stay as they are.

    Raises:
        rules.UnknownMessage, rules.UnknownRelay, rules.CannotSendAgain
    """
    if relay is not None and relay not in {known.name for known in settings_of(session).relays}:
        raise rules.UnknownRelay
    message = await find(session, message_id, lock=True)
    successor = message_id
    if message.state in rules.PENDING:
        now_due = {} if message.state == "sending" else {"next_attempt_at": now}
        mine = update(Message).where(Message.id == message_id)
        await session.execute(mine.values(prefer_relay=relay or message.prefer_relay, **now_due))
    else:
        successor = await _successor(session, message, relay=relay, actor=actor, now=now)
    data = {"message_id": str(message_id), "successor": str(successor), "relay": relay}
    await events.record(session, "mail.sent_again", user_id=message.user_id, actor=actor, data=data, now=now)
    await _wake(session)
    return successor


async def health(session: AsyncSession, *, now: datetime) -> dict[str, Any]:
    """Return depth and age of the queue, and per recipient domain how mail fared: that of the last hour, and what
    still waits, however old."""
    queue = (await session.execute(_QUEUE, {"now": now})).mappings().one()
    domains = (await session.execute(_DOMAINS, {"since": now - timedelta(hours=1)})).mappings().all()
    return {**queue, "domains": [dict(domain) for domain in domains]}


async def flow(session: AsyncSession, *, now: datetime) -> list[dict[str, Any]]:
    """Return letters written and taken per minute over the last hour, oldest first: what the watchtower draws."""
    return [dict(row) for row in (await session.execute(_FLOW, {"now": now})).mappings()]


async def relay_states(session: AsyncSession) -> Sequence[RelayState]:
    """Return what each worker last saw of each relay."""
    return (await session.scalars(select(RelayState).order_by(RelayState.relay, RelayState.worker))).all()


async def _successor(
    session: AsyncSession, message: Message, *, relay: str | None, actor: str, now: datetime
) -> uuid.UUID:
    if message.to_addr is None or message.to_ascii is None:
        raise rules.CannotSendAgain
    address = EmailAddress(message.to_addr, message.to_ascii, message.to_ascii.lower())
    return await put(
        session, message.kind, to=address, user_id=message.user_id, locale=message.locale, facts=message.facts,
        resend_of=message.resend_of or message.id, prefer_relay=relay, anyway=True, cause="mail.sent_again",
        actor=actor, now=now,
    )  # fmt: skip


async def _wake(session: AsyncSession) -> None:
    if settings_of(session).mail_notify:
        await session.execute(select(_WAKE))


_QUEUE = text(
    """
    SELECT count(*) FILTER (WHERE state IN ('queued', 'deferred')) AS waiting,
           count(*) FILTER (WHERE state = 'sending') AS sending,
           count(*) FILTER (WHERE state IN ('queued', 'deferred') AND next_attempt_at <= :now) AS due,
           extract(epoch FROM :now - min(created_at))::float AS oldest_s
    FROM message WHERE state IN ('queued', 'deferred', 'sending')
    """
)
_FLOW = text(
    """
    SELECT m.minute, count(w.id) AS written,
           (SELECT count(*) FROM message t WHERE t.accepted_at >= m.minute AND t.accepted_at < m.minute
                + interval '1 minute' AND t.created_at >= :now - interval '3 hours') AS taken
    FROM generate_series(date_trunc('minute', CAST(:now AS timestamptz)) - interval '59 minutes',
                         date_trunc('minute', CAST(:now AS timestamptz)), interval '1 minute') AS m(minute)
    LEFT JOIN message w ON w.created_at >= m.minute AND w.created_at < m.minute + interval '1 minute'
    GROUP BY m.minute ORDER BY m.minute
    """
)
_DOMAINS = text(
    """
    SELECT to_domain AS domain, count(*) AS letters,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s,
           avg((state IN ('rejected', 'bounced', 'expired', 'failed', 'unconfirmed'))::int)::float AS failed_share,
           count(*) FILTER (WHERE state IN ('queued', 'deferred', 'sending')) AS waiting
    FROM (
        SELECT to_domain, state, extract(epoch FROM accepted_at - created_at)::float AS seconds
        FROM message WHERE created_at >= :since OR state IN ('queued', 'deferred', 'sending')
    ) AS recent
    GROUP BY to_domain ORDER BY letters DESC, to_domain LIMIT 50
    """
)
