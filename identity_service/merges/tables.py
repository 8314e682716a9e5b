"""Requests to merge two accounts."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class MergeRequest(Base):
    """A request to merge two accounts; each mailbox agrees for its account. One without an address agrees at once."""

    __tablename__ = "merge_request"
    privacy = TablePrivacy(owner="survivor")
    __table_args__ = (CheckConstraint("survivor <> duplicate", name="two"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    survivor: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    duplicate: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    survivor_token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    duplicate_token_id: Mapped[uuid.UUID | None] = mapped_column(unique=True, info=IDENTIFIER)
    survivor_agreed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    duplicate_agreed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    requested_by: Mapped[str] = mapped_column(info=FACT)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    merged_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
