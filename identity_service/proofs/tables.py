"""Proofs and who follows them. No secret stands here, and no hash of one (RST-04)."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime, one_of
from identity_service.proofs import rules


class Proof(Base):
    """One letter that proves something. `message_id` is the first letter sent for it; `handle` its name in the link."""

    __tablename__ = "proof"
    __table_args__ = (
        CheckConstraint(one_of("purpose", tuple(rules.LIVES)), name="purpose"),
        CheckConstraint("length(nonce) = 16", name="nonce"),
        Index("ix_proof_to_hash_asked_at", "to_hash", text("asked_at DESC")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    handle: Mapped[str] = mapped_column(unique=True)
    reference: Mapped[str] = mapped_column(unique=True)
    nonce: Mapped[bytes]
    key_id: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(index=True)
    to_hash: Mapped[bytes | None]
    message_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("message.id"), index=True)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    code_tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class Tracking(Base):
    """A handle that leads one who asked to the letter's page; kept as SHA-256, for seven days."""

    __tablename__ = "tracking"

    handle_hash: Mapped[bytes] = mapped_column(primary_key=True)
    proof_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("proof.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
