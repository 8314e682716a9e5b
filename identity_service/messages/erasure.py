"""Erase a customer's messages: cancel pending ones and empty personal columns; states and times stay.

One message is written after that: it tells the mailbox that the account is erased, and is emptied when it has ended.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events


async def erase_messages(
    session: DatabaseSession, user_ids: Sequence[str], addresses: Sequence[bytes], *, now: datetime
) -> dict[str, int]:
    """Cancel and empty every message of these User IDs; return the number of changed rows per table.

    `addresses` are the keyed hashes of the addresses that they have or had: messages to them that belong to no account,
    or to an account that never had the address (someone entered it, and it was taken), are emptied as well.

    A leased message is emptied too: its worker has loaded the text already, and records its result in the emptied row.
    """
    found = (await session.scalars(_FIND, {"ids": list(user_ids), "hashes": list(addresses)})).all()
    cancelled = (await session.execute(_CANCEL, {"message_ids": found, "now": now})).all()
    changes = [("mail.cancelled", row.user_id, {"message_id": str(row.id), "kind": row.kind}) for row in cancelled]
    await events.record_events(session, changes, actor="worker", now=now)
    return await _empty(session, found)


async def purge_last_messages(session: DatabaseSession) -> None:
    """Empty the last message to each mailbox of an erased account once a relay took it or its tries are over."""
    await _empty(session, (await session.scalars(_FIND_LAST)).all())


async def _empty(session: DatabaseSession, message_ids: Sequence[uuid.UUID]) -> dict[str, int]:
    erased = {}
    for name, statement in (("inbound", _INBOUND), ("attempt", _ATTEMPT), ("message", _MESSAGE)):
        erased[name] = len((await session.execute(statement, {"message_ids": message_ids})).all())
    return erased


_FIND = text(
    """
    SELECT id FROM message WHERE user_id = ANY(:ids) OR (recipient_hash = ANY(:hashes) AND (
        user_id IS NULL OR kind IN ('address_check', 'address_taken', 'email_change', 'further_address')
    )) FOR UPDATE
    """
)
_FIND_LAST = text(
    """
    SELECT id FROM message WHERE kind = 'account_erased' AND recipient IS NOT NULL
    AND state NOT IN ('queued', 'deferred', 'sending') FOR UPDATE SKIP LOCKED
    """
)
_CANCEL = text(
    """
    UPDATE message SET state = 'cancelled', state_changed_at = :now, next_attempt_at = NULL
    WHERE id = ANY(:message_ids) AND state IN ('queued', 'deferred') RETURNING id, user_id, kind
    """
)
_INBOUND = text("DELETE FROM inbound_mail WHERE message_id = ANY(:message_ids) RETURNING id")
_ATTEMPT = text(
    "UPDATE attempt SET reply = NULL, transcript = NULL, peer_ip = NULL WHERE message_id = ANY(:message_ids) "
    "RETURNING message_id"
)
_MESSAGE = text(
    """
    UPDATE message
    SET recipient = NULL, recipient_ascii = NULL, recipient_hash = NULL, mailbox_hash = NULL, pending_key = NULL,
        recipient_domain = '', facts = '{}', last_reply = NULL
    WHERE id = ANY(:message_ids) RETURNING id
    """
)
