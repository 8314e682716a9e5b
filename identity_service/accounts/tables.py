"""Accounts and the references other systems know them by."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.accounts import rules
from identity_service.database import Base, UtcDateTime, one_of


class Account(Base):
    """One customer. The row outlives everything: what is erased leaves a tombstone under its User ID."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("user_id_holds(user_id)", name="user_id"),
        CheckConstraint(one_of("kind", rules.KINDS), name="kind"),
        CheckConstraint(one_of("state", rules.STATES), name="state"),
        CheckConstraint(one_of("email_state", rules.EMAIL_STATES), name="email_state"),
        CheckConstraint(one_of("locale", rules.LANGUAGES), name="locale"),
        CheckConstraint("(email_state = 'none') = (email IS NULL)", name="email_state_tells_email"),
        CheckConstraint(
            "(email IS NULL) = (email_key IS NULL) AND (email IS NULL) = (email_ascii IS NULL)", name="email_whole"
        ),
        CheckConstraint("(state = 'merged') = (merged_into IS NOT NULL)", name="merged_into"),
        CheckConstraint("merged_into <> user_id", name="merged_elsewhere"),
    )

    user_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default=text("'consumer'"))
    state: Mapped[str] = mapped_column(server_default=text("'active'"))
    email: Mapped[str | None]
    email_ascii: Mapped[str | None]
    email_key: Mapped[str | None] = mapped_column(unique=True)
    email_state: Mapped[str]
    display_name: Mapped[str | None]
    locale: Mapped[str]
    merged_into: Mapped[str | None] = mapped_column(ForeignKey("account.user_id"), index=True)
    merged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    customer_since: Mapped[datetime] = mapped_column(UtcDateTime)
    proofs_valid_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sessions_valid_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class BusinessTime(Base):
    """A company's details for as long as they held; `ended_at` NULL is now. They stay when the time is over."""

    __tablename__ = "business_time"
    __table_args__ = (
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
        CheckConstraint("ended_at IS NULL OR ended_at >= began_at", name="ended"),
        Index("uq_business_time_open", "user_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_business_time_company_name", text("lower(company_name)")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    company_name: Mapped[str | None]
    country: Mapped[str]
    vat_number: Mapped[str | None]
    registration_number: Mapped[str | None]
    contact_person: Mapped[str | None]
    billing_address: Mapped[str | None]
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ExternalReference(Base):
    """What a client calls a customer; unique per client."""

    __tablename__ = "external_reference"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
