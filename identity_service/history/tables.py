"""What other services say happened to a customer."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime


class HistoryEntry(Base):
    """One thing that happened elsewhere. `user_id` is the ID it was addressed to, and is never rewritten."""

    __tablename__ = "history_entry"
    __table_args__ = (
        UniqueConstraint("source", "reference"),
        CheckConstraint("(amount IS NULL) = (currency IS NULL)", name="amount_has_currency"),
        Index("ix_history_entry_user_id_occurred_at", "user_id", text("occurred_at DESC"), text("id DESC")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"))
    source: Mapped[str]
    reference: Mapped[str]
    kind: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(20, 4))
    currency: Mapped[str | None]
    link: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
