"""Requested email changes."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class EmailChange(Base):
    """One email change: requested, confirmed by the new mailbox, and undone by the old one within seven days.

    `proven_by` is the keyed hash of the mailbox that the requesting session rests on; None if no session requested it.
    """

    __tablename__ = "email_change"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (CheckConstraint("old_email IS NULL OR old_key IS NOT NULL", name="old_whole"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    new_email: Mapped[str | None] = mapped_column(info=PERSONAL)
    new_ascii: Mapped[str | None] = mapped_column(info=PERSONAL)
    new_key: Mapped[str | None] = mapped_column(info=PERSONAL)
    old_email: Mapped[str | None] = mapped_column(info=PERSONAL)
    old_ascii: Mapped[str | None] = mapped_column(info=PERSONAL)
    old_key: Mapped[str | None] = mapped_column(info=PERSONAL)
    token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    requested_by: Mapped[str] = mapped_column(info=FACT)
    proven_by: Mapped[bytes | None] = mapped_column(info=PROVING)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
