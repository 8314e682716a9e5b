"""Set a password with a proof of the mailbox; check one: count, hash, conclude."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import keyring, tokens
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.database import AsyncSession, Database
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.passwords import breaches, rules, strength
from identity_service.passwords.hashing import Hasher
from identity_service.passwords.tables import Password, PasswordTry
from identity_service.proofs.rules import MailboxProof
from identity_service.settings import Settings
from identity_service.user_ids import UserId


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to; `retry_after` in seconds where the result is `wait`."""

    result: rules.Result
    user_id: str | None = None
    retry_after: int | None = None


class _Counted(NamedTuple):
    subject: bytes
    user_id: str | None
    phc: str | None
    is_retired: bool
    wait: int
    failures: int


async def set_password(session: AsyncSession, proof: MailboxProof, phc: str, *, now: datetime) -> None:
    """Give the account whose mailbox was proven this password, its hash already made; the failures are forgotten."""
    row = {"user_id": proof.user_id, "phc": phc, "set_at": now, "dead_at": None, "retired_at": None}
    new = insert(Password).values(row)
    kept = {name: new.excluded[name] for name in ("phc", "set_at", "dead_at", "retired_at")}
    await session.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=kept))
    await session.execute(delete(PasswordTry).where(PasswordTry.subject == _subject(session, proof.user_id)))
    await events.record(session, "password.set", user_id=proof.user_id, actor="customer", now=now)


async def make(hasher: Hasher, settings: Settings, password: str, own_words: Iterable[str]) -> str:
    """Return the hash of a password that is good enough for this account; no transaction is open meanwhile.

    Raises:
        rules.WeakPassword: with the reason.
        rules.HashingBusy
    """
    return await hasher.hash(await judge(hasher, settings, password, own_words))


async def judge(hasher: Hasher, settings: Settings, password: str, own_words: Iterable[str]) -> str:
    """Return a password that is good enough as it will be hashed.

    Raises:
        rules.WeakPassword: with the reason.
        rules.HashingBusy
    """
    typed = strength.normal(password)
    minimum = settings.password_minimum
    strength.check_length(typed, minimum=minimum)
    words = [*own_words, settings.mail_from_name]
    await hasher.run(lambda: strength.check(typed, minimum=minimum, own_words=words))
    if settings.breached_passwords_url and await breaches.is_breached(typed, settings.breached_passwords_url):
        raise rules.WeakPassword("breached", minimum)
    return typed


async def exists(session: AsyncSession, user_id: str) -> bool:
    """Tell whether an account has a password that may be tried."""
    living = select(Password.user_id).where(Password.user_id == user_id, Password.dead_at.is_(None))
    return await session.scalar(living) is not None


async def check(
    database: Database, hasher: Hasher, who: EmailAddress | str, password: str, *, actor: str, now: datetime
) -> Checked:
    """Check a password for an address or a User ID: the same work and time whether or not there is an account.

    Counted first, hashed outside of any transaction, concluded in another (PWD-07, PWD-13). The right password within
    a delay is not evaluated. Where nothing can be hashed right now nothing is counted either: a flood of others must
    not lead to a delay here.

    Raises:
        rules.HashingBusy
    """
    hasher.refuse_if_busy()
    typed = strength.normal(password)
    counted = await database.short(lambda session: _count(session, who, now=now))
    if counted.wait:
        return Checked("wait", retry_after=counted.wait)
    too_long = len(typed) > rules.MAXIMUM_CHARACTERS or len(typed.encode("utf-8", "replace")) > rules.MAXIMUM_BYTES
    fits = await hasher.verify(None if too_long else counted.phc, "" if too_long else typed)
    renewed = await hasher.hash(typed) if fits and counted.phc and hasher.is_outdated(counted.phc) else None
    async with database.transaction() as session:
        if fits and counted.user_id is not None:
            return await _matched(session, counted, renewed, now=now)
        await _failed(session, counted, actor=actor, now=now)
        return Checked("no_match")


async def _count(session: AsyncSession, who: EmailAddress | str, *, now: datetime) -> _Counted:
    user_id = await merges.active_behind(session, who)
    subject = _subject(session, user_id or (who if isinstance(who, str) else who.key))
    asked = {"user_id": user_id or "", "subject": subject, "now": now, "delays": _DELAYS}
    stored = (await session.execute(_COUNT, asked)).one()
    phc = None if stored.dead_at is not None else stored.phc
    counted = _Counted(subject, user_id, phc, stored.retired_at is not None, 0, stored.failures or 0)
    if stored.failures is not None:
        return counted
    blocked_until = await session.scalar(select(PasswordTry.blocked_until).where(PasswordTry.subject == subject))
    return counted._replace(wait=max(1, rules.seconds_left(blocked_until, now)))


# The try is counted, unless none is evaluated now, and what it is checked against is read. One row, also for nobody,
# and no object: to make one takes a quarter of a millisecond, where there is an account.
_COUNT = text(
    """
    WITH counted AS (
        INSERT INTO password_try AS t (subject, failures, updated_at) VALUES (:subject, 1, :now)
        ON CONFLICT (subject) DO UPDATE SET failures = t.failures + 1, updated_at = :now,
            blocked_until = :now + (CAST(:delays AS interval[]))[least(t.failures + 1, cardinality(:delays))]
        WHERE t.blocked_until IS NULL OR t.blocked_until <= :now
        RETURNING failures
    )
    SELECT p.phc, p.dead_at, p.retired_at, (SELECT failures FROM counted) AS failures
    FROM (VALUES (CAST(:user_id AS text))) AS asked (user_id) LEFT JOIN password p ON p.user_id = asked.user_id
    """
)
# After so many failures; the last, which is the longest, holds for all that follow.
_DELAYS = [
    rules.delay_after(failures)
    for failures in range(1, rules.DEAD_AFTER)
    if rules.delay_after(failures - 1) != rules.LONGEST_DELAY
]


async def _matched(session: AsyncSession, counted: _Counted, renewed: str | None, *, now: datetime) -> Checked:
    user_id = counted.user_id
    assert user_id is not None  # noqa: S101
    await session.execute(delete(PasswordTry).where(PasswordTry.subject == counted.subject))
    if counted.is_retired:
        return Checked("change_required")
    if renewed is not None:
        same = update(Password).where(Password.user_id == user_id, Password.phc == counted.phc)
        await session.execute(same.values(phc=renewed))
        await events.record(session, "password.rehashed", user_id=user_id, actor="worker", now=now)
    return Checked("match", user_id)


async def _failed(session: AsyncSession, counted: _Counted, *, actor: str, now: datetime) -> None:
    """Tell of the failure; after a hundred in a row the password is dead until a reset."""
    user_id = counted.user_id
    data = {"failures": counted.failures}
    await events.record(session, "password.check_failed", user_id=user_id, actor=actor, data=data, now=now)
    if user_id is not None and counted.failures >= rules.DEAD_AFTER and counted.phc is not None:
        await session.execute(update(Password).where(Password.user_id == user_id).values(dead_at=now))
        await events.record(session, "password.died", user_id=user_id, actor="worker", data=data, now=now)


async def retire(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> None:
    """Let a password that became known lead nowhere but to a new one, and end every session begun with it (PWD-17).

    Raises:
        accounts.rules.UnknownUserId; rules.NoPassword
    """
    account = await accounts.current(session, user_id, lock=True)
    mine = update(Password).where(Password.user_id == account.user_id).values(retired_at=now)
    if await session.scalar(mine.returning(Password.user_id)) is None:
        raise rules.NoPassword
    await accounts.end_sessions(session, account.user_id, actor=actor, now=now)
    await events.record(session, "password.retired", user_id=account.user_id, actor=actor, now=now)


async def purge(session: AsyncSession) -> None:
    """Forget failures that nobody has added to for a month."""
    await session.execute(delete(PasswordTry).where(PasswordTry.updated_at < func.now() - rules.FORGET_AFTER))


def _subject(session: AsyncSession, who: str) -> bytes:
    return tokens.keyed_hash(keyring.of(session).internal(), "password tries", who.encode())
