"""Sessions. The cookie's value stands nowhere; its SHA-256 finds the row (SES-01)."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime, one_of
from identity_service.signin import rules


class SignInSession(Base):
    """One browser of one customer. `id` is what `/me` names it by; it opens nothing."""

    __tablename__ = "sign_in_session"
    __table_args__ = (CheckConstraint(one_of("way", rules.WAYS), name="way"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    way: Mapped[str]
    browser: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
