"""Which staff opened which account, and why."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class AccountAccess(Base):
    """Why staff opened an account in a contact. Its event keeps a salted hash; erasing the customer deletes the row."""

    __tablename__ = "account_access"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        Index("ix_account_access_contact_actor", "contact", "actor"),
        Index("ix_account_access_actor_at", "actor", "occurred_at"),
        Index("ix_account_access_user_id", "user_id"),
    )

    event_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("event.id"), primary_key=True, autoincrement=False, info=IDENTIFIER
    )
    user_id: Mapped[str] = mapped_column(info=IDENTIFIER)
    actor: Mapped[str] = mapped_column(info=FACT)
    contact: Mapped[str] = mapped_column(info=IDENTIFIER)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    reason: Mapped[str] = mapped_column(info=PERSONAL)
    salt: Mapped[bytes] = mapped_column(info=PROVING)
