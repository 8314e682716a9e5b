"""Begin a recovery session with User ID and recovery code, ask for a second proof, and do the one thing it is for."""

import secrets
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.addresses import actions as addresses
from identity_service.addresses.tables import EmailChange
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import hashing
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.passwords.rules import RecoveryProof
from identity_service.recovery import rules
from identity_service.recovery.tables import RecoverySession
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.recovery_codes import rules as code_rules
from identity_service.recovery_codes.actions import Counted, NewCode
from identity_service.resets import choosing
from identity_service.second_factors import actions as second_factors
from identity_service.sign_in import actions as sign_in
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter

PURPOSE = ("recovery",)


class Recovering(NamedTuple):
    """Who has entered a recovery code: the account and the session."""

    account: Account
    session: RecoverySession


async def begin_recovery(database: Database, hasher: Hasher, user_id: UserId, code: str, *, now: datetime) -> str:
    """Begin a session with User ID and recovery code, which is in the stored form; return its cookie.

    Raises:
        recovery_codes.rules.RecoveryRefused: alike whatever is wrong (REC-22).
        passwords.rules.HashingBusy
    """
    hasher.refuse_if_busy()
    counted = await database.in_transaction(lambda session: _count(session, user_id, code, now=now))
    code_id = await recovery_codes.verify_code(database, hasher, counted, code)
    new = await recovery_codes.prepare_code(hasher)
    async with database.transaction() as session:
        account = await accounts.find_account(session, user_id, lock=True)
        needs_second = await has_second_proof(session, account.user_id)
        cookie = await _store(session, account.user_id, code_id, needs_second=needs_second, now=now)
        if needs_second:
            # Kept: whoever found the card must not use it up for its owner.
            await _tell(session, account.user_id, "recovery_code_entered", now=now)
        else:
            await _use(session, account.user_id, code_id, new, now=now)
    return cookie


async def begin_for_new_account(session: DatabaseSession, user_id: str, *, now: datetime) -> str:
    """Begin a session for whoever holds the page of an account that was issued a moment ago; return its cookie."""
    return await _store(session, user_id, None, needs_second=False, now=now)


async def find_recovery(session: DatabaseSession, cookie: str, *, now: datetime) -> Recovering | None:
    """Return the account and session of a cookie; None if the session expired or was overtaken by another credential.
    One that was used is returned, too, so that its result can be shown."""
    mine = select(RecoverySession, Account).join(Account, Account.user_id == RecoverySession.user_id)
    hashed = hashing.hash_secret(cookie)
    row = (await session.execute(mine.where(RecoverySession.cookie_hash == hashed))).one_or_none()
    if row is None:
        return None
    found = Recovering(row[1], row[0])
    ended = found.account.sessions_valid_after
    is_over = now >= found.session.expires_at or (ended is not None and found.session.created_at < ended)
    return None if is_over or found.account.state != "active" else found


async def has_second_proof(session: DatabaseSession, user_id: str) -> bool:
    """Return whether an account has what counts as two factors, so that a code alone does not recover it (REC-25)."""
    if await second_factors.find_factor(session, user_id) is not None:
        return True
    return any(one.verified for one in await passkeys.list_passkeys(session, user_id))


async def give_app_code(
    database: Database, hasher: Hasher, recovering: Recovering, code: str, *, now: datetime
) -> None:
    """Take a code of the account's authenticator app as the second proof, counted like every other one (SFA-03).

    Raises:
        second_factors.rules: what `second_factors.actions.check_code` raises; passwords.rules.HashingBusy
    """
    account = recovering.account
    if await database.in_transaction(lambda session: passkeys.is_only_way(session, account)):
        raise rules.NoSecondProof
    await second_factors.check_code(database, account.user_id, code, now=now)
    new = await recovery_codes.prepare_code(hasher)
    async with database.transaction() as session:
        await accept_second_proof(session, recovering, new, now=now)


async def send_second_code(
    session: DatabaseSession, limits: RateLimiter, recovering: Recovering, *, now: datetime
) -> None:
    """Email a code to the address on file, as the second proof: saved code and sent code are two kinds (SFA-08).

    Raises:
        rules.NoSecondProof, rate_limits.TooManyRequests
    """
    account = recovering.account
    if not await has_settled_address(session, account, now=now):
        raise rules.NoSecondProof
    await limits.hit("recovery-code-mail", rules.CODES_PER_ACCOUNT, account.user_id)
    token_id = uuid.uuid4()
    data = {"token_id": token_id}
    await events.record_event(
        session, "recovery.second_proof_requested", user_id=account.user_id, actor="customer", data=data, now=now
    )
    await one_time_tokens.send_token(
        session, "recovery", kind="recovery_proof", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, token_id=token_id, cause="recovery.second_proof_requested", actor="customer", now=now,
    )  # fmt: skip
    mine = update(RecoverySession).where(RecoverySession.id == recovering.session.id)
    await session.execute(mine.values(token_id=token_id))


async def has_settled_address(session: DatabaseSession, account: Account, *, now: datetime) -> bool:
    """Return whether an account's address is confirmed and has been the same for 72 hours (SFA-08)."""
    if await passkeys.is_only_way(session, account):
        return False
    changed = select(func.max(EmailChange.changed_at)).where(EmailChange.user_id == account.user_id)
    since = await session.scalar(changed)
    return account.email_state == "confirmed" and (since is None or now - since >= rules.SETTLED)


async def give_second_code(
    database: Database, limits: RateLimiter, hasher: Hasher, recovering: Recovering, code: str, *, now: datetime
) -> None:
    """Compare the emailed code; if it is right, use the recovery code up, and the session may act.

    Raises:
        one_time_tokens.rules.CodeWrong, LinkInvalid, rate_limits.TooManyRequests, passwords.rules.HashingBusy
    """
    row, typed = recovering.session, token_rules.read_code(code)
    if row.token_id is None:
        raise LinkInvalid
    token_id = row.token_id
    found = await database.in_transaction(lambda session: one_time_tokens.find_token(session, token_id))
    if found is None:
        raise LinkInvalid
    await one_time_tokens.count_code_attempt(database, limits, found.token)
    new = await recovery_codes.prepare_code(hasher)
    async with database.transaction() as session:
        one_time_tokens.check_code(session, found.token, typed)
        account = await accounts.find_account(session, UserId(row.user_id), lock=True)
        valid_after = account.tokens_valid_after
        one_time_tokens.check_valid(session, found, valid_after=valid_after, by="code", now=now)
        await one_time_tokens.consume(session, found, now=now)
        await accept_second_proof(session, recovering, new, now=now)


async def accept_second_proof(session: DatabaseSession, recovering: Recovering, new: NewCode, *, now: datetime) -> None:
    """Let a session act whose second proof was given, and use its code up, with `new` as the next one.

    Raises:
        rules.NotRecovering, recovery_codes.rules.RecoveryRefused
    """
    row = recovering.session
    mine = update(RecoverySession).where(
        RecoverySession.id == row.id, RecoverySession.needs_second, RecoverySession.ended_at.is_(None)
    )
    code_id = await session.scalar(mine.values(needs_second=False).returning(RecoverySession.code_id))
    if code_id is None:
        raise rules.NotRecovering
    await _use(session, row.user_id, code_id, new, now=now)


async def set_password(
    database: Database,
    hasher: Hasher,
    recovering: Recovering,
    password: str,
    *,
    keep: Collection[str] = (),
    factor_too: bool = False,
    now: datetime,
) -> None:
    """Set a password, as a reset does (REC-26): every session and older token ends, and all passkeys but those of the
    ids in `keep` (PKY-14). With `factor_too` the authenticator app is removed: two kinds of proof were given (SFA-08).

    Raises:
        rules.NotRecovering, rules.NoAddressForPassword, passwords.rules.WeakPassword, passwords.rules.HashingBusy
    """
    check_may_act(recovering)
    account = recovering.account
    if account.email is None or account.email_state != "confirmed":
        raise rules.NoAddressForPassword
    phc = await passwords.make_hash(hasher, database.settings, password, [account.email, account.display_name or ""])
    async with database.transaction() as session:
        await accounts.find_account(session, UserId(account.user_id), lock=True)
        proof = await finish(session, recovering, "password", now=now)
        reason = SessionsEndedReason.PASSWORD_SET
        await credentials.end_access(session, account.user_id, reason=reason, actor="customer", now=now)
        await passwords.set_password(session, proof, phc, now=now)
        await credentials.keep_passkeys(session, account.user_id, keep, actor="customer", now=now)
        await credentials.remove_numbers(
            session, account.user_id, since=now - code_rules.NEW, actor="customer", now=now
        )
        if factor_too:
            await second_factors.remove_factor(session, account.user_id, actor="customer", now=now)
        await credentials.notify_mailboxes(
            session, "password_changed", [account.user_id], facts={"occurred_at": now.isoformat()},
            cause="password.set", actor="customer", now=now,
        )  # fmt: skip


async def list_passkeys(session: DatabaseSession, user_id: str, *, now: datetime) -> list[choosing.ListedPasskey]:
    """Return the passkeys that a new password may leave, as their owner recognises them."""
    return [choosing.describe_passkey(one, now=now) for one in await passkeys.list_passkeys(session, user_id)]


async def add_passkey(
    session: DatabaseSession, recovering: Recovering, new: passkeys.Registered, *, device: str, now: datetime
) -> sign_in.NewSession | sign_in.PendingCookie:
    """Add a passkey and sign in with it.

    Raises:
        rules.NotRecovering, passkeys.rules.TooManyPasskeys, passkeys.rules.PasskeyExists
    """
    user_id = recovering.account.user_id
    await finish(session, recovering, "passkey", now=now)
    if recovering.session.code_id is not None:
        # As a new password does: what somebody else may have gained is over (OID-19, PKY-14).
        since = now - code_rules.NEW
        reason = SessionsEndedReason.RECOVERED
        await credentials.end_access(session, user_id, reason=reason, actor="customer", now=now)
        await credentials.remove_passkeys(session, user_id, since=since, actor="customer", now=now)
        await credentials.remove_numbers(session, user_id, since=since, actor="customer", now=now)
    made = await passkeys.add_passkey(session, new, device, now=now)
    await credentials.notify_mailboxes(
        session, "passkey_added", [user_id], cause="passkey.added", actor="customer", now=now
    )
    return await sign_in.begin_session(
        session, user_id, "verified_passkey" if made.verified else "passkey", None, browser=device, replaces=None,
        now=now,
    )  # fmt: skip


async def attach_address(
    session: DatabaseSession, recovering: Recovering, address: EmailAddress, *, now: datetime
) -> None:
    """Ask a mailbox whether it shall be the account's address; the others are told, and can undo it."""
    await finish(session, recovering, "address", now=now)
    user_id = UserId(recovering.account.user_id)
    await addresses.request_own_email(session, user_id, address, proven_by=None, now=now)


def check_may_act(recovering: Recovering) -> None:
    """Refuse a session whose second proof is missing, or that was used.

    Raises:
        rules.SecondProofNeeded, rules.NotRecovering
    """
    if recovering.session.ended_at is not None:
        raise rules.NotRecovering
    if recovering.session.needs_second:
        raise rules.SecondProofNeeded


async def finish(
    session: DatabaseSession, recovering: Recovering, action: rules.Action, *, now: datetime
) -> RecoveryProof:
    """Use the session up for one action: of several at once only one succeeds. The only function that makes a
    `RecoveryProof`.

    Raises:
        rules.SecondProofNeeded, rules.NotRecovering
    """
    check_may_act(recovering)
    row = recovering.session
    account = await accounts.find_account(session, UserId(row.user_id), lock=True)
    ended = account.sessions_valid_after
    if account.state != "active" or (ended is not None and row.created_at < ended):
        # A reset came in between, while a password was judged and hashed.
        raise rules.NotRecovering
    mine = update(RecoverySession).where(
        RecoverySession.id == row.id, RecoverySession.ended_at.is_(None), ~RecoverySession.needs_second,
        RecoverySession.expires_at > now,
    )  # fmt: skip
    used = mine.values(ended_at=now, action=action).returning(RecoverySession.user_id)
    user_id = await session.scalar(used)
    if user_id is None:
        raise rules.NotRecovering
    return RecoveryProof(user_id)


async def purge_recoveries(session: DatabaseSession) -> None:
    """Delete sessions that expired more than a day ago."""
    await session.execute(delete(RecoverySession).where(RecoverySession.expires_at < func.now() - timedelta(days=1)))


async def _count(session: DatabaseSession, user_id: UserId, code: str, *, now: datetime) -> Counted:
    counted = await recovery_codes.count_try(session, user_id, code, now=now)
    if counted.misses in code_rules.TOLD_AT:
        await _tell(session, user_id, "recovery_code_missed", now=now)
    return counted


async def _use(session: DatabaseSession, user_id: str, code_id: uuid.UUID, new: NewCode, *, now: datetime) -> None:
    await recovery_codes.use_code(session, code_id, new, shown_until=now + rules.LIFETIME, now=now)
    await _tell(session, user_id, "recovery_code_used", now=now)


async def _tell(session: DatabaseSession, user_id: str, kind: str, *, now: datetime) -> None:
    cause = {"recovery_code_missed": "recovery_code.missed", "recovery_code_used": "recovery_code.used"}
    await credentials.notify_mailboxes(
        session, kind, [user_id], cause=cause.get(kind, "recovery.began"), actor="customer", now=now
    )


async def _store(
    session: DatabaseSession, user_id: str, code_id: uuid.UUID | None, *, needs_second: bool, now: datetime
) -> str:
    cookie = secrets.token_urlsafe(32)
    row: dict[str, Any] = {
        "id": uuid.uuid4(), "cookie_hash": hashing.hash_secret(cookie), "user_id": user_id, "code_id": code_id,
        "needs_second": needs_second, "created_at": now, "expires_at": now + rules.LIFETIME,
    }  # fmt: skip
    await session.execute(insert(RecoverySession), row)
    data = {"needs_second": needs_second}
    await events.record_event(session, "recovery.began", user_id=user_id, actor="customer", data=data, now=now)
    return cookie
