"""What DNS proved of brands' hosts and senders, and the sentences that brands worded."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, TablePrivacy
from identity_service.database.types import APPEND_ONLY, Base, UtcDateTime, one_of


class BrandProof(Base):
    """A host or sender, and what its newest look-up saw. `lost_at` is the first look-up in a row that did not find the
    proof; `checked_at` the newest, or the one that is being made."""

    __tablename__ = "brand_proof"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint(one_of("what", ("host", "sender")), name="what"),
        CheckConstraint("lost_at IS NULL OR proven_at IS NOT NULL", name="lost"),
    )

    what: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    name: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    proven_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    lost_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    seen: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=FACT)


class BrandWords(Base):
    """The sentences of one email that a brand words itself, kept for good: an attempt names their version."""

    __tablename__ = "brand_words"
    privacy = TablePrivacy()
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    brand: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    language: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    version: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    kind: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    sentences: Mapped[dict[str, str]] = mapped_column(JSONB, info=FACT)
    loaded_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
