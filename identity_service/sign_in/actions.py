"""Sign in by password or emailed code; find and end sessions."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import delete, func, insert, select, update

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.keys import hashing
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import removal
from identity_service.sign_in import rules
from identity_service.sign_in.tables import PendingSignIn, SignInSession
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


class Proofs(NamedTuple):
    """What a session rests on, and since when."""

    method: rules.Method
    second_factor: str | None
    proven_by: bytes | None
    proven_at: datetime


class NewSession(NamedTuple):
    """The cookie of a new session, and the User ID that it is for."""

    cookie: str
    user_id: str


class PendingCookie(NamedTuple):
    """The cookie of a sign-in that waits for a second factor, which opens nothing else."""

    cookie: str


class SignedIn(NamedTuple):
    """A signed-in customer: the account and the session."""

    account: Account
    session: SignInSession

    @property
    def strength(self) -> int:
        """Return how strong the sign-in was, as `rules.strength_of` says."""
        return rules.strength_of(self.session.method, self.session.second_factor)


async def sign_in_by_password(
    database: Database,
    hasher: Hasher,
    address: EmailAddress,
    password: str,
    *,
    browser: str,
    known: KnownBrowser,
    replaces: str | None = None,
    now: datetime,
) -> NewSession | PendingCookie:
    """Sign in with address and password; return what `begin_session` does. `replaces` is the browser's previous cookie,
    whose session is ended (ASVS 7.2.4).

    Raises:
        rules.WrongPassword: also for an unknown address, an account without a password, and a closed one.
        rules.TooManyAttempts: no attempt is evaluated for `retry_after` seconds.
        rules.PasswordChangeRequired: the password is correct, but marked as compromised.
    """
    checked = await passwords.check_password(
        database, hasher, address, password, browser=known, actor="customer", now=now
    )
    if checked.result == "wait":
        raise rules.TooManyAttempts(retry_after=checked.retry_after)
    if checked.result == "change_required":
        raise rules.PasswordChangeRequired
    if checked.user_id is None:
        raise rules.WrongPassword
    user_id = checked.user_id
    async with database.transaction() as session:
        proven_by = await passwords.proven_by(session, user_id)
        new = await begin_session(session, user_id, "password", proven_by, browser=browser, replaces=replaces, now=now)
        await tell_weaker(session, new, known, now=now)
    return new


async def sign_in_by_passkey(
    database: Database, ceremony: str, response: str, *, browser: str, device: str, replaces: str | None, now: datetime
) -> NewSession | PendingCookie:
    """Sign in with the response of a passkey to a challenge of this browser (`browser` is its cookie, `device` what a
    customer recognises it by); return what `begin_session` does. `replaces` as in `sign_in_by_password`.

    Raises:
        passkeys.rules.PasskeyRefused
    """
    proven = await passkeys.check_response(database, ceremony, response, browser=browser, now=now)
    async with database.transaction() as session:
        user_id = proven.account.user_id
        factor = await second_factors.find_factor(session, user_id)
        # The passkey of one account stands for no app of another one that it was merged with (SFA-06).
        is_whole = proven.verified and (factor is None or factor.user_id == proven.added_to)
        method: rules.Method = "verified_passkey" if is_whole else "passkey"
        new = await begin_session(session, user_id, method, None, browser=device, replaces=replaces, now=now)
        if factor is not None and is_whole:
            # Whoever has a passkey that counts as two is no stranger who says that the app is lost (SFA-09).
            await removal.stop_removal(session, factor.user_id, actor="customer", now=now)
        if proven.tell_copied:
            await credentials.notify_mailboxes(
                session, "passkey_copied", [user_id], cause="sign_in.succeeded", actor="customer", now=now
            )
        return new


async def tell_weaker(
    session: DatabaseSession, new: NewSession | PendingCookie, known: KnownBrowser | None, *, now: datetime
) -> None:
    """Tell the customer of a sign-in without their passkey (PKY-14); one that waits for a second factor is none yet."""
    if isinstance(new, PendingCookie):
        return
    name = "" if known is None else known.name_after(new.user_id)
    await credentials.tell_weaker_sign_in(session, new.user_id, name, now=now)


async def find_session(session: DatabaseSession, cookie: str, *, is_use: bool = True, now: datetime) -> SignedIn | None:
    """Return the account and session of a cookie; None if the session expired, was ended, or does not exist. What a
    script asks by itself is no use (`is_use`) and keeps no session from ending."""
    found = await _of_cookie(session, cookie)
    if found is None or _why_over(found, now=now) is not None:
        return None
    if is_use and now - found.session.seen_at > rules.SEEN_EVERY:
        await session.execute(update(SignInSession).where(SignInSession.id == found.session.id).values(seen_at=now))
    return found


async def why_signed_out(session: DatabaseSession, cookie: str, *, now: datetime) -> rules.WhyOver | None:
    """Return why the session of a cookie is over; None if it is valid or does not exist."""
    found = await _of_cookie(session, cookie)
    return None if found is None else _why_over(found, now=now)


async def _of_cookie(session: DatabaseSession, cookie: str) -> SignedIn | None:
    mine = select(SignInSession, Account).join(Account, Account.user_id == SignInSession.user_id)
    row = (await session.execute(mine.where(SignInSession.cookie_hash == hashing.hash_secret(cookie)))).one_or_none()
    return None if row is None else SignedIn(row[1], row[0])


def _why_over(found: SignedIn, *, now: datetime) -> rules.WhyOver | None:
    account, row = found
    return rules.why_over(
        created_at=row.created_at, seen_at=row.seen_at, expires_at=row.expires_at, ended_at=row.ended_at,
        account_state=account.state, valid_after=valid_after(account), now=now,
    )  # fmt: skip


async def active_sessions(session: DatabaseSession, account: Account, *, now: datetime) -> Sequence[SignInSession]:
    """Return the valid sessions of an account, newest first."""
    mine = select(SignInSession).where(SignInSession.user_id == account.user_id, SignInSession.expires_at > now)
    rows = (await session.scalars(mine.order_by(SignInSession.created_at.desc()))).all()
    return [row for row in rows if _why_over(SignedIn(account, row), now=now) is None]


async def end_session(session: DatabaseSession, user_id: str, session_id: uuid.UUID, *, now: datetime) -> None:
    """End one session of this customer.

    Raises:
        rules.UnknownSession: it belongs to another customer, has ended, or does not exist.
    """
    mine = update(SignInSession).where(SignInSession.id == session_id, SignInSession.user_id == user_id)
    ended = await session.scalar(
        mine.where(SignInSession.ended_at.is_(None)).values(ended_at=now).returning(SignInSession.id)
    )
    if ended is None:
        raise rules.UnknownSession
    await _tell_ended(session, user_id, session_id, now=now)


async def check_fresh(session: DatabaseSession, customer: SignedIn, *, now: datetime) -> None:
    """Refuse a session whose sign-in is older than `rules.FRESH` (ASVS 7.5.1), or weaker than the strongest that the
    account has.

    Raises:
        rules.ReauthenticationRequired, rules.PasskeyRequired, rules.SecondFactorRequired
    """
    if not rules.is_fresh(customer.session.proven_at, now=now):
        raise rules.ReauthenticationRequired
    if customer.strength == rules.STRONGEST:
        return
    user_id = customer.account.user_id
    has_factor = await second_factors.find_factor(session, user_id) is not None
    best = rules.best_strength(
        passkeys=[one.verified for one in await passkeys.list_passkeys(session, user_id)],
        has_password=await passwords.has_password(session, user_id), has_factor=has_factor,
    )  # fmt: skip
    if customer.strength < best:
        raise rules.SecondFactorRequired if has_factor else rules.PasskeyRequired


async def check_changes_ways_in(session: DatabaseSession, customer: SignedIn, *, now: datetime) -> None:
    """Refuse a session that may not add a way to sign in: what `check_fresh` refuses, and one by an emailed code where
    the account has a password (PKY-07; NIST SP 800-63B-4, 4.1.2.1).

    Raises:
        rules.ReauthenticationRequired, rules.PasskeyRequired, rules.PasswordRequired
    """
    await check_fresh(session, customer, now=now)
    if customer.session.method == "mail" and await passwords.has_password(session, customer.account.user_id):
        raise rules.PasswordRequired


async def check_still_signed_in(session: DatabaseSession, cookie: str, user_id: str, *, now: datetime) -> None:
    """Lock the account, and refuse a session that was ended while something was hashed for it.

    Raises:
        rules.NotSignedIn
    """
    await accounts.find_account(session, UserId(user_id), lock=True)
    found = await find_session(session, cookie, now=now)
    if found is None or found.account.user_id != user_id:
        raise rules.NotSignedIn


async def end_all_sessions(session: DatabaseSession, *, now: datetime) -> int:
    """End every session; return how many. After a restore, sessions ended since the backup would be valid again."""
    await entry_points.load("openid.ending:end_everything")(session, now=now)
    valid = update(SignInSession).where(SignInSession.ended_at.is_(None), SignInSession.expires_at > now)
    return len((await session.scalars(valid.values(ended_at=now).returning(SignInSession.id))).all())


async def purge_sessions(session: DatabaseSession) -> None:
    """Delete sessions that expired more than a week ago, and sign-ins that were not finished."""
    await session.execute(delete(PendingSignIn).where(PendingSignIn.expires_at < func.now()))
    await session.execute(delete(SignInSession).where(SignInSession.expires_at < func.now() - timedelta(days=7)))


def valid_after(account: Account) -> datetime | None:
    """Return the time before which no session is valid: the later of both `…_valid_after` of the account (SES-04)."""
    return max(filter(None, (account.sessions_valid_after, account.tokens_valid_after)), default=None)


async def begin_session(
    session: DatabaseSession,
    user_id: str,
    method: rules.Method,
    proven_by: bytes | None,
    *,
    browser: str,
    replaces: str | None,
    now: datetime,
) -> NewSession | PendingCookie:
    """Begin a session of a customer who has proven themselves by this method; if that is one step, and the account has
    a second factor, a sign-in that waits for it. Every way in ends here (SFA-06)."""
    is_whole = rules.STRENGTH[method] == rules.STRONGEST
    if is_whole or await second_factors.find_factor(session, user_id) is None:
        return await open_session(
            session, user_id, Proofs(method, None, proven_by, now), browser=browser, replaces=replaces, now=now
        )
    cookie = secrets.token_urlsafe(32)
    row = {
        "cookie_hash": hashing.hash_secret(cookie), "user_id": user_id, "method": method, "proven_by": proven_by,
        "browser": browser, "created_at": now, "expires_at": now + rules.PENDING_LIFETIME,
    }  # fmt: skip
    await session.execute(insert(PendingSignIn), row)
    return PendingCookie(cookie)


async def continue_session(
    session: DatabaseSession, customer: SignedIn, cookie: str, *, second_factor: str | None = None, now: datetime
) -> NewSession:
    """Give a session another cookie after every session of the customer was ended, this one included. It stays as
    strong as its sign-in was, and as old; `second_factor` is what was proven since."""
    own = customer.session
    proofs = Proofs(cast("rules.Method", own.method), second_factor or own.second_factor, own.proven_by, own.proven_at)
    return await open_session(session, own.user_id, proofs, browser=own.browser, replaces=cookie, now=now)


async def open_session(
    session: DatabaseSession, user_id: str, proofs: Proofs, *, browser: str, replaces: str | None, now: datetime
) -> NewSession:
    """Open a session that rests on these proofs; whether they are enough is for the caller to know."""
    cookie, session_id = secrets.token_urlsafe(32), uuid.uuid4()
    if replaces is not None:
        await _end_replaced(session, replaces, session_id, user_id, now=now)
    row = {
        **proofs._asdict(), "id": session_id, "cookie_hash": hashing.hash_secret(cookie), "user_id": user_id,
        "browser": browser, "created_at": now, "seen_at": now,
        "expires_at": now + timedelta(hours=session.settings.session_hours),
    }  # fmt: skip
    await session.execute(insert(SignInSession), row)
    data = {"session_id": str(session_id), "by": proofs.method, "second_factor": proofs.second_factor}
    await events.record_event(session, "sign_in.succeeded", user_id=user_id, actor="customer", data=data, now=now)
    return NewSession(cookie, user_id)


async def _end_replaced(
    session: DatabaseSession, cookie: str, successor: uuid.UUID, user_id: str, *, now: datetime
) -> None:
    """End the previous session of a browser that signs in again. If it was of the same customer, applications go on in
    the new one; of another account they end."""
    mine = update(SignInSession).where(
        SignInSession.cookie_hash == hashing.hash_secret(cookie), SignInSession.ended_at.is_(None)
    )
    ended = mine.values(ended_at=now).returning(SignInSession.user_id, SignInSession.id)
    for owner, session_id in (await session.execute(ended)).all():
        if owner == user_id:
            await entry_points.load("openid.ending:move_sessions")(session, session_id, successor)
        await _tell_ended(session, owner, session_id, now=now)


async def _tell_ended(session: DatabaseSession, user_id: str, session_id: uuid.UUID, *, now: datetime) -> None:
    """End what applications have of a session, and record that it ended."""
    await entry_points.load("openid.ending:end_for_session")(session, session_id, why="signed_out", now=now)
    data = {"session_id": str(session_id)}
    await events.record_event(session, "sign_in.ended", user_id=user_id, actor="customer", data=data, now=now)
