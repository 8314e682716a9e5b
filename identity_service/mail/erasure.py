"""Forget a customer's mail: what waits is cancelled, and what could tell of him is emptied; states and times stay."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from identity_service.database import AsyncSession
from identity_service.events import actions as events


async def forget(
    session: AsyncSession, user_ids: Sequence[str], addresses: Sequence[bytes], *, now: datetime
) -> dict[str, int]:
    """Cancel and empty every letter of these User IDs; return how many rows of which table were touched.

    `addresses` are the keyed hashes of theirs: letters to them that belong to nobody, or to an account which never had
    the address (somebody named it, and was told that it is taken), go as well.

    A letter in a worker's hands is emptied too: its worker has the words already, and records into what is left.
    """
    letters = (await session.scalars(_LETTERS, {"ids": list(user_ids), "hashes": list(addresses)})).all()
    about = {"letters": letters, "now": now}
    cancelled = (await session.execute(_CANCEL, about)).all()
    told = [("mail.cancelled", row.user_id, {"message_id": str(row.id), "kind": row.kind}) for row in cancelled]
    await events.record_all(session, told, actor="worker", now=now)
    touched = {}
    for name, statement in (("inbound", _INBOUND), ("attempt", _ATTEMPT), ("message", _MESSAGE)):
        touched[name] = len((await session.execute(statement, about)).all())
    return touched


_LETTERS = text(
    """
    SELECT id FROM message WHERE user_id = ANY(:ids) OR (to_hash = ANY(:hashes) AND (
        user_id IS NULL OR kind IN ('address_check', 'address_taken', 'email_change')
    )) FOR UPDATE
    """
)
_CANCEL = text(
    """
    UPDATE message SET state = 'cancelled', state_changed_at = :now, next_attempt_at = NULL
    WHERE id = ANY(:letters) AND state IN ('queued', 'deferred') RETURNING id, user_id, kind
    """
)
_INBOUND = text("DELETE FROM inbound WHERE message_id = ANY(:letters) RETURNING id")
_ATTEMPT = text(
    "UPDATE attempt SET reply = NULL, transcript = NULL, peer_ip = NULL WHERE message_id = ANY(:letters) "
    "RETURNING message_id"
)
_MESSAGE = text(
    """
    UPDATE message
    SET to_addr = NULL, to_ascii = NULL, to_hash = NULL, pending_key = NULL, to_domain = '', facts = '{}',
        last_reply = NULL
    WHERE id = ANY(:letters) RETURNING id
    """
)
