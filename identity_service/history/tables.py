"""History entries that other services report about customers."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy, emptied
from identity_service.database.types import Base, UtcDateTime


class HistoryEntry(Base):
    """One entry of another service. `user_id` is the ID under which it was reported; it is never rewritten.

    A correction is an entry of its own that names in `corrects` the one it replaces, which keeps its content and gets
    `superseded_at`; a removal sets `removed_at`. What has neither counts.
    """

    __tablename__ = "history_entry"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        Index(
            "uq_history_entry_source_reference",
            "source",
            "reference",
            unique=True,
            postgresql_where=text("corrects IS NULL"),
        ),
        Index("ix_history_entry_source_reference", "source", "reference"),
        CheckConstraint("(amount IS NULL) = (currency IS NULL)", name="amount_has_currency"),
        Index("ix_history_entry_user_id_occurred_at", "user_id", text("occurred_at DESC"), text("id DESC")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), info=IDENTIFIER)
    source: Mapped[str] = mapped_column(info=IDENTIFIER)
    reference: Mapped[str] = mapped_column(info=emptied(PERSONAL, "erased:"))
    kind: Mapped[str] = mapped_column(info=FACT)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    corrects: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("history_entry.id"), unique=True, info=IDENTIFIER)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    amount: Mapped[Decimal | None] = mapped_column(Numeric(20, 4), info=FACT)
    currency: Mapped[str | None] = mapped_column(info=FACT)
    link: Mapped[str | None] = mapped_column(info=PERSONAL)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, info=emptied(PERSONAL, {}))
