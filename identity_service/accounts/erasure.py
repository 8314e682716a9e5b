"""Turn accounts into tombstones, and lock an account against erasure while data is added to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from identity_service.accounts import rules
from identity_service.accounts.actions import address_columns, end_sessions
from identity_service.accounts.tables import Account
from identity_service.database.transactions import DatabaseSession
from identity_service.events.data_models import SessionsEndedReason
from identity_service.values.user_ids import UserId


async def erase_accounts(session: DatabaseSession, ids: Sequence[str], *, actor: str, now: datetime) -> int:
    """Turn accounts into tombstones: their User IDs answer 410 for ever and are never issued again. Return how many.

    `merged_into` is cleared too: a pointer to another account would tell which IDs were one customer's.
    """
    nothing = {**address_columns(None), "display_name": None, "version": Account.version + 1}
    ended: dict[str, Any] = {"state": "erased", "merged_into": None, "merged_at": None}
    ended |= {"tokens_valid_after": now}
    await session.execute(update(Account).where(Account.user_id.in_(ids)).values(**nothing, **ended))
    for user_id in ids:
        await end_sessions(session, user_id, SessionsEndedReason.ERASED, actor=actor, now=now)
    return len(ids)


async def lock_against_erasure(session: DatabaseSession, user_id: UserId) -> Account:
    """Return an account under a shared row lock: until the transaction ends it can be extended, but not erased.

    Raises:
        rules.UnknownUserId, AccountErased
    """
    wanted = select(Account).where(Account.user_id == user_id)
    account = await session.scalar(wanted.with_for_update(read=True, key_share=True))
    if account is None:
        raise rules.UnknownUserId
    if account.state == "erased":
        raise rules.AccountErased
    return account
