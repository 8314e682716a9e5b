"""Request a reset, and set the new password by link or code."""

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import actions as messages
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.resets import rules
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter

PURPOSE = ("reset",)


class ResetRequest(NamedTuple):
    """A requested reset with the handle of its tracking page.

    With `again_at` the address has reached its limit until then: nothing new was sent, and the handle is for the newest
    message to it.
    """

    token: OneTimeToken
    handle: str
    again_at: datetime | None = None


async def request_reset_within_limit(
    session: DatabaseSession,
    limits: RateLimiter,
    address: EmailAddress,
    *,
    locale: str,
    where_from: str | None,
    actor: str,
    now: datetime,
) -> ResetRequest:
    """Call `request_reset`; beyond the limit of an address, known or unknown, track its newest message (ATT-18)."""
    wait = await limits.wait("reset-address", rules.PER_ADDRESS, session.keys.address_hash(address.key).hex())
    if wait:
        newest = await one_time_tokens.latest_message(session, "reset", address)
        if newest is not None:
            requested = await _record_request(session, newest, actor=actor, now=now)
            return requested._replace(again_at=now + timedelta(seconds=wait))
    return await request_reset(session, address, locale=locale, where_from=where_from, actor=actor, now=now)


async def request_reset(
    session: DatabaseSession, address: EmailAddress, *, locale: str, where_from: str | None, actor: str, now: datetime
) -> ResetRequest:
    """Request a reset by address, with the same statements and rows whether or not there is an account (ATT-21).

    While a message is still pending, another request uses the same one; once a relay has it, a new message is sent, and
    the link in the older one stays valid (RST-08). The address on file is used, never the typed one (ATT-02).
    """
    found = await ownership.owner_of_address(session, address, hold=True)
    token = await one_time_tokens.send_token(
        session, "reset", kind="no_account" if found.active is None else "reset", to=found.address,
        user_id=found.active, locale=locale, facts={"from": where_from}, once=True, cause="reset.requested",
        actor=actor,
        now=now,
    )  # fmt: skip
    return await _record_request(session, token, actor=actor, now=now)


async def request_reset_for_account(
    session: DatabaseSession, user_id: UserId, *, where_from: str | None, actor: str, now: datetime
) -> ResetRequest:
    """Request a reset for an account, for a service or desk; the message goes to the address on file.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail
    """
    account = await accounts.find_changeable_account(session, user_id)
    token = await one_time_tokens.send_token(
        session, "reset", kind="reset", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, facts={"from": where_from}, once=True, cause="reset.requested", actor=actor, now=now,
    )  # fmt: skip
    return await _record_request(session, token, actor=actor, now=now)


async def find_reset(session: DatabaseSession, reset_id: uuid.UUID) -> TokenWithMessage:
    """Return a reset with its newest message.

    Raises:
        rules.UnknownReset
    """
    found = await one_time_tokens.find_token(session, reset_id)
    if found is None or found.token.purpose != "reset":
        raise rules.UnknownReset
    return found


async def note_opened(session: DatabaseSession, link: str, *, now: datetime) -> None:
    """Record that a browser opened the link; consumes nothing, and returns nothing that reveals if it was valid."""
    try:
        found = await one_time_tokens.verify_link(session, PURPOSE, link)
    except LinkInvalid:
        return
    if await one_time_tokens.note_opened(session, found.token.id, now=now) and found.token.user_id is not None:
        data = {"reset_id": str(found.token.id)}
        await events.record_event(
            session, "reset.opened", user_id=found.token.user_id, actor="customer", data=data, now=now
        )


async def choose_by_link(database: Database, hasher: Hasher, link: str, password: str, *, now: datetime) -> None:
    """Set the password with the link from the email. A weak password does not consume the link (RST-13).

    Raises:
        LinkInvalid, passwords.rules.WeakPassword, passwords.rules.HashingBusy
    """
    async with database.transaction() as session:
        found = await one_time_tokens.verify_link(session, PURPOSE, link)
        account = await _account_of_token(session, found, by="link", now=now)
        own_words = _own_words(account, found)
    phc = await passwords.make_hash(hasher, database.settings, password, own_words)
    async with database.transaction() as session:
        await _use_reset(session, found.token.id, phc, by="link", now=now)


async def choose_by_code(
    database: Database, hasher: Hasher, limits: RateLimiter, handle: str, code: str, password: str, *, now: datetime
) -> None:
    """Set the password with the code from the email, on its tracking page.

    The password is checked first, so that a weak one costs no attempt; then the attempt is counted and the code is
    compared. Only after a correct code does anything depend on the account. For an unknown address, time and errors
    are the same (RST-14).

    Raises:
        one_time_tokens.rules.UnknownTracking, one_time_tokens.rules.CodeWrong, one_time_tokens.rules.CodeIsUserId,
        LinkInvalid, passwords.rules.WeakPassword, passwords.rules.HashingBusy, rate_limits.TooManyRequests
    """
    typed = token_rules.read_code(code)
    found = await database.in_transaction(
        lambda session: one_time_tokens.find_by_tracking(session, handle, PURPOSE, now=now)
    )
    await passwords.check_strength(hasher, database.settings, password, _own_words(None, found))
    await one_time_tokens.count_code_attempt(database, limits, found.token)
    async with database.transaction() as session:
        one_time_tokens.check_code(session, found.token, typed)
        account = await _account_of_token(session, found, by="code", now=now)
    phc = await passwords.make_hash(hasher, database.settings, password, _own_words(account, found))
    async with database.transaction() as session:
        await _use_reset(session, found.token.id, phc, by="code", now=now)


async def _record_request(session: DatabaseSession, token: OneTimeToken, *, actor: str, now: datetime) -> ResetRequest:
    handle = await one_time_tokens.create_tracking_link(session, token.id, now=now)
    data = {"reset_id": str(token.id)}
    await events.record_event(session, "reset.requested", user_id=token.user_id, actor=actor, data=data, now=now)
    return ResetRequest(token, handle)


async def _account_of_token(session: DatabaseSession, found: TokenWithMessage, *, by: str, now: datetime) -> Account:
    """Return the account of a valid token; an account that is closed, erased or missing raises LinkInvalid (RST-14)."""
    account = await accounts.find_for_sign_in(session, found.token.user_id or "")
    if account is None:
        raise LinkInvalid
    one_time_tokens.check_valid(session, found, valid_after=account.tokens_valid_after, by=by, now=now)
    return account


async def _use_reset(session: DatabaseSession, token_id: uuid.UUID, phc: str, *, by: str, now: datetime) -> None:
    """Consume the token and set the password, in one transaction (RST-09, RST-10)."""
    found = await find_reset(session, token_id)
    if found.token.user_id is not None:
        # Lock the account: a concurrent reset by another link waits here, and then finds its own token revoked.
        await accounts.find_account(session, UserId(found.token.user_id), lock=True)
    await _account_of_token(session, found, by=by, now=now)
    proof = await one_time_tokens.consume(session, found, now=now)
    await passwords.set_password(session, proof, phc, now=now)
    account = await accounts.confirm_mailbox(session, proof.user_id, ends_sessions=True, actor="customer", now=now)
    await messages.enqueue(
        session, "password_changed", to=_mailbox(account, found), user_id=account.user_id, locale=account.locale,
        facts={"occurred_at": now.isoformat(), "from": found.message.facts.get("from")}, cause="password.set",
        actor="customer", now=now,
    )  # fmt: skip
    data = {"reset_id": str(token_id), "by": by}
    await events.record_event(session, "reset.used", user_id=account.user_id, actor="customer", data=data, now=now)


def _mailbox(account: Account, found: TokenWithMessage) -> EmailAddress:
    """Return the recipient of the notice: the address on file, or, if the account has none (after a merge), the mailbox
    that was proven.

    Raises:
        LinkInvalid: the customer was erased meanwhile.
    """
    if account.email is not None:
        return accounts.address_of(account)
    shown, plain = found.message.recipient, found.message.recipient_ascii
    if shown is None or plain is None:
        raise LinkInvalid
    return EmailAddress(shown, plain, plain.lower())


def _own_words(account: Account | None, found: TokenWithMessage) -> list[str]:
    """Return the words that a password must not consist of: the recipient's address and the account's name."""
    address = found.message.recipient or ""
    local, _, domain = address.rpartition("@")
    name = (account.display_name or "") if account is not None else ""
    return [address, local, domain, domain.partition(".")[0], name, *name.split()]
