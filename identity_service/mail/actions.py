"""Put a letter into the outbox, and tell what became of it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from identity_service import keyring
from identity_service.database import AsyncSession, settings_of
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.mail import rules
from identity_service.mail.tables import Message, Suppression


async def put(
    session: AsyncSession,
    kind: str,
    *,
    to: EmailAddress,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any] | None = None,
    pending_key: str | None = None,
    resend_of: uuid.UUID | None = None,
    prefer_relay: str | None = None,
    actor: str,
    now: datetime,
) -> uuid.UUID:
    """Write a letter into the outbox, in the transaction of what it tells about; return its id.

    The letter holds facts, no words and no secrets. A worker sees it when the transaction commits, not before.
    """
    schedule = rules.KINDS[kind]
    message_id = rules.new_id(now)
    to_hash = keyring.of(session).address_hash(to.key)
    row = {
        "id": message_id,
        "kind": kind,
        "purpose": schedule.purpose,
        "user_id": user_id,
        "to_addr": to.shown,
        "to_ascii": to.ascii,
        "to_hash": to_hash,
        "to_domain": to.domain,
        "locale": locale,
        "facts": facts or {},
        "message_id_header": f"<{message_id.hex}@{settings_of(session).sender_domain}>",
        "lane": schedule.lane,
        "pending_key": pending_key,
        "state_changed_at": now,
        "created_at": now,
        "next_attempt_at": now,
        "deadline_at": now + schedule.hand_over,
        "resend_of": resend_of,
        "prefer_relay": prefer_relay,
    }
    await session.execute(insert(Message), row)
    if user_id is not None:
        data = {"message_id": str(message_id), "kind": kind}
        await events.record(session, "mail.queued", user_id=user_id, actor=actor, data=data, now=now)
    await _suppress_if_dead(session, message_id, to_hash, kind, user_id, now)
    if settings_of(session).mail_notify:
        await session.execute(text("SELECT pg_notify('outbox', '')"))
    return message_id


async def find(session: AsyncSession, message_id: uuid.UUID, *, lock: bool = False) -> Message:
    """Return a message.

    Raises:
        rules.UnknownMessage
    """
    wanted = select(Message).where(Message.id == message_id)
    message = await session.scalar(wanted.with_for_update() if lock else wanted)
    if message is None:
        raise rules.UnknownMessage
    return message


async def of_customer(session: AsyncSession, user_ids: Sequence[str]) -> Sequence[Message]:
    """Return the messages about one customer, under every User ID he has had, newest first."""
    wanted = select(Message).where(Message.user_id.in_(user_ids)).order_by(Message.created_at.desc()).limit(200)
    return (await session.scalars(wanted)).all()


async def _suppress_if_dead(
    session: AsyncSession, message_id: uuid.UUID, to_hash: bytes, kind: str, user_id: str | None, now: datetime
) -> None:
    live = select(func.count()).select_from(Suppression)
    mine = live.where(Suppression.to_hash == to_hash, Suppression.lifted_at.is_(None), Suppression.until > now)
    if not await session.scalar(mine.where(Suppression.scope == "other")):
        return
    message = await find(session, message_id, lock=True)
    message.state, message.next_attempt_at, message.state_changed_at = "suppressed", None, now
    await session.flush()
    if user_id is not None:
        data = {"message_id": str(message_id), "kind": kind}
        await events.record(session, "mail.suppressed", user_id=user_id, actor="worker", data=data, now=now)
