"""Sign in by password or mailed code, find and end sessions."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select, update

from identity_service import keyring
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession, Database, settings_of
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.rules import LinkDead
from identity_service.signin import rules
from identity_service.signin.tables import SignInSession
from identity_service.throttle import Throttle

PURPOSE = ("signin",)


class Customer(NamedTuple):
    """Somebody who is signed in: the account and the session."""

    account: Account
    session: SignInSession


async def by_password(
    database: Database,
    hasher: Hasher,
    address: EmailAddress,
    password: str,
    *,
    browser: str,
    replaces: str | None = None,
    now: datetime,
) -> str:
    """Sign in with address and password; return the new session's cookie. `replaces` is the cookie that the browser
    had until now: its session ends (ASVS 7.2.4).

    Raises:
        rules.WrongPassword: the same for an unknown address, an account without a password, and a closed one.
        rules.PleaseWait: no try is evaluated right now; `retry_after` says how long.
        rules.PasswordChangeRequired: the password was right, and may not be used any more.
    """
    checked = await passwords.check(database, hasher, address, password, actor="customer", now=now)
    if checked.result == "wait":
        raise rules.PleaseWait(retry_after=checked.retry_after)
    if checked.result == "change_required":
        raise rules.PasswordChangeRequired
    if checked.user_id is None:
        raise rules.WrongPassword
    user_id = checked.user_id
    return await database.short(
        lambda session: _begin(session, user_id, "password", browser=browser, replaces=replaces, now=now)
    )


async def ask_code(
    session: AsyncSession, limits: Throttle, address: EmailAddress, *, locale: str, where_from: str, now: datetime
) -> str:
    """Mail a code to sign in with, or, where there is no account, a letter that says so; return the handle to follow
    it by. The same statements for everybody, as for a reset.

    Raises:
        rules.SignInByMailOff
    """
    settings = settings_of(session)
    if not settings.sign_in_by_mail:
        raise rules.SignInByMailOff
    to_hash = keyring.of(session).address_hash(address.key)
    if await limits.wait("signin-address", rules.CODES_PER_ADDRESS, to_hash.hex()):
        newest = await proofs.latest(session, "signin", address)
        if newest is not None:
            return await proofs.track(session, newest.id, now=now)
    found = await merges.answering(session, address, hold=True)
    proof = await proofs.send(
        session, "signin", kind="no_account_signin" if found.active is None else "signin_code", to=found.address,
        user_id=found.active, locale=locale, facts={"from": where_from}, once=True, cause="signin.asked",
        actor="customer", now=now,
    )  # fmt: skip
    await events.record(session, "signin.asked", user_id=proof.user_id, actor="customer", now=now)
    return await proofs.track(session, proof.id, now=now)


async def by_code(
    database: Database,
    limits: Throttle,
    handle: str,
    code: str,
    *,
    browser: str,
    replaces: str | None = None,
    now: datetime,
) -> str:
    """Sign in with the code from the letter, at the page where it was asked for; return the session's cookie.
    `replaces` as in `by_password`.

    Raises:
        rules.SignInByMailOff: also for a code that was mailed before it was switched off.
        proofs.rules.UnknownTracking, CodeWrong, CodeIsUserId, LinkDead; TooManyRequests
    """
    if not database.settings.sign_in_by_mail:
        raise rules.SignInByMailOff
    typed = proof_rules.read_code(code)
    found = await database.short(lambda session: proofs.followed(session, handle, PURPOSE, now=now))
    await proofs.spend_try(database, limits, found.proof)
    async with database.transaction() as session:
        proofs.check_code(session, found.proof, typed)
        account = await accounts.find_for_sign_in(session, found.proof.user_id or "")
        if account is None:
            raise LinkDead
        proofs.check_alive(session, found, valid_after=account.proofs_valid_after, by="code", now=now)
        proof = await proofs.use_up(session, found, now=now)
        if account.email_state != "confirmed":
            await accounts.mailbox_proven(session, proof.user_id, ends_sessions=False, actor="customer", now=now)
        return await _begin(session, proof.user_id, "mail", browser=browser, replaces=replaces, now=now)


async def find(session: AsyncSession, cookie: str, *, now: datetime) -> Customer | None:
    """Return who is behind a session's cookie, or None where it is over, ended or never was."""
    mine = select(SignInSession, Account).join(Account, Account.user_id == SignInSession.user_id)
    row = (await session.execute(mine.where(SignInSession.cookie_hash == _hashed(cookie)))).one_or_none()
    if row is None:
        return None
    signed_in, account = row
    over = rules.is_over(
        created_at=signed_in.created_at, seen_at=signed_in.seen_at, until=signed_in.until,
        ended_at=signed_in.ended_at, account_state=account.state, valid_after=_valid_after(account), now=now,
    )  # fmt: skip
    if over:
        return None
    if now - signed_in.seen_at > rules.SEEN_EVERY:
        await session.execute(update(SignInSession).where(SignInSession.id == signed_in.id).values(seen_at=now))
    return Customer(account, signed_in)


async def living(session: AsyncSession, account: Account, *, now: datetime) -> Sequence[SignInSession]:
    """Return the sessions of an account that are not over, newest first."""
    mine = select(SignInSession).where(SignInSession.user_id == account.user_id, SignInSession.until > now)
    rows = (await session.scalars(mine.order_by(SignInSession.created_at.desc()))).all()
    return [
        row
        for row in rows
        if not rules.is_over(
            created_at=row.created_at, seen_at=row.seen_at, until=row.until, ended_at=row.ended_at,
            account_state=account.state, valid_after=_valid_after(account), now=now,
        )
    ]  # fmt: skip


async def end(session: AsyncSession, user_id: str, session_id: uuid.UUID, *, now: datetime) -> None:
    """End one session of this customer.

    Raises:
        rules.UnknownSession: it is not his, or there is none.
    """
    mine = update(SignInSession).where(SignInSession.id == session_id, SignInSession.user_id == user_id)
    ended = await session.scalar(
        mine.where(SignInSession.ended_at.is_(None)).values(ended_at=now).returning(SignInSession.id)
    )
    if ended is None:
        raise rules.UnknownSession
    data = {"session_id": str(session_id)}
    await events.record(session, "signin.ended", user_id=user_id, actor="customer", data=data, now=now)


def check_fresh(customer: Customer, *, now: datetime) -> None:
    """Refuse what needs a sign-in of the last minutes (ASVS 7.5.1).

    Raises:
        rules.ReauthenticationRequired
    """
    if now - customer.session.created_at > rules.FRESH:
        raise rules.ReauthenticationRequired


async def end_all(session: AsyncSession, *, now: datetime) -> int:
    """End every session there is; return how many. After a restore one that was ended would live again."""
    living = update(SignInSession).where(SignInSession.ended_at.is_(None), SignInSession.until > now)
    return len((await session.scalars(living.values(ended_at=now).returning(SignInSession.id))).all())


async def purge(session: AsyncSession) -> None:
    """Forget sessions that have been over for a week."""
    await session.execute(delete(SignInSession).where(SignInSession.until < func.now() - timedelta(days=7)))


def _valid_after(account: Account) -> datetime | None:
    """Return the moment before which no session counts: of ending them all, or of proving the mailbox (SES-04)."""
    return max(filter(None, (account.sessions_valid_after, account.proofs_valid_after)), default=None)


async def _begin(
    session: AsyncSession, user_id: str, way: rules.Way, *, browser: str, replaces: str | None, now: datetime
) -> str:
    if replaces is not None:
        await _end_replaced(session, replaces, now=now)
    cookie, session_id = secrets.token_urlsafe(32), uuid.uuid4()
    until = now + timedelta(hours=settings_of(session).session_hours)
    row = {"id": session_id, "cookie_hash": _hashed(cookie), "user_id": user_id, "way": way, "browser": browser}
    await session.execute(insert(SignInSession), {**row, "created_at": now, "seen_at": now, "until": until})
    data = {"session_id": str(session_id), "by": way}
    await events.record(session, "signin.succeeded", user_id=user_id, actor="customer", data=data, now=now)
    return cookie


async def _end_replaced(session: AsyncSession, cookie: str, *, now: datetime) -> None:
    """End the session that a browser had when it signed in anew, whoever's it was."""
    mine = update(SignInSession).where(SignInSession.cookie_hash == _hashed(cookie), SignInSession.ended_at.is_(None))
    ended = mine.values(ended_at=now).returning(SignInSession.user_id, SignInSession.id)
    for user_id, session_id in (await session.execute(ended)).all():
        data = {"session_id": str(session_id)}
        await events.record(session, "signin.ended", user_id=user_id, actor="customer", data=data, now=now)


def _hashed(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
