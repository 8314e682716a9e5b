"""Make, check, use and end recovery codes; nothing is hashed inside a transaction."""

import uuid
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select, update

from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.passwords.hashing import Hasher
from identity_service.recovery_codes import rules
from identity_service.recovery_codes.tables import RecoveryCode
from identity_service.values import secret_codes

_LABEL = "recovery code"
_CURRENT = RecoveryCode.used_at.is_(None) & RecoveryCode.ended_at.is_(None)


class NewCode(NamedTuple):
    """A code that is not stored yet, and the hash of its secret."""

    text: str
    phc: str


class Counted(NamedTuple):
    """A counted try: the code to compare with, if its locator was right and no wait was running, and how many tries
    have missed it so far, this one included."""

    phc: str | None = None
    code_id: uuid.UUID | None = None
    misses: int = 0


async def prepare_code(hasher: Hasher) -> NewCode:
    """Return a new code with its hash; call it with no transaction open.

    Raises:
        passwords.rules.HashingBusy
    """
    text = secret_codes.issue(secret_codes.RECOVERY)
    return NewCode(text, await hasher.hash(_secret_of(text)))


async def store_code(
    session: DatabaseSession, user_id: str, new: NewCode, *, shown_until: datetime | None = None, now: datetime
) -> None:
    """Store a code in the place of the one before; with `shown_until` it can be shown again until then."""
    await session.execute(update(RecoveryCode).where(RecoveryCode.user_id == user_id, _CURRENT).values(ended_at=now))
    sealed = None if shown_until is None else session.keys.seal(_LABEL, new.text.encode())
    row = {
        "id": uuid.uuid4(), "user_id": user_id, "locator": new.text[: secret_codes.LOCATOR], "phc": new.phc,
        "sealed": sealed, "shown_until": shown_until, "created_at": now,
    }  # fmt: skip
    await session.execute(insert(RecoveryCode), row)
    await events.record_event(session, "recovery_code.created", user_id=user_id, actor="customer", now=now)


async def count_try(session: DatabaseSession, user_id: str, code: str, *, now: datetime) -> Counted:
    """Count a try at the account's code before it is compared; commit it first. `code` is in the stored form.

    A try with another locator counts for no account, so that strangers lock nobody out (REC-22). A code that matches
    begins again at none (`verify_code`).
    """
    mine = select(RecoveryCode).where(
        RecoveryCode.user_id == user_id, _CURRENT, RecoveryCode.locator == code[: secret_codes.LOCATOR],
        RecoveryCode.user_id.in_(_ACTIVE),
    )  # fmt: skip
    found = await session.scalar(mine.with_for_update())
    if found is None or (found.wait_until is not None and now < found.wait_until):
        return Counted()
    misses = found.misses + 1
    if misses > rules.MOST_MISSES:
        await end_code(session, user_id, reason="too_many_tries", actor="service", now=now)
        return Counted(misses=misses)
    values = {"misses": misses, "wait_until": now + rules.wait_after(misses)}
    await session.execute(update(RecoveryCode).where(RecoveryCode.id == found.id).values(values))
    if misses in rules.TOLD_AT:
        data = {"misses": misses}
        await events.record_event(session, "recovery_code.missed", user_id=user_id, actor="service", data=data, now=now)
    return Counted(found.phc, found.id, misses)


async def verify_code(database: Database, hasher: Hasher, counted: Counted, code: str) -> uuid.UUID:
    """Return the id of the code that a counted try matches. Whatever is wrong is refused alike, after one hash.

    Raises:
        rules.RecoveryRefused; passwords.rules.HashingBusy
    """
    if not await hasher.verify(counted.phc, _secret_of(code)) or counted.code_id is None:
        raise rules.RecoveryRefused
    async with database.transaction() as session:
        mine = update(RecoveryCode).where(RecoveryCode.id == counted.code_id)
        await session.execute(mine.values(misses=0, wait_until=None))
    return counted.code_id


async def use_code(
    session: DatabaseSession, code_id: uuid.UUID, successor: NewCode, *, shown_until: datetime, now: datetime
) -> None:
    """Use a code up and store its successor: of several at once only one succeeds (REC-23).

    Raises:
        rules.RecoveryRefused
    """
    mine = update(RecoveryCode).where(RecoveryCode.id == code_id, _CURRENT, RecoveryCode.user_id.in_(_ACTIVE))
    user_id = await session.scalar(mine.values(used_at=now).returning(RecoveryCode.user_id))
    if user_id is None:
        raise rules.RecoveryRefused
    await events.record_event(session, "recovery_code.used", user_id=user_id, actor="customer", now=now)
    await store_code(session, user_id, successor, shown_until=shown_until, now=now)


async def find_current(session: DatabaseSession, user_id: str) -> RecoveryCode | None:
    """Return the code of an account that can be used, or None."""
    mine = select(RecoveryCode).where(RecoveryCode.user_id == user_id, _CURRENT)
    found: RecoveryCode | None = await session.scalar(mine.execution_options(populate_existing=True))
    return found


async def last_used_at(session: DatabaseSession, user_id: str) -> datetime | None:
    """Return when a recovery code of an account was used last."""
    return await session.scalar(select(func.max(RecoveryCode.used_at)).where(RecoveryCode.user_id == user_id))


async def show_again(session: DatabaseSession, user_id: str, *, now: datetime) -> str | None:
    """Return the current code while its owner has not confirmed that they have it, else None."""
    found = await find_current(session, user_id)
    if found is None or found.sealed is None or found.shown_until is None or now >= found.shown_until:
        return None
    return session.keys.unseal(_LABEL, found.sealed).decode()


async def confirm_kept(session: DatabaseSession, user_id: str) -> None:
    """Forget the current code itself: its owner has it."""
    mine = update(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.sealed.is_not(None))
    await session.execute(mine.values(sealed=None))


async def end_code(
    session: DatabaseSession, user_id: str, *, since: datetime | None = None, reason: str, actor: str, now: datetime
) -> bool:
    """End the current code of an account, with `since` only one made then or later; return whether there was one."""
    mine = update(RecoveryCode).where(RecoveryCode.user_id == user_id, _CURRENT)
    if since is not None:
        mine = mine.where(RecoveryCode.created_at >= since)
    if await session.scalar(mine.values(ended_at=now, sealed=None).returning(RecoveryCode.id)) is None:
        return False
    data = {"reason": reason}
    await events.record_event(session, "recovery_code.ended", user_id=user_id, actor=actor, data=data, now=now)
    return True


async def purge_shown(session: DatabaseSession) -> None:
    """Forget codes that may not be shown any more."""
    over = update(RecoveryCode).where(RecoveryCode.sealed.is_not(None), RecoveryCode.shown_until < func.now())
    await session.execute(over.values(sealed=None))


_ACTIVE = select(Account.user_id).where(Account.state == "active")


def _secret_of(code: str) -> str:
    return code[secret_codes.LOCATOR :]
