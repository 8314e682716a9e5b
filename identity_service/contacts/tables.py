"""Contacts, their entries, caller checks, and the support codes that customers read out."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.contacts import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
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


class SupportCode(Base):
    """A code that its owner reads out to a clerk, derived from `nonce` and never stored; or, with `unexpected`, the
    note that a customer was called by somebody who says that they are us. An account has one valid code at most.

    `session_method` and `session_since` say how and when whoever made it had proven themselves (SUP-03).
    """

    __tablename__ = "support_code"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint("NOT unexpected OR ended_at IS NOT NULL", name="unexpected"),
        Index(
            "uq_support_code_current", "user_id", unique=True,
            postgresql_where=text("used_at IS NULL AND ended_at IS NULL"),
        ),
        Index("ix_support_code_user_id_created_at", "user_id", text("created_at DESC")),
    )  # fmt: skip

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), info=IDENTIFIER)
    nonce: Mapped[bytes] = mapped_column(info=PROVING)
    key_id: Mapped[str] = mapped_column(info=IDENTIFIER)
    session_method: Mapped[str] = mapped_column(info=FACT)
    session_since: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    unexpected: Mapped[bool] = mapped_column(server_default=text("false"), info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"), info=FACT)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class CallerPreference(Base):
    """A customer's choice how desks may verify them: with a row, by support code or on screen alone (SUP-12)."""

    __tablename__ = "caller_preference"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    chosen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class CallerCheck(Base):
    """One check of one caller: bound to account, clerk, contact and purpose. No code is stored.

    `token_id` is the emailed code's; `nonce` and `key_id` derive the number and words of an answer on screen. A match
    by support code or on screen keeps how and when the customer's session began. `denied_at`: the customer said that
    it was not them, and the check verifies nobody any more (SUP-07).
    """

    __tablename__ = "caller_check"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (
        CheckConstraint(one_of("purpose", rules.PURPOSES), name="purpose"),
        CheckConstraint("(answered_at IS NULL) = (matched IS NULL)", name="answered"),
        CheckConstraint(one_of("method", rules.METHODS), name="method"),
        CheckConstraint("(method IN ('email', 'text')) = (token_id IS NOT NULL)", name="token"),
        CheckConstraint("(method = 'on_screen') = (nonce IS NOT NULL AND key_id IS NOT NULL)", name="nonce"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contact.id"), index=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    clerk: Mapped[str] = mapped_column(info=FACT)
    purpose: Mapped[str] = mapped_column(info=FACT)
    method: Mapped[str] = mapped_column(server_default=text("'email'"), info=FACT)
    token_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("one_time_token.id"), unique=True, info=IDENTIFIER)
    nonce: Mapped[bytes | None] = mapped_column(info=PROVING)
    key_id: Mapped[str | None] = mapped_column(info=IDENTIFIER)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    matched: Mapped[bool | None] = mapped_column(info=FACT)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    session_method: Mapped[str | None] = mapped_column(info=FACT)
    session_since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    denied_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
