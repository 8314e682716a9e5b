"""Signed checkpoints of the sealed chain."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, TablePrivacy
from identity_service.database.types import APPEND_ONLY, Base, UtcDateTime


class Checkpoint(Base):
    """A signed statement of the newest position and seal; published, to be kept elsewhere (AUD-04)."""

    __tablename__ = "checkpoint"
    privacy = TablePrivacy()
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=IDENTIFIER)
    seal: Mapped[bytes] = mapped_column(info=FACT)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    statement: Mapped[str] = mapped_column(info=FACT)
