"""Events, their sealed order, and the row that a sealer locks while it works."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, TablePrivacy
from identity_service.database.types import APPEND_ONLY, LOCK_ONLY, Base, UtcDateTime


class Event(Base):
    """Something that happened. `transaction_id` is PostgreSQL's; events are sealed in its order.

    `id` orders and joins rows here, and is given out again after a restore; `public_id` is the id that readers see, and
    is random, so that it never names another event.
    """

    __tablename__ = "event"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (
        Index("ix_event_transaction_id_id", "transaction_id", "id"),
        Index("ix_event_user_id_id", "user_id", "id"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True, info=IDENTIFIER)
    public_id: Mapped[uuid.UUID] = mapped_column(server_default=text("gen_random_uuid()"), info=IDENTIFIER)
    transaction_id: Mapped[int] = mapped_column(
        BigInteger, server_default=text("(pg_current_xact_id()::text)::bigint"), info=IDENTIFIER
    )
    name: Mapped[str] = mapped_column(info=FACT)
    user_id: Mapped[str | None] = mapped_column(info=IDENTIFIER)
    actor: Mapped[str] = mapped_column(info=FACT)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, info=FACT)


class SealedEvent(Base):
    """The position of an event in the feed, and the seal over everything up to it."""

    __tablename__ = "sealed_event"
    privacy = TablePrivacy()
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=IDENTIFIER)
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("event.id"), unique=True, info=IDENTIFIER)
    seal: Mapped[bytes] = mapped_column(info=FACT)
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=text("now()"), info=FACT)


class FeedState(Base):
    """One row. Its lock admits one sealer; `epoch` rises when a backup is restored, which invalidates older cursors.

    Events up to `restored_event_id` are sealed; their transaction ids may come from another cluster. Both numbers are
    changed by the function `record_restore` alone, which belongs to the owner of the tables.
    """

    __tablename__ = "feed_state"
    privacy = TablePrivacy()
    __table_args__ = (CheckConstraint("id = 1", name="one_row"), {"info": {LOCK_ONLY: True}})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, info=IDENTIFIER)
    epoch: Mapped[int] = mapped_column(info=FACT)
    restored_event_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), info=IDENTIFIER)
