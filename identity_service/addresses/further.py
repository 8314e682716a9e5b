"""Further addresses of an account: add, confirm, remove, make one the address on file.

Each change is told to every mailbox of the customer at once, with a link that undoes it for seven days.
"""

import hmac
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account, FurtherAddress
from identity_service.addresses import actions, rules
from identity_service.addresses.tables import EmailChange
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.merges import actions as merges
from identity_service.merges.rules import CannotMerge
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.confirmations import Row
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.values import email_addresses
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId

_KIND: Final = "further_address"


class OwnAddress(NamedTuple):
    """A further address as its owner sees it: not confirmed yet without `confirmed_at`, for recovery from
    `recovers_at`, never without it."""

    id: uuid.UUID
    email: str
    for_recovery: bool
    for_notices: bool
    confirmed_at: datetime | None
    recovers_at: datetime | None


async def list_addresses(session: DatabaseSession, account: Account) -> tuple[list[OwnAddress], list[str]]:
    """Return the further addresses of an account, confirmed or not, oldest first, and the addresses that it has by
    accounts merged into it."""
    mine = select(FurtherAddress).where(FurtherAddress.user_id == account.user_id, FurtherAddress.removed_at.is_(None))
    rows = (await session.scalars(mine.order_by(FurtherAddress.added_at, FurtherAddress.id))).all()
    known = await ownership.mailboxes_of(session, account.user_id)
    keys = {one.address.key for one in known}
    # What waited until a merge brought it waits no more.
    shown = [row for row in rows if row.confirmed_at is not None or row.email_key not in keys]
    own = {account.email_key, *(row.email_key for row in rows if row.confirmed_at is not None)}
    merged = [one.address.shown for one in known if one.address.key not in own]
    return [OwnAddress(*(getattr(row, name) for name in OwnAddress._fields)) for row in shown], merged


async def add_address(
    session: DatabaseSession,
    user_id: UserId,
    address: EmailAddress,
    *,
    for_recovery: bool,
    for_notices: bool,
    now: datetime,
) -> None:
    """Add an address to the signed-in customer's account and ask its mailbox to confirm it; one that waits already is
    asked again, and its older link ends.

    Whether another account has the address is not told: its row waits like any other, and that account's mailbox is
    asked whether the two shall become one (ADR-04, ATT-24).

    Raises:
        rules.AlreadyYours, TooManyAddresses
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail
    """
    account = await accounts.find_changeable_account(session, user_id)
    accounts.address_of(account)
    await _refuse_own(session, account, address)
    told = await ownership.mailboxes_of(session, account.user_id, recent_at=now)
    address_id = uuid.uuid4()
    data = {"address_id": address_id}
    await events.record_event(session, "address.added", user_id=account.user_id, actor="customer", data=data, now=now)
    row = {
        "id": address_id, "user_id": account.user_id, "email": address.shown, "email_ascii": address.ascii,
        "email_key": address.key, "for_recovery": for_recovery, "for_notices": for_notices, "added_at": now,
        "token_id": await _ask_mailbox(session, account, address, now=now),
    }  # fmt: skip
    await session.execute(insert(FurtherAddress), row)
    await _tell(session, "address_added", account, told, address_id, address.shown, now=now)


async def _ask_mailbox(
    session: DatabaseSession, account: Account, address: EmailAddress, *, now: datetime
) -> uuid.UUID | None:
    """Send the message that confirms an address; return its token. None if another account has the address: then that
    customer is asked whether both are one."""
    holder = await accounts.find_by_email(session, address)
    if holder is None or await actions.yields(session, holder, account, address):
        token = await one_time_tokens.send_token(
            session, _KIND, kind=_KIND, to=address, user_id=account.user_id, locale=account.locale,
            cause="address.added", actor="customer", now=now,
        )  # fmt: skip
        return token.id
    active = (await ownership.owner_of_address(session, address)).active
    if active is not None:
        # What cannot be merged waits like an address that nobody confirms (ATT-24).
        with suppress(CannotMerge):
            await merges.request_merge(
                session, UserId(account.user_id), UserId(active), vouched=True, asks_duplicate_first=True,
                actor="customer", now=now,
            )  # fmt: skip
    return None


async def _refuse_own(session: DatabaseSession, account: Account, address: EmailAddress) -> None:
    """Refuse an address that the customer has, and one more than there may be; take away the same one if it waits."""
    mine = (FurtherAddress.user_id == account.user_id) & FurtherAddress.removed_at.is_(None)
    same = mine & (FurtherAddress.email_key == address.key)
    await session.execute(delete(FurtherAddress).where(same, FurtherAddress.confirmed_at.is_(None)))
    found = await ownership.owner_of_address(session, address)
    if account.email_key == address.key or (found.user_id == account.user_id and found.active):
        raise rules.AlreadyYours
    count = await session.scalar(select(func.count()).select_from(FurtherAddress).where(mine))
    if (count or 0) + 1 >= rules.MOST:
        raise rules.TooManyAddresses


async def confirm_address(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Confirm the row that a token was sent for, whose mailbox was just read: this row alone (ADR-02).

    Raises:
        LinkInvalid
        accounts.rules.EmailTaken, AccountMoved, AccountClosed
    """
    row = await _of_token(session, found)
    if row is None:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    account = await accounts.find_changeable_account(session, UserId(proof.user_id))
    # The account is locked now: read again what a concurrent request may have changed.
    row = await _of_token(session, found)
    if row is None or row.user_id != account.user_id or row.confirmed_at is not None:
        raise LinkInvalid
    if not hmac.compare_digest(proof.recipient_hash or b"", session.keys.address_hash(row.email_key)):
        raise LinkInvalid
    address = EmailAddress(row.email, row.email_ascii, row.email_key)
    holder = await actions.release_address(session, account, address, now=now)
    recovers_at = rules.recovers_at(
        for_recovery=row.for_recovery, is_protected=await _is_protected(session, account), now=now
    )
    confirmed = update(FurtherAddress).where(FurtherAddress.id == row.id)
    try:
        await session.execute(confirmed.values(confirmed_at=now, recovers_at=recovers_at))
    except IntegrityError as taken:
        # Another account has confirmed the address after our check.
        raise account_rules.EmailTaken from taken
    await accounts.move_version(session, account.user_id)
    data = {"address_id": row.id}
    await events.record_event(
        session, "address.confirmed", user_id=account.user_id, actor="customer", data=data, now=now
    )
    if holder is not None:
        await merges.merge_by_mailbox(session, account.user_id, holder, found.token.id, actor="customer", now=now)


async def _is_protected(session: DatabaseSession, account: Account) -> bool:
    """Return whether the account can be recovered or signed in to without the address that is being confirmed."""
    others = select(FurtherAddress.id).where(
        FurtherAddress.user_id == account.user_id, FurtherAddress.confirmed_at.is_not(None),
        FurtherAddress.removed_at.is_(None),
    )  # fmt: skip
    return (
        account.email_state == "confirmed"
        or await session.scalar(others.limit(1)) is not None
        or await passwords.has_password(session, account.user_id)
        or bool(await passkeys.list_passkeys(session, account.user_id))
    )


async def remove_address(session: DatabaseSession, user_id: UserId, address_id: uuid.UUID, *, now: datetime) -> None:
    """Remove a further address: at once if it was never confirmed; else every mailbox of the customer, this one too, is
    sent a link that undoes it, and every session ends (ADR-06).

    Raises:
        rules.UnknownAddress
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed
    """
    account = await accounts.find_changeable_account(session, user_id)
    row = await _find_own(session, account, address_id)
    data = {"address_id": row.id}
    await events.record_event(session, "address.removed", user_id=account.user_id, actor="customer", data=data, now=now)
    mine = FurtherAddress.id == row.id
    if row.confirmed_at is None:
        await session.execute(delete(FurtherAddress).where(mine))
        return
    await session.execute(update(FurtherAddress).where(mine).values(removed_at=now, token_id=None))
    told = await ownership.mailboxes_of(session, account.user_id, recent_at=now)
    await _end_sessions(session, account, now=now)
    await _tell(session, "address_removed", account, told, row.id, row.email, now=now)


async def make_main(
    session: DatabaseSession, user_id: UserId, address_id: uuid.UUID, *, proven_by: bytes | None, now: datetime
) -> None:
    """Make a further address the one on file; the former one becomes a further one if it is confirmed. Every mailbox is
    told, as of any other change of address. `proven_by` is the mailbox that the session rests on.

    Raises:
        rules.UnknownAddress
        rules.NotYet: it does not recover the account, or not yet (ADR-05).
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail
    """
    account = await accounts.find_changeable_account(session, user_id)
    row = await _find_own(session, account, address_id)
    if row.recovers_at is None or row.recovers_at > now:
        raise rules.NotYet
    old, new = accounts.address_of(account), EmailAddress(row.email, row.email_ascii, row.email_key)
    was_confirmed, change_id = account.email_state == "confirmed", uuid.uuid4()
    told = await ownership.mailboxes_of(session, account.user_id, recent_at=now)
    await mailbox.confirm_new_email(session, account.user_id, new, actor="customer", now=now)
    if was_confirmed:
        kept = {
            "id": uuid.uuid4(), "user_id": account.user_id, "email": old.shown, "email_ascii": old.ascii,
            "email_key": old.key, "for_recovery": True, "for_notices": True, "added_at": now, "confirmed_at": now,
            "recovers_at": now,
        }  # fmt: skip
        await session.execute(insert(FurtherAddress), kept)
    await session.execute(insert(EmailChange), {
        "id": change_id, "user_id": account.user_id, **actions.columns("old", old), **actions.columns("new", new),
        "requested_by": "customer", "proven_by": proven_by, "requested_at": now, "changed_at": now,
    })  # fmt: skip
    await _end_sessions(session, account, now=now)
    await actions.tell_of_change(session, account.user_id, told, new, change_id, now=now)


async def _end_sessions(session: DatabaseSession, account: Account, *, now: datetime) -> None:
    """End every session, and the links and codes in a mailbox that may be the customer's no more."""
    reason = SessionsEndedReason.ADDRESSES_CHANGED
    await accounts.end_sessions(session, account.user_id, reason, actor="customer", now=now)


async def _find_own(session: DatabaseSession, account: Account, address_id: uuid.UUID) -> FurtherAddress:
    mine = select(FurtherAddress).where(FurtherAddress.id == address_id, FurtherAddress.user_id == account.user_id)
    row: FurtherAddress | None = await session.scalar(
        mine.where(FurtherAddress.removed_at.is_(None)).execution_options(populate_existing=True)
    )
    if row is None:
        raise rules.UnknownAddress
    return row


async def _of_token(session: DatabaseSession, found: TokenWithMessage) -> FurtherAddress | None:
    mine = select(FurtherAddress).where(FurtherAddress.token_id == found.token.id, FurtherAddress.removed_at.is_(None))
    row: FurtherAddress | None = await session.scalar(mine.execution_options(populate_existing=True))
    return row


async def check_waits(session: DatabaseSession, found: TokenWithMessage) -> None:
    """Refuse the link or code of an address that was removed, or asked for again.

    Raises:
        LinkInvalid
    """
    if await _of_token(session, found) is None:
        raise LinkInvalid


async def find_joined(session: DatabaseSession, found: TokenWithMessage) -> tuple[str, str] | None:
    """Return the account that gets the address, and the active one that has it and would be merged into that."""
    row = await _of_token(session, found)
    if row is None:
        return None
    holder = await accounts.find_by_email(session, EmailAddress(row.email, row.email_ascii, row.email_key))
    if holder is None or holder.state != "active" or holder.user_id == row.user_id:
        return None
    return row.user_id, holder.user_id


async def show_address(session: DatabaseSession, found: TokenWithMessage) -> list[Row]:
    """Return the address that a link to confirm or undo is about, for its page: whole to its own mailbox alone."""
    named = found.message.facts.get("address_id")
    if named is not None:
        return [Row("Email address", str(found.message.facts.get("address", "")))]
    row = await _of_token(session, found)
    return [] if row is None else [Row("New address", row.email)]


async def _tell(
    session: DatabaseSession,
    kind: str,
    account: Account,
    told: Sequence[ownership.Mailbox],
    address_id: uuid.UUID,
    address: str,
    *,
    now: datetime,
) -> None:
    """Tell these mailboxes that an address was added or removed, each with a link to undo it."""
    facts = {"address_id": str(address_id), "address": email_addresses.mask(address), "at": now.isoformat()}
    cause = kind.replace("_", ".")
    for one in told:
        await one_time_tokens.send_token(
            session, "address_undo", kind=kind, to=one.address, user_id=account.user_id, locale=one.locale,
            facts=facts, cause=cause, actor="customer", now=now,
        )  # fmt: skip


async def purge_addresses(session: DatabaseSession) -> None:
    """Delete addresses that were removed too long ago to be brought back."""
    await session.execute(delete(FurtherAddress).where(FurtherAddress.removed_at < func.now() - rules.KEPT_FOR))
