"""Find, add and change accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from identity_service.accounts import rules
from identity_service.accounts.tables import Account, ExternalReference
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.values import user_ids as values_user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


async def find_account(session: DatabaseSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account with exactly this User ID, even if it is merged or closed.

    Raises:
        rules.UnknownUserId: no account has this User ID, or it was erased.
    """
    wanted = select(Account).where(Account.user_id == user_id, Account.state != "erased")
    if lock:
        # The session may have read this row before it had the lock: reload it.
        wanted = wanted.with_for_update().execution_options(populate_existing=True)
    account = await session.scalar(wanted)
    if account is None:
        raise rules.UnknownUserId
    return account


async def find_by_email(session: DatabaseSession, address: EmailAddress) -> Account | None:
    """Return the account with this address, in any state; `None` if there is none."""
    found: Account | None = await session.scalar(select(Account).where(Account.email_key == address.key))
    return found


async def find_active_account(session: DatabaseSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account that a User ID resolves to: its own, or the one it was merged into.

    Raises:
        rules.UnknownUserId: also when the chain of merges is longer than `rules.LONGEST_CHAIN`.
    """
    account = await find_account(session, user_id, lock=lock)
    for _ in range(rules.LONGEST_CHAIN):
        if account.merged_into is None:
            return account
        account = await find_account(session, UserId(account.merged_into), lock=lock)
    raise rules.UnknownUserId


async def find_for_sign_in(session: DatabaseSession, user_id: str) -> Account | None:
    """Return the account with exactly this User ID if it is active, else `None`."""
    mine = select(Account).where(Account.user_id == user_id, Account.state == "active")
    account: Account | None = await session.scalar(mine)
    return account


async def find_by_reference(
    session: DatabaseSession, client_id: str, reference: str, *, lock: bool = False
) -> Account | None:
    """Return the account that this client knows by `reference`.

    With `lock`, take an advisory lock until the transaction ends, because the reference may not be stored yet and then
    there is no row to lock.
    """
    if lock:
        key = func.hashtextextended(f"{client_id} {reference}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
    wanted = (
        select(Account)
        .join(ExternalReference, ExternalReference.user_id == Account.user_id)
        .where(ExternalReference.client_id == client_id, ExternalReference.reference == reference)
    )
    found: Account | None = await session.scalar(wanted.where(Account.state != "erased"))
    return found


class AccountDetails(NamedTuple):
    """The data in other tables that an account's view shows: the company of a business, the decision per purpose,
    whether a password is set, and one client's references."""

    company: dict[str, str | None] | None
    decisions: Mapping[str, str | None]
    has_password: bool
    references: Sequence[str]


async def load_details(session: DatabaseSession, user_id: str, client_id: str) -> AccountDetails:
    """Return the details of an account in one statement; references include those of accounts merged into it."""
    return AccountDetails(*(await session.execute(_DETAILS, {"user_id": user_id, "client_id": client_id})).one())


_DETAILS = text(
    """
    WITH RECURSIVE member AS (
        SELECT CAST(:user_id AS text) AS user_id
        UNION ALL
        SELECT a.user_id FROM account a JOIN member m ON a.merged_into = m.user_id
    )
    SELECT
        (SELECT jsonb_build_object('company_name', b.company_name, 'country', b.country, 'vat_number', b.vat_number,
            'registration_number', b.registration_number, 'contact_person', b.contact_person,
            'billing_address', b.billing_address)
        FROM business_period b WHERE b.user_id = :user_id AND b.ended_at IS NULL),
        (SELECT coalesce(jsonb_object_agg(c.purpose, c.decision), '{}') FROM consent_state c
        WHERE c.user_id = :user_id),
        EXISTS (SELECT 1 FROM password p WHERE p.user_id = :user_id AND p.locked_at IS NULL),
        ARRAY(SELECT r.reference FROM external_reference r JOIN member USING (user_id)
        WHERE r.client_id = :client_id ORDER BY r.reference)
    """
)
"""Plain SQL, because this module may not import business periods, consents and passwords: they import accounts."""


async def was_business(session: DatabaseSession, user_ids: Sequence[str]) -> bool:
    """Return whether one of these User IDs has a business period that has ended."""
    return bool(await session.scalar(_WAS_BUSINESS, {"user_ids": list(user_ids)}))


_WAS_BUSINESS = text(
    "SELECT EXISTS (SELECT 1 FROM business_period WHERE user_id = ANY(:user_ids) AND ended_at IS NOT NULL)"
)


async def add_account(
    session: DatabaseSession, address: EmailAddress | None, *, display_name: str | None, locale: str, now: datetime
) -> Account | None:
    """Add an account under a new User ID; `None` if the address has one, even one that was inserted concurrently."""
    row = {"display_name": display_name, "locale": locale, "customer_since": now, **address_columns(address)}
    for _ in range(5):
        added: Account | None = await session.scalar(_ADD, {**row, "user_id": values_user_ids.issue()})
        if added is not None:
            return added
        if address is not None and await find_by_email(session, address) is not None:
            return None
    raise RuntimeError("five new User IDs in a row were already in use")


# Insert into the table, not the mapped class: the ORM insert takes more than twice as long.
_TABLE = Account.metadata.tables["account"]
_ADD = select(Account).from_statement(insert(_TABLE).on_conflict_do_nothing().returning(*_TABLE.columns))


async def add_reference(
    session: DatabaseSession, user_id: str, client_id: str, reference: str, *, now: datetime
) -> None:
    """Store the reference by which this client finds the account.

    Raises:
        rules.ExternalRefTaken: the client knows another account by it.
    """
    row = {"client_id": client_id, "reference": reference, "user_id": user_id, "created_at": now}
    await session.execute(insert(ExternalReference).on_conflict_do_nothing(), row)
    owner = await find_by_reference(session, client_id, reference)
    if owner is None or owner.user_id != user_id:
        raise rules.ExternalRefTaken


async def add_email(
    session: DatabaseSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Add an unconfirmed address to an account that has none; repeating it changes nothing.

    Raises:
        rules.EmailPresent: the account has another address.
        rules.UnknownUserId, AccountMoved, AccountNotActive
        rules.EmailTaken: another account has this address.
    """
    account = await find_account(session, user_id, lock=True)
    if account.email_key == address.key:
        return account
    if account.email is not None:
        raise rules.EmailPresent
    rules.check_changeable(account.state, account.merged_into, account.version, None)
    if await find_by_email(session, address) is not None:
        raise rules.EmailTaken
    try:
        changed = await _change(session, account, address_columns(address))
    except IntegrityError as taken:
        # A concurrent transaction stored the address after our check; the unique index rejects the second one.
        raise rules.EmailTaken from taken
    await events.record_event(session, "account.email_added", user_id=user_id, actor=actor, now=now)
    return changed


async def update_account(
    session: DatabaseSession,
    user_id: UserId,
    changes: dict[str, Any],
    *,
    versions: rules.Versions | None,
    actor: str,
    now: datetime,
) -> Account:
    """Set display name or locale; unchanged values write nothing and record no event.

    Raises:
        rules.UnknownUserId, rules.StaleVersion: the account's is none of `versions`.
    """
    account = await find_account(session, user_id, lock=True)
    if versions is not None and account.version not in versions:
        raise rules.StaleVersion
    different = {name: value for name, value in changes.items() if getattr(account, name) != value}
    if not different:
        return account
    changed = await _change(session, account, different)
    await events.record_event(
        session, "account.updated", user_id=user_id, actor=actor, data={"fields": sorted(different)}, now=now
    )
    return changed


async def confirm_mailbox(
    session: DatabaseSession, user_id: str, *, ends_sessions: bool, actor: str, now: datetime
) -> Account:
    """Confirm the address on file after its mailbox was read, and invalidate all older one-time tokens (ATT-27).

    `ends_sessions` also ends every session, here and at the services that check `sessions_valid_after`.
    """
    account = await find_account(session, UserId(user_id), lock=True)
    changes: dict[str, Any] = {"tokens_valid_after": now}
    if account.email is not None and account.email_state != "confirmed":
        changes["email_state"] = "confirmed"
        await events.record_event(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)
    if ends_sessions:
        changes["sessions_valid_after"] = now
        await events.record_event(session, "account.sessions_ended", user_id=user_id, actor=actor, now=now)
    return await _change(session, account, changes)


async def confirm_on_file(session: DatabaseSession, user_id: str, *, actor: str, now: datetime) -> None:
    """Confirm the address on file after a caller check matched; older one-time tokens stay valid."""
    account = await find_account(session, UserId(user_id), lock=True)
    if account.email is not None and account.email_state != "confirmed":
        await _change(session, account, {"email_state": "confirmed"})
        await events.record_event(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)


async def confirm_new_email(
    session: DatabaseSession, user_id: str, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Set an address whose mailbox was just read, as confirmed, and invalidate all older one-time tokens.

    Raises:
        rules.EmailTaken: another account has this address.
    """
    account = await find_account(session, UserId(user_id), lock=True)
    holder = await find_by_email(session, address)
    if holder is not None and holder.user_id != user_id:
        raise rules.EmailTaken
    name = "account.email_added" if account.email is None else "account.email_changed"
    values = {**address_columns(address), "email_state": "confirmed", "tokens_valid_after": now}
    try:
        changed = await _change(session, account, values)
    except IntegrityError as taken:
        raise rules.EmailTaken from taken
    await events.record_event(session, name, user_id=user_id, actor=actor, now=now)
    await events.record_event(session, "account.email_confirmed", user_id=user_id, actor=actor, now=now)
    return changed


async def set_kind(session: DatabaseSession, account: Account, kind: str) -> Account:
    """Set the kind of an account; the caller (`business.periods`) checks it and records the event."""
    return await _change(session, account, {"kind": kind})


async def mark_merged(session: DatabaseSession, user_id: UserId, into: UserId, *, actor: str, now: datetime) -> Account:
    """Merge an account into another one by setting `merged_into`; no data is moved."""
    account = await find_account(session, user_id, lock=True)
    changed = await _change(session, account, {"state": "merged", "merged_into": into, "merged_at": now})
    data = {"into": into}
    await events.record_event(session, "account.merged", user_id=user_id, actor=actor, data=data, now=now)
    return changed


async def unmark_merged(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Undo a merge by clearing `merged_into`."""
    account = await find_account(session, user_id, lock=True)
    changed = await _change(session, account, {"state": "active", "merged_into": None, "merged_at": None})
    await events.record_event(session, "account.unmerged", user_id=user_id, actor=actor, now=now)
    return changed


async def close_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Close an account: its sessions and one-time tokens end; its history stays and its address is not freed.

    Closing a closed account changes nothing.

    Raises:
        rules.UnknownUserId, AccountMoved
    """
    account = await find_account(session, user_id, lock=True)
    if account.state == "closed":
        return account
    rules.check_changeable(account.state, account.merged_into, account.version, None)
    values = {"state": "closed", "sessions_valid_after": now, "tokens_valid_after": now}
    changed = await _change(session, account, values)
    await events.record_event(session, "account.closed", user_id=user_id, actor=actor, now=now)
    return changed


async def end_sessions(session: DatabaseSession, user_id: str, *, actor: str, now: datetime) -> Account:
    """End every session of a customer, here and at the services, by setting `sessions_valid_after`."""
    account = await find_account(session, UserId(user_id), lock=True)
    await events.record_event(session, "account.sessions_ended", user_id=user_id, actor=actor, now=now)
    return await _change(session, account, {"sessions_valid_after": now})


def address_of(account: Account) -> EmailAddress:
    """Return the address on file.

    Raises:
        rules.NoEmail: the account has no address.
    """
    if account.email is None or account.email_ascii is None or account.email_key is None:
        raise rules.NoEmail
    return EmailAddress(account.email, account.email_ascii, account.email_key)


def address_columns(address: EmailAddress | None) -> dict[str, Any]:
    """Return the values of the account's email columns for an unconfirmed address, or for none."""
    if address is None:
        return {"email": None, "email_ascii": None, "email_key": None, "email_state": "none"}
    return {
        "email": address.shown,
        "email_ascii": address.ascii,
        "email_key": address.key,
        "email_state": "unconfirmed",
    }


async def _change(session: DatabaseSession, account: Account, values: dict[str, Any]) -> Account:
    new = update(Account).where(Account.user_id == account.user_id).values(**values, version=Account.version + 1)
    changed: Account | None = await session.scalar(
        new.returning(Account), execution_options={"populate_existing": True}
    )
    assert changed is not None  # noqa: S101
    return changed


async def user_ids_of_addresses(session: DatabaseSession, keys: Sequence[str]) -> dict[str, str]:
    """Map each of these address keys to the User ID of the active account that has it; others are left out."""
    rows = await session.execute(_BY_ADDRESS, {"keys": list(keys)})
    return {row[0]: row[1] for row in rows}


_BY_ADDRESS = text("SELECT email_key, user_id FROM account WHERE email_key = ANY(:keys) AND state = 'active'")
