"""Check a caller by a code that was emailed to the address on file, or that they read from their own page; tries are
counted before the comparison."""

import uuid
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.contacts import actions, limits, rules, screen_answers, support_codes
from identity_service.contacts.tables import CallerCheck, Contact
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.values import pasted, user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.phone_numbers import PhoneNumber
from identity_service.values.user_ids import UserId


class StartedCheck(NamedTuple):
    """A started check, and when it expires. `phrase`: the words that the clerk says first, None while the customer has
    no support code; `digits`: what the clerk reads out for an answer on screen; `message_id`: the message with the
    code."""

    check: CallerCheck
    phrase: str | None
    expires_at: datetime
    message_id: uuid.UUID | None = None
    digits: str | None = None


class CheckResult(NamedTuple):
    """Whether the code matched, and how many tries are left."""

    matched: bool
    tries_left: int


async def start_check(
    session: DatabaseSession,
    user_id: UserId,
    number: str,
    purpose: str,
    *,
    method: rules.Method = "email",
    may_weaken: bool = False,
    clerk: str,
    now: datetime,
) -> StartedCheck:
    """Start a check: email a code to the address on file, never to one that a clerk names; or wait for the code that
    the customer reads out, or for their answer on screen. `may_weaken`: a lead asks (SUP-11).

    Raises:
        rules.UnknownContact, ContactClosed, ChecksDenied, CallerMethodRefused, WeakerMethod, AskPaused, NoNumber;
        accounts.rules.UnknownUserId, NoEmail, AccountClosed; TooManyRequests
    """
    contact = await actions.attach_account(session, number, user_id, actor=clerk, now=now)
    account = await accounts.find_changeable_account(session, user_id)
    await limits.check_start(session, account.user_id, contact, method, may_weaken=may_weaken, now=now)
    check_id, token = uuid.uuid4(), None
    data = {"contact": contact.number, "check_id": check_id, "purpose": purpose, "method": method}
    await events.record_event(
        session, "caller.check_requested", user_id=account.user_id, actor=clerk, data=data, now=now
    )
    if method in rules.SENT:
        token = await _send_code(session, account, method, clerk=clerk, now=now)
    row = {
        "id": check_id, "contact_id": contact.id, "user_id": account.user_id, "clerk": clerk, "purpose": purpose,
        "method": method, "token_id": None if token is None else token.id, "requested_at": now,
        **(screen_answers.random_values(session) if method == "on_screen" else {}),
    }  # fmt: skip
    check = (await session.execute(insert(CallerCheck).returning(CallerCheck), row)).scalar_one()
    return await _started(session, check, now=now)


async def _send_code(
    session: DatabaseSession, account: Account, method: rules.Method, *, clerk: str, now: datetime
) -> OneTimeToken:
    kind: str = "caller_check"
    to: EmailAddress | PhoneNumber | None = None
    if method == "text":
        kind, to = "caller_check_text", await phone_numbers.find_confirmed_number(session, account.user_id, now=now)
        if to is None:
            raise rules.NoNumber
    return await one_time_tokens.send_token(
        session, "caller_check", kind=kind, to=to or accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, cause="caller.check_requested", actor=clerk, now=now,
    )  # fmt: skip


async def _started(session: DatabaseSession, check: CallerCheck, *, now: datetime) -> StartedCheck:
    words = await phrase(session, check, now=now)
    if check.method == "on_screen":
        digits = screen_answers.digits_of(session, check)
        return StartedCheck(check, words, check.requested_at + rules.ASK_LIFETIME, digits=digits)
    if check.token_id is None:
        return StartedCheck(check, words, check.requested_at + rules.SUPPORT_CODE_LIFETIME)
    found = await one_time_tokens.find_token(session, check.token_id)
    assert found is not None  # noqa: S101
    ends_at = one_time_tokens.ends_at(session, found, by="code")
    return StartedCheck(check, words, ends_at, message_id=found.message.id)


async def answer_check(
    database: Database,
    user_id: UserId,
    check_id: uuid.UUID,
    code: str,
    *,
    contact: str | None = None,
    clerk: str,
    now: datetime,
) -> CheckResult:
    """Compare the code that the caller read out. Only the clerk who started the check may answer it, while it is the
    account's newest and its contact is open and still this customer's. `contact` is the number of that contact.

    Raises:
        rules.UnknownCheck, CheckEnded
    """
    left = await count_try(database, user_id, check_id, contact=contact, clerk=clerk, now=now)
    async with database.transaction() as session:
        return await conclude_check(session, check_id, code, left=left, clerk=clerk, now=now)


async def find_own_check(session: DatabaseSession, user_id: UserId, check_id: uuid.UUID, *, clerk: str) -> CallerCheck:
    """Return a check of an account that this person started.

    Raises:
        rules.UnknownCheck; accounts.rules.UnknownUserId
    """
    account = await accounts.find_active_account(session, user_id)
    check = await session.get(CallerCheck, check_id)
    if check is None or check.user_id != account.user_id or check.clerk != clerk:
        raise rules.UnknownCheck
    return check


async def count_try(
    database: Database, user_id: UserId, check_id: uuid.UUID, *, contact: str | None = None, clerk: str, now: datetime
) -> int:
    """Count a try in a transaction of its own, which no failure undoes; return how many are left.

    Raises:
        rules.UnknownCheck, CheckEnded
    """
    return await database.in_transaction(
        lambda session: _count_try(session, user_id, check_id, contact, clerk, now=now)
    )


async def conclude_check(
    session: DatabaseSession, check_id: uuid.UUID, code: str, *, left: int, clerk: str, now: datetime
) -> CheckResult:
    """Compare the code of a try that was counted, and record the result.

    Raises:
        rules.CheckEnded
    """
    check = await session.get_one(CallerCheck, check_id, with_for_update=True)
    account = await accounts.find_account(session, UserId(check.user_id), lock=True)
    if check.answered_at is not None or check.denied_at is not None:
        raise rules.CheckEnded
    if check.method == "support_code":
        matched = await _match_support_code(session, check, code, now=now)
    else:
        matched = await _match_sent_code(session, check, account, code, clerk=clerk, now=now)
    if matched or left == 0:
        await session.execute(
            update(CallerCheck).where(CallerCheck.id == check.id).values(matched=matched, answered_at=now)
        )
    await record_result(session, check, matched=matched, is_over=matched or left == 0, actor=clerk, now=now)
    return CheckResult(matched, left)


async def _match_support_code(session: DatabaseSession, check: CallerCheck, code: str, *, now: datetime) -> bool:
    if now - check.requested_at > rules.SUPPORT_CODE_LIFETIME:
        raise rules.CheckEnded
    used = await support_codes.use_code(session, check.user_id, code, now=now)
    if used is not None:
        values = {"session_method": used.session_method, "session_since": used.session_since}
        await session.execute(update(CallerCheck).where(CallerCheck.id == check.id).values(values))
    return used is not None


async def _match_sent_code(
    session: DatabaseSession, check: CallerCheck, account: Account, code: str, *, clerk: str, now: datetime
) -> bool:
    """Compare a code that was emailed; a match consumes its token, and confirms an unconfirmed address."""
    found = None if check.token_id is None else await one_time_tokens.find_token(session, check.token_id)
    if found is None:
        raise rules.CheckEnded
    try:
        one_time_tokens.check_valid(session, found, valid_after=account.tokens_valid_after, by="code", now=now)
    except LinkInvalid:
        raise rules.CheckEnded from None
    matched = token_rules.constant_time_equal(pasted.read_digits(code), digits_of(session, found.token))
    if matched:
        proof = await one_time_tokens.consume(session, found, now=now)
        await credentials.confirm_mailbox(session, check.user_id, proof, ends_tokens=False, actor=clerk, now=now)
    return matched


async def find_verification(
    session: DatabaseSession, contact: Contact, user_id: str, *, now: datetime
) -> CallerCheck | None:
    """Return the matched check that verifies this caller within this contact, or None without a valid one (PHN-08)."""
    mine = select(CallerCheck).where(
        CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id, CallerCheck.matched.is_(True),
        CallerCheck.denied_at.is_(None),
    )  # fmt: skip
    newest = await session.scalar(mine.order_by(CallerCheck.answered_at.desc()).limit(1))
    return newest if newest is not None and rules.holds(newest.answered_at, now) else None


async def newest_check(session: DatabaseSession, contact: Contact, user_id: str) -> CallerCheck | None:
    """Return the newest check of an account in a contact, or None if it matched; one that failed has `answered_at`."""
    mine = select(CallerCheck).where(CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id)
    check = await session.scalar(mine.order_by(CallerCheck.requested_at.desc()).limit(1))
    return None if check is None or check.matched else check


async def phrase(session: DatabaseSession, check: CallerCheck, *, now: datetime) -> str | None:
    """Return the two words that the clerk reads out; None while the customer has no support code."""
    if check.method == "on_screen":
        return screen_answers.phrase_of(session, check)
    if check.token_id is None:
        code = await support_codes.find_code(session, check.user_id, now=now)
        return None if code is None else support_codes.phrase_of(session, code)
    return phrase_of(session, await session.get_one(OneTimeToken, check.token_id))


async def check_message(session: DatabaseSession, check: CallerCheck) -> Message | None:
    """Return the message of a check, which shows its delivery state; None for a method without one."""
    found = None if check.token_id is None else await one_time_tokens.find_token(session, check.token_id)
    return None if found is None else found.message


async def require_verification(
    session: DatabaseSession, check_id: uuid.UUID, user_id: str, *, purpose: str, contact: str | None, now: datetime
) -> CallerCheck:
    """Return a matched check that is valid now for this account and purpose, and for this contact if one is named.

    Raises:
        rules.NotVerified: the check is of another account, purpose or contact, did not match, is older than 15 minutes,
            or its contact is closed or no longer this customer's.
    """
    check = await session.get(CallerCheck, check_id)
    if check is None or check.user_id != user_id or not check.matched or check.denied_at is not None:
        raise rules.NotVerified
    if not rules.holds(check.answered_at, now):
        raise rules.NotVerified
    started_in = await session.get_one(Contact, check.contact_id)
    if check.purpose not in ("identify", purpose) or started_in.closed_at is not None or started_in.user_id != user_id:
        raise rules.NotVerified
    if contact is not None and started_in.number != user_ids.read_symbols(contact):
        raise rules.NotVerified
    return check


async def number_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the number of the contact that a check's email belongs to (PHN-07)."""
    mine = select(Contact.number).join(CallerCheck, CallerCheck.contact_id == Contact.id)
    return (await session.scalars(mine.where(CallerCheck.token_id == token.id))).one()


def phrase_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the two words in a check's email."""
    return rules.phrase(session.keys.link_key(token.key_id)[1], token.nonce)


def digits_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the code of a check, for its email and for the comparison; never shown to staff."""
    return rules.digits(session.keys.link_key(token.key_id)[1], token.nonce)


async def _count_try(
    session: DatabaseSession, user_id: UserId, check_id: uuid.UUID, number: str | None, clerk: str, *, now: datetime
) -> int:
    """Count a try before the code is compared, in its own transaction; return how many are left."""
    account = await accounts.find_active_account(session, user_id)
    check = await session.scalar(select(CallerCheck).where(CallerCheck.id == check_id).with_for_update())
    if check is None or check.user_id != account.user_id or check.clerk != clerk:
        raise rules.UnknownCheck
    contact = await session.get_one(Contact, check.contact_id)
    if number is not None and (await actions.find_contact(session, number)).id != contact.id:
        raise rules.UnknownCheck
    if contact.closed_at is not None or contact.user_id != check.user_id:
        raise rules.CheckEnded
    newest = (
        select(CallerCheck.id).where(CallerCheck.user_id == check.user_id).order_by(CallerCheck.requested_at.desc())
    )
    if check.method == "on_screen":
        raise rules.AnsweredOnScreen
    if check.answered_at is not None or check.tries >= rules.TRIES or await session.scalar(newest.limit(1)) != check_id:
        raise rules.CheckEnded
    if check.method == "support_code":
        await support_codes.count_try(session, check.user_id, now=now)
    tries = check.tries + 1
    await session.execute(update(CallerCheck).where(CallerCheck.id == check_id).values(tries=tries))
    return rules.TRIES - tries


async def record_result(
    session: DatabaseSession, check: CallerCheck, *, matched: bool, is_over: bool, actor: str, now: datetime
) -> None:
    """Record the result of a try in the contact and the feed; raise the alarms of checks that ended without a match."""
    contact = await session.get_one(Contact, check.contact_id)
    data = {"contact": contact.number, "check_id": check.id, "matched": matched, "method": check.method}
    await events.record_event(session, "caller.checked", user_id=check.user_id, actor=actor, data=data, now=now)
    await actions.add_entry(session, contact, "verified" if matched else "not_verified", None, actor=actor, now=now)
    if is_over and not matched:
        await limits.raise_alarms(session, check, now=now)
