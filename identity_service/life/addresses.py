"""Change an address: the new mailbox confirms, the old one is told and can undo it for seven days."""

import uuid
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.life import actions as registering
from identity_service.life.tables import EmailChange
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.user_ids import UserId


class Asked(NamedTuple):
    """The account, and the change that waits for the new mailbox; None where there is nothing to wait for."""

    account: Account
    change_id: uuid.UUID | None


async def ask_or_add(
    session: AsyncSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Asked:
    """Name another address for an account, or give it its first one, which stays unconfirmed until its mailbox answers.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountNotActive
    """
    account = await accounts.current(session, user_id, lock=True)
    if account.email is None:
        added = await registering.add_email(session, UserId(account.user_id), address, actor=actor, now=now)
        return Asked(added, None)
    return await ask(session, user_id, address, actor=actor, now=now)


async def ask(session: AsyncSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime) -> Asked:
    """Name another address for an account; it changes nothing until the new mailbox has confirmed.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountNotActive
    """
    account = await accounts.current(session, user_id, lock=True)
    if account.state != "active":
        raise account_rules.AccountNotActive
    if account.email_key == address.key:
        return Asked(account, None)
    if await accounts.find_by_email(session, address) is not None:
        raise account_rules.EmailTaken
    proof = await proofs.send(
        session, "email_change", kind="email_change", to=address, user_id=account.user_id, locale=account.locale,
        cause="account.email_change_asked", actor=actor, now=now,
    )  # fmt: skip
    change_id = uuid.uuid4()
    row = {"id": change_id, "user_id": account.user_id, "proof_id": proof.id, "asked_by": actor, "asked_at": now}
    await session.execute(insert(EmailChange), {**row, **_columns("new", address)})
    await events.record(session, "account.email_change_asked", user_id=account.user_id, actor=actor, now=now)
    return Asked(account, change_id)


async def confirm(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Change the address: its mailbox was read. What was proven before dies, and the old mailbox gets the link to undo.

    Raises:
        LinkDead; accounts.rules.EmailTaken, AccountMoved, AccountNotActive
    """
    change = await session.scalar(select(EmailChange).where(EmailChange.proof_id == found.proof.id))
    if change is None or change.new_email is None:
        raise LinkDead
    proof = await proofs.use_up(session, found, now=now)
    await carry_out(session, change, proof.user_id, actor="customer", now=now)


async def carry_out(session: AsyncSession, change: EmailChange, user_id: str, *, actor: str, now: datetime) -> None:
    """Set the new address and tell the old one, with the link that undoes it.

    Raises:
        accounts.rules.EmailTaken, AccountMoved, AccountNotActive
    """
    account = await accounts.find(session, UserId(user_id), lock=True)
    account_rules.check_convertible(account.state, account.merged_into, account.version, None)
    old = None if account.email is None else accounts.address_of(account)
    new = _address(change, "new")
    changed = await accounts.confirm_new_email(session, user_id, new, actor=actor, now=now)
    values: dict[str, Any] = {"changed_at": now}
    if old is not None:
        proof = await proofs.send(
            session, "email_undo", kind="address_changed", to=old, user_id=user_id, locale=changed.locale,
            cause="account.email_changed", actor=actor, now=now,
        )  # fmt: skip
        values |= {**_columns("old", old), "undo_proof_id": proof.id}
    await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(**values))


async def undo_by_link(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Give the account its old address back, and end every session: whoever changed it is out.

    Raises:
        LinkDead: also where a change before it was undone, and this one with it. Otherwise whoever took an account
            by changing its address twice could undo the undoing.
        accounts.rules.EmailTaken: somebody else has the old address by now.
    """
    await accounts.find(session, UserId(found.proof.user_id or ""), lock=True)
    change = await session.scalar(
        select(EmailChange).where(EmailChange.undo_proof_id == found.proof.id).with_for_update()
    )
    if change is None or change.old_email is None or change.undone_at is not None:
        raise LinkDead
    proof = await proofs.use_up(session, found, now=now)
    await accounts.confirm_new_email(session, proof.user_id, _address(change, "old"), actor="customer", now=now)
    await accounts.end_sessions(session, proof.user_id, actor="customer", now=now)
    since = (EmailChange.user_id == proof.user_id) & (EmailChange.changed_at >= change.changed_at)
    await session.execute(update(EmailChange).where(since, EmailChange.undone_at.is_(None)).values(undone_at=now))


def _columns(prefix: str, address: EmailAddress) -> dict[str, str]:
    return {f"{prefix}_email": address.shown, f"{prefix}_ascii": address.ascii, f"{prefix}_key": address.key}


def _address(change: EmailChange, prefix: str) -> EmailAddress:
    return EmailAddress(*(getattr(change, f"{prefix}_{part}") for part in ("email", "ascii", "key")))
