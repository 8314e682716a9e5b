"""The tables of the outbox. Invariants are constraints; a trigger enforces the allowed changes of state."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, KEPT, PERSONAL, TablePrivacy, emptied
from identity_service.database.types import APPEND_ONLY, READ_ONLY, Base, UtcDateTime, one_of
from identity_service.messages import kinds, rules

_WAITING = text("state IN ('queued', 'deferred')")


class MessageKind(Base):
    """Every kind of message with its purpose, never marketing; the `migrate` command copies the registry (NOM-01)."""

    __tablename__ = "message_kind"
    privacy = TablePrivacy()
    __table_args__ = (
        UniqueConstraint("name", "purpose"),
        CheckConstraint(one_of("purpose", kinds.PURPOSES), name="purpose"),
        {"info": {READ_ONLY: True}},
    )

    name: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(info=FACT)


class Message(Base):
    """One message. `attempts` is the number of the newest attempt; `deliveries` counts its claims by workers."""

    __tablename__ = "message"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        ForeignKeyConstraint(["kind", "purpose"], ["message_kind.name", "message_kind.purpose"]),
        CheckConstraint(one_of("state", rules.MessageState), name="state"),
        CheckConstraint("priority IN (0, 5, 9)", name="priority"),
        CheckConstraint(one_of("channel", kinds.CHANNELS), name="channel"),
        CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="lease_token"),
        CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name="lease_until"),
        CheckConstraint("(state IN ('queued', 'deferred')) = (next_attempt_at IS NOT NULL)", name="next_attempt"),
        CheckConstraint("state NOT IN ('accepted', 'delivered') OR accepted_at IS NOT NULL", name="accepted_at"),
        CheckConstraint("state <> 'expired' OR NOT possibly_sent", name="expired_is_certain"),
        CheckConstraint("state <> 'unconfirmed' OR possibly_sent", name="unconfirmed_is_not"),
        CheckConstraint("state <> 'queued' OR attempts = 0", name="queued_is_untried"),
        CheckConstraint("state NOT IN ('sending', 'deferred', 'accepted') OR attempts > 0", name="tried"),
        CheckConstraint("deadline_at > created_at", name="deadline"),
        Index("ix_message_due", "channel", "priority", "next_attempt_at", "id", postgresql_where=_WAITING),
        Index("ix_message_deadline", "deadline_at", postgresql_where=_WAITING),
        Index("ix_message_lease", "lease_until", postgresql_where=text("state = 'sending'")),
        Index("ix_message_recipient_hash", "recipient_hash", text("created_at DESC")),
        Index("ix_message_mailbox_hash", "mailbox_hash", text("created_at DESC")),
        Index("ix_message_user_id", "user_id", text("created_at DESC")),
        Index("ix_message_last", "id", postgresql_where=text("kind = 'account_erased' AND recipient IS NOT NULL")),
        Index("ix_message_created", text("created_at DESC"), text("id DESC")),
        Index(
            "uq_message_pending_key", "pending_key", unique=True,
            postgresql_where=text("state IN ('queued', 'deferred', 'sending')"),
        ),
        {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02}},
    )  # fmt: skip

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    kind: Mapped[str] = mapped_column(info=FACT)
    purpose: Mapped[str] = mapped_column(info=FACT)
    channel: Mapped[str] = mapped_column(server_default=text("'email'"), info=FACT)
    user_id: Mapped[str | None] = mapped_column(info=IDENTIFIER)
    recipient: Mapped[str | None] = mapped_column(info=PERSONAL)
    recipient_ascii: Mapped[str | None] = mapped_column(info=PERSONAL)
    recipient_hash: Mapped[bytes | None] = mapped_column(info=emptied(KEPT, None))
    mailbox_hash: Mapped[bytes | None] = mapped_column(info=emptied(KEPT, None))
    recipient_domain: Mapped[str] = mapped_column(info=emptied(FACT, ""))
    locale: Mapped[str] = mapped_column(info=FACT)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, info=emptied(PERSONAL, {}))
    brand: Mapped[str] = mapped_column(info=FACT)
    priority: Mapped[int] = mapped_column(SmallInteger, info=FACT)
    pending_key: Mapped[str | None] = mapped_column(info=emptied(KEPT, None))
    state: Mapped[str] = mapped_column(server_default=text("'queued'"), info=FACT)
    state_changed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    deadline_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    deliveries: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    lease_token: Mapped[uuid.UUID | None] = mapped_column(info=FACT)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    lease_owner: Mapped[str | None] = mapped_column(info=FACT)
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    accepted_relay: Mapped[str | None] = mapped_column(info=FACT)
    relay_queue_id: Mapped[str | None] = mapped_column(info=FACT)
    possibly_sent: Mapped[bool] = mapped_column(server_default=text("false"), info=FACT)
    delayed_since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    last_class: Mapped[str | None] = mapped_column(info=FACT)
    last_code: Mapped[int | None] = mapped_column(info=FACT)
    last_enhanced: Mapped[str | None] = mapped_column(info=FACT)
    last_reply: Mapped[str | None] = mapped_column(info=PERSONAL)
    resend_of: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("message.id"), index=True, info=IDENTIFIER)
    prefer_relay: Mapped[str | None] = mapped_column(info=FACT)
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), unique=True, info=IDENTIFIER)


class Attempt(Base):
    """One conversation with one relay about one message. `outcome` is NULL while it is open."""

    __tablename__ = "attempt"
    privacy = TablePrivacy(erase="empty", through=("message_id", "message"))
    __table_args__ = (
        CheckConstraint(one_of("phase", rules.Phase), name="phase"),
        CheckConstraint(one_of("outcome", rules.Outcome), name="outcome"),
        CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name="finished"),
        Index("uq_attempt_open", "message_id", unique=True, postgresql_where=text("finished_at IS NULL")),
        Index("uq_attempt_accepted", "message_id", unique=True, postgresql_where=text("outcome = 'accepted'")),
    )

    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"), primary_key=True, info=IDENTIFIER)
    attempt_no: Mapped[int] = mapped_column(primary_key=True, info=FACT)
    lease_token: Mapped[uuid.UUID] = mapped_column(info=FACT)
    worker: Mapped[str] = mapped_column(info=FACT)
    relay: Mapped[str | None] = mapped_column(info=FACT)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    phase: Mapped[str] = mapped_column(server_default=text("'claimed'"), info=FACT)
    outcome: Mapped[str | None] = mapped_column(info=FACT)
    reply_class: Mapped[str | None] = mapped_column(info=FACT)
    code: Mapped[int | None] = mapped_column(info=FACT)
    enhanced: Mapped[str | None] = mapped_column(info=FACT)
    reply: Mapped[str | None] = mapped_column(info=PERSONAL)
    transcript: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB, info=PERSONAL)
    peer_ip: Mapped[str | None] = mapped_column(INET, info=PERSONAL)
    tls_version: Mapped[str | None] = mapped_column(info=FACT)
    reused: Mapped[bool | None] = mapped_column(info=FACT)
    duration_ms: Mapped[int | None] = mapped_column(info=FACT)
    words: Mapped[str | None] = mapped_column(info=FACT)


class Feedback(Base):
    """Feedback about a message: ids, codes and hashes; the text of the notice is in `Inbound`."""

    __tablename__ = "feedback"
    privacy = TablePrivacy(through=("message_id", "message"))
    __table_args__ = (
        CheckConstraint(one_of("type", rules.FeedbackType), name="type"),
        Index("uq_feedback_source", "source", "source_event_id", unique=True),
        Index("ix_feedback_message_id", "message_id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    message_id: Mapped[uuid.UUID | None] = mapped_column(info=IDENTIFIER)
    attempt_no: Mapped[int | None] = mapped_column(info=FACT)
    type: Mapped[str] = mapped_column(info=FACT)
    source: Mapped[str] = mapped_column(info=FACT)
    source_event_id: Mapped[str] = mapped_column(info=IDENTIFIER)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    code: Mapped[int | None] = mapped_column(info=FACT)
    enhanced: Mapped[str | None] = mapped_column(info=FACT)
    inbound_id: Mapped[uuid.UUID | None] = mapped_column(info=IDENTIFIER)
    inbound_hash: Mapped[bytes | None] = mapped_column(info=FACT)


class Inbound(Base):
    """The text of a received notice: headers and status parts, shortened and without our links; stored for 7 days.

    `unread` holds the mail as received until it has been read.
    """

    __tablename__ = "inbound_mail"
    privacy = TablePrivacy(erase="delete", through=("message_id", "message"))
    __table_args__ = (
        Index("ix_inbound_mail_unread", "received_at", postgresql_where=text("unread IS NOT NULL")),
        CheckConstraint("(unread IS NOT NULL) = (parse_status = 'unread')", name="unread"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    message_id: Mapped[uuid.UUID | None] = mapped_column(index=True, info=IDENTIFIER)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
    via: Mapped[str] = mapped_column(info=FACT)
    envelope_from: Mapped[str | None] = mapped_column(info=PERSONAL)
    envelope_to: Mapped[str | None] = mapped_column(info=PERSONAL)
    parse_status: Mapped[str] = mapped_column(info=FACT)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, info=PERSONAL)
    raw: Mapped[str | None] = mapped_column(info=PERSONAL)
    unread: Mapped[bytes | None] = mapped_column(info=PERSONAL)


class Suppression(Base):
    """A suppressed address, by its keyed hash; active until `suppressed_until` unless lifted."""

    __tablename__ = "suppression"
    privacy = TablePrivacy(through=("message_id", "message"))
    __table_args__ = (
        CheckConstraint("scope IN ('asks', 'other')", name="scope"),
        CheckConstraint("reason IN ('hard_bounce', 'complaint', 'manual', 'stop')", name="reason"),
        Index(
            "uq_suppression_live", "recipient_hash", "scope", unique=True, postgresql_where=text("lifted_at IS NULL")
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    recipient_hash: Mapped[bytes] = mapped_column(info=KEPT)
    scope: Mapped[str] = mapped_column(info=FACT)
    reason: Mapped[str] = mapped_column(info=FACT)
    feedback_id: Mapped[uuid.UUID | None] = mapped_column(info=IDENTIFIER)
    message_id: Mapped[uuid.UUID | None] = mapped_column(info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    suppressed_until: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    lifted_by: Mapped[str | None] = mapped_column(info=FACT)


class TextCharge(Base):
    """What a text counts for in the budgets, in the transaction that enqueues it; `cost` in millionths of the currency.

    `prefix` is calling code and first digits, `used_at` when its code was used: many texts to one series of numbers of
    which none is used are somebody's business (TXT-04).
    """

    __tablename__ = "text_charge"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (CheckConstraint("cost >= 0", name="cost"), Index("ix_text_charge_created_at", "created_at"))

    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"), primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str | None] = mapped_column(index=True, info=IDENTIFIER)
    number_hash: Mapped[bytes | None] = mapped_column(info=emptied(KEPT, None))
    network_hash: Mapped[bytes | None] = mapped_column(info=emptied(KEPT, None))
    prefix: Mapped[str | None] = mapped_column(info=PERSONAL)
    country: Mapped[str] = mapped_column(info=FACT)
    cost: Mapped[int] = mapped_column(BigInteger, info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class TextPause(Base):
    """A series of numbers to which no text goes until then."""

    __tablename__ = "text_pause"
    privacy = TablePrivacy()

    prefix: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    paused_until: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class RelayState(Base):
    """The state of a relay as a worker last saw it; shown to people, not read by workers."""

    __tablename__ = "relay_state"
    privacy = TablePrivacy()

    relay: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    worker: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    breaker: Mapped[str] = mapped_column(info=FACT)
    opened_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    faults_in_a_row: Mapped[int] = mapped_column(info=FACT)
    last_reply: Mapped[str | None] = mapped_column(info=FACT)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class Worker(Base):
    """The last heartbeat of a worker."""

    __tablename__ = "worker"
    privacy = TablePrivacy()

    name: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    in_flight: Mapped[int] = mapped_column(info=FACT)
