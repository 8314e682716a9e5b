"""External references: add, move and remove the name by which a source knows a customer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts import actions, ownership, rules
from identity_service.accounts.tables import Account, ExternalReference
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId

_KNOWN_FOR: Final = timedelta(days=7)


async def add_reference(session: DatabaseSession, user_id: str, source: str, reference: str, *, now: datetime) -> bool:
    """Store the reference by which this source finds the account; return whether it is new.

    Raises:
        rules.ExternalRefTaken: the source knows another account by it.
    """
    row = {"source": source, "reference": reference, "user_id": user_id, "created_at": now}
    new = insert(ExternalReference).on_conflict_do_nothing().returning(ExternalReference.user_id)
    is_new = await session.scalar(new, row) is not None
    owner = await actions.find_by_reference(session, source, reference)
    if owner is None or owner.user_id != user_id:
        raise rules.ExternalRefTaken
    return is_new


async def note_added(
    session: DatabaseSession, account: Account, source: str, *, moved_from: str | None = None, actor: str, now: datetime
) -> Account:
    """Record that an account got a reference; its version moves. No event holds the reference: it is personal."""
    data: dict[str, Any] = {"source": source}
    if moved_from is not None:
        data["moved_from"] = user_ids.show(moved_from)
    name = "account.external_ref_added"
    await events.record_event(session, name, user_id=account.user_id, actor=actor, data=data, now=now)
    await actions.move_version(session, account.user_id)
    return account


async def names_all(session: DatabaseSession, source: str, user_ids_named: Sequence[str], *, now: datetime) -> bool:
    """Return whether this source has known each of these accounts by a reference of its own for a while.

    A reference counts that came with the account, or is a week old: one that a service adds to a stranger's account
    and uses at once proves nothing.
    """
    is_old = (ExternalReference.created_at <= Account.customer_since) | (
        ExternalReference.created_at <= now - _KNOWN_FOR
    )
    mine = (
        select(func.count(ExternalReference.user_id.distinct()))
        .join(Account, Account.user_id == ExternalReference.user_id)
        .where(ExternalReference.source == source, ExternalReference.user_id.in_(user_ids_named), is_old)
    )
    return await session.scalar(mine) == len(set(user_ids_named))


async def put_reference(
    session: DatabaseSession,
    user_id: UserId,
    source: str,
    reference: str,
    *,
    moved_from: UserId | None,
    actor: str,
    now: datetime,
) -> Account:
    """Add a reference to an account, or move it from the account that it names now, which must be `moved_from`.

    A reference that this customer has already stays as it is.

    Raises:
        rules.UnknownUserId, AccountErased, AccountMoved, AccountClosed
        rules.ExternalRefTaken: the reference names another account than `moved_from`.
    """
    # The reference first, as in registering: both lock in the same order.
    owner = await actions.find_by_reference(session, source, reference, lock=True)
    account = await actions.find_changeable_account(session, user_id)
    if owner is None:
        await add_reference(session, account.user_id, source, reference, now=now)
        return await note_added(session, account, source, actor=actor, now=now)
    former = await actions.find_active_account(session, UserId(owner.user_id))
    if former.user_id == account.user_id:
        return account
    if moved_from is None or (await actions.find_active_account(session, moved_from)).user_id != former.user_id:
        raise rules.ExternalRefTaken
    mine = update(ExternalReference).where(ExternalReference.source == source, ExternalReference.reference == reference)
    await session.execute(mine.values(user_id=account.user_id, created_at=now))
    await _note_removed(session, former, source, moved_to=account.user_id, actor=actor, now=now)
    return await note_added(session, account, source, moved_from=former.user_id, actor=actor, now=now)


async def remove_reference(
    session: DatabaseSession, user_id: UserId, source: str, reference: str, *, actor: str, now: datetime
) -> Account:
    """Remove a reference of this source from a customer; of a closed account, too.

    Raises:
        rules.UnknownUserId, AccountErased, AccountMoved
        rules.UnknownExternalRef: the source does not know this customer by it.
    """
    await actions.find_by_reference(session, source, reference, lock=True)
    account = await actions.find_account(session, user_id, lock=True)
    await actions.check_changeable(session, account, also_closed=True)
    ids: Sequence[str] = await ownership.user_ids_of(session, user_id)
    gone = delete(ExternalReference).where(
        ExternalReference.source == source, ExternalReference.reference == reference,
        ExternalReference.user_id.in_(ids),
    )  # fmt: skip
    if await session.scalar(gone.returning(ExternalReference.user_id)) is None:
        raise rules.UnknownExternalRef
    return await _note_removed(session, account, source, actor=actor, now=now)


async def _note_removed(
    session: DatabaseSession, account: Account, source: str, *, moved_to: str | None = None, actor: str, now: datetime
) -> Account:
    data: dict[str, Any] = {"source": source}
    if moved_to is not None:
        data["moved_to"] = user_ids.show(moved_to)
    name = "account.external_ref_removed"
    await events.record_event(session, name, user_id=account.user_id, actor=actor, data=data, now=now)
    await actions.move_version(session, account.user_id)
    return account
