"""Sessions, and sign-ins that wait for a second factor. A cookie's value is not stored; its SHA-256 finds the row
(SES-01)."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of
from identity_service.sign_in import rules


class SignInSession(Base):
    """A session of a customer in one browser. `/me` shows `id`, which cannot be used to sign in. `proven_by` is the
    keyed hash of the mailbox that was read for it, or that has set its password; `proven_at` is the moment of the
    sign-in, which a session that goes on under another cookie keeps."""

    __tablename__ = "sign_in_session"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint(one_of("method", rules.METHODS), name="method"),
        CheckConstraint(one_of("second_factor", rules.SECOND_FACTORS), name="second_factor"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    cookie_hash: Mapped[bytes] = mapped_column(unique=True, info=PROVING)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    method: Mapped[str] = mapped_column(info=FACT)
    second_factor: Mapped[str | None] = mapped_column(info=FACT)
    proven_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    proven_by: Mapped[bytes | None] = mapped_column(info=PROVING)
    browser: Mapped[str] = mapped_column(info=PERSONAL)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class PendingSignIn(Base):
    """A sign-in whose first step is proven, by `method`; it is no session, and may only finish (SFA-01)."""

    __tablename__ = "pending_sign_in"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (CheckConstraint(one_of("method", rules.METHODS), name="method"),)

    cookie_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    method: Mapped[str] = mapped_column(info=FACT)
    proven_by: Mapped[bytes | None] = mapped_column(info=PROVING)
    browser: Mapped[str] = mapped_column(info=PERSONAL)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
