"""Find, add and change accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from identity_service import user_ids
from identity_service.accounts import rules
from identity_service.accounts.tables import Account, BusinessTime, ExternalReference
from identity_service.database import AsyncSession
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.user_ids import UserId


async def find(session: AsyncSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account under exactly this User ID, merged and closed ones too.

    Raises:
        rules.UnknownUserId: there is none, or it was erased.
    """
    wanted = select(Account).where(Account.user_id == user_id, Account.state != "erased")
    if lock:
        # An object that the session read before it had the lock may be old by now: read it anew.
        wanted = wanted.with_for_update().execution_options(populate_existing=True)
    account = await session.scalar(wanted)
    if account is None:
        raise rules.UnknownUserId
    return account


async def find_by_email(session: AsyncSession, address: EmailAddress) -> Account | None:
    """Return the account that has this mailbox."""
    found: Account | None = await session.scalar(select(Account).where(Account.email_key == address.key))
    return found


async def current(session: AsyncSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account that answers for this User ID now: itself, or where a merge has moved it.

    Raises:
        rules.UnknownUserId
    """
    account = await find(session, user_id, lock=lock)
    for _ in range(rules.LONGEST_CHAIN):
        if account.merged_into is None:
            return account
        account = await find(session, UserId(account.merged_into), lock=lock)
    raise rules.UnknownUserId


async def find_for_sign_in(session: AsyncSession, user_id: str) -> Account | None:
    """Return the active account of a User ID, if there is one."""
    mine = select(Account).where(Account.user_id == user_id, Account.state == "active")
    account: Account | None = await session.scalar(mine)
    return account


async def find_by_reference(
    session: AsyncSession, client_id: str, reference: str, *, lock: bool = False
) -> Account | None:
    """Return the account that this client knows by `reference`.

    With `lock`, whoever else asks like this waits for the end of the transaction: the reference may stand nowhere yet,
    so there is no row to lock.
    """
    if lock:
        place = func.hashtextextended(f"{client_id} {reference}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(place)))
    wanted = (
        select(Account)
        .join(ExternalReference, ExternalReference.user_id == Account.user_id)
        .where(ExternalReference.client_id == client_id, ExternalReference.reference == reference)
    )
    found: Account | None = await session.scalar(wanted.where(Account.state != "erased"))
    return found


async def references(session: AsyncSession, user_ids: Sequence[str], client_id: str) -> Sequence[str]:
    """Return what this client calls the customer of these User IDs; what others call him is theirs."""
    wanted = select(ExternalReference.reference).where(
        ExternalReference.user_id.in_(user_ids), ExternalReference.client_id == client_id
    )
    return (await session.scalars(wanted.order_by(ExternalReference.reference))).all()


async def add(
    session: AsyncSession, address: EmailAddress | None, *, display_name: str | None, locale: str, now: datetime
) -> Account | None:
    """Add an account under a new User ID; None where the mailbox has one already, also one added this very moment."""
    row = {"display_name": display_name, "locale": locale, "customer_since": now, **columns(address)}
    for _ in range(5):
        added: Account | None = await session.scalar(_ADD, {**row, "user_id": user_ids.issue()})
        if added is not None:
            return added
        if address is not None and await find_by_email(session, address) is not None:
            return None
    raise RuntimeError("five fresh User IDs in a row were taken")


# On the table and not on its class, as for events: the ORM's way to insert costs more than twice as much.
_TABLE = Account.metadata.tables["account"]
_ADD = select(Account).from_statement(insert(_TABLE).on_conflict_do_nothing().returning(*_TABLE.columns))


async def add_reference(session: AsyncSession, user_id: str, client_id: str, reference: str, *, now: datetime) -> None:
    """Let this client find the account by `reference`.

    Raises:
        rules.ExternalRefTaken: the client knows another account by it.
    """
    row = {"client_id": client_id, "reference": reference, "user_id": user_id, "created_at": now}
    await session.execute(insert(ExternalReference).on_conflict_do_nothing(), row)
    held_by = await find_by_reference(session, client_id, reference)
    if held_by is None or held_by.user_id != user_id:
        raise rules.ExternalRefTaken


async def add_email(
    session: AsyncSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Give an account without an address this one, unconfirmed.

    Raises:
        rules.EmailPresent: it has one.
        rules.AccountMoved, AccountNotActive
        rules.EmailTaken: another account has this one.
    """
    account = await find(session, user_id, lock=True)
    if account.email_key == address.key:
        return account
    if account.email is not None:
        raise rules.EmailPresent
    rules.check_convertible(account.state, account.merged_into, account.version, None)
    if await find_by_email(session, address) is not None:
        raise rules.EmailTaken
    try:
        changed = await _change(session, account, columns(address))
    except IntegrityError as taken:
        # Another transaction gave the address away since we looked; the unique index waited for it, and decides.
        raise rules.EmailTaken from taken
    await events.record(session, "account.email_added", user_id=user_id, actor=actor, now=now)
    return changed


async def change(
    session: AsyncSession, user_id: UserId, changes: dict[str, Any], *, version: int | None, actor: str, now: datetime
) -> Account:
    """Set display name or locale; nothing that proves anything.

    Raises:
        rules.UnknownUserId, rules.StaleVersion: `version` is not the account's.
    """
    account = await find(session, user_id, lock=True)
    if version is not None and version != account.version:
        raise rules.StaleVersion
    different = {name: value for name, value in changes.items() if getattr(account, name) != value}
    if not different:
        return account
    changed = await _change(session, account, different)
    await events.record(
        session, "account.updated", user_id=user_id, actor=actor, data={"fields": sorted(different)}, now=now
    )
    return changed


async def mailbox_proven(
    session: AsyncSession, user_id: str, *, ends_sessions: bool, actor: str, now: datetime
) -> Account:
    """Note that the mailbox on file was read just now: the address counts, and everything proven before dies (ATT-27).

    `ends_sessions` also ends every session, here and at the services that see `sessions_valid_after`.
    """
    account = await find(session, UserId(user_id), lock=True)
    changes: dict[str, Any] = {"proofs_valid_after": now}
    if account.email is not None and account.email_state != "confirmed":
        changes["email_state"] = "confirmed"
        await events.record(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)
    if ends_sessions:
        changes["sessions_valid_after"] = now
        await events.record(session, "account.sessions_ended", user_id=user_id, actor=actor, now=now)
    return await _change(session, account, changes)


async def confirm_on_file(session: AsyncSession, user_id: str, *, actor: str, now: datetime) -> None:
    """Note that a code came back from the address on file; what was proven before stays."""
    account = await find(session, UserId(user_id), lock=True)
    if account.email is not None and account.email_state != "confirmed":
        await _change(session, account, {"email_state": "confirmed"})
        await events.record(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)


async def confirm_new_email(
    session: AsyncSession, user_id: str, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Give an account this address, whose mailbox was read just now; what it proved before dies.

    Raises:
        rules.EmailTaken: another account has it.
    """
    account = await find(session, UserId(user_id), lock=True)
    holder = await find_by_email(session, address)
    if holder is not None and holder.user_id != user_id:
        raise rules.EmailTaken
    name = "account.email_added" if account.email is None else "account.email_changed"
    values = {**columns(address), "email_state": "confirmed", "proofs_valid_after": now}
    try:
        changed = await _change(session, account, values)
    except IntegrityError as taken:
        raise rules.EmailTaken from taken
    await events.record(session, name, user_id=user_id, actor=actor, now=now)
    await events.record(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)
    return changed


async def set_kind(session: AsyncSession, account: Account, kind: str) -> Account:
    """Set the kind of an account; `business.py` decides and tells of it."""
    return await _change(session, account, {"kind": kind})


async def was_business(session: AsyncSession, user_ids: Sequence[str]) -> bool:
    """Tell whether a customer was ever a business before."""
    ended = select(BusinessTime.id).where(BusinessTime.user_id.in_(user_ids), BusinessTime.ended_at.is_not(None))
    return await session.scalar(ended.limit(1)) is not None


async def move(session: AsyncSession, user_id: UserId, into: UserId, *, actor: str, now: datetime) -> Account:
    """Let another account answer for this User ID from now on; nothing is moved, the row only says so."""
    account = await find(session, user_id, lock=True)
    changed = await _change(session, account, {"state": "merged", "merged_into": into, "merged_at": now})
    data = {"into": into}
    await events.record(session, "account.merged", user_id=user_id, actor=actor, data=data, now=now)
    return changed


async def unmove(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Let an account answer for itself again: the one fact that a merge was is removed."""
    account = await find(session, user_id, lock=True)
    changed = await _change(session, account, {"state": "active", "merged_into": None, "merged_at": None})
    await events.record(session, "account.unmerged", user_id=user_id, actor=actor, now=now)
    return changed


async def close(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Close an account: nobody signs in, nothing is sent but what closing needs; its history stays, nothing is freed.

    Raises:
        rules.UnknownUserId, AccountMoved
    """
    account = await find(session, user_id, lock=True)
    if account.state == "closed":
        return account
    rules.check_convertible(account.state, account.merged_into, account.version, None)
    values = {"state": "closed", "sessions_valid_after": now, "proofs_valid_after": now}
    changed = await _change(session, account, values)
    await events.record(session, "account.closed", user_id=user_id, actor=actor, now=now)
    return changed


async def end_sessions(session: AsyncSession, user_id: str, *, actor: str, now: datetime) -> Account:
    """End every session of a customer, here and at the services: one moment on the account, nothing is killed."""
    account = await find(session, UserId(user_id), lock=True)
    await events.record(session, "account.sessions_ended", user_id=user_id, actor=actor, now=now)
    return await _change(session, account, {"sessions_valid_after": now})


def address_of(account: Account) -> EmailAddress:
    """Return the address on file, to write to.

    Raises:
        rules.NoEmail: there is none.
    """
    if account.email is None or account.email_ascii is None or account.email_key is None:
        raise rules.NoEmail
    return EmailAddress(account.email, account.email_ascii, account.email_key)


def columns(address: EmailAddress | None) -> dict[str, Any]:
    """Return an address, or that there is none, as the account's row has it."""
    if address is None:
        return {"email": None, "email_ascii": None, "email_key": None, "email_state": "none"}
    return {
        "email": address.shown,
        "email_ascii": address.ascii,
        "email_key": address.key,
        "email_state": "unconfirmed",
    }


async def _change(session: AsyncSession, account: Account, values: dict[str, Any]) -> Account:
    new = update(Account).where(Account.user_id == account.user_id).values(**values, version=Account.version + 1)
    changed: Account | None = await session.scalar(
        new.returning(Account), execution_options={"populate_existing": True}
    )
    assert changed is not None  # noqa: S101
    return changed
