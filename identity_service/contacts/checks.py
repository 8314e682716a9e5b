"""Check a caller by a code emailed to the address on file and read back; tries are counted before the comparison."""

import uuid
from datetime import datetime
from math import ceil
from typing import NamedTuple

from sqlalchemy import func, insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.contacts import actions, rules
from identity_service.contacts.tables import CallerCheck, Contact
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.values import pasted, user_ids
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import TooManyRequests


class StartedCheck(NamedTuple):
    """A started check: the words that the clerk reads out, the message with the code, and when it expires."""

    check: CallerCheck
    phrase: str
    message_id: uuid.UUID
    expires_at: datetime


class CheckResult(NamedTuple):
    """Whether the code matched, and how many tries are left."""

    matched: bool
    tries_left: int


async def start_check(
    session: DatabaseSession, user_id: UserId, number: str, purpose: str, *, clerk: str, now: datetime
) -> StartedCheck:
    """Email a code to the address on file, never to one that a clerk names; return the phrase to read out.

    Raises:
        rules.UnknownContact, ContactClosed; accounts.rules.UnknownUserId, NoEmail, AccountClosed; TooManyRequests
    """
    contact = await actions.attach_account(session, number, user_id, actor=clerk, now=now)
    account = await accounts.find_changeable_account(session, user_id)
    await _check_limit(session, account.user_id, now=now)
    check_id = uuid.uuid4()
    data = {"contact": contact.number, "check_id": check_id, "purpose": purpose}
    await events.record_event(
        session, "caller.check_requested", user_id=account.user_id, actor=clerk, data=data, now=now
    )
    token = await one_time_tokens.send_token(
        session, "caller_check", kind="caller_check", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, cause="caller.check_requested", actor=clerk, now=now,
    )  # fmt: skip
    row = {
        "id": check_id, "contact_id": contact.id, "user_id": account.user_id, "clerk": clerk, "purpose": purpose,
        "token_id": token.id, "requested_at": now,
    }  # fmt: skip
    check = (await session.execute(insert(CallerCheck).returning(CallerCheck), row)).scalar_one()
    found = await one_time_tokens.find_token(session, token.id)
    assert found is not None  # noqa: S101
    expires_at = one_time_tokens.ends_at(session, found, by="code")
    return StartedCheck(check, phrase_of(session, token), token.message_id, expires_at)


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
    left = await count_try(database, user_id, check_id, contact=contact, clerk=clerk)
    async with database.transaction() as session:
        return await conclude_check(session, check_id, code, left=left, clerk=clerk, now=now)


async def count_try(
    database: Database, user_id: UserId, check_id: uuid.UUID, *, contact: str | None = None, clerk: str
) -> int:
    """Count a try in a transaction of its own, which no failure undoes; return how many are left.

    Raises:
        rules.UnknownCheck, CheckEnded
    """
    return await database.in_transaction(lambda session: _count_try(session, user_id, check_id, contact, clerk))


async def conclude_check(
    session: DatabaseSession, check_id: uuid.UUID, code: str, *, left: int, clerk: str, now: datetime
) -> CheckResult:
    """Compare the code of a try that was counted, and record the result.

    Raises:
        rules.CheckEnded
    """
    check = await session.get_one(CallerCheck, check_id, with_for_update=True)
    found = await one_time_tokens.find_token(session, check.token_id)
    account = await accounts.find_account(session, UserId(check.user_id), lock=True)
    if found is None or check.answered_at is not None:
        raise rules.CheckEnded
    try:
        one_time_tokens.check_valid(session, found, valid_after=account.tokens_valid_after, by="code", now=now)
    except LinkInvalid:
        raise rules.CheckEnded from None
    matched = token_rules.constant_time_equal(pasted.read_digits(code), digits_of(session, found.token))
    await _conclude(session, check, found, matched=matched, left=left, clerk=clerk, now=now)
    return CheckResult(matched, left)


async def find_verification(
    session: DatabaseSession, contact: Contact, user_id: str, *, now: datetime
) -> CallerCheck | None:
    """Return the matched check that verifies this caller within this contact, or None without a valid one (PHN-08)."""
    mine = select(CallerCheck).where(
        CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id, CallerCheck.matched.is_(True)
    )
    newest = await session.scalar(mine.order_by(CallerCheck.answered_at.desc()).limit(1))
    return newest if newest is not None and rules.holds(newest.answered_at, now) else None


async def newest_check(session: DatabaseSession, contact: Contact, user_id: str) -> CallerCheck | None:
    """Return the newest check of an account in a contact, or None if it matched; one that failed has `answered_at`."""
    mine = select(CallerCheck).where(CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id)
    check = await session.scalar(mine.order_by(CallerCheck.requested_at.desc()).limit(1))
    return None if check is None or check.matched else check


async def phrase(session: DatabaseSession, check: CallerCheck) -> str:
    """Return the two words that the clerk reads out."""
    return phrase_of(session, await session.get_one(OneTimeToken, check.token_id))


async def check_message(session: DatabaseSession, check: CallerCheck) -> Message:
    """Return the message of a check, which shows its delivery state."""
    found = await one_time_tokens.find_token(session, check.token_id)
    assert found is not None  # noqa: S101
    return found.message


async def require_verification(
    session: DatabaseSession, check_id: uuid.UUID, user_id: str, *, purpose: str, contact: str | None, now: datetime
) -> CallerCheck:
    """Return a matched check that is valid now for this account and purpose, and for this contact if one is named.

    Raises:
        rules.NotVerified: the check is of another account, purpose or contact, did not match, is older than 15 minutes,
            or its contact is closed or no longer this customer's.
    """
    check = await session.get(CallerCheck, check_id)
    if check is None or check.user_id != user_id or not check.matched or not rules.holds(check.answered_at, now):
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


async def _check_limit(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """Limit the checks of one account per hour (PHN-12).

    A limit per clerk is not enough: a desk tool can name any number of clerks, each with three tries.

    Raises:
        TooManyRequests
    """
    recent = select(func.count(), func.min(CallerCheck.requested_at)).where(
        CallerCheck.user_id == user_id, CallerCheck.requested_at > now - rules.COUNTED_FOR
    )
    started, first = (await session.execute(recent)).one()
    if started >= rules.CHECKS_PER_ACCOUNT:
        raise TooManyRequests(retry_after=max(1, ceil((first + rules.COUNTED_FOR - now).total_seconds())))


async def _count_try(
    session: DatabaseSession, user_id: UserId, check_id: uuid.UUID, number: str | None, clerk: str
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
    if check.answered_at is not None or check.tries >= rules.TRIES or await session.scalar(newest.limit(1)) != check_id:
        raise rules.CheckEnded
    tries = check.tries + 1
    await session.execute(update(CallerCheck).where(CallerCheck.id == check_id).values(tries=tries))
    return rules.TRIES - tries


async def _conclude(
    session: DatabaseSession,
    check: CallerCheck,
    found: one_time_tokens.TokenWithMessage,
    *,
    matched: bool,
    left: int,
    clerk: str,
    now: datetime,
) -> None:
    """Store the result: a match consumes the token and confirms an unconfirmed address; the last wrong try ends it."""
    contact = await session.get_one(Contact, check.contact_id)
    data = {"contact": contact.number, "check_id": check.id, "matched": matched}
    await events.record_event(session, "caller.checked", user_id=check.user_id, actor=clerk, data=data, now=now)
    if matched:
        proof = await one_time_tokens.consume(session, found, now=now)
        await credentials.confirm_mailbox(session, check.user_id, proof, ends_tokens=False, actor=clerk, now=now)
    if matched or left == 0:
        ended = update(CallerCheck).where(CallerCheck.id == check.id)
        await session.execute(ended.values(matched=matched, answered_at=now))
    await actions.add_entry(session, contact, "verified" if matched else "not_verified", None, actor=clerk, now=now)
