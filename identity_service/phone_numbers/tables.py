"""Telephone numbers of accounts."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class AccountNumber(Base):
    """A number in E.164. `recovers_from`: when it begins to count for recovery, once it is confirmed."""

    __tablename__ = "phone_number"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        UniqueConstraint("user_id", "number"),
        CheckConstraint("(confirmed_at IS NULL) = (recovers_from IS NULL)", name="recovers_from"),
        CheckConstraint("number ~ '^[+][1-9][0-9]{5,14}$'", name="number"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), info=IDENTIFIER)
    number: Mapped[str] = mapped_column(info=PERSONAL)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    recovers_from: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
