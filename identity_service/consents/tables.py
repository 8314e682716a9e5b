"""The ledger of consents, the state that follows from it, and every question that was asked of it."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Identity, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.consents import rules
from identity_service.database import APPEND_ONLY, Base, UtcDateTime, one_of


class ConsentWording(Base):
    """A text that somebody was asked with, word for word; it cannot be removed (PRV-02)."""

    __tablename__ = "consent_wording"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    id: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    text_hash: Mapped[bytes]


class ConsentEntry(Base):
    """One word of one customer about one purpose, or a proposal that waits for it. Ids, codes and hashes alone."""

    __tablename__ = "consent_entry"
    __table_args__ = (
        CheckConstraint(one_of("decision", rules.DECISIONS), name="decision"),
        CheckConstraint(one_of("channel", rules.CHANNELS), name="channel"),
        CheckConstraint("decision = 'withdrawn' OR wording_id IS NOT NULL", name="wording"),
        ForeignKeyConstraint(["wording_id", "language"], ["consent_wording.id", "consent_wording.language"]),
        Index("ix_consent_entry_user_id_purpose", "user_id", "purpose", "id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"))
    purpose: Mapped[str]
    decision: Mapped[str]
    wording_id: Mapped[str | None]
    language: Mapped[str | None]
    channel: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    previous_id: Mapped[int | None] = mapped_column(BigInteger)
    evidence_hash: Mapped[bytes | None]


class ConsentEvidence(Base):
    """What a service or clerk noted down as evidence; erasing removes it, its hash stays in the ledger (AUD-01)."""

    __tablename__ = "consent_evidence"

    entry_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("consent_entry.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    text: Mapped[str]


class ConsentState(Base):
    """What follows from the ledger for one account and purpose; no row is silence. Derived, and renewed with it."""

    __tablename__ = "consent_state"
    __table_args__ = (
        CheckConstraint(one_of("decision", ("granted", "withdrawn")), name="decision"),
        Index("ix_consent_state_granted", "user_id", "purpose", postgresql_where=text("decision = 'granted'")),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    decision: Mapped[str]
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class PermissionCheck(Base):
    """One question of a marketing system: which accounts, and what was answered for each (NOM-06)."""

    __tablename__ = "permission_check"
    __table_args__ = (
        Index("ix_permission_check_user_ids", "user_ids", postgresql_using="gin"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    purpose: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    user_ids: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    allowed: Mapped[list[bool]] = mapped_column(ARRAY(BOOLEAN))
    with_addresses: Mapped[int] = mapped_column(Integer)
