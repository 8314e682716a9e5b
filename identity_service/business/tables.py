"""Periods during which an account was a business, with the company's details."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class BusinessPeriod(Base):
    """One period with one set of company details; `ended_at` is NULL for the current one. Ended periods are kept."""

    __tablename__ = "business_period"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
        CheckConstraint("ended_at IS NULL OR ended_at >= began_at", name="ended"),
        Index("uq_business_time_open", "user_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_business_time_company_name", text("lower(company_name)")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    company_name: Mapped[str | None] = mapped_column(info=PERSONAL)
    country: Mapped[str] = mapped_column(info=FACT)
    vat_number: Mapped[str | None] = mapped_column(info=PERSONAL)
    registration_number: Mapped[str | None] = mapped_column(info=PERSONAL)
    contact_person: Mapped[str | None] = mapped_column(info=PERSONAL)
    billing_address: Mapped[str | None] = mapped_column(info=PERSONAL)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
