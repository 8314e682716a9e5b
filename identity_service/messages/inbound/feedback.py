"""Store feedback, and apply it to its message if its origin is proven."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering, suppressions
from identity_service.messages.delivery import queue
from identity_service.messages.inbound import dsn
from identity_service.messages.inbound.dsn import Notice
from identity_service.messages.tables import Feedback, Inbound, Message
from identity_service.values import uuid7


async def read_mail(
    session: DatabaseSession, raw: bytes, *, envelope_from: str | None, envelope_to: str, now: datetime
) -> Notice:
    """Return the notice in a returned mail, matched to a message by our own tags."""
    key = session.keys.internal()

    def check_tag(message_id: str, tag: str) -> bool:
        return rendering.tag_is_ours(message_id, tag, key)

    return dsn.read_notice(raw, envelope_from=envelope_from, envelope_to=envelope_to, check_tag=check_tag, now=now)


async def apply_notice(session: DatabaseSession, notice: Notice, *, via: str, now: datetime) -> str:
    """Store a notice and apply it; return `applied`, `kept`, `unmatched`, `unreadable` or `repeated`.

    A notice that names no message of ours, or that was received before, changes nothing. Its text is stored separately
    and deleted after seven days; the feedback row has only codes and hashes.
    """
    message = None if notice.message_id is None else await session.get(Message, notice.message_id)
    inbound_id = uuid7.new_uuid7(now)
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
    feedback_id = await session.scalar(new.returning(Feedback.id), row)
    if feedback_id is None:
        return "repeated"
    values = _text_columns(notice, via) | {"id": inbound_id, "message_id": row["message_id"], "received_at": now}
    await session.execute(insert(Inbound), values)
    if message is None:
        return "unreadable" if notice.parse_status == "unreadable" else "unmatched"
    new_state = await queue.apply_feedback(
        session, message.id, notice.type, code=notice.code, enhanced=notice.enhanced, now=now
    )
    if notice.type == "bounced" and notice.permanent:
        await suppressions.suppress_address(session, message, feedback_id=feedback_id, now=now)
    return "applied" if new_state else "kept"


def _text_columns(notice: Notice, via: str) -> dict[str, Any]:
    return {
        "via": via,
        "envelope_from": notice.envelope_from,
        "envelope_to": notice.envelope_to,
        "parse_status": notice.parse_status,
        "detail": notice.detail,
        "raw": notice.raw,
    }
