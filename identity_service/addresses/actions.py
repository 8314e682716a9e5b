"""Change an address: the new mailbox confirms; the old one gets a notice and can undo it for seven days."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.addresses.tables import EmailChange
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.registration import actions as registration
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


class EmailChangeRequest(NamedTuple):
    """The account, and the change that waits for the new mailbox; `None` if nothing waits."""

    account: Account
    change_id: uuid.UUID | None


async def request_or_add_email(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> EmailChangeRequest:
    """Request an email change, or add the first address, which is stored at once and stays unconfirmed.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountNotActive
    """
    account = await accounts.find_active_account(session, user_id, lock=True)
    if account.email is None:
        added = await registration.add_first_email(session, UserId(account.user_id), address, actor=actor, now=now)
        return EmailChangeRequest(added, None)
    return await request_email_change(session, user_id, address, actor=actor, now=now)


async def request_email_change(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> EmailChangeRequest:
    """Send a confirmation to a new address; the account keeps the old one until the new mailbox confirms.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountNotActive
    """
    account = await accounts.find_active_account(session, user_id, lock=True)
    if account.state != "active":
        raise account_rules.AccountNotActive
    if account.email_key == address.key:
        return EmailChangeRequest(account, None)
    if await accounts.find_by_email(session, address) is not None:
        raise account_rules.EmailTaken
    token = await one_time_tokens.send_token(
        session, "email_change", kind="email_change", to=address, user_id=account.user_id, locale=account.locale,
        cause="account.email_change_requested", actor=actor, now=now,
    )  # fmt: skip
    change_id = uuid.uuid4()
    row = {
        "id": change_id,
        "user_id": account.user_id,
        "token_id": token.id,
        "requested_by": actor,
        "requested_at": now,
    }
    await session.execute(insert(EmailChange), {**row, **_columns("new", address)})
    await events.record_event(session, "account.email_change_requested", user_id=account.user_id, actor=actor, now=now)
    return EmailChangeRequest(account, change_id)


async def confirm_email_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Change the address after the new mailbox confirmed; older one-time tokens end, the old mailbox gets an undo link.

    Raises:
        LinkInvalid
        accounts.rules.EmailTaken, AccountMoved, AccountNotActive
    """
    change = await session.scalar(select(EmailChange).where(EmailChange.token_id == found.token.id))
    if change is None or change.new_email is None:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    await apply_email_change(session, change, proof.user_id, actor="customer", now=now)


async def apply_email_change(
    session: DatabaseSession, change: EmailChange, user_id: str, *, actor: str, now: datetime
) -> None:
    """Set the new address, and send the old one a notice with the undo link.

    Raises:
        accounts.rules.EmailTaken, AccountMoved, AccountNotActive
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    account_rules.check_changeable(account.state, account.merged_into, account.version, None)
    old = None if account.email is None else accounts.address_of(account)
    new = _address(change, "new")
    changed = await accounts.confirm_new_email(session, user_id, new, actor=actor, now=now)
    values: dict[str, Any] = {"changed_at": now}
    if old is not None:
        token = await one_time_tokens.send_token(
            session, "email_undo", kind="address_changed", to=old, user_id=user_id, locale=changed.locale,
            cause="account.email_changed", actor=actor, now=now,
        )  # fmt: skip
        values |= {**_columns("old", old), "undo_token_id": token.id}
    await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(**values))


async def earlier_keys(session: DatabaseSession, user_ids: Sequence[str]) -> set[str]:
    """Return the keys of every address that these accounts had once, without those that another account has now."""
    changed = select(EmailChange.old_key, EmailChange.new_key).where(
        EmailChange.user_id.in_(user_ids), EmailChange.changed_at.is_not(None)
    )
    found = {key for row in await session.execute(changed) for key in row if key is not None}
    others = select(Account.email_key).where(Account.email_key.in_(found), Account.user_id.not_in(user_ids))
    return found - set((await session.scalars(others)).all())


async def undo_email_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Restore the old address and end every session, so that an attacker who changed it is signed out.

    All later changes are marked as undone too: otherwise an attacker who changed the address twice could use the undo
    link of the second change to reverse this.

    Raises:
        LinkInvalid: also if undoing an earlier change has undone this one.
        accounts.rules.EmailTaken: another account has the old address now.
    """
    await accounts.find_account(session, UserId(found.token.user_id or ""), lock=True)
    change = await session.scalar(
        select(EmailChange).where(EmailChange.undo_token_id == found.token.id).with_for_update()
    )
    if change is None or change.old_email is None or change.undone_at is not None:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    await accounts.confirm_new_email(session, proof.user_id, _address(change, "old"), actor="customer", now=now)
    await accounts.end_sessions(session, proof.user_id, actor="customer", now=now)
    since = (EmailChange.user_id == proof.user_id) & (EmailChange.changed_at >= change.changed_at)
    await session.execute(update(EmailChange).where(since, EmailChange.undone_at.is_(None)).values(undone_at=now))


def _columns(prefix: str, address: EmailAddress) -> dict[str, str]:
    return {f"{prefix}_email": address.shown, f"{prefix}_ascii": address.ascii, f"{prefix}_key": address.key}


def _address(change: EmailChange, prefix: str) -> EmailAddress:
    return EmailAddress(*(getattr(change, f"{prefix}_{part}") for part in ("email", "ascii", "key")))


async def apply_email(
    session: DatabaseSession, user_id: UserId, details: dict[str, Any], *, actor: str, now: datetime
) -> None:
    """Carry out an approved change of address: it only requests it, because the new mailbox must still confirm."""
    address = EmailAddress(*(details[name] for name in ("email", "ascii", "key")))
    await request_or_add_email(session, user_id, address, actor=actor, now=now)
