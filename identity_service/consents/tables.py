"""The ledger of consents, the state that is derived from it, and the permission questions."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Identity, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.consents import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import APPEND_ONLY, Base, UtcDateTime, one_of


class ConsentWording(Base):
    """The exact text that customers were asked to agree to; it cannot be removed (PRV-02)."""

    __tablename__ = "consent_wording"
    privacy = TablePrivacy()
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    language: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    text: Mapped[str] = mapped_column(info=FACT)
    text_hash: Mapped[bytes] = mapped_column(info=FACT)


class ConsentEntry(Base):
    """One decision of one customer about one purpose, or a proposal of it. Ids, codes and hashes only."""

    __tablename__ = "consent_entry"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (
        CheckConstraint(one_of("decision", rules.DECISIONS), name="decision"),
        CheckConstraint(one_of("channel", rules.CHANNELS), name="channel"),
        CheckConstraint("decision = 'withdrawn' OR wording_id IS NOT NULL", name="wording"),
        ForeignKeyConstraint(["wording_id", "language"], ["consent_wording.id", "consent_wording.language"]),
        Index("ix_consent_entry_user_id_purpose", "user_id", "purpose", "id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(info=FACT)
    decision: Mapped[str] = mapped_column(info=FACT)
    wording_id: Mapped[str | None] = mapped_column(info=FACT)
    language: Mapped[str | None] = mapped_column(info=FACT)
    channel: Mapped[str] = mapped_column(info=FACT)
    actor: Mapped[str] = mapped_column(info=FACT)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    previous_id: Mapped[int | None] = mapped_column(BigInteger, info=IDENTIFIER)
    evidence_hash: Mapped[bytes | None] = mapped_column(info=PROVING)


class ConsentEvidence(Base):
    """What a service or clerk noted as evidence. The ledger has its salted hash; erasing removes text and salt, so that
    the hash, which stays, confirms no guess (AUD-01)."""

    __tablename__ = "consent_evidence"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    entry_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("consent_entry.id"), primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(index=True, info=IDENTIFIER)
    text: Mapped[str] = mapped_column(info=PERSONAL)
    salt: Mapped[bytes] = mapped_column(info=PROVING)


class ConsentState(Base):
    """The state of one account and purpose, derived from the ledger with each entry; no row means silence.

    A trigger refuses a row that the ledger does not lead to, so the application's role cannot say yes for anybody.
    """

    __tablename__ = "consent_state"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint(one_of("decision", ("granted", "withdrawn")), name="decision"),
        Index("ix_consent_state_granted", "user_id", "purpose", postgresql_where=text("decision = 'granted'")),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    decision: Mapped[str] = mapped_column(info=FACT)
    since: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class PermissionCheck(Base):
    """One question of a marketing system: the accounts, and the answer for each (NOM-06)."""

    __tablename__ = "permission_check"
    privacy = TablePrivacy()
    __table_args__ = (
        Index("ix_permission_check_user_ids", "user_ids", postgresql_using="gin"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(info=FACT)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
    user_ids: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=IDENTIFIER)
    allowed: Mapped[list[bool]] = mapped_column(ARRAY(BOOLEAN), info=FACT)
    with_addresses: Mapped[int] = mapped_column(Integer, info=FACT)
