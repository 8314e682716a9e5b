"""Store feedback, and apply it to its message if its origin is proven."""

import hashlib
import uuid
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering, suppressions
from identity_service.messages.delivery import queue, replies
from identity_service.messages.inbound import dsn
from identity_service.messages.inbound.dsn import Notice
from identity_service.messages.tables import Feedback, Inbound, Message
from identity_service.values import uuid7

UNREAD: Final = "unread"


def notice_of(
    session: DatabaseSession,
    reading: dsn.Reading,
    raw: bytes,
    *,
    envelope_from: str | None,
    envelope_to: str,
    now: datetime,
) -> Notice:
    """Return the notice of a reading, matched to a message by our own tags."""
    key = session.keys.internal()

    def check_tag(message_id: str, tag: str) -> bool:
        return rendering.tag_is_ours(message_id, tag, key)

    return dsn.make_notice(
        reading, raw, envelope_from=envelope_from, envelope_to=envelope_to, check_tag=check_tag, now=now
    )


async def keep_unread(
    session: DatabaseSession, raw: bytes, *, envelope_from: str | None, envelope_to: str, via: str, now: datetime
) -> uuid.UUID:
    """Store a returned mail as received, to be read afterwards; return its id."""
    row = {
        "id": uuid7.new_uuid7(now),
        "received_at": now,
        "via": via,
        "envelope_from": replies.scrub_reply(envelope_from or "") or None,
        "envelope_to": replies.scrub_reply(envelope_to),
        "parse_status": UNREAD,
        "detail": {},
        "unread": raw,
    }
    await session.execute(insert(Inbound), row)
    return uuid.UUID(str(row["id"]))


class UnreadMail(NamedTuple):
    """A stored mail that has not been read: its row, its envelope and its bytes."""

    id: uuid.UUID
    envelope_from: str | None
    envelope_to: str
    via: str
    raw: bytes


async def next_unread(session: DatabaseSession) -> UnreadMail | None:
    """Return the oldest stored mail that has not been read."""
    oldest = select(Inbound).where(Inbound.unread.is_not(None)).order_by(Inbound.received_at).limit(1)
    row = await session.scalar(oldest)
    if row is None or row.unread is None:
        return None
    return UnreadMail(row.id, row.envelope_from, row.envelope_to or "", row.via, row.unread)


async def apply_reading(
    session: DatabaseSession, kept: UnreadMail, reading: dsn.Reading, *, now: datetime
) -> tuple[str, Notice]:
    """Apply the reading of a kept mail, once however many processes read it; return as `apply_notice`, and the notice.

    The stored bytes are removed.
    """
    notice = notice_of(
        session, reading, kept.raw, envelope_from=kept.envelope_from, envelope_to=kept.envelope_to, now=now
    )
    mine = select(Inbound.id).where(Inbound.id == kept.id, Inbound.unread.is_not(None))
    if await session.scalar(mine.with_for_update(skip_locked=True)) is None:
        return "repeated", notice
    result = await apply_notice(session, notice, via=kept.via, now=now, kept_as=kept.id)
    if result == "repeated":
        await session.execute(delete(Inbound).where(Inbound.id == kept.id))
    return result, notice


async def give_up_reading(session: DatabaseSession, kept_id: uuid.UUID) -> None:
    """Mark a kept mail whose reading could not be stored as unreadable, so that the next one is read."""
    values = {"parse_status": "unreadable", "unread": None}
    await session.execute(update(Inbound).where(Inbound.id == kept_id).values(values))


async def apply_notice(
    session: DatabaseSession, notice: Notice, *, via: str, now: datetime, kept_as: uuid.UUID | None = None
) -> str:
    """Store a notice and apply it; return `applied`, `kept`, `unmatched`, `unreadable` or `repeated`.

    A notice that names no message of ours, or that was received before, changes nothing. Its text is stored separately
    and deleted after seven days; the feedback row has only codes and hashes. `kept_as` is the id of the mail if it is
    stored already.
    """
    message = None if notice.message_id is None else await session.get(Message, notice.message_id)
    inbound_id = kept_as or uuid7.new_uuid7(now)
    feedback_id = await _insert_feedback(session, notice, message, inbound_id, now)
    if feedback_id is None:
        return "repeated"
    values = _text_columns(notice, via) | {"message_id": message.id if message else None}
    if kept_as is None:
        await session.execute(insert(Inbound), values | {"id": inbound_id, "received_at": now})
    else:
        await session.execute(update(Inbound).where(Inbound.id == kept_as).values(values | {"unread": None}))
    if message is None:
        return "unmatched"
    new_state = await queue.apply_feedback(
        session, message.id, notice.type, code=notice.code, enhanced=notice.enhanced, now=now
    )
    if notice.type == "bounced" and notice.permanent:
        await suppressions.suppress_address(session, message, feedback_id=feedback_id, now=now)
    if notice.parse_status == "unreadable":
        return "unreadable"
    return "applied" if new_state else "kept"


async def _insert_feedback(
    session: DatabaseSession, notice: Notice, message: Message | None, inbound_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    """Insert the feedback row of a notice; return its id, or None if the notice was received before."""
    row = {
        "id": uuid7.new_uuid7(now),
        "message_id": message.id if message else None,
        "attempt_no": message.attempts if message else None,
        "type": notice.type,
        "source": notice.source,
        "source_event_id": notice.source_event_id,
        "occurred_at": notice.occurred_at,
        "recorded_at": now,
        "code": notice.code,
        "enhanced": notice.enhanced,
        "inbound_id": inbound_id,
        "inbound_hash": hashlib.sha256((notice.raw or notice.words).encode()).digest(),
    }
    new = insert(Feedback).on_conflict_do_nothing(index_elements=["source", "source_event_id"])
    return await session.scalar(new.returning(Feedback.id), row)


def _text_columns(notice: Notice, via: str) -> dict[str, Any]:
    return {
        "via": via,
        "envelope_from": notice.envelope_from,
        "envelope_to": notice.envelope_to,
        "parse_status": notice.parse_status,
        "detail": notice.detail,
        "raw": notice.raw,
    }
