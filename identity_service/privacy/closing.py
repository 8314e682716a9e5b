"""Close an account and notify its owner."""

from datetime import datetime
from typing import Any

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.values.user_ids import UserId


async def close_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Close an account and tell every mailbox of its owner; its history stays, and its address is not freed.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved
    """
    before = (await accounts.find_account(session, user_id, lock=True)).state
    account = await accounts.close_account(session, user_id, actor=actor, now=now)
    if before != "closed":
        await credentials.notify_mailboxes(
            session, "account_closed", [account.user_id], cause="account.closed", actor=actor, now=now
        )
    return account


async def apply_close(
    session: DatabaseSession,
    user_id: UserId,
    details: dict[str, Any],  # noqa: ARG001 (every approved change has them)
    *,
    actor: str,
    now: datetime,
) -> None:
    """Carry out an approved closing."""
    await close_account(session, user_id, actor=actor, now=now)
