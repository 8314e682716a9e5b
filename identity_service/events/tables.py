"""Events, their sealed order, and the one row that a sealer holds while it works."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import APPEND_ONLY, Base, UtcDateTime


class Event(Base):
    """Something that happened. `transaction_id` is PostgreSQL's, for the order in which it became visible."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_transaction_id_id", "transaction_id", "id"),
        Index("ix_event_user_id_id", "user_id", "id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(BigInteger, server_default=text("(pg_current_xact_id()::text)::bigint"))
    name: Mapped[str]
    user_id: Mapped[str | None]
    actor: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Look(Base):
    """Why somebody at a desk opened an account in a contact: beside its event, and gone when the customer is erased."""

    __tablename__ = "look"
    __table_args__ = (
        Index("ix_look_contact_actor", "contact", "actor"),
        Index("ix_look_actor_at", "actor", "at"),
        Index("ix_look_user_id", "user_id"),
    )

    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("event.id"), primary_key=True, autoincrement=False)
    user_id: Mapped[str]
    actor: Mapped[str]
    contact: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str]
    salt: Mapped[bytes]


class SealedEvent(Base):
    """The place of an event in the feed, and the seal over everything up to it."""

    __tablename__ = "sealed_event"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("event.id"), unique=True)
    seal: Mapped[bytes]
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=text("now()"))


class Checkpoint(Base):
    """A signed statement of how far the feed was sealed; published, and worth keeping elsewhere (AUD-04)."""

    __tablename__ = "checkpoint"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    seal: Mapped[bytes]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    statement: Mapped[str]


class Feed(Base):
    """One row. Its lock is the sealer's lease; `epoch` goes up when a backup is restored, and old cursors notice.

    Events up to `restored_event_id` have their place; their transaction ids may be those of another cluster.
    """

    __tablename__ = "feed"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    restored_event_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
