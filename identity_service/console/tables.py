"""Staff, their second factors, passkeys and sessions. The key ring encrypts seeds; codes and cookies are hashed."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.console import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of
from identity_service.passkeys import rules as passkey_rules
from identity_service.passkeys.tables import Challenge, Credential, credential_checks


class Staff(Base):
    """A person at the console. `totp_step` is the last time step used, so that each works once (RFC 6238, 5.2)."""

    __tablename__ = "staff"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint(one_of("role", rules.ROLES), name="role"),
        Index("uq_staff_name", text("lower(name)"), unique=True, postgresql_where=text("removed_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    name: Mapped[str] = mapped_column(info=FACT)
    role: Mapped[str] = mapped_column(info=FACT)
    phc: Mapped[str | None] = mapped_column(info=PROVING)
    totp_sealed: Mapped[bytes | None] = mapped_column(info=PROVING)
    totp_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), info=PROVING)
    enrol_hash: Mapped[bytes | None] = mapped_column(unique=True, info=PROVING)
    enrol_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class StaffRecoveryCode(Base):
    """A printed code that replaces the one-time code once (REC-05)."""

    __tablename__ = "staff_recovery_code"
    privacy = TablePrivacy()

    code_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id"), index=True, info=IDENTIFIER)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class StaffSession(Base):
    """One browser of one staff member; ends after eight hours, or half an hour idle. `method` is how they signed in."""

    __tablename__ = "staff_session"
    privacy = TablePrivacy()
    __table_args__ = (CheckConstraint(one_of("method", rules.METHODS), name="method"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True, info=PROVING)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id"), index=True, info=IDENTIFIER)
    method: Mapped[str] = mapped_column(info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class StaffPasskey(Credential, Base):
    """A passkey of a staff member, who has to give a PIN, fingerprint or face for it each time."""

    __tablename__ = "staff_passkey"
    privacy = TablePrivacy()
    __table_args__ = credential_checks()

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id"), index=True, info=IDENTIFIER)
    label: Mapped[str] = mapped_column(info=FACT)


class StaffPasskeyChallenge(Challenge, Base):
    """A challenge for a passkey of a staff member, of nobody known at a sign-in."""

    __tablename__ = "staff_passkey_challenge"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint(one_of("purpose", passkey_rules.PURPOSES), name="purpose"),
        CheckConstraint("(purpose = 'register') = (staff_id IS NOT NULL AND user_handle IS NOT NULL)", name="staff"),
        Index("ix_staff_passkey_challenge_expires_at", "expires_at"),
    )

    staff_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff.id"), index=True, info=IDENTIFIER)
