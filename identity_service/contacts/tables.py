"""Contacts, what happened in them, and the checks of callers."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.contacts import rules
from identity_service.database import Base, UtcDateTime, one_of


class Contact(Base):
    """One conversation. `waiting_since` is set while it lies at a desk that has not picked it up yet."""

    __tablename__ = "contact"
    __table_args__ = (
        Index("ix_contact_user_id_opened_at", "user_id", text("opened_at DESC")),
        Index("ix_contact_open", "desk", "opened_at", postgresql_where=text("closed_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("account.user_id"))
    desk: Mapped[str]
    opened_by: Mapped[str]
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    waiting_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    waited_s: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    hand_overs: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ContactEntry(Base):
    """One thing that happened in a contact; the words are somebody's, and go when the customer is erased."""

    __tablename__ = "contact_entry"
    __table_args__ = (
        CheckConstraint(one_of("what", rules.WHATS), name="what"),
        Index("ix_contact_entry_contact_id_id", "contact_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contact.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str]
    desk: Mapped[str]
    what: Mapped[str]
    words: Mapped[str | None]


class CallerCheck(Base):
    """One check of one caller: bound to account, clerk, contact and purpose. The code stands nowhere."""

    __tablename__ = "caller_check"
    __table_args__ = (
        CheckConstraint(one_of("purpose", rules.PURPOSES), name="purpose"),
        CheckConstraint("(answered_at IS NULL) = (matched IS NULL)", name="answered"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    clerk: Mapped[str]
    purpose: Mapped[str]
    proof_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("proof.id"), unique=True)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    matched: Mapped[bool | None]
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
