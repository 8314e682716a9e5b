"""Forget a customer's mail: what waits is cancelled, and what could tell of him is emptied; states and times stay."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from identity_service.database import AsyncSession


async def forget(session: AsyncSession, user_ids: Sequence[str], *, now: datetime) -> dict[str, int]:
    """Cancel and empty every letter of these User IDs; return how many rows of which table were touched.

    A letter in a worker's hands is emptied too: its worker has the words already, and records into what is left.
    """
    about = {"ids": list(user_ids), "now": now}
    await session.execute(_CANCEL, about)
    touched = {}
    for name, statement in (("inbound", _INBOUND), ("attempt", _ATTEMPT), ("message", _MESSAGE)):
        touched[name] = len((await session.execute(statement, about)).all())
    return touched


_MINE = "SELECT id FROM message WHERE user_id = ANY(:ids)"
_CANCEL = text(
    """
    UPDATE message SET state = 'cancelled', state_changed_at = :now, next_attempt_at = NULL
    WHERE user_id = ANY(:ids) AND state IN ('queued', 'deferred')
    """
)
_INBOUND = text(f"DELETE FROM inbound WHERE message_id IN ({_MINE}) RETURNING id")  # noqa: S608
_ATTEMPT = text(
    f"UPDATE attempt SET reply = NULL, transcript = NULL, peer_ip = NULL WHERE message_id IN ({_MINE}) RETURNING 1"  # noqa: S608
)
_MESSAGE = text(
    """
    UPDATE message SET to_addr = NULL, to_ascii = NULL, to_hash = NULL, to_domain = '', facts = '{}', last_reply = NULL
    WHERE user_id = ANY(:ids) RETURNING id
    """
)
