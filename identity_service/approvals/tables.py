"""Guarded changes that wait for a mailbox, a second person or time."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.approvals import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy, emptied
from identity_service.database.types import Base, UtcDateTime, one_of


class PendingChange(Base):
    """A guarded change that a desk requested. It is carried out when the mailbox confirms; if the mailbox is lost, when
    a second person has approved it and `due_at` has passed without the old mailbox stopping it."""

    __tablename__ = "pending_change"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        CheckConstraint(one_of("verb", tuple(rules.GUARDED)), name="verb"),
        CheckConstraint("approved_by <> requested_by", name="second_person"),
        CheckConstraint("NOT (done_at IS NOT NULL AND stopped_at IS NOT NULL)", name="one_end"),
        Index("ix_pending_change_due", "due_at", postgresql_where=text("done_at IS NULL AND stopped_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    verb: Mapped[str] = mapped_column(info=FACT)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, info=emptied(PERSONAL, {}))
    token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    requested_by: Mapped[str] = mapped_column(info=FACT)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    reason: Mapped[str | None] = mapped_column(info=PERSONAL)
    approved_by: Mapped[str | None] = mapped_column(info=FACT)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    stopped_by: Mapped[str | None] = mapped_column(info=FACT)
    stop_reason: Mapped[str | None] = mapped_column(info=FACT)
