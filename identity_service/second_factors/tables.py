"""Authenticator apps of customers. Seeds are encrypted by the key ring (SFA-02)."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class SecondFactor(Base):
    """The authenticator app of an account. `last_step` is the last time step used, so that each works once (RFC 6238,
    5.2). `failures` are wrong codes in a row, `failures_today` those since `day_began_at`. `removal_asked_at`: its
    owner cannot use it, as somebody said who passed the first step of a sign-in."""

    __tablename__ = "second_factor"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        Index("ix_second_factor_removal", "removal_asked_at", postgresql_where=text("removal_asked_at IS NOT NULL")),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    seed_sealed: Mapped[bytes] = mapped_column(info=PROVING)
    last_step: Mapped[int] = mapped_column(BigInteger, info=PROVING)
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    failures_today: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    day_began_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    locked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    removal_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class SecondFactorSetup(Base):
    """A seed that was shown and waits for its first code; until then an older factor stays (SFA-05)."""

    __tablename__ = "second_factor_setup"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    seed_sealed: Mapped[bytes] = mapped_column(info=PROVING)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
