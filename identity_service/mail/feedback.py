"""Take in what came back: keep it always, and let it move its message if it is vouched for."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from identity_service import keyring
from identity_service.database import AsyncSession
from identity_service.mail import bounces, letters, outbox, rules, suppressions
from identity_service.mail.bounces import Notice
from identity_service.mail.tables import Feedback, Inbound, Message


async def read_mail(
    session: AsyncSession, raw: bytes, *, envelope_from: str | None, envelope_to: str, now: datetime
) -> Notice:
    """Return what a returned mail says, checked against our own tags."""
    key = keyring.of(session).internal()

    def check_tag(message_id: str, tag: str) -> bool:
        return letters.tag_is_ours(message_id, tag, key)

    return bounces.read(raw, envelope_from=envelope_from, envelope_to=envelope_to, check_tag=check_tag, now=now)


async def take(session: AsyncSession, notice: Notice, *, via: str, now: datetime) -> str:
    """Keep a notice and apply it; return what became of it: `applied`, `kept`, `unmatched`, `unreadable` or `repeated`.

    A notice that names no message of ours, or that came before, changes nothing. Its words stand apart and are
    forgotten after seven days; the feedback itself holds codes and hashes.
    """
    message = None if notice.message_id is None else await session.get(Message, notice.message_id)
    inbound_id = rules.new_id(now)
    row = {
        "id": rules.new_id(now),
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
    words = _words(notice, via) | {"id": inbound_id, "message_id": row["message_id"], "received_at": now}
    await session.execute(insert(Inbound), words)
    if message is None:
        return "unreadable" if notice.parse_status == "unreadable" else "unmatched"
    moved = await outbox.apply_feedback(
        session, message.id, notice.type, code=notice.code, enhanced=notice.enhanced, now=now
    )
    if notice.type == "bounced" and notice.permanent:
        await suppressions.suppress(session, message, feedback_id=feedback_id, now=now)
    return "applied" if moved else "kept"


def _words(notice: Notice, via: str) -> dict[str, Any]:
    return {
        "via": via,
        "envelope_from": notice.envelope_from,
        "envelope_to": notice.envelope_to,
        "parse_status": notice.parse_status,
        "detail": notice.detail,
        "raw": notice.raw,
    }
