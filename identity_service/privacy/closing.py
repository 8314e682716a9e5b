"""Close an account and notify its owner; open it again."""

from datetime import datetime
from typing import Any

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.rules import CannotReopen
from identity_service.accounts.tables import Account
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values.user_ids import UserId


async def close_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Close an account and tell every mailbox of its owner, with a link that opens it again; its history stays, and its
    address is not freed.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved
    """
    before = (await accounts.find_account(session, user_id, lock=True)).state
    account = await accounts.close_account(session, user_id, actor=actor, now=now)
    for one in [] if before == "closed" else await ownership.mailboxes_of(session, account.user_id, recent_at=now):
        await one_time_tokens.send_token(
            session, "reopen", kind="account_closed", to=one.address, user_id=account.user_id, locale=one.locale,
            cause="account.closed", actor=actor, now=now,
        )  # fmt: skip
    return account


async def reopen_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Open a closed account again for its owner, and tell every mailbox.

    Raises:
        accounts.rules.UnknownUserId, CannotReopen
    """
    account = await accounts.reopen_account(session, user_id, actor=actor, now=now)
    await credentials.notify_mailboxes(
        session, "account_reopened", [account.user_id], cause="account.reopened", actor=actor, now=now
    )
    return account


async def reopen_by_link(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Open a closed account again by the link in the email that told of its closing.

    Raises:
        LinkInvalid: it is open, erased, or was closed too long ago.
    """
    proof = await one_time_tokens.consume(session, found, now=now)
    try:
        await reopen_account(session, UserId(proof.user_id), actor="customer", now=now)
    except CannotReopen:
        raise LinkInvalid from None


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
