"""Enqueue messages, read their timelines, retry them, and measure the outbox."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, String, and_, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts.tables import Account
from identity_service.brands import rules as brand_rules
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events import rules as event_rules
from identity_service.messages import budget, kinds, rules, suppressions, text_budget
from identity_service.messages.tables import Attempt, Feedback, Inbound, Message, RelayState
from identity_service.values import uuid7
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.phone_numbers import PhoneNumber

Recipient = EmailAddress | PhoneNumber


class MessageTimeline(NamedTuple):
    """A message with everything that happened to it."""

    message: Message
    attempts: list[Row[Any]]
    feedback: list[Row[Any]]


class QueuedMessage(NamedTuple):
    """A message in the outbox; `is_new` is false if a pending message with the same key was reused."""

    message_id: uuid.UUID
    is_new: bool


async def enqueue(
    session: DatabaseSession,
    kind: str,
    *,
    to: Recipient,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any] | None = None,
    message_id: uuid.UUID | None = None,
    resend_of: uuid.UUID | None = None,
    prefer_relay: str | None = None,
    anyway: bool = False,
    network: str | None = None,
    cause: str,
    actor: str,
    now: datetime,
) -> uuid.UUID:
    """Write a message into the outbox, in the caller's transaction; return its id, which is `message_id` if given.

    The message holds facts, no rendered text and no secrets. Its event names the event that caused it, which this
    transaction has recorded before (NOM-03). A worker sees the message once the transaction commits. If the address is
    suppressed, nothing is sent unless `anyway` is true. `network` is the one that asked for a text.
    """
    message_id = message_id or uuid7.new_uuid7(now)
    row = _new_row(session, message_id, kind, to, user_id=user_id, locale=locale, facts=facts or {}, now=now)
    row |= {"resend_of": resend_of, "prefer_relay": prefer_relay}
    await _write(session, row, anyway=anyway, network=network, cause=cause, actor=actor, now=now)
    return message_id


async def enqueue_once(
    session: DatabaseSession,
    kind: str,
    *,
    pending_key: str,
    to: Recipient,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any],
    network: str | None = None,
    cause: str,
    actor: str,
    now: datetime,
) -> QueuedMessage:
    """Write a message into the outbox, or return the pending one with the same `pending_key`.

    Concurrent calls with the same key create one message: a lock serialises them (RST-08).
    """
    pending_id = await find_pending_message(session, pending_key)
    if pending_id is not None:
        return QueuedMessage(pending_id, is_new=False)
    message_id = uuid7.new_uuid7(now)
    row = _new_row(session, message_id, kind, to, user_id=user_id, locale=locale, facts=facts, now=now)
    row["pending_key"] = pending_key
    await _write(session, row, anyway=False, network=network, cause=cause, actor=actor, now=now)
    return QueuedMessage(message_id, is_new=True)


async def find_pending_message(session: DatabaseSession, pending_key: str) -> uuid.UUID | None:
    """Return the pending message with this key, or None; until the transaction ends, no other one can add one.

    Callers are serialised before an event is written, because a recorded event cannot be taken back.
    """
    await session.execute(_ADVISORY_LOCK, {"key": pending_key})
    is_pending = text("state IN ('queued', 'deferred', 'sending')")
    found: uuid.UUID | None = await session.scalar(
        select(Message.id).where(Message.pending_key == pending_key, is_pending)
    )
    return found


_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


async def has_message(
    session: DatabaseSession, kind: str, user_id: str, facts: dict[str, Any], *, since: datetime
) -> bool:
    """Return whether a customer was written to since a moment by a message of this kind with these facts."""
    mine = select(Message.id).where(Message.user_id == user_id, Message.kind == kind, Message.created_at > since)
    return await session.scalar(mine.where(Message.facts.contains(facts)).limit(1)) is not None


def _new_row(
    session: DatabaseSession,
    message_id: uuid.UUID,
    kind: str,
    to: Recipient,
    *,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any],
    now: datetime,
) -> dict[str, Any]:
    schedule = kinds.KINDS[kind]
    return {
        "id": message_id,
        "kind": kind,
        "purpose": schedule.purpose,
        "channel": schedule.channel,
        "user_id": user_id,
        "recipient": to.shown,
        "recipient_ascii": to.ascii,
        "recipient_hash": session.keys.address_hash(to.key),
        "mailbox_hash": budget.mailbox_hash(session, to) if isinstance(to, EmailAddress) else None,
        "recipient_domain": to.domain,
        "locale": locale,
        "facts": facts,
        "brand_of_cause": session.brand,
        # What a stranger may ask for, and watch, must not tell by its brand whether there is an account (decision 5).
        "brand_of_account": None if schedule.asked_for else user_id,
        "priority": schedule.priority,
        "state_changed_at": now,
        "created_at": now,
        "due_at": now,
        "deadline_at": now + schedule.hand_over,
    }


async def _write(
    session: DatabaseSession,
    row: dict[str, Any],
    *,
    anyway: bool,
    network: str | None,
    cause: str,
    actor: str,
    now: datetime,
) -> None:
    """Insert a message with its event and notify the workers, in one statement; the row refers to the event.

    If the address is suppressed, move the message to `suppressed` unless `anyway` is true; if the mailbox has had its
    share of messages, or the budgets of texts have no more, to `limited`. A number that is suppressed gets nothing
    anyway: its owner may have said so.
    """
    event_rules.check_name(cause)
    about = {"message_id": row["id"], "kind": row["kind"]}
    event = events.insert_event(
        "mail.queued", user_id=row["user_id"], actor=actor, data={**about, "cause": cause, "cause_id": None}, now=now
    )
    write = _WRITE_AND_NOTIFY if session.settings.outbox_listen else _WRITE
    suppression = suppressions.suppression_values(row["recipient_hash"], row["kind"], now=now)
    spent = budget.budget_values(row["kind"], row["mailbox_hash"], now=now)
    written = (await session.execute(write, {**row, **event, **suppression, **spent})).one()
    unsent = None
    is_text = row["channel"] == "text"
    if written.is_suppressed and (is_text or not anyway):
        unsent = ("suppressed", "mail.suppressed")
    elif written.is_exhausted or (is_text and not await text_budget.charge(session, row, network=network, now=now)):
        unsent = ("limited", "mail.limited")
    if unsent is not None:
        state, name = unsent
        changes = {"state": state, "next_attempt_at": None}
        await session.execute(update(Message).where(Message.id == row["id"]).values(**changes))
        await events.record_event(session, name, user_id=row["user_id"], actor=actor, data=about, now=now)


# On the table instead of the class, as for events: an ORM insert takes more than twice as long.
_MESSAGE = Message.metadata.tables["message"]
_NOTIFY = func.pg_notify("outbox", "")
_WRITE = (
    insert(_MESSAGE)
    .values(
        brand=func.coalesce(
            bindparam("brand_of_cause", type_=String),
            select(Account.brand).where(Account.user_id == bindparam("brand_of_account")).scalar_subquery(),
            brand_rules.DEFAULT,
        ),
        event_id=select(events.INSERTED_EVENT.c.id).scalar_subquery(),
        # The earlier of our clock and the database's, which workers use: clock skew must not delay a message.
        next_attempt_at=func.least(bindparam("due_at", type_=_MESSAGE.c.next_attempt_at.type), func.now()),
    )
    .returning(suppressions.IS_SUPPRESSED.label("is_suppressed"), budget.IS_EXHAUSTED.label("is_exhausted"))
)
_WRITE_AND_NOTIFY = _WRITE.returning(_NOTIFY)


async def find_message(session: DatabaseSession, message_id: uuid.UUID, *, lock: bool = False) -> Message:
    """Return a message; with `lock`, hold its row until the transaction ends.

    Raises:
        rules.UnknownMessage
    """
    wanted = select(Message).where(Message.id == message_id)
    message = await session.scalar(wanted.with_for_update() if lock else wanted)
    if message is None:
        raise rules.UnknownMessage
    return message


async def newest_message(session: DatabaseSession, message_id: uuid.UUID) -> Message:
    """Return the newest message of a series of retries: the one named, or its last successor.

    Raises:
        rules.UnknownMessage
    """
    series = select(Message).where(or_(Message.id == message_id, Message.resend_of == message_id))
    found = await session.scalar(
        series.order_by(Message.created_at.desc(), Message.id.desc()).limit(1),
        execution_options={"populate_existing": True},
    )
    if found is None:
        raise rules.UnknownMessage
    return found


async def load_timeline(session: DatabaseSession, message_id: uuid.UUID) -> MessageTimeline:
    """Return a message with its attempts and its feedback, each in order.

    Raises:
        rules.UnknownMessage
    """
    message = await session.scalar(
        select(Message).where(Message.id == message_id), execution_options={"populate_existing": True}
    )
    if message is None:
        raise rules.UnknownMessage
    attempts = select(*Attempt.__table__.columns).where(Attempt.message_id == message_id).order_by(Attempt.attempt_no)
    reply = Inbound.detail["words"].astext.label("reply")
    feedback = (
        select(Feedback.recorded_at, Feedback.type, Feedback.code, Feedback.enhanced, Feedback.source, reply)
        .outerjoin(Inbound, Inbound.id == Feedback.inbound_id)
        .where(Feedback.message_id == message_id)
        .order_by(Feedback.recorded_at)
    )
    return MessageTimeline(
        message, list((await session.execute(attempts)).all()), list((await session.execute(feedback)).all())
    )


async def list_messages(
    session: DatabaseSession,
    *,
    user_ids: Sequence[str] | None = None,
    unowned_to: Sequence[bytes] = (),
    recipient_hash: bytes | None = None,
    state: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[Message]:
    """Return messages, newest first. For a merged customer, pass the whole chain of their User IDs.

    With them are those to mailboxes (`unowned_to`) that belong to no account.
    """
    wanted = select(Message)
    if user_ids is not None:
        unowned = and_(Message.user_id.is_(None), Message.recipient_hash.in_(unowned_to))
        wanted = wanted.where(
            or_(Message.user_id.in_(user_ids), unowned) if unowned_to else Message.user_id.in_(user_ids)
        )
    if recipient_hash is not None:
        wanted = wanted.where(Message.recipient_hash == recipient_hash)
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


async def outbox_health(session: DatabaseSession, *, now: datetime) -> dict[str, Any]:
    """Return depth and age (s) of the queue, and delivery statistics per recipient domain.

    The statistics count messages of the last hour and all pending ones, however old.
    """
    queue = (await session.execute(_QUEUE, {"now": now})).mappings().one()
    domains = (await session.execute(_DOMAINS, {"since": now - timedelta(hours=1)})).mappings().all()
    return {**queue, "domains": [dict(domain) for domain in domains]}


async def messages_per_minute(session: DatabaseSession, *, now: datetime) -> list[dict[str, Any]]:
    """Return messages enqueued and accepted per minute over the last hour, oldest first, for the operations page."""
    return [dict(row) for row in (await session.execute(_FLOW, {"now": now})).mappings()]


async def relay_states(session: DatabaseSession) -> Sequence[RelayState]:
    """Return what each worker last saw of each relay."""
    return (await session.scalars(select(RelayState).order_by(RelayState.relay, RelayState.worker))).all()


async def notify_workers(session: DatabaseSession) -> None:
    """Wake the workers once the transaction commits."""
    if session.settings.outbox_listen:
        await session.execute(select(_NOTIFY))


async def release_held(session: DatabaseSession, brands: Sequence[str], *, now: datetime) -> None:
    """Let messages of these brands go now that waited for the proof of their sender (BRD-07)."""
    held = (Message.state == "deferred", Message.last_class == rules.NOT_PROVEN, Message.brand.in_(brands))
    await session.execute(update(Message).where(*held).values(next_attempt_at=now))
    await notify_workers(session)


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
    SELECT recipient_domain AS domain, count(*) AS messages,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s,
           avg((state IN ('rejected', 'bounced', 'expired', 'failed', 'unconfirmed'))::int)::float AS failed_share,
           count(*) FILTER (WHERE state IN ('queued', 'deferred', 'sending')) AS waiting
    FROM (
        SELECT recipient_domain, state, extract(epoch FROM accepted_at - created_at)::float AS seconds
        FROM message WHERE created_at >= :since OR state IN ('queued', 'deferred', 'sending')
    ) AS recent
    WHERE recipient_domain <> ''
    GROUP BY recipient_domain ORDER BY messages DESC, recipient_domain LIMIT 50
    """
)


async def record_reading(session: DatabaseSession, ids: set[str | None], *, actor: str, now: datetime) -> None:
    """Record for each of these customers that somebody read their messages with whole addresses; the export shows it.

    Messages that belong to no account (None) are nobody's to be told.
    """
    read: list[tuple[str, str, dict[str, Any]]] = [
        ("account.messages_read", one, {}) for one in sorted(filter(None, ids))
    ]
    if read:
        await events.record_events(session, read, actor=actor, now=now)
