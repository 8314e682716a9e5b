"""Add a number, confirm it by the code of a text, remove it, and say which numbers count for recovery."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import suppressions
from identity_service.messages.inbound import texts as text_reports
from identity_service.messages.tables import Attempt, Feedback, Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import digits
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.phone_numbers import rules
from identity_service.phone_numbers.tables import AccountNumber
from identity_service.values import pasted, phone_numbers
from identity_service.values.phone_numbers import PhoneNumber
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter

PURPOSE = "number"


async def add_number(
    session: DatabaseSession, user_id: str, number: PhoneNumber, *, network: str, now: datetime
) -> AccountNumber:
    """Add an unconfirmed number and send its code. The account is locked, so that of several at once no more are stored
    than there may be.

    Raises:
        rules.NumberNotProven, rules.TooManyNumbers, rules.NumberExists
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    await _check_proven(session, account, now=now)
    known = await list_numbers(session, user_id)
    if any(one.number == number.e164 for one in known):
        raise rules.NumberExists
    if len(known) >= rules.MOST:
        raise rules.TooManyNumbers
    row = {"id": uuid.uuid4(), "user_id": user_id, "number": number.e164, "added_at": now}
    added = (await session.execute(insert(AccountNumber).values(**row).returning(AccountNumber))).scalar_one()
    await _record(session, "phone_number.added", added, actor="customer", now=now)
    await _send_code(session, account, added, network=network, now=now)
    return added


async def send_code_again(
    session: DatabaseSession, user_id: str, number_id: uuid.UUID, *, network: str, now: datetime
) -> None:
    """Send another code to a number of this customer, confirmed or not: a confirmation may have to be renewed.

    Raises:
        rules.NumberNotProven, rules.UnknownNumber; phone_numbers.NoTextsThere: no text goes to its country any more.
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    await _check_proven(session, account, now=now)
    await _send_code(session, account, await find_number(session, user_id, number_id), network=network, now=now)


async def count_try(
    database: Database, limits: RateLimiter, user_id: str, number_id: uuid.UUID, *, now: datetime
) -> set[uuid.UUID]:
    """Count a try of a code against each text whose code may work, in transactions that no failure undoes; return the
    ids of the tokens that had a try left.

    Raises:
        rules.UnknownNumber, rules.NumberCodeEnded, TooManyRequests
    """
    async with database.transaction() as session:
        found = await _valid_tokens(session, await find_number(session, user_id, number_id), now=now)
    counted = {one.token.id for one in found if await _is_counted(database, limits, one)}
    if not counted:
        raise rules.NumberCodeEnded
    return counted


async def confirm_number(
    session: DatabaseSession,
    user_id: str,
    number_id: uuid.UUID,
    typed: str,
    counted: Collection[uuid.UUID],
    *,
    now: datetime,
) -> bool:
    """Confirm a number of this customer by the code of one of the texts that `count_try` has `counted` a try of; return
    whether it had not been confirmed before.

    Raises:
        rules.UnknownNumber, rules.NumberCodeEnded, token_rules.DigitsWrong
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    number = await find_number(session, user_id, number_id)
    found = [one for one in await _valid_tokens(session, number, now=now) if one.token.id in counted]
    given = pasted.read_digits(typed)
    right = [one for one in found if token_rules.constant_time_equal(given, digits.digits_of(session, one.token))]
    if not right:
        raise token_rules.DigitsWrong if found else rules.NumberCodeEnded
    try:
        one_time_tokens.check_valid(session, right[0], valid_after=account.tokens_valid_after, by="code", now=now)
        await one_time_tokens.consume(session, right[0], now=now)
    except LinkInvalid as ended:
        raise rules.NumberCodeEnded from ended
    has_other = account.email_state == "confirmed" or await _has_credential(session, user_id)
    is_new, before = number.confirmed_at is None, number.recovers_from
    from_ = rules.recovers_from(has_other_way=has_other, recovered_from=before, now=now)
    values = {"confirmed_at": now, "recovers_from": from_}
    await session.execute(update(AccountNumber).where(AccountNumber.id == number_id).values(values))
    await _record(session, "phone_number.confirmed", number, actor="customer", now=now)
    return is_new


async def remove_number(
    session: DatabaseSession, user_id: str, number_id: uuid.UUID, *, actor: str, now: datetime
) -> bool:
    """Remove a number of this customer; return whether it was confirmed.

    Raises:
        rules.UnknownNumber
    """
    await accounts.find_account(session, UserId(user_id), lock=True)
    found = await find_number(session, user_id, number_id)
    was_confirmed = found.confirmed_at is not None
    await _delete(session, [found], actor=actor, now=now)
    return was_confirmed


async def remove_since(
    session: DatabaseSession, user_id: str, since: datetime | None, *, actor: str, now: datetime
) -> int:
    """Remove this account's numbers that were added since a moment, all of them without one; return how many of them
    were confirmed."""
    found = [one for one in await list_numbers(session, user_id) if since is None or one.added_at >= since]
    confirmed = sum(one.confirmed_at is not None for one in found)
    await _delete(session, found, actor=actor, now=now)
    return confirmed


async def list_numbers(session: DatabaseSession, user_id: str) -> Sequence[AccountNumber]:
    """Return the numbers of this account, oldest first; those of accounts merged into it rest."""
    mine = select(AccountNumber).where(AccountNumber.user_id == user_id)
    return (await session.scalars(mine.order_by(AccountNumber.added_at, AccountNumber.id))).all()


async def find_number(session: DatabaseSession, user_id: str, number_id: uuid.UUID) -> AccountNumber:
    """Return a number of this customer.

    Raises:
        rules.UnknownNumber
    """
    mine = select(AccountNumber).where(AccountNumber.id == number_id, AccountNumber.user_id == user_id)
    found = await session.scalar(mine, execution_options={"populate_existing": True})
    if found is None:
        raise rules.UnknownNumber
    return found


async def find_confirmed_number(session: DatabaseSession, user_id: str, *, now: datetime) -> PhoneNumber | None:
    """Return the number of this account to which a proof may be sent: confirmed, old enough, known to the carrier, in a
    country that gets texts, and not stopped; the one that was confirmed last. None if there is none."""
    usable = [one for one in await list_numbers(session, user_id) if await counts_for_recovery(session, one, now=now)]
    newest = max(usable, key=lambda one: one.recovers_from or now, default=None)
    return None if newest is None else phone_numbers.of_e164(newest.number)


async def counts_for_recovery(session: DatabaseSession, one: AccountNumber, *, now: datetime) -> bool:
    """Return whether a number may be sent a proof now (ADR-05, ADR-12)."""
    number = phone_numbers.of_e164(one.number)
    hashed = session.keys.address_hash(number.key)
    if number.region not in session.settings.text_regions or await suppressions.is_stopped(session, hashed):
        return False
    unknown = 0 if one.confirmed_at is None else await _count_unknown(session, hashed, since=one.confirmed_at)
    return rules.may_recover(confirmed_at=one.confirmed_at, from_=one.recovers_from, unknown=unknown, now=now)


async def allow_texts(session: DatabaseSession, user_id: str, number_id: uuid.UUID, *, now: datetime) -> None:
    """Let texts go again to a number whose owner had answered STOP: this customer says so (TXT-10).

    Raises:
        rules.UnknownNumber
    """
    found = await find_number(session, user_id, number_id)
    await suppressions.lift_stop(session, session.keys.address_hash(found.number), now=now)


async def is_stopped(session: DatabaseSession, one: AccountNumber) -> bool:
    """Return whether the owner of a number has answered STOP."""
    return await suppressions.is_stopped(session, session.keys.address_hash(one.number))


async def has_code(session: DatabaseSession, one: AccountNumber, *, now: datetime) -> bool:
    """Return whether a code to confirm a number may work now."""
    return bool(await _valid_tokens(session, one, now=now))


async def newest_text(session: DatabaseSession, one: AccountNumber) -> Message | None:
    """Return the newest text that was to confirm a number, or None."""
    hashed = session.keys.address_hash(one.number)
    mine = select(Message).where(
        Message.recipient_hash == hashed, Message.user_id == one.user_id, Message.kind == "number_check"
    )
    found: Message | None = await session.scalar(mine.order_by(Message.created_at.desc(), Message.id.desc()).limit(1))
    return found


async def _check_proven(session: DatabaseSession, account: Account, *, now: datetime) -> None:
    """Refuse a text for an account that nobody has proven: a script makes a thousand of them (TXT-02).

    A confirmed address proves it; so does a week of age with something that a service has reported of it.
    """
    if account.state != "active":
        raise rules.NumberNotProven
    if account.email_state == "confirmed":
        return
    is_old = account.customer_since <= now - rules.OLD_ENOUGH
    if not is_old or await session.scalar(_HAS_HISTORY, {"user_id": account.user_id}) is None:
        raise rules.NumberNotProven


# Plain SQL, because this module may not import history, which stands above it.
_HAS_HISTORY = text("SELECT 1 FROM history_entry WHERE user_id = :user_id LIMIT 1")


async def _send_code(
    session: DatabaseSession, account: Account, one: AccountNumber, *, network: str, now: datetime
) -> None:
    number = phone_numbers.of_e164(one.number)
    if number.region not in session.settings.text_regions:
        raise phone_numbers.NoTextsThere
    await one_time_tokens.send_token(
        session, PURPOSE, kind="number_check", to=number, user_id=account.user_id, locale=account.locale,
        network=network, cause="phone_number.added", actor="customer", now=now,
    )  # fmt: skip


async def _valid_tokens(
    session: DatabaseSession, one: AccountNumber, *, now: datetime
) -> list[one_time_tokens.TokenWithMessage]:
    hashed = session.keys.address_hash(one.number)
    return await digits.valid_tokens(
        session, PURPOSE, one.user_id, hashed, most=rules.VALID_CODES, now=now, since=one.added_at
    )


async def _is_counted(database: Database, limits: RateLimiter, one: one_time_tokens.TokenWithMessage) -> bool:
    try:
        await one_time_tokens.count_code_attempt(database, limits, one.token)
    except LinkInvalid:
        return False
    return True


async def _has_credential(session: DatabaseSession, user_id: str) -> bool:
    return await passwords.has_password(session, user_id) or bool(await passkeys.list_passkeys(session, user_id))


async def _count_unknown(session: DatabaseSession, recipient_hash: bytes, *, since: datetime) -> int:
    """Return to how many texts since a moment a carrier said that nobody has the number."""
    refused = select(Attempt.message_id).where(
        Attempt.message_id == Message.id, Attempt.reply_class == "permanent.address"
    )
    reported = select(Feedback.id).where(Feedback.message_id == Message.id, Feedback.enhanced == text_reports.GONE)
    mine = select(func.count()).where(
        Message.recipient_hash == recipient_hash, Message.channel == "text", Message.created_at >= since,
        refused.exists() | reported.exists(),
    )  # fmt: skip
    return (await session.execute(mine)).scalar_one()


async def _delete(session: DatabaseSession, found: Sequence[AccountNumber], *, actor: str, now: datetime) -> None:
    for one in found:
        await _record(session, "phone_number.removed", one, actor=actor, now=now)
        await session.delete(one)
    await session.flush()


async def _record(session: DatabaseSession, name: str, one: AccountNumber, *, actor: str, now: datetime) -> None:
    data = {"number_id": str(one.id)}
    await events.record_event(session, name, user_id=one.user_id, actor=actor, data=data, now=now)
