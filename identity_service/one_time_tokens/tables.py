"""One-time tokens and tracking links. Neither secrets nor hashes of them are stored for tokens (RST-04)."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, KEPT, PROVING, TablePrivacy, emptied
from identity_service.database.types import Base, UtcDateTime, one_of
from identity_service.one_time_tokens import rules


class OneTimeToken(Base):
    """One token. `message_id` is the first message sent for it; `handle` is the public part of its link."""

    __tablename__ = "one_time_token"
    privacy = TablePrivacy(owner="user_id", erase="empty")
    __table_args__ = (
        CheckConstraint(one_of("purpose", tuple(rules.LIFETIMES)), name="purpose"),
        CheckConstraint("length(nonce) = 16", name="nonce"),
        Index("ix_one_time_token_to_hash_requested_at", "recipient_hash", text("requested_at DESC")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(info=FACT)
    handle: Mapped[str] = mapped_column(unique=True, info=PROVING)
    reference: Mapped[str] = mapped_column(unique=True, info=PROVING)
    nonce: Mapped[bytes] = mapped_column(info=PROVING)
    key_id: Mapped[str] = mapped_column(info=PROVING)
    user_id: Mapped[str | None] = mapped_column(index=True, info=IDENTIFIER)
    recipient_hash: Mapped[bytes | None] = mapped_column(info=emptied(KEPT, None))
    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"), index=True, info=IDENTIFIER)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    code_attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)


class TrackingLink(Base):
    """A handle of the tracking page, stored as SHA-256 for seven days; each request for a token gets its own."""

    __tablename__ = "tracking_link"
    privacy = TablePrivacy(erase="delete", through=("token_id", "one_time_token"))

    handle_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    token_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("one_time_token.id"), index=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
    code_attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
