"""Accounts, and the references by which services know them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Integer, text
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


class ExternalReference(Base):
    """A service's own name for a customer, unique per source."""

    __tablename__ = "external_reference"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    source: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    reference: Mapped[str] = mapped_column(primary_key=True, info=PERSONAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
