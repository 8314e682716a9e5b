"""Passwords and the tries that were counted. No row here: the account has no password (PWD-14)."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime


class Password(Base):
    """An account's password as a PHC string. `dead_at`: guessed at too often; only a reset gives a new one.
    `retired_at`: it became known; the right one is told that, and leads nowhere else."""

    __tablename__ = "password"
    __table_args__ = (CheckConstraint("phc LIKE '$%'", name="phc"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True)
    phc: Mapped[str]
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)
    dead_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PasswordTry(Base):
    """Failures in a row for one account, or for one address that has none: by a keyed hash, known and unknown alike."""

    __tablename__ = "password_try"

    subject: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
