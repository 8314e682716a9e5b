"""Accounts, their further addresses, and the references by which services know them."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.accounts import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy, emptied
from identity_service.database.types import Base, UtcDateTime, one_of


class Account(Base):
    """One customer. The row is never deleted: erasing empties it and keeps the User ID as a tombstone."""

    __tablename__ = "account"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        CheckConstraint("user_id_holds(user_id)", name="user_id"),
        CheckConstraint(one_of("kind", rules.AccountKind), name="kind"),
        CheckConstraint(one_of("state", rules.AccountState), name="state"),
        CheckConstraint(one_of("email_state", rules.EmailState), name="email_state"),
        CheckConstraint("(email_state = 'none') = (email IS NULL)", name="email_state_tells_email"),
        CheckConstraint(
            "(email IS NULL) = (email_key IS NULL) AND (email IS NULL) = (email_ascii IS NULL)", name="email_whole"
        ),
        CheckConstraint("(state = 'merged') = (merged_into IS NOT NULL)", name="merged_into"),
        CheckConstraint("merged_into <> user_id", name="merged_elsewhere"),
    )

    user_id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    kind: Mapped[str] = mapped_column(server_default=text("'consumer'"), info=FACT)
    state: Mapped[str] = mapped_column(server_default=text("'active'"), info=FACT)
    email: Mapped[str | None] = mapped_column(info=PERSONAL)
    email_ascii: Mapped[str | None] = mapped_column(info=PERSONAL)
    email_key: Mapped[str | None] = mapped_column(unique=True, info=PERSONAL)
    email_state: Mapped[str] = mapped_column(info=emptied(FACT, "none"))
    display_name: Mapped[str | None] = mapped_column(info=PERSONAL)
    locale: Mapped[str] = mapped_column(info=FACT)
    brand: Mapped[str] = mapped_column(info=FACT)
    merged_into: Mapped[str | None] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    merged_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    customer_since: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    tokens_valid_after: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    sessions_valid_after: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"), info=FACT)


class FurtherAddress(Base):
    """One email address of an account beside the one on file, which stands in the account's own row.

    Nothing is sent to it, and nobody found by it, before its mailbox has confirmed it: for resets and sign-in it counts
    from `recovers_at`, for notices at once (ADR-03, ADR-05). A removed row stays as long as it can be brought back.
    That an address is confirmed for one account alone, this table and `account` together, is held by a unique index and
    the trigger `one_account_per_address` (ADR-01).
    """

    __tablename__ = "further_address"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint("(recovers_at IS NOT NULL) = (confirmed_at IS NOT NULL AND for_recovery)", name="recovers"),
        Index(
            "uq_further_address_email_key",
            "email_key",
            unique=True,
            postgresql_where=text("confirmed_at IS NOT NULL AND removed_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    email: Mapped[str] = mapped_column(info=PERSONAL)
    email_ascii: Mapped[str] = mapped_column(info=PERSONAL)
    email_key: Mapped[str] = mapped_column(info=PERSONAL)
    for_recovery: Mapped[bool] = mapped_column(info=FACT)
    for_notices: Mapped[bool] = mapped_column(info=FACT)
    token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    recovers_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class ExternalReference(Base):
    """A service's own name for a customer, unique per source."""

    __tablename__ = "external_reference"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    source: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    reference: Mapped[str] = mapped_column(primary_key=True, info=PERSONAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
