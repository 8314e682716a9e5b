"""Find, add and change accounts; verify many at once, on the read pool."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import ARRAY, Text, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from identity_service import user_ids
from identity_service.accounts import rules
from identity_service.accounts.tables import Account, ExternalReference
from identity_service.database import AsyncSession, Statement
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.user_ids import MalformedUserId, UserId

SLICE = 100
"""How many IDs are parsed before the event loop gets a turn: 1,000 at once would hold everybody up for 5 ms."""
_ECHO = 64


async def find(session: AsyncSession, user_id: UserId, *, lock: bool = False) -> Account:
    """Return the account under exactly this User ID, merged and closed ones too.

    Raises:
        rules.UnknownUserId: there is none, or it was erased.
    """
    wanted = select(Account).where(Account.user_id == user_id, Account.state != "erased")
    account = await session.scalar(wanted.with_for_update() if lock else wanted)
    if account is None:
        raise rules.UnknownUserId
    return account


async def find_by_email(session: AsyncSession, address: EmailAddress) -> Account | None:
    """Return the account that has this mailbox."""
    found: Account | None = await session.scalar(select(Account).where(Account.email_key == address.key))
    return found


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


async def references(session: AsyncSession, user_id: str, client_id: str) -> Sequence[str]:
    """Return what this client calls the account; what others call it is theirs."""
    wanted = select(ExternalReference.reference).where(
        ExternalReference.user_id == user_id, ExternalReference.client_id == client_id
    )
    return (await session.scalars(wanted.order_by(ExternalReference.reference))).all()


async def add(
    session: AsyncSession, address: EmailAddress | None, *, display_name: str | None, locale: str, now: datetime
) -> Account | None:
    """Add an account under a new User ID; None where the mailbox has one already, also one added this very moment."""
    row = {"display_name": display_name, "locale": locale, "customer_since": now, **_columns(address)}
    new = insert(Account).on_conflict_do_nothing().returning(Account)
    for _ in range(5):
        added: Account | None = await session.scalar(new, {**row, "user_id": user_ids.issue()})
        if added is not None:
            return added
        if address is not None and await find_by_email(session, address) is not None:
            return None
    raise RuntimeError("five fresh User IDs in a row were taken")


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
        rules.EmailTaken: another account has this one.
    """
    account = await find(session, user_id, lock=True)
    if account.email_key == address.key:
        return account
    if account.email is not None or account.state != "active":
        raise rules.EmailPresent
    if await find_by_email(session, address) is not None:
        raise rules.EmailTaken
    try:
        changed = await _change(session, account, _columns(address))
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


async def verify(reads: asyncpg.Pool, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each input, in order, what a support tool may know: status, kind, marketing, or what is wrong.

    The hot road: one prepared statement by primary key on the read pool, no ORM object. A malformed ID costs no query.
    """
    parsed: list[UserId | MalformedUserId] = []
    for start in range(0, len(inputs), SLICE):
        parsed += [_parse(text) for text in inputs[start : start + SLICE]]
        if start + SLICE < len(inputs):
            await asyncio.sleep(0)
    wanted = [item for item in parsed if isinstance(item, str)]
    rows = await reads.fetch(_VERIFY.text, *_VERIFY.arguments(user_ids=wanted)) if wanted else []
    found = {row[0]: rules.verification(row[1], row[2], row[3]) for row in rows}
    return [_result(text, item, found) for text, item in zip(inputs, parsed, strict=True)]


_VERIFY = Statement(
    select(Account.user_id, Account.kind, Account.state, Account.merged_into).where(
        Account.user_id == any_(bindparam("user_ids", type_=ARRAY(Text)))
    )
)


def _parse(text: str) -> UserId | MalformedUserId:
    try:
        return user_ids.parse(text)
    except MalformedUserId as malformed:
        return malformed


def _result(text: str, parsed: UserId | MalformedUserId, found: dict[str, dict[str, str]]) -> dict[str, Any]:
    if isinstance(parsed, MalformedUserId):
        return {"input": text[:_ECHO], "status": "malformed", "detail": parsed.detail, **parsed.members}
    facts = found.get(parsed, {"status": "unknown"})
    shown = {"input": text[:_ECHO], "user_id": user_ids.show(parsed), **facts}
    if "moved_to" in shown:
        shown["moved_to"] = user_ids.show(shown["moved_to"])
    return shown


def _columns(address: EmailAddress | None) -> dict[str, Any]:
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
