"""Register customers, and add or confirm their first address."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership, references
from identity_service.accounts import rules as account_rules
from identity_service.accounts.rules import AccountClosed
from identity_service.accounts.tables import Account
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.merges import actions as merges
from identity_service.messages import actions as messages
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import ChooseAccount, LinkInvalid, UnknownTracking
from identity_service.values import user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId

CLOSED: Final = (
    "This address belonged to account {closed}, which is closed. You can open it again with its history. {joined}"
    " will then be part of it. Or you can go on with {joined}, and {closed} stays closed. If you didn't ask for "
    "{joined}, close this page."
)


_REGISTERED: Final = "account.registered"
_CORRECTED: Final = "account.email_change_requested"
_CORRECTABLE: Final = timedelta(hours=1)


class RegistrationResult(NamedTuple):
    """An account, and whether it is new."""

    account: Account
    is_new: bool


async def register_account(
    session: DatabaseSession,
    address: EmailAddress | None,
    *,
    display_name: str | None,
    locale: str,
    external_ref: str | None,
    source: str,
    actor: str,
    now: datetime,
) -> RegistrationResult:
    """Issue a User ID, or return the account that this address, or this source's reference, resolves to.

    A new account with an address gets a welcome email, enqueued in the same transaction. Concurrent calls for one
    address add one account: the insert skips the conflict (`ON CONFLICT DO NOTHING`) and the stored row is returned.

    Raises:
        accounts.rules.ExternalRefTaken: the source knows another account by this reference.
        accounts.rules.AccountClosed: the account of this address or reference is closed.
    """
    known = None
    if external_ref is not None:
        known = await accounts.find_by_reference(session, source, external_ref, lock=True)
    if known is not None and address is None:
        return RegistrationResult(await _find_answering(session, known), is_new=False)
    account = await accounts.add_account(session, address, display_name=display_name, locale=locale, now=now)
    is_new = account is not None
    if account is None:
        assert address is not None  # noqa: S101
        account = await accounts.find_by_email(session, address)
        assert account is not None  # noqa: S101
        account = await _find_answering(session, account)
    if is_new:
        await _note_registered(session, account, address, actor=actor, now=now)
    if external_ref is not None and not (known is not None and await _is_same(session, known, account)):
        is_added = await references.add_reference(session, account.user_id, source, external_ref, now=now)
        if is_added and not is_new:
            account = await references.note_added(session, account, source, actor=actor, now=now)
    return RegistrationResult(account, is_new)


async def _note_registered(
    session: DatabaseSession, account: Account, address: EmailAddress | None, *, actor: str, now: datetime
) -> None:
    data = {"kind": account.kind, "by": "email" if address else "nothing", "marketing": "never"}
    await events.record_event(session, _REGISTERED, user_id=account.user_id, actor=actor, data=data, now=now)
    await _welcome(session, account, address, cause=_REGISTERED, actor=actor, now=now)


async def _find_answering(session: DatabaseSession, account: Account) -> Account:
    """Return the account that this one resolves to, unless that is closed."""
    found = await accounts.find_active_account(session, UserId(account.user_id))
    if found.state == "closed":
        raise AccountClosed(user_id=user_ids.show(found.user_id))
    return found


async def _is_same(session: DatabaseSession, known: Account, account: Account) -> bool:
    """Return whether the account that a reference names resolves to this one."""
    return (await accounts.find_active_account(session, UserId(known.user_id))).user_id == account.user_id


async def issue_at_desk(
    session: DatabaseSession, address: EmailAddress | None, *, locale: str, actor: str, now: datetime
) -> Account | None:
    """Issue a User ID to a caller, whose emails are in `locale`. If an account has the address already, its User ID is
    sent there, and the answer is None.

    The member of staff is told nothing about that account: whoever calls may have typed somebody else's address.
    """
    try:
        registered = await register_account(
            session, address, display_name=None, locale=locale, external_ref=None, source="console", actor=actor,
            now=now,
        )  # fmt: skip
    except AccountClosed:
        return None
    if registered.is_new:
        return registered.account
    assert address is not None  # noqa: S101
    # The message belongs to the account that has the address, which may be merged; it names the ID of today.
    holder = await accounts.find_by_email(session, address)
    assert holder is not None  # noqa: S101
    await _welcome(session, holder, address, cause=_REGISTERED, actor=actor, now=now)
    return None


async def add_first_email(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Add the first address of an account and enqueue the welcome email to it.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, EmailPresent, EmailTaken
    """
    before = (await accounts.find_account(session, user_id, lock=True)).email
    account = await mailbox.add_email(session, user_id, address, actor=actor, now=now)
    if before is None:
        await _welcome(session, account, address, cause="account.email_added", actor=actor, now=now)
    return account


class PublicRegistration(NamedTuple):
    """An account, and the handle of the tracking link for its newest message."""

    account: Account
    handle: str


async def register_publicly(
    session: DatabaseSession, address: EmailAddress, *, corrected: tuple[str, str] = ("", ""), locale: str,
    where_from: str, now: datetime,
) -> PublicRegistration:  # fmt: skip
    """Issue a new User ID to anybody, at once; the address is attached when its mailbox confirms it. Whoever corrects
    the address that they typed a moment ago keeps their User ID; `corrected` is what their browser was given for it.

    The same statements run whether the address is free, taken or closed, so that neither the page nor its timing
    reveals which (decision 6, ATT-24). If it is taken, the email names that account and offers to merge the two.
    """
    token_id, account = uuid.uuid4(), await _find_mistyped(session, *corrected, now=now)
    cause, data = _CORRECTED, dict[str, Any](change_id=token_id)
    if account is None:
        account = await accounts.add_account(session, None, display_name=None, locale=locale, now=now)
        assert account is not None  # noqa: S101
        cause, data = _REGISTERED, {"kind": account.kind, "by": "page", "marketing": "never"}
    holder = await ownership.owner_of_address(session, address)
    await events.record_event(session, cause, user_id=account.user_id, actor="customer", data=data, now=now)
    token = await one_time_tokens.send_token(
        session, "address", kind="address_check" if holder.user_id is None else "address_taken", to=address,
        user_id=account.user_id, locale=locale, facts={"from": where_from}, token_id=token_id, cause=cause,
        actor="customer", now=now,
    )  # fmt: skip
    return PublicRegistration(account, await one_time_tokens.create_tracking_link(session, token.id, now=now))


async def _find_mistyped(session: DatabaseSession, handle: str, typed: str, *, now: datetime) -> Account | None:
    """Return the account that was registered with this address and tracking handle, and end the link and code that went
    there; None unless that was within the hour and nothing has happened to the account since.
    """
    try:
        token, message = await one_time_tokens.find_by_tracking(session, handle, ("address",), now=now)
    except UnknownTracking:
        return None
    is_theirs = token.used_at is None and message.recipient == typed and now - token.requested_at <= _CORRECTABLE
    if token.user_id is None or not is_theirs:
        return None
    account = await accounts.find_account(session, UserId(token.user_id), lock=True)
    is_new = account.state == "active" and account.email is None
    if not is_new or await events.has_events_besides(session, account.user_id, (_REGISTERED, _CORRECTED)):
        return None
    return await accounts.change_row(session, account, {"tokens_valid_after": token.requested_at})


async def confirm_address(session: DatabaseSession, found: TokenWithMessage, *, choice: str = "", now: datetime) -> str:
    """Attach an address whose mailbox was just read; if another account has it, merge the new account into that one.
    Return `address_known` for a merge, `reopened` for one into an account that was closed, else `address`.

    If that one is closed, its owner chooses: `reopen` it, or `new`, which takes the address off it; after 30 days only
    the second is left.

    Raises:
        LinkInvalid: the token was used or expired, or the new account is closed, merged or has an address.
        ChooseAccount
    """
    address = _address_of(found)
    if address is None or found.token.user_id is None:
        raise LinkInvalid
    fresh = await accounts.find_account(session, UserId(found.token.user_id), lock=True)
    if fresh.email is not None or fresh.state != "active":
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    holder = await accounts.find_by_email(session, address)
    was_closed = holder is not None and holder.state == "closed"
    if holder is not None:
        holder = await _settle_closed(session, holder, fresh, address, choice, now=now)
    if holder is None:
        await mailbox.confirm_new_email(session, proof.user_id, address, actor="customer", now=now)
        return "address"
    if (await accounts.find_active_account(session, UserId(holder.user_id))).user_id != fresh.user_id:
        # If the holder was merged into the new account meanwhile, merging back would make a cycle.
        await merges.merge_by_mailbox(session, holder.user_id, proof.user_id, found.token.id, actor="customer", now=now)
    await credentials.confirm_mailbox(session, holder.user_id, proof, now=now)
    return "reopened" if was_closed else "address_known"


async def _settle_closed(
    session: DatabaseSession, holder: Account, fresh: Account, address: EmailAddress, choice: str, *, now: datetime
) -> Account | None:
    """Return the account that has an address, opened again if it was closed and its owner wants it, or None if the
    address was taken off a closed one."""
    kept = await accounts.find_active_account(session, UserId(holder.user_id))
    if kept.state != "closed":
        return holder
    if account_rules.may_reopen(kept.state, kept.closed_at, now):
        if choice not in ("reopen", "new"):
            both = {"closed": user_ids.show(kept.user_id), "joined": user_ids.show(fresh.user_id)}
            raise ChooseAccount(CLOSED, places=both)
        if choice == "reopen":
            await accounts.reopen_account(session, UserId(kept.user_id), actor="customer", now=now)
            return await accounts.find_account(session, UserId(holder.user_id))
    await mailbox.remove_email(session, holder.user_id, address, actor="customer", now=now)
    return None


async def find_joined(session: DatabaseSession, found: TokenWithMessage) -> tuple[str, str] | None:
    """Return the account that has the address of this link already, and the new one that would be merged into it."""
    address = _address_of(found)
    holder = None if address is None else await accounts.find_by_email(session, address)
    if holder is None or found.token.user_id is None:
        return None
    kept = await accounts.find_active_account(session, UserId(holder.user_id))
    if kept.state == "closed" or kept.user_id == found.token.user_id:
        return None
    return kept.user_id, found.token.user_id


def _address_of(found: TokenWithMessage) -> EmailAddress | None:
    message = found.message
    if message.recipient is None or message.recipient_ascii is None:
        return None
    return EmailAddress(message.recipient, message.recipient_ascii, message.recipient_ascii.lower())


async def _welcome(
    session: DatabaseSession, account: Account, address: EmailAddress | None, *, cause: str, actor: str, now: datetime
) -> None:
    if address is not None:
        await messages.enqueue(
            session, "welcome", to=address, user_id=account.user_id, locale=account.locale,
            cause=cause, actor=actor, now=now,
        )  # fmt: skip
