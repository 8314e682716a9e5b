"""Sessions of customers who have entered a recovery code."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of
from identity_service.recovery import rules


class RecoverySession(Base):
    """One session, found by the SHA-256 of its cookie, for one action. `code_id` is the code that was entered; None for
    whoever holds the page of a new account. `needs_second`: a second proof is missing; `token_id` is the code that was
    emailed for it."""

    __tablename__ = "recovery_session"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint(one_of("action", rules.ACTIONS), name="action"),
        CheckConstraint("code_id IS NOT NULL OR NOT needs_second", name="second"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True, info=PROVING)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    code_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("recovery_code.id", ondelete="CASCADE"), index=True, info=IDENTIFIER
    )
    needs_second: Mapped[bool] = mapped_column(info=FACT)
    token_id: Mapped[uuid.UUID | None] = mapped_column(info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    action: Mapped[str | None] = mapped_column(info=FACT)
