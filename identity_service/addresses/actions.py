"""Change an address: the new mailbox confirms; the others get a notice and can undo it for seven days."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account, FurtherAddress
from identity_service.addresses import waiting
from identity_service.addresses.tables import EmailChange
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.merges import actions as merges
from identity_service.merges.rules import CannotMerge
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.confirmations import Row
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.registration import actions as registration
from identity_service.values import email_addresses
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


class EmailChangeRequest(NamedTuple):
    """The account, and the change that waits for the new mailbox; `None` if nothing waits."""

    account: Account
    change_id: uuid.UUID | None


async def request_or_add_email(
    session: DatabaseSession,
    user_id: UserId,
    address: EmailAddress,
    *,
    proven_by: bytes | None = None,
    actor: str,
    now: datetime,
) -> EmailChangeRequest:
    """Request an email change, or add the first address, which is stored at once and stays unconfirmed.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountClosed
    """
    account = await accounts.find_changeable_account(session, user_id)
    if account.email is None and not await ownership.mailboxes_of(session, account.user_id):
        added = await registration.add_first_email(session, UserId(account.user_id), address, actor=actor, now=now)
        return EmailChangeRequest(added, None)
    return await request_email_change(session, user_id, address, proven_by=proven_by, actor=actor, now=now)


async def request_own_email(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, proven_by: bytes | None, now: datetime
) -> None:
    """Request an email change for the signed-in customer, without telling whether another account has the address.
    `proven_by` is the mailbox that the session rests on.

    If one has, its mailbox is asked whether the two accounts shall become one, and this customer's only after it has
    agreed: what arrives here tells nobody which addresses have accounts (ATT-24). For the same reason that change
    waits like any other, without a token.

    Raises:
        accounts.rules.UnknownUserId, AccountClosed
    """
    try:
        # Also the first address waits for its mailbox: the account may have a passkey, which the first proof of an
        # unconfirmed address would remove.
        await request_email_change(session, user_id, address, proven_by=proven_by, actor="customer", now=now)
    except account_rules.EmailTaken:
        await _store_request(session, user_id, address, None, actor="customer", now=now)
        holder = await ownership.owner_of_address(session, address)
        if holder.active is not None:
            # The session speaks for its own account if that has no mailbox; the other one has the typed address. What
            # cannot be merged waits like an address that nobody confirms (ATT-24).
            with suppress(CannotMerge):
                await merges.request_merge(
                    session, user_id, UserId(holder.active), vouched=True, asks_duplicate_first=True, actor="customer",
                    now=now,
                )  # fmt: skip


async def request_email_change(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, proven_by: bytes | None = None, actor: str,
    now: datetime,
) -> EmailChangeRequest:  # fmt: skip
    """Send a confirmation to a new address; the account keeps the old one until the new mailbox confirms. Of several
    requests the newest counts alone.

    An address that another account has is refused, unless that account is merged into this one, or nobody has ever
    confirmed the address there: whoever proves the mailbox gets it.

    Raises:
        accounts.rules.UnknownUserId, EmailTaken, AccountClosed
    """
    account = await accounts.find_changeable_account(session, user_id)
    if account.email_key == address.key:
        return EmailChangeRequest(account, None)
    holder = await accounts.find_by_email(session, address)
    if holder is not None and not await yields(session, holder, account, address):
        raise account_rules.EmailTaken
    change_id = uuid.uuid4()
    data = {"change_id": change_id}
    await events.record_event(
        session, "account.email_change_requested", user_id=account.user_id, actor=actor, data=data, now=now
    )
    token = await one_time_tokens.send_token(
        session, "email_change", kind="email_change", to=address, user_id=account.user_id, locale=account.locale,
        cause="account.email_change_requested", actor=actor, now=now,
    )  # fmt: skip
    await _store_request(
        session, account.user_id, address, token.id, change_id=change_id, proven_by=proven_by, actor=actor, now=now
    )
    return EmailChangeRequest(account, change_id)


async def _store_request(
    session: DatabaseSession,
    user_id: str,
    address: EmailAddress,
    token_id: uuid.UUID | None,
    *,
    change_id: uuid.UUID | None = None,
    proven_by: bytes | None = None,
    actor: str,
    now: datetime,
) -> None:
    """Store a change that waits, in the place of any that waited before."""
    await waiting.end_waiting(session, user_id, now=now)
    row = {
        "id": change_id or uuid.uuid4(), "user_id": user_id, "token_id": token_id, "requested_by": actor,
        "proven_by": proven_by, "requested_at": now,
    }  # fmt: skip
    await session.execute(insert(EmailChange), {**row, **columns("new", address)})


async def confirm_email_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Change the address after the new mailbox confirmed; older one-time tokens end, and every other mailbox of the
    customer gets a notice with an undo link.

    Raises:
        LinkInvalid
        accounts.rules.EmailTaken, AccountMoved, AccountClosed
    """
    change = await session.scalar(select(EmailChange).where(EmailChange.token_id == found.token.id))
    if change is None or change.new_email is None or await _was_answered(session, change):
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    account = await accounts.find_changeable_account(session, UserId(proof.user_id))
    # The account is locked now: a request that came first has replaced this one.
    await waiting.check_waits(session, found)
    told = await ownership.mailboxes_of(session, account.user_id)
    if account.email is not None:
        old = accounts.address_of(account)
        await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(columns("old", old)))
    changed = await take_address(
        session, account, address_of(change, "new"), token_id=found.token.id, actor="customer", now=now
    )
    await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(changed_at=now))
    await tell_of_change(session, changed.user_id, told, address_of(change, "new"), change.id, now=now)


async def tell_of_change(
    session: DatabaseSession,
    user_id: str,
    told: Sequence[ownership.Mailbox],
    new: EmailAddress,
    change_id: uuid.UUID,
    *,
    now: datetime,
) -> None:
    """Tell these mailboxes, but for the new one, that the address on file was changed, each with a link to undo it."""
    for other in told:
        if other.address.key != new.key:
            await one_time_tokens.send_token(
                session, "email_undo", kind="address_changed", to=other.address, user_id=user_id, locale=other.locale,
                facts={"change": str(change_id)}, cause="account.email_changed", actor="customer", now=now,
            )  # fmt: skip


async def show_change(session: DatabaseSession, found: TokenWithMessage) -> list[Row]:
    """Return the addresses that a link to confirm or undo a change is about, for its page.

    Whoever confirms a new address reads the old one masked: it may be somebody else's account.
    """
    change_id = found.message.facts.get("change")
    mine = EmailChange.token_id == found.token.id if change_id is None else EmailChange.id == uuid.UUID(change_id)
    change = await session.scalar(select(EmailChange).where(mine))
    if change is None or change.new_email is None:
        return []
    if change_id is not None:
        was, is_now = change.old_email or "", email_addresses.mask(change.new_email)
        return [Row("Changed to", is_now), Row("Will change back to", was)]
    now_at = await session.scalar(select(Account.email).where(Account.user_id == change.user_id))
    current = email_addresses.mask(now_at) if now_at else ""
    return [Row("Current address", current), Row("New address", change.new_email)]


async def find_joined(session: DatabaseSession, found: TokenWithMessage) -> tuple[str, str] | None:
    """Return the account that gets the address, and the active one that has it and would be merged into that."""
    change = await session.scalar(select(EmailChange).where(EmailChange.token_id == found.token.id))
    if change is None or change.new_email is None:
        return None
    holder = await accounts.find_by_email(session, address_of(change, "new"))
    if holder is None or holder.state != "active" or holder.user_id == change.user_id:
        return None
    return change.user_id, holder.user_id


async def _was_answered(session: DatabaseSession, change: EmailChange) -> bool:
    """Return whether staff requested a change because the mailbox was lost, and a mailbox was proven since."""
    if not change.requested_by.startswith("staff:"):
        return False
    own = await ownership.mailbox_hashes_of(session, change.user_id, recent_at=change.requested_at)
    return await one_time_tokens.was_proven(session, own, since=change.requested_at)


async def earlier_keys(session: DatabaseSession, user_ids: Sequence[str]) -> set[str]:
    """Return the keys of every address that these accounts had once, or as a further one, without those that another
    account has now."""
    changed = select(EmailChange.old_key, EmailChange.new_key).where(
        EmailChange.user_id.in_(user_ids), EmailChange.changed_at.is_not(None)
    )
    found = {key for row in await session.execute(changed) for key in row if key is not None}
    further = select(FurtherAddress.email_key)
    found |= set(await session.scalars(further.where(FurtherAddress.user_id.in_(user_ids))))
    others = select(Account.email_key).where(Account.email_key.in_(found), Account.user_id.not_in(user_ids))
    elsewhere = further.where(
        FurtherAddress.email_key.in_(found), FurtherAddress.user_id.not_in(user_ids),
        FurtherAddress.confirmed_at.is_not(None), FurtherAddress.removed_at.is_(None),
    )  # fmt: skip
    return found - set(await session.scalars(others)) - set(await session.scalars(elsewhere))


async def yields(session: DatabaseSession, holder: Account, account: Account, address: EmailAddress) -> bool:
    """Return whether the account that has an address gives it to `account`, whose owner proves the mailbox: it is that
    account or merged into it, or both are active and nobody has ever confirmed the address there."""
    if holder.user_id == account.user_id:
        return True
    if holder.state == "merged":
        return account.user_id in await ownership.accounts_above(session, holder.user_id)
    is_confirmed = holder.email_key != address.key or holder.email_state == "confirmed"
    return holder.state == account.state == "active" and not is_confirmed


async def take_address(
    session: DatabaseSession,
    account: Account,
    address: EmailAddress,
    *,
    token_id: uuid.UUID | None = None,
    actor: str,
    now: datetime,
) -> Account:
    """Set an address whose mailbox was just read, by this token. A merged account that has it gets the old one in
    exchange; an active one where it was never confirmed is merged into this account, so that its history is kept.

    Raises:
        accounts.rules.EmailTaken
    """
    holder = await accounts.find_by_email(session, address)
    if holder is not None and holder.state == "merged" and holder.email_key == address.key:
        if not await yields(session, holder, account, address):
            raise account_rules.EmailTaken
        await mailbox.exchange_emails(session, account.user_id, holder.user_id, actor=actor, now=now)
        return await accounts.find_account(session, UserId(account.user_id))
    joined = await release_address(session, account, address, actor=actor, now=now)
    changed = await mailbox.confirm_new_email(session, account.user_id, address, actor=actor, now=now)
    if joined is not None:
        await merges.merge_by_mailbox(session, account.user_id, joined, token_id, actor=actor, now=now)
    return changed


async def release_address(
    session: DatabaseSession, account: Account, address: EmailAddress, *, actor: str = "customer", now: datetime
) -> str | None:
    """Take an address off the account that has it, if that gives it to `account`; return that account if it has to be
    merged into this one, because it is active.

    Raises:
        accounts.rules.EmailTaken
    """
    holder = await accounts.find_by_email(session, address)
    if holder is None or holder.user_id == account.user_id:
        return None
    if not await yields(session, holder, account, address):
        raise account_rules.EmailTaken
    await mailbox.remove_email(session, holder.user_id, address, actor=actor, now=now)
    return holder.user_id if holder.state == "active" else None


def columns(prefix: str, address: EmailAddress) -> dict[str, str]:
    """Return the columns of a change for its `old` or `new` address."""
    return {f"{prefix}_email": address.shown, f"{prefix}_ascii": address.ascii, f"{prefix}_key": address.key}


def address_of(change: EmailChange, prefix: str) -> EmailAddress:
    """Return the `old` or `new` address of a change."""
    return EmailAddress(*(getattr(change, f"{prefix}_{part}") for part in ("email", "ascii", "key")))


async def apply_email(
    session: DatabaseSession, user_id: UserId, details: dict[str, Any], *, actor: str, now: datetime
) -> None:
    """Carry out an approved change of address: it only requests it, because the new mailbox must still confirm. One
    that a second person approved is for who has lost every way in: then the mailbox can be one again (PKY-15)."""
    if actor != "customer":
        await credentials.allow_other_ways(session, user_id, actor=actor, now=now)
    address = EmailAddress(*(details[name] for name in ("email", "ascii", "key")))
    await request_or_add_email(session, user_id, address, actor=actor, now=now)
