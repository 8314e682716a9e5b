"""The table of encrypted keys."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class EncryptionKey(Base):
    """One key of the ring. `sealed` is nonce and AES-256-GCM ciphertext, bound to the row's id and purpose."""

    __tablename__ = "encryption_key"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint("purpose IN ('signing', 'id_token', 'link', 'address', 'internal')", name="purpose"),
        CheckConstraint("algorithm IN ('ES256', 'EdDSA', 'RS256', 'HMAC')", name="algorithm"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    purpose: Mapped[str] = mapped_column(info=FACT)
    algorithm: Mapped[str] = mapped_column(info=FACT)
    sealed: Mapped[bytes] = mapped_column(info=PROVING)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    active_from: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    revoked_since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
