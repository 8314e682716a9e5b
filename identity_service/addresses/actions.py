"""Change an address: the new mailbox confirms; the others get a notice and can undo it for seven days."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.addresses import waiting
from identity_service.addresses.tables import EmailChange
from identity_service.consents import actions as consents
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.merges import actions as merges
from identity_service.merges import undo
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.confirmations import Row
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passwords import actions as passwords
from identity_service.registration import actions as registration
from identity_service.resets import actions as resets
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
            # The session speaks for its own account if that has no mailbox; the other one has the typed address.
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
    if holder is not None and not await _yields(session, holder, account):
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
    await session.execute(insert(EmailChange), {**row, **_columns("new", address)})


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
        await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(_columns("old", old)))
    changed = await _take_address(
        session, account, _address(change, "new"), token_id=found.token.id, actor="customer", now=now
    )
    await session.execute(update(EmailChange).where(EmailChange.id == change.id).values(changed_at=now))
    for other in told:
        if other.address.key != change.new_key:
            await one_time_tokens.send_token(
                session, "email_undo", kind="address_changed", to=other.address, user_id=changed.user_id,
                locale=other.locale, facts={"change": str(change.id)}, cause="account.email_changed",
                actor="customer", now=now,
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
    holder = await accounts.find_by_email(session, _address(change, "new"))
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
    """Return the keys of every address that these accounts had once, without those that another account has now."""
    changed = select(EmailChange.old_key, EmailChange.new_key).where(
        EmailChange.user_id.in_(user_ids), EmailChange.changed_at.is_not(None)
    )
    found = {key for row in await session.execute(changed) for key in row if key is not None}
    others = select(Account.email_key).where(Account.email_key.in_(found), Account.user_id.not_in(user_ids))
    return found - set((await session.scalars(others)).all())


async def undo_email_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Restore the old address, and end what whoever changed it may have gained: sessions, one-time tokens, waiting
    changes and the password. A message to the restored mailbox sets a new password.

    All later changes are marked as undone too: otherwise an attacker who changed the address twice could use the undo
    link of the second change to reverse this.

    Raises:
        LinkInvalid: also if undoing an earlier change has undone this one.
        accounts.rules.EmailTaken: another customer has confirmed the old address meanwhile.
    """
    account = await accounts.find_account(session, UserId(found.token.user_id or ""), lock=True)
    change_id = found.message.facts.get("change")
    change = None if change_id is None else await session.get(EmailChange, uuid.UUID(change_id), with_for_update=True)
    if change is None or change.changed_at is None or change.undone_at is not None:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    await _restore_old_address(session, account, change, found.token.id, now=now)
    reason = SessionsEndedReason.EMAIL_CHANGE_UNDONE
    await credentials.end_access(session, proof.user_id, reason=reason, actor="customer", now=now)
    await passwords.remove_password(session, proof.user_id, reason=reason, actor="customer", now=now)
    await credentials.end_credentials(
        session, proof.user_id, since=change.changed_at, reason=reason, actor="customer", now=now
    )
    await undo.undo_foreign_merges(session, proof.user_id, since=change.changed_at, actor="customer", now=now)
    await consents.withdraw_granted_since(
        session, proof.user_id, change.changed_at, channel="email_link", actor="customer", now=now
    )
    since = (EmailChange.user_id == proof.user_id) & (EmailChange.changed_at >= change.changed_at)
    await session.execute(update(EmailChange).where(since, EmailChange.undone_at.is_(None)).values(undone_at=now))
    if change.old_email is not None and account.state == "active":
        # A moment later, because `end_access` has just ended every token requested until now.
        later = now + timedelta(microseconds=1)
        await resets.request_reset_for_account(
            session, UserId(proof.user_id), where_from=None, after_undo=True, actor="customer", now=later
        )


async def _restore_old_address(
    session: DatabaseSession, account: Account, change: EmailChange, token_id: uuid.UUID, *, now: datetime
) -> None:
    if change.old_email is None:
        await mailbox.remove_email(session, account.user_id, actor="customer", now=now)
        return
    old = _address(change, "old")
    holder = await accounts.find_by_email(session, old)
    if holder is not None and holder.state == "closed" and holder.email_state != "confirmed":
        # Somebody registered the old address meanwhile and closed that account; nobody has proven it there.
        await mailbox.remove_email(session, holder.user_id, actor="customer", now=now)
    await _take_address(session, account, old, token_id=token_id, actor="customer", now=now)


async def return_own_address(
    session: DatabaseSession, user_id: str, *, since: datetime, actor: str, now: datetime
) -> None:
    """Restore the address that an account had before the first change since a moment that its own session did not
    request: a merge since then is undone, and who came with it had a session here, or asked through a service."""
    mine = (EmailChange.user_id == user_id) & (EmailChange.changed_at >= since) & EmailChange.undone_at.is_(None)
    changes = (await session.scalars(select(EmailChange).where(mine).order_by(EmailChange.changed_at))).all()
    own = set(await ownership.mailbox_hashes_of(session, user_id))
    foreign = None
    for change in reversed(changes):
        own.discard(_hash(session, change.new_key))
        own.add(_hash(session, change.old_key))
    for change in changes:
        if foreign is None and change.proven_by not in own:
            foreign = change
        own.add(_hash(session, change.new_key))
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    if foreign is None and changes and account.email is None:
        # The address of the last change was given back to the account that is restored.
        foreign = changes[-1]
    if foreign is None or foreign.old_email is None or foreign.changed_at is None:
        # An account without an address before has nothing to go back to, and no other way in.
        return
    try:
        await _take_address(session, account, _address(foreign, "old"), actor=actor, now=now)
    except account_rules.EmailTaken:
        # Another customer has proven that mailbox since.
        await mailbox.remove_email(session, user_id, actor=actor, now=now)
    over = update(EmailChange).where(mine, EmailChange.changed_at >= foreign.changed_at)
    await session.execute(over.values(undone_at=now))


def _hash(session: DatabaseSession, key: str | None) -> bytes:
    return b"" if key is None else session.keys.address_hash(key)


async def _yields(session: DatabaseSession, holder: Account, account: Account) -> bool:
    """Return whether the account that has an address gives it to `account`, whose owner proves the mailbox: it is
    merged into that account, or both are active and nobody has ever confirmed the address there."""
    if holder.state == "merged":
        return account.user_id in await ownership.accounts_above(session, holder.user_id)
    return holder.state == account.state == "active" and holder.email_state != "confirmed"


async def _take_address(
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
    if holder is None or holder.user_id == account.user_id:
        return await mailbox.confirm_new_email(session, account.user_id, address, actor=actor, now=now)
    if not await _yields(session, holder, account):
        raise account_rules.EmailTaken
    if holder.state != "active":
        await mailbox.exchange_emails(session, account.user_id, holder.user_id, actor=actor, now=now)
        return await accounts.find_account(session, UserId(account.user_id))
    await mailbox.remove_email(session, holder.user_id, actor=actor, now=now)
    changed = await mailbox.confirm_new_email(session, account.user_id, address, actor=actor, now=now)
    await merges.merge_by_mailbox(session, account.user_id, holder.user_id, token_id, actor=actor, now=now)
    return changed


def _columns(prefix: str, address: EmailAddress) -> dict[str, str]:
    return {f"{prefix}_email": address.shown, f"{prefix}_ascii": address.ascii, f"{prefix}_key": address.key}


def _address(change: EmailChange, prefix: str) -> EmailAddress:
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
