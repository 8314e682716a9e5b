"""Find, add and change accounts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from identity_service import entry_points
from identity_service.accounts import rules
from identity_service.accounts.tables import Account, ExternalReference, FurtherAddress
from identity_service.brands import rules as brand_rules
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.values import user_ids as values_user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


async def find_account(session: DatabaseSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account with exactly this User ID, even if it is merged or closed.

    Raises:
        rules.UnknownUserId: no account has this User ID.
        rules.AccountErased
    """
    wanted = select(Account).where(Account.user_id == user_id)
    if lock:
        # The session may have read this row before it had the lock: reload it.
        wanted = wanted.with_for_update().execution_options(populate_existing=True)
    account = await session.scalar(wanted)
    if account is None:
        raise rules.UnknownUserId
    if account.state == "erased":
        raise rules.AccountErased
    return account


async def check_changeable(session: DatabaseSession, account: Account, *, also_closed: bool = False) -> None:
    """Refuse to change an account that is merged or closed.

    Every verb that changes an account calls this, and `docs/account-states.md` lists what each verb answers.
    `also_closed` is for what only reports facts or takes something away: history, removals, erasing.

    Raises:
        rules.AccountMoved: with the account that answers now, at the end of the chain of merges.
        rules.AccountClosed
    """
    moved_to = None
    if account.merged_into is not None:
        moved_to = (await find_active_account(session, UserId(account.user_id))).user_id
    state = "active" if also_closed and account.state == "closed" else account.state
    rules.check_changeable(state, moved_to)


async def check_version(session: DatabaseSession, user_id: UserId, versions: Collection[int]) -> None:
    """Lock an account, and refuse a change that is based on another version of it; a merged one is left to the change.

    Raises:
        rules.UnknownUserId, AccountErased, StaleVersion
    """
    account = await find_account(session, user_id, lock=True)
    if account.merged_into is None and account.version not in versions:
        raise rules.StaleVersion


async def find_changeable_account(session: DatabaseSession, user_id: UserId) -> Account:
    """Return the account with exactly this User ID, locked, if it may be changed; see `check_changeable`.

    Raises:
        rules.UnknownUserId, AccountErased, AccountMoved, AccountClosed
    """
    account = await find_account(session, user_id, lock=True)
    await check_changeable(session, account)
    return account


async def find_by_email(session: DatabaseSession, address: EmailAddress) -> Account | None:
    """Return the account with this address on file, or with it as a confirmed further one, in any state; `None` if
    there is none."""
    on_file = select(Account.user_id).where(Account.email_key == address.key).scalar_subquery()
    further = select(FurtherAddress.user_id).where(
        FurtherAddress.email_key == address.key, FurtherAddress.confirmed_at.is_not(None),
        FurtherAddress.removed_at.is_(None),
    ).scalar_subquery()  # fmt: skip
    found: Account | None = await session.scalar(
        select(Account).where(Account.user_id == func.coalesce(on_file, further))
    )
    return found


async def find_active_account(session: DatabaseSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account that a User ID resolves to: its own, or the one it was merged into.

    Raises:
        rules.UnknownUserId: also when the chain of merges is longer than `rules.LONGEST_CHAIN`.
        rules.AccountErased
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
    session: DatabaseSession, source: str, reference: str, *, lock: bool = False
) -> Account | None:
    """Return the account that this source knows by `reference`.

    With `lock`, take an advisory lock until the transaction ends, because the reference may not be stored yet and then
    there is no row to lock.
    """
    if lock:
        key = func.hashtextextended(f"{source} {reference}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
    wanted = (
        select(Account)
        .join(ExternalReference, ExternalReference.user_id == Account.user_id)
        .where(ExternalReference.source == source, ExternalReference.reference == reference)
    )
    found: Account | None = await session.scalar(wanted.where(Account.state != "erased"))
    return found


class AccountDetails(NamedTuple):
    """What an account's view shows beside its own row: the company of a business, the decision per purpose, whether a
    password is set, one source's references, the User ID at the end of the chain of merges, and the confirmed further
    addresses (`email`, `for_notices`, `recovers_at`)."""

    company: dict[str, str | None] | None
    decisions: Mapping[str, str | None]
    has_password: bool
    references: Sequence[str]
    resolves_to: str
    further: Sequence[Mapping[str, Any]] = ()


async def load_details(session: DatabaseSession, user_id: str, source: str) -> AccountDetails:
    """Return the details of an account in one statement; references include those of accounts merged into it."""
    return AccountDetails(*(await session.execute(_DETAILS, {"user_id": user_id, "source": source})).one())


_DETAILS = text(
    """
    WITH RECURSIVE member AS (
        SELECT CAST(:user_id AS text) AS user_id
        UNION ALL
        SELECT a.user_id FROM account a JOIN member m ON a.merged_into = m.user_id
    ), chain AS (
        SELECT user_id, merged_into FROM account WHERE user_id = :user_id
        UNION
        SELECT a.user_id, a.merged_into FROM account a JOIN chain c ON a.user_id = c.merged_into
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
        WHERE r.source = :source ORDER BY r.reference),
        (SELECT user_id FROM chain WHERE merged_into IS NULL),
        (SELECT coalesce(jsonb_agg(jsonb_build_object('email', f.email, 'for_notices', f.for_notices,
            'recovers_at', f.recovers_at) ORDER BY f.added_at, f.id), '[]')
        FROM further_address f
        WHERE f.user_id = :user_id AND f.confirmed_at IS NOT NULL AND f.removed_at IS NULL)
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
    """Add an account under a new User ID; `None` if the address has one, even one that was inserted concurrently, or
    if it is a further address of one.

    Raises:
        rules.EmailTaken: an account confirms it as a further address at this moment.
    """
    row = {
        "display_name": display_name, "locale": locale, "customer_since": now,
        "brand": session.brand or brand_rules.DEFAULT, **address_columns(address),
    }  # fmt: skip
    for _ in range(5):
        try:
            added: Account | None = await session.scalar(_ADD, {**row, "user_id": values_user_ids.issue()})
        except IntegrityError as taken:
            raise rules.EmailTaken from taken
        if added is not None:
            return added
        if address is not None and await find_by_email(session, address) is not None:
            return None
    raise RuntimeError("five new User IDs in a row were already in use")


# Insert into the table, not the mapped class: the ORM insert takes more than twice as long.
_TABLE = Account.metadata.tables["account"]
_NEW = ("user_id", "email", "email_ascii", "email_key", "email_state", "display_name", "locale", "brand",
        "customer_since")  # fmt: skip
_GIVEN = select(*(bindparam(name, type_=_TABLE.c[name].type) for name in _NEW)).where(
    ~exists().where(
        FurtherAddress.email_key == bindparam("email_key", type_=_TABLE.c.email_key.type),
        FurtherAddress.confirmed_at.is_not(None), FurtherAddress.removed_at.is_(None),
    )
)  # fmt: skip
_ADD = select(Account).from_statement(
    insert(_TABLE).from_select(_NEW, _GIVEN).on_conflict_do_nothing().returning(*_TABLE.columns)
)


async def move_version(session: DatabaseSession, user_id: str) -> None:
    """Move the version of an account, and of each that it was merged into: data in other tables has changed that their
    views show. Accounts that the session has read are refreshed.
    """
    above = select(Account.user_id, Account.merged_into).where(Account.user_id == user_id).cte("above", recursive=True)
    survivor = aliased(Account)
    above = above.union(
        select(survivor.user_id, survivor.merged_into).join(above, above.c.merged_into == survivor.user_id)
    )
    moved = update(Account).where(Account.user_id.in_(select(above.c.user_id))).values(version=Account.version + 1)
    await session.scalars(moved.returning(Account), execution_options={"populate_existing": True})


async def update_account(
    session: DatabaseSession,
    user_id: UserId,
    changes: dict[str, Any],
    *,
    actor: str,
    now: datetime,
) -> Account:
    """Set display name or locale; unchanged values write nothing and record no event.

    Raises:
        rules.UnknownUserId, AccountMoved, AccountClosed
    """
    account = await find_changeable_account(session, user_id)
    different = {name: value for name, value in changes.items() if getattr(account, name) != value}
    if not different:
        return account
    changed = await change_row(session, account, different)
    await events.record_event(
        session, "account.updated", user_id=user_id, actor=actor, data={"fields": sorted(different)}, now=now
    )
    return changed


async def set_kind(session: DatabaseSession, account: Account, kind: str) -> Account:
    """Set the kind of an account; the caller (`business.periods`) checks it and records the event."""
    return await change_row(session, account, {"kind": kind})


async def mark_merged(session: DatabaseSession, user_id: UserId, into: UserId, *, actor: str, now: datetime) -> Account:
    """Merge an account into another one by setting `merged_into`; no data is moved. Both versions move."""
    account = await find_account(session, user_id, lock=True)
    changed = await change_row(session, account, {"state": "merged", "merged_into": into, "merged_at": now})
    await move_version(session, into)
    await entry_points.load("openid.ending:end_for_customer")(session, user_id, why="merged", now=now)
    data = {"into": into}
    await events.record_event(session, "account.merged", user_id=user_id, actor=actor, data=data, now=now)
    return changed


async def unmark_merged(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Undo a merge by clearing `merged_into`. Both versions move."""
    account = await find_account(session, user_id, lock=True)
    survivor = account.merged_into
    assert survivor is not None  # noqa: S101
    changed = await change_row(session, account, {"state": "active", "merged_into": None, "merged_at": None})
    await move_version(session, survivor)
    data = {"user_id": user_id, "from": survivor}
    await events.record_event(session, "account.unmerged", user_id=user_id, actor=actor, data=data, now=now)
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
    await check_changeable(session, account)
    await change_row(session, account, {"state": "closed", "closed_at": now, "tokens_valid_after": now})
    await events.record_event(session, "account.closed", user_id=user_id, actor=actor, now=now)
    return await end_sessions(session, user_id, SessionsEndedReason.CLOSED, actor=actor, now=now)


async def reopen_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Open a closed account again, as it was; nobody is signed in to it.

    Raises:
        rules.UnknownUserId, CannotReopen
    """
    account = await find_account(session, user_id, lock=True)
    if not rules.may_reopen(account.state, account.closed_at, now):
        raise rules.CannotReopen
    changed = await change_row(session, account, {"state": "active", "closed_at": None})
    await events.record_event(session, "account.reopened", user_id=user_id, actor=actor, now=now)
    return changed


async def end_sessions(
    session: DatabaseSession, user_id: str, reason: SessionsEndedReason, *, actor: str, now: datetime
) -> Account:
    """End every session of a customer, here and at the services, by moving `sessions_valid_after`, and record it. What
    was requested in a session ends with it: open links and codes (`tokens_valid_after`).

    Nothing else moves it: a service that never hears of a moment leaves its sessions open. It never moves back, even if
    the clock of another process is ahead.
    """
    moment = func.greatest(Account.sessions_valid_after, now)
    new = (
        update(Account)
        .where(Account.user_id == user_id)
        .values(sessions_valid_after=moment, tokens_valid_after=func.greatest(Account.tokens_valid_after, now))
    )
    changed: Account | None = await session.scalar(
        new.values(version=Account.version + 1).returning(Account), execution_options={"populate_existing": True}
    )
    if changed is None:
        raise rules.UnknownUserId
    await entry_points.load("openid.ending:end_for_customer")(session, user_id, why=str(reason), now=now)
    data = {"valid_after": changed.sessions_valid_after, "reason": reason}
    await events.record_event(session, "account.sessions_ended", user_id=user_id, actor=actor, data=data, now=now)
    return changed


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


async def change_row(session: DatabaseSession, account: Account, values: dict[str, Any]) -> Account:
    """Set columns of an account and move its version; return the account as it is now."""
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
