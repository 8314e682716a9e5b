"""Passkeys, and the challenges that wait for a response."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of
from identity_service.passkeys import rules


def credential_checks() -> tuple[CheckConstraint, ...]:
    """Return what holds for the columns of `Credential` in each table."""
    return (
        CheckConstraint("sign_count >= 0", name="sign_count"),
        CheckConstraint("backup_eligible OR NOT backed_up", name="backed_up"),
        CheckConstraint("octet_length(user_handle) = 64", name="user_handle"),
    )


class Credential:
    """The columns of a stored public key, whoever owns it. `user_handle` is what the authenticator knows its owner by:
    random, and the same for all passkeys of one. `backup_eligible`, `backed_up`: it may be, and was, copied to other
    devices. `went_back_at` is when it last signed in with a counter that had not risen (PKY-10)."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    credential_id: Mapped[bytes] = mapped_column(unique=True, info=IDENTIFIER)
    user_handle: Mapped[bytes] = mapped_column(info=IDENTIFIER)
    public_key: Mapped[bytes] = mapped_column(info=FACT)
    backup_eligible: Mapped[bool] = mapped_column(info=FACT)
    backed_up: Mapped[bool] = mapped_column(info=FACT)
    sign_count: Mapped[int] = mapped_column(BigInteger, info=FACT)
    transports: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    went_back_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class Challenge:
    """The columns of a challenge that waits for one response: for what, and from which browser."""

    id_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    purpose: Mapped[str] = mapped_column(info=FACT)
    challenge: Mapped[bytes] = mapped_column(info=PROVING)
    browser_hash: Mapped[bytes] = mapped_column(info=PROVING)
    user_handle: Mapped[bytes | None] = mapped_column(info=IDENTIFIER)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class Passkey(Credential, Base):
    """A passkey of an account. `verified`: it asked for a PIN or fingerprint when it was added; `label` is the name
    that its owner gave it."""

    __tablename__ = "passkey"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = credential_checks()

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    label: Mapped[str] = mapped_column(info=PERSONAL)
    verified: Mapped[bool] = mapped_column(info=FACT)


class PasskeyChallenge(Challenge, Base):
    """A challenge for a passkey of an account, of none at a sign-in."""

    __tablename__ = "passkey_challenge"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint(one_of("purpose", rules.PURPOSES), name="purpose"),
        CheckConstraint("(purpose = 'register') = (user_id IS NOT NULL AND user_handle IS NOT NULL)", name="account"),
        Index("ix_passkey_challenge_expires_at", "expires_at"),
    )

    user_id: Mapped[str | None] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)


class PasskeyOnly(Base):
    """An account that its passkeys alone sign in to, by its owner's wish (PKY-15)."""

    __tablename__ = "passkey_only"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    since: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
