"""Recovery codes of customers."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class RecoveryCode(Base):
    """One code: its locator, and argon2id of the rest (`phc`). `sealed` is the code itself under the key ring, while
    its owner has not confirmed that they have it, until `shown_until` at most (REC-23)."""

    __tablename__ = "recovery_code"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint("(sealed IS NULL) OR (shown_until IS NOT NULL)", name="sealed"),
        Index(
            "uq_recovery_code_current", "user_id", unique=True,
            postgresql_where=text("used_at IS NULL AND ended_at IS NULL"),
        ),
        Index("ix_recovery_code_shown_until", "shown_until", postgresql_where=text("sealed IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    locator: Mapped[str] = mapped_column(info=PROVING)
    phc: Mapped[str] = mapped_column(info=PROVING)
    sealed: Mapped[bytes | None] = mapped_column(info=PROVING)
    shown_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    misses: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    wait_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
