"""Undo a change of an account's addresses, and what was gained since.

A link to undo brings back the addresses as they were before its change: the one on file and the further ones. Whoever
made the change may have gained more since; so sessions, links, codes, the password, and passkeys, merges and consents
since then end too (ADR-06).
"""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account, FurtherAddress
from identity_service.addresses import actions
from identity_service.addresses.tables import EmailChange
from identity_service.consents import actions as consents
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.merges import undo as merge_undo
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passwords import actions as passwords
from identity_service.resets import actions as resets
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


async def undo_email_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Undo a change of the address on file, and all later changes of addresses: otherwise an attacker who changed the
    address twice could use the undo link of the second change to reverse this.

    Raises:
        LinkInvalid: also if undoing an earlier change has undone this one.
        accounts.rules.EmailTaken: another customer has confirmed the old address meanwhile.
    """
    account = await accounts.find_account(session, UserId(found.token.user_id or ""), lock=True)
    change_id = found.message.facts.get("change")
    change = None if change_id is None else await session.get(EmailChange, uuid.UUID(change_id), with_for_update=True)
    if change is None or change.changed_at is None or change.undone_at is not None:
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)
    await _take_back(session, account, found, change, since=change.changed_at, now=now)


async def undo_further_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Undo that a further address was added or removed, and all later changes of addresses.

    Raises:
        LinkInvalid: also if it was undone, or the address was changed again, meanwhile.
        accounts.rules.EmailTaken
    """
    account = await accounts.find_account(session, UserId(found.token.user_id or ""), lock=True)
    facts = found.message.facts
    if "address_id" not in facts:
        raise LinkInvalid
    row = await session.get(FurtherAddress, uuid.UUID(facts["address_id"]), populate_existing=True)
    since = datetime.fromisoformat(facts["at"])
    if row is None or row.user_id != account.user_id or since not in (row.added_at, row.removed_at):
        raise LinkInvalid
    was_added = found.message.kind == "address_added"
    if was_added != (row.removed_at is None):
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)
    mine = select(EmailChange).where(EmailChange.user_id == account.user_id, EmailChange.changed_at >= since)
    change = await session.scalar(
        mine.where(EmailChange.undone_at.is_(None)).order_by(EmailChange.changed_at).limit(1).with_for_update()
    )
    await _take_back(session, account, found, change, since=since, now=now)


async def _take_back(
    session: DatabaseSession,
    account: Account,
    found: TokenWithMessage,
    change: EmailChange | None,
    *,
    since: datetime,
    now: datetime,
) -> None:
    """Bring an account's addresses back as they were before `since`, end what was gained since, and send a message that
    sets a new password. `change` is the first one of the address on file since then."""
    user_id = account.user_id
    await session.execute(
        delete(FurtherAddress).where(FurtherAddress.user_id == user_id, FurtherAddress.added_at >= since)
    )
    if change is not None:
        await _restore_old_address(session, account, change, found.token.id, now=now)
    if change is not None:
        # What became the main address since then comes back for notices alone: it may be a thief's.
        mains = select(EmailChange.new_key).where(EmailChange.user_id == user_id, EmailChange.changed_at >= since)
        mine = update(FurtherAddress).where(FurtherAddress.user_id == user_id, FurtherAddress.email_key.in_(mains))
        await session.execute(mine.values(for_recovery=False, recovers_at=None))
    await restore_removed(session, user_id, since=since, actor="customer", now=now)
    reason = SessionsEndedReason.EMAIL_CHANGE_UNDONE
    await credentials.end_access(session, user_id, reason=reason, actor="customer", now=now)
    await passwords.remove_password(session, user_id, reason=reason, actor="customer", now=now)
    await credentials.end_credentials(session, user_id, since=since, reason=reason, actor="customer", now=now)
    await merge_undo.undo_foreign_merges(session, user_id, since=since, actor="customer", now=now)
    await consents.withdraw_granted_since(session, user_id, since, channel="email_link", actor="customer", now=now)
    later = (EmailChange.user_id == user_id) & (EmailChange.changed_at >= since)
    await session.execute(update(EmailChange).where(later, EmailChange.undone_at.is_(None)).values(undone_at=now))
    await _send_reset(session, user_id, found, now=now)


async def _send_reset(session: DatabaseSession, user_id: str, found: TokenWithMessage, *, now: datetime) -> None:
    """Send a message that sets a new password to the mailbox whose link was used, if it may recover the account; else
    to the address on file."""
    account = await accounts.find_account(session, UserId(user_id))
    if account.state != "active" or account.email is None:
        return
    message, to = found.message, None
    if message.recipient is not None and message.recipient_ascii is not None:
        read = EmailAddress(message.recipient, message.recipient_ascii, message.recipient_ascii.lower())
        owner = await ownership.owner_of_address(session, read, recovers_at=now)
        to = owner.address if owner.active == user_id else None
    # A moment later, because `end_access` has just ended every token requested until now.
    later = now + timedelta(microseconds=1)
    await resets.request_reset_for_account(
        session, UserId(user_id), to=to, where_from=None, after_undo=True, actor="customer", now=later
    )


async def restore_removed(
    session: DatabaseSession, user_id: str, *, since: datetime, actor: str, now: datetime
) -> None:
    """Bring back the further addresses that were removed from an account since a moment, but for those that another
    account has confirmed meanwhile."""
    mine = FurtherAddress.user_id == user_id
    removed = select(FurtherAddress).where(mine, FurtherAddress.removed_at >= since)
    for row in (await session.scalars(removed.order_by(FurtherAddress.removed_at))).all():
        address = EmailAddress(row.email, row.email_ascii, row.email_key)
        if await accounts.find_by_email(session, address) is None:
            await session.execute(update(FurtherAddress).where(FurtherAddress.id == row.id).values(removed_at=None))
            data = {"address_id": row.id}
            await events.record_event(session, "address.restored", user_id=user_id, actor=actor, data=data, now=now)


async def _restore_old_address(
    session: DatabaseSession, account: Account, change: EmailChange, token_id: uuid.UUID, *, now: datetime
) -> None:
    if change.old_email is None:
        await mailbox.remove_email(session, account.user_id, actor="customer", now=now)
        return
    old = actions.address_of(change, "old")
    holder = await accounts.find_by_email(session, old)
    is_on_file = holder is not None and holder.email_key == old.key
    if holder is not None and is_on_file and holder.state == "closed" and holder.email_state != "confirmed":
        # Somebody registered the old address meanwhile and closed that account; nobody has proven it there.
        await mailbox.remove_email(session, holder.user_id, actor="customer", now=now)
    await actions.take_address(session, account, old, token_id=token_id, actor="customer", now=now)


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
        await actions.take_address(session, account, actions.address_of(foreign, "old"), actor=actor, now=now)
    except account_rules.EmailTaken:
        # Another customer has proven that mailbox since.
        await mailbox.remove_email(session, user_id, actor=actor, now=now)
    over = update(EmailChange).where(mine, EmailChange.changed_at >= foreign.changed_at)
    await session.execute(over.values(undone_at=now))


def _hash(session: DatabaseSession, key: str | None) -> bytes:
    return b"" if key is None else session.keys.address_hash(key)
