"""The outbox's rows. The invariants stand here as constraints; the steps between states are held by a trigger."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, SmallInteger, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import APPEND_ONLY, Base, UtcDateTime, one_of
from identity_service.mail import rules

_WAITING = text("state IN ('queued', 'deferred')")


_KINDS = ", ".join(f"('{name}', '{kind.purpose}')" for name, kind in rules.KINDS.items())
"""Every kind of letter with its class; none is marketing, and only a migration can change it (NOM-01)."""


class Message(Base):
    """One letter. `attempts` is the number of the newest attempt; `turns` how often a worker took it up."""

    __tablename__ = "message"
    __table_args__ = (
        CheckConstraint(f"(kind, purpose) IN ({_KINDS})", name="kind"),
        CheckConstraint(one_of("purpose", rules.PURPOSES), name="purpose"),
        CheckConstraint(one_of("state", tuple(rules.STEPS)), name="state"),
        CheckConstraint("lane IN (0, 5, 9)", name="lane"),
        CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="lease_token"),
        CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name="lease_until"),
        CheckConstraint("(state IN ('queued', 'deferred')) = (next_attempt_at IS NOT NULL)", name="next_attempt"),
        CheckConstraint("state NOT IN ('accepted', 'delivered') OR accepted_at IS NOT NULL", name="accepted_at"),
        CheckConstraint("state <> 'expired' OR NOT maybe_sent", name="expired_is_certain"),
        CheckConstraint("state <> 'unconfirmed' OR maybe_sent", name="unconfirmed_is_not"),
        CheckConstraint("state <> 'queued' OR attempts = 0", name="queued_is_untried"),
        CheckConstraint("state NOT IN ('sending', 'deferred', 'accepted') OR attempts > 0", name="tried"),
        CheckConstraint("deadline_at > created_at", name="deadline"),
        Index("ix_message_due", "lane", "next_attempt_at", "id", postgresql_where=_WAITING),
        Index("ix_message_deadline", "deadline_at", postgresql_where=_WAITING),
        Index("ix_message_lease", "lease_until", postgresql_where=text("state = 'sending'")),
        Index("ix_message_to_hash", "to_hash", text("created_at DESC")),
        Index("ix_message_user_id", "user_id", text("created_at DESC")),
        Index("ix_message_created", text("created_at DESC"), text("id DESC")),
        Index(
            "uq_message_pending_key", "pending_key", unique=True,
            postgresql_where=text("state IN ('queued', 'deferred', 'sending')"),
        ),
        {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02}},
    )  # fmt: skip

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    purpose: Mapped[str]
    user_id: Mapped[str | None]
    to_addr: Mapped[str | None]
    to_ascii: Mapped[str | None]
    to_hash: Mapped[bytes | None]
    to_domain: Mapped[str]
    locale: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    message_id_header: Mapped[str] = mapped_column(unique=True)
    lane: Mapped[int] = mapped_column(SmallInteger)
    pending_key: Mapped[str | None]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default=text("'queued'"))
    state_changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    turns: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_owner: Mapped[str | None]
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    accepted_relay: Mapped[str | None]
    relay_queue_id: Mapped[str | None]
    maybe_sent: Mapped[bool] = mapped_column(server_default=text("false"))
    delayed_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_class: Mapped[str | None]
    last_code: Mapped[int | None]
    last_enhanced: Mapped[str | None]
    last_reply: Mapped[str | None]
    resend_of: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("message.id"), index=True)
    prefer_relay: Mapped[str | None]
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), unique=True)


class Attempt(Base):
    """One conversation with one relay about one message. `outcome` is NULL while it is open."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint(one_of("phase", rules.PHASES), name="phase"),
        CheckConstraint(one_of("outcome", rules.OUTCOMES), name="outcome"),
        CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name="finished"),
        Index("uq_attempt_open", "message_id", unique=True, postgresql_where=text("finished_at IS NULL")),
        Index("uq_attempt_accepted", "message_id", unique=True, postgresql_where=text("outcome = 'accepted'")),
    )

    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"), primary_key=True)
    attempt_no: Mapped[int] = mapped_column(primary_key=True)
    lease_token: Mapped[uuid.UUID]
    worker: Mapped[str]
    relay: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    phase: Mapped[str] = mapped_column(server_default=text("'claimed'"))
    outcome: Mapped[str | None]
    reply_class: Mapped[str | None]
    code: Mapped[int | None]
    enhanced: Mapped[str | None]
    reply: Mapped[str | None]
    transcript: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    peer_ip: Mapped[str | None] = mapped_column(INET)
    tls_version: Mapped[str | None]
    reused: Mapped[bool | None]
    duration_ms: Mapped[int | None]


class Feedback(Base):
    """What came back about a message: ids, codes and hashes; the words stand in `Inbound`."""

    __tablename__ = "feedback"
    __table_args__ = (
        CheckConstraint(one_of("type", rules.FEEDBACK), name="type"),
        Index("uq_feedback_source", "source", "source_event_id", unique=True),
        Index("ix_feedback_message_id", "message_id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    message_id: Mapped[uuid.UUID | None]
    attempt_no: Mapped[int | None]
    type: Mapped[str]
    source: Mapped[str]
    source_event_id: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    code: Mapped[int | None]
    enhanced: Mapped[str | None]
    inbound_id: Mapped[uuid.UUID | None]
    inbound_hash: Mapped[bytes | None]


class Inbound(Base):
    """The words of a notice that came in: headers and status parts, cut and without our links; kept for 7 days."""

    __tablename__ = "inbound"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    message_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    via: Mapped[str]
    envelope_from: Mapped[str | None]
    envelope_to: Mapped[str | None]
    parse_status: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    raw: Mapped[str | None]


class Suppression(Base):
    """An address that is left alone for a while, by its keyed hash."""

    __tablename__ = "suppression"
    __table_args__ = (
        CheckConstraint("scope IN ('asks', 'other')", name="scope"),
        CheckConstraint("reason IN ('hard_bounce', 'complaint', 'manual')", name="reason"),
        Index("uq_suppression_live", "to_hash", "scope", unique=True, postgresql_where=text("lifted_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    to_hash: Mapped[bytes]
    scope: Mapped[str]
    reason: Mapped[str]
    feedback_id: Mapped[uuid.UUID | None]
    message_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str | None]


class RelayState(Base):
    """What a worker last saw of a relay; for people to look at, no worker decides by it."""

    __tablename__ = "relay_state"

    relay: Mapped[str] = mapped_column(primary_key=True)
    worker: Mapped[str] = mapped_column(primary_key=True)
    breaker: Mapped[str]
    opened_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    faults_in_a_row: Mapped[int]
    last_reply: Mapped[str | None]
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Worker(Base):
    """A worker's sign of life."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    in_flight: Mapped[int]
