"""Set a password with a proof of the account; check one in three steps: count, hash, record the result."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import hashing
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.one_time_tokens.rules import MailboxProof
from identity_service.passwords import breaches, rules, strength
from identity_service.passwords.hashing import Hasher
from identity_service.passwords.rules import RecoveryProof
from identity_service.passwords.tables import Password, PasswordAttempt
from identity_service.second_factors import actions as second_factors
from identity_service.settings import Settings
from identity_service.values import secret_codes
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


@dataclass(frozen=True, slots=True)
class PasswordResult:
    """The result of a check; `retry_after` is in seconds if the result is `wait`."""

    result: rules.Result
    user_id: str | None = None
    retry_after: int | None = None


class _Counted(NamedTuple):
    subject: bytes
    asked: bytes
    user_id: str | None
    phc: str | None
    is_locked: bool
    is_compromised: bool
    wait: int
    failures: int
    browser: str | None


async def set_password(
    session: DatabaseSession, proof: MailboxProof | RecoveryProof, phc: str, *, now: datetime
) -> None:
    """Store the hash `phc` as the password of the proven account, and reset its count of failures."""
    # A number is no mailbox: a password that a text has set ends with the first proof of an address (ATT-26).
    mailbox = None
    if isinstance(proof, MailboxProof) and proof.purpose != "reset_text":
        mailbox = proof.recipient_hash
    values = {
        "phc": phc, "set_at": now, "proven_by": mailbox, "locked_at": None, "compromised_at": None,
        "imported_at": None, "mailbox_confirmed_at": None,
    }  # fmt: skip
    new = insert(Password).values({"user_id": proof.user_id, **values})
    await session.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=values))
    await session.execute(delete(PasswordAttempt).where(PasswordAttempt.subject == _subject(session, proof.user_id)))
    await events.record_event(session, "password.set", user_id=proof.user_id, actor="customer", now=now)


async def remove_password(
    session: DatabaseSession,
    user_id: str,
    *,
    since: datetime | None = None,
    unless_proven_by: Collection[bytes] = (),
    only_unproven: bool = False,
    reason: str,
    actor: str,
    now: datetime,
) -> bool:
    """Remove the password of an account; return whether there was one to remove.

    With `since`, only one that was set then or later; one whose proof was read at a mailbox of `unless_proven_by`
    (keyed hashes of addresses) stays. With `only_unproven`, only one that came by an import from a system that had not
    confirmed the address.
    """
    mine = delete(Password).where(Password.user_id == user_id)
    if since is not None:
        mine = mine.where(Password.set_at >= since)
    if only_unproven:
        mine = mine.where(Password.proven_by.is_(None), Password.mailbox_confirmed_at.is_(None))
    if unless_proven_by:
        mine = mine.where(or_(Password.proven_by.is_(None), Password.proven_by.not_in(unless_proven_by)))
    if await session.scalar(mine.returning(Password.user_id)) is None:
        return False
    data = {"reason": reason}
    await events.record_event(session, "password.removed", user_id=user_id, actor=actor, data=data, now=now)
    return True


async def make_hash(hasher: Hasher, settings: Settings, password: str, own_words: Iterable[str]) -> str:
    """Return the hash of a password after checking its strength; call it with no transaction open.

    Raises:
        rules.WeakPassword: with the reason.
        rules.HashingBusy
    """
    return await hasher.hash(await check_strength(hasher, settings, password, own_words))


async def check_strength(hasher: Hasher, settings: Settings, password: str, own_words: Iterable[str]) -> str:
    """Return the password in the form that is hashed (NFC) if it is strong enough.

    Raises:
        rules.WeakPassword: with the reason.
        rules.HashingBusy
    """
    typed = strength.normalise(password)
    minimum = settings.password_minimum
    strength.check_length(typed, minimum=minimum)
    if secret_codes.contains_recovery_code(typed):
        raise rules.WeakPassword("recovery_code", minimum)
    known_words = [*own_words, settings.mail_from_name]
    await hasher.judge(lambda: strength.check_guessable(typed, minimum=minimum, own_words=known_words))
    if settings.breached_passwords_url and await breaches.is_breached(typed, settings.breached_passwords_url):
        raise rules.WeakPassword("breached", minimum)
    return typed


async def proven_by(session: DatabaseSession, user_id: str) -> bytes | None:
    """Return the keyed hash of the mailbox that was read to set an account's password; None if none was."""
    found: bytes | None = await session.scalar(select(Password.proven_by).where(Password.user_id == user_id))
    return found


async def has_password(session: DatabaseSession, user_id: str) -> bool:
    """Return whether an account has a password that is not locked."""
    usable = select(Password.user_id).where(Password.user_id == user_id, Password.locked_at.is_(None))
    return await session.scalar(usable) is not None


async def check_password(
    database: Database,
    hasher: Hasher,
    who: EmailAddress | str,
    password: str,
    *,
    browser: KnownBrowser | None = None,
    actor: str,
    now: datetime,
) -> PasswordResult:
    """Check a password for an address or a User ID, with the same work and time whether or not there is an account.

    A `browser` that has signed in to the account before has a count of failures of its own, so that the failures of
    strangers neither delay its owner nor lock the password there.

    One transaction counts the attempt, the hash is computed with none open, and another records the result (PWD-07,
    PWD-13). During a delay no password is evaluated, not even the correct one. If the hashing queue is full, nothing is
    counted, so that load by others does not delay this account.

    Raises:
        rules.HashingBusy
    """
    hasher.refuse_if_busy()
    typed = strength.normalise(password)
    counted = await database.in_transaction(lambda session: _count(session, who, browser, now=now))
    if counted.wait:
        return PasswordResult("wait", retry_after=counted.wait)
    too_long = len(typed) > rules.MAXIMUM_CHARACTERS or len(typed.encode("utf-8", "replace")) > rules.MAXIMUM_BYTES
    # A locked password is verified too: answering sooner or later would tell that there is an account.
    phc = counted.phc or hasher.dummies.pick(counted.asked)
    matches = await hasher.verify(phc, "" if too_long else typed)
    matches = matches and counted.phc is not None and not counted.is_locked and not too_long
    rehashed = await hasher.hash(typed) if matches and hasher.is_outdated(phc) else None
    async with database.transaction() as session:
        if matches and counted.user_id is not None:
            return await _record_match(session, counted, rehashed, now=now)
        await _record_failure(session, counted, actor=actor, now=now)
        return PasswordResult("no_match")


async def check_password_alone(
    database: Database, hasher: Hasher, who: EmailAddress | str, password: str, *, actor: str, now: datetime
) -> PasswordResult:
    """Check a password for whoever has no second step: as `check_password`, but for an account with a second factor the
    right one is `second_factor_needed`, and no User ID is told (SFA-10). No codes are taken here, so that none are
    tried here.

    Raises:
        rules.HashingBusy
    """
    checked = await check_password(database, hasher, who, password, actor=actor, now=now)
    user_id = checked.user_id
    if checked.result != "match" or user_id is None:
        return checked
    async with database.transaction() as session:
        if await second_factors.find_factor(session, user_id) is None:
            return checked
        await events.record_event(session, "password.second_factor_needed", user_id=user_id, actor=actor, now=now)
        return PasswordResult("second_factor_needed")


async def _count(
    session: DatabaseSession, who: EmailAddress | str, browser: KnownBrowser | None, *, now: datetime
) -> _Counted:
    user_id = await ownership.active_user_id(session, who, recovers_at=now)
    valid_after = await ownership.sessions_valid_after(session, user_id)
    name = None if browser is None else browser.name_for(user_id, valid_after)
    asked = _subject(session, who if isinstance(who, str) else who.key)
    subject = asked if user_id is None else _subject(session, user_id, name)
    values = {"user_id": user_id or "", "subject": subject, "now": now, "delays": _DELAYS}
    stored = (await session.execute(_COUNT, values)).one()
    failures, is_compromised = stored.failures or 0, stored.compromised_at is not None
    is_locked = stored.locked_at is not None if name is None else failures > rules.LOCKED_AFTER
    counted = _Counted(subject, asked, user_id, stored.phc, is_locked, is_compromised, 0, failures, name)
    if stored.failures is not None:
        return counted
    blocked_until = await session.scalar(
        select(PasswordAttempt.blocked_until).where(PasswordAttempt.subject == subject)
    )
    return counted._replace(wait=max(1, rules.seconds_left(blocked_until, now)))


# Count the attempt, unless a delay is running, and read the hash. Always one row, and no ORM object: creating one takes
# 0.25 ms, and only if there is an account, which timing would reveal.
_COUNT = text(
    """
    WITH counted AS (
        INSERT INTO password_attempt AS t (subject, failures, updated_at) VALUES (:subject, 1, :now)
        ON CONFLICT (subject) DO UPDATE SET failures = t.failures + 1, updated_at = :now,
            blocked_until = :now + (CAST(:delays AS interval[]))[least(t.failures + 1, cardinality(:delays))]
        WHERE t.blocked_until IS NULL OR t.blocked_until <= :now
        RETURNING failures
    )
    SELECT p.phc, p.locked_at, p.compromised_at, (SELECT failures FROM counted) AS failures
    FROM (VALUES (CAST(:user_id AS text))) AS asked (user_id) LEFT JOIN password p ON p.user_id = asked.user_id
    """
)
# The delay after each number of failures; the last one, which is the longest, applies to all further failures.
_DELAYS = [
    rules.delay_after(failures)
    for failures in range(1, rules.LOCKED_AFTER)
    if rules.delay_after(failures - 1) != rules.LONGEST_DELAY
]


async def _record_match(
    session: DatabaseSession, counted: _Counted, rehashed: str | None, *, now: datetime
) -> PasswordResult:
    user_id = counted.user_id
    assert user_id is not None  # noqa: S101
    await session.execute(delete(PasswordAttempt).where(PasswordAttempt.subject == counted.subject))
    if counted.is_compromised:
        return PasswordResult("change_required")
    if rehashed is not None:
        unchanged = update(Password).where(Password.user_id == user_id, Password.phc == counted.phc)
        await session.execute(unchanged.values(phc=rehashed))
        await events.record_event(session, "password.rehashed", user_id=user_id, actor="worker", now=now)
    return PasswordResult("match", user_id)


async def _record_failure(session: DatabaseSession, counted: _Counted, *, actor: str, now: datetime) -> None:
    """Record the failure; after a hundred in a row lock the password until a reset.

    The same events are written where there is no password to lock, because the number of all events is public (R17).
    """
    user_id = counted.user_id
    data = {"failures": counted.failures}
    await events.record_event(session, "password.check_failed", user_id=user_id, actor=actor, data=data, now=now)
    is_usable = user_id is not None and counted.phc is not None and not counted.is_locked
    locks = is_usable and counted.browser is None and counted.failures >= rules.LOCKED_AFTER
    if locks:
        await session.execute(update(Password).where(Password.user_id == user_id).values(locked_at=now))
    if locks or counted.failures == rules.LOCKED_AFTER:
        await events.record_event(session, "password.locked", user_id=user_id, actor="worker", data=data, now=now)


async def mark_compromised(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> None:
    """Mark a password that became known, so that it can only be replaced by a reset, and end all sessions (PWD-17).

    Raises:
        accounts.rules.UnknownUserId, rules.NoPassword
    """
    account = await accounts.find_active_account(session, user_id, lock=True)
    mine = update(Password).where(Password.user_id == account.user_id).values(compromised_at=now)
    if await session.scalar(mine.returning(Password.user_id)) is None:
        raise rules.NoPassword
    await events.record_event(session, "password.compromised", user_id=account.user_id, actor=actor, now=now)
    reason = SessionsEndedReason.PASSWORD_COMPROMISED
    await accounts.end_sessions(session, account.user_id, reason, actor=actor, now=now)


async def purge_attempts(session: DatabaseSession) -> None:
    """Delete counts of failures that have not changed for 30 days."""
    await session.execute(delete(PasswordAttempt).where(PasswordAttempt.updated_at < func.now() - rules.FORGET_AFTER))


def _subject(session: DatabaseSession, who: str, browser: str | None = None) -> bytes:
    """Return the keyed hash under which failures are counted: of an account or address, or of one known browser."""
    named = [] if browser is None else [browser.encode()]
    return hashing.keyed_hash(session.keys.internal(), "password tries", who.encode(), *named)
