"""Passwords and counted attempts. An account without a row in `password` has no password (PWD-14)."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class Password(Base):
    """An account's password as a PHC string. `locked_at`: too many failures; `compromised_at`: it became known. Either
    way only a reset sets a new one; a correct compromised password gets the result `change_required`.

    `proven_by` is the keyed hash of the address whose mailbox was read to set it. `imported_at`: it came by an import,
    and nobody has proven the mailbox here to set it. Somebody without the mailbox may have set it, unless the other
    system had confirmed the address: `mailbox_confirmed_at`."""

    __tablename__ = "password"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint("phc LIKE '$%'", name="phc"),
        CheckConstraint("mailbox_confirmed_at IS NULL OR imported_at IS NOT NULL", name="mailbox_confirmed"),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    phc: Mapped[str] = mapped_column(info=PROVING)
    set_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    proven_by: Mapped[bytes | None] = mapped_column(info=PROVING)
    locked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    compromised_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    imported_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    mailbox_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class PasswordKind(Base):
    """Passwords with one scheme and cost: how many there are, and a hash that no password matches; written by workers.

    API processes verify the dummy for an address without a password, and read this table instead of all passwords.
    """

    __tablename__ = "password_kind"
    privacy = TablePrivacy()

    kind: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    passwords: Mapped[int] = mapped_column(BigInteger, info=FACT)
    dummy: Mapped[str] = mapped_column(info=FACT)


class PasswordAttempt(Base):
    """Failures in a row for one account, or for an address without one; both are found by a keyed hash."""

    __tablename__ = "password_attempt"
    privacy = TablePrivacy()

    subject: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
