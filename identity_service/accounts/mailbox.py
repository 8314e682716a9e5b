"""The address on file of an account: add it, confirm it, take it off, exchange it."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from identity_service.accounts import actions, rules
from identity_service.accounts.tables import Account, FurtherAddress
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


async def add_email(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Add an unconfirmed address to an account that has none; repeating it changes nothing.

    Raises:
        rules.EmailPresent: the account has another address.
        rules.UnknownUserId, AccountMoved, AccountClosed
        rules.EmailTaken: another account has this address.
    """
    account = await actions.find_changeable_account(session, user_id)
    if account.email_key == address.key:
        return account
    if account.email is not None:
        raise rules.EmailPresent
    if await actions.find_by_email(session, address) is not None:
        raise rules.EmailTaken
    try:
        changed = await actions.change_row(session, account, actions.address_columns(address))
    except IntegrityError as taken:
        # A concurrent transaction stored the address after our check; the unique index rejects the second one.
        raise rules.EmailTaken from taken
    await events.record_event(session, "account.email_added", user_id=user_id, actor=actor, now=now)
    return changed


async def record_mailbox_read(
    session: DatabaseSession,
    account: Account,
    *,
    confirms: bool,
    ends_tokens: bool,
    ends_sessions: SessionsEndedReason | None,
    actor: str,
    now: datetime,
) -> Account:
    """Confirm the address on file, invalidate older one-time tokens, end every session: each if it is asked for, the
    last one by its reason.

    `credentials` decides which. Sessions end here and at the services that check `sessions_valid_after`.
    """
    changes: dict[str, Any] = {}
    if ends_tokens:
        changes["tokens_valid_after"] = now
    if confirms:
        changes["email_state"] = "confirmed"
        await events.record_event(session, "account.email_confirmed", user_id=account.user_id, actor=actor, now=now)
    changed = await actions.change_row(session, account, changes) if changes else account
    if ends_sessions is None:
        return changed
    return await actions.end_sessions(session, account.user_id, ends_sessions, actor=actor, now=now)


async def confirm_new_email(
    session: DatabaseSession, user_id: str, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Set an address whose mailbox was just read, as confirmed, and invalidate all older one-time tokens. A further
    address of the same account that is the same is none any more.

    Raises:
        rules.EmailTaken: another account has this address.
    """
    account = await actions.find_account(session, UserId(user_id), lock=True)
    holder = await actions.find_by_email(session, address)
    if holder is not None and holder.user_id != user_id:
        raise rules.EmailTaken
    await retire_further(session, user_id, address, now=now)
    name = "account.email_added" if account.email is None else "account.email_changed"
    values = {**actions.address_columns(address), "email_state": "confirmed", "tokens_valid_after": now}
    try:
        changed = await actions.change_row(session, account, values)
    except IntegrityError as taken:
        raise rules.EmailTaken from taken
    await events.record_event(session, name, user_id=user_id, actor=actor, now=now)
    await events.record_event(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)
    return changed


async def remove_email(
    session: DatabaseSession, user_id: str, address: EmailAddress | None = None, *, actor: str, now: datetime
) -> None:
    """Take an address off an account, because its mailbox belongs to another one: without `address`, the one on file;
    else that one, which may be a further address."""
    account = await actions.find_account(session, UserId(user_id), lock=True)
    changes: dict[str, Any] = {"tokens_valid_after": now}
    if address is None or account.email_key == address.key:
        changes |= actions.address_columns(None)
    else:
        await retire_further(session, user_id, address, now=now)
    await actions.change_row(session, account, changes)
    await events.record_event(session, "account.email_removed", user_id=user_id, actor=actor, now=now)


async def retire_further(session: DatabaseSession, user_id: str, address: EmailAddress, *, now: datetime) -> None:
    """Remove an address from the further ones of an account, if it is one of them; it can still be brought back."""
    mine = (FurtherAddress.user_id == user_id) & (FurtherAddress.email_key == address.key)
    await session.execute(delete(FurtherAddress).where(mine, FurtherAddress.confirmed_at.is_(None)))
    await session.execute(
        update(FurtherAddress).where(mine, FurtherAddress.removed_at.is_(None)).values(removed_at=now, token_id=None)
    )


async def exchange_emails(session: DatabaseSession, user_id: str, other_id: str, *, actor: str, now: datetime) -> None:
    """Give two accounts of one customer each other's address; that of the first is confirmed, its mailbox was read."""
    account = await actions.find_account(session, UserId(user_id), lock=True)
    other = await actions.find_account(session, UserId(other_id), lock=True)
    columns = ("email", "email_ascii", "email_key", "email_state")
    first, second = ({name: getattr(one, name) for name in columns} for one in (account, other))
    await actions.change_row(session, other, actions.address_columns(None))
    await actions.change_row(session, account, {**second, "email_state": "confirmed", "tokens_valid_after": now})
    await actions.change_row(session, other, {**first, "tokens_valid_after": now})
    for one in (user_id, other_id):
        await events.record_event(session, "account.email_changed", user_id=one, actor=actor, now=now)
