"""Contacts, their entries, and caller checks."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.contacts import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of


class Contact(Base):
    """One conversation. `waiting_since` is set after a hand-over until the new desk picks it up."""

    __tablename__ = "contact"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (
        Index("ix_contact_user_id_opened_at", "user_id", text("opened_at DESC")),
        Index("ix_contact_open", "desk", "opened_at", postgresql_where=text("closed_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    number: Mapped[str] = mapped_column(unique=True, info=IDENTIFIER)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("account.user_id"), info=IDENTIFIER)
    desk: Mapped[str] = mapped_column(info=FACT)
    opened_by: Mapped[str] = mapped_column(info=FACT)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    waiting_since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    waited_s: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    hand_overs: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class ContactEntry(Base):
    """One thing that happened in a contact. Erasing the customer empties `note`."""

    __tablename__ = "contact_entry"
    privacy = TablePrivacy(erase="empty", through=("contact_id", "contact"))
    __table_args__ = (
        CheckConstraint(one_of("kind", rules.ENTRY_KINDS), name="kind"),
        Index("ix_contact_entry_contact_id_id", "contact_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True, info=IDENTIFIER)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contact.id"), info=IDENTIFIER)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    actor: Mapped[str] = mapped_column(info=FACT)
    desk: Mapped[str] = mapped_column(info=FACT)
    kind: Mapped[str] = mapped_column(info=FACT)
    note: Mapped[str | None] = mapped_column(info=PERSONAL)


class CallerCheck(Base):
    """One check of one caller: bound to account, clerk, contact and purpose. The code is never stored."""

    __tablename__ = "caller_check"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (
        CheckConstraint(one_of("purpose", rules.PURPOSES), name="purpose"),
        CheckConstraint("(answered_at IS NULL) = (matched IS NULL)", name="answered"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contact.id"), index=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    clerk: Mapped[str] = mapped_column(info=FACT)
    purpose: Mapped[str] = mapped_column(info=FACT)
    token_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("one_time_token.id"), unique=True, info=IDENTIFIER)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    matched: Mapped[bool | None] = mapped_column(info=FACT)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
