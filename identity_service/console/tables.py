"""Staff, their second factors and sessions. Seeds are encrypted by the key ring; codes and cookies are hashed."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.console import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of


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
    """One browser of one staff member; ends after eight hours, or half an hour idle."""

    __tablename__ = "staff_session"
    privacy = TablePrivacy()

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True, info=PROVING)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id"), index=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
