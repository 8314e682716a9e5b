"""Set the new password of a reset, by link or code; choose which passkeys stay."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import encoding
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import rules as passkey_rules
from identity_service.passkeys.tables import Passkey
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.recovery_codes import rules as code_rules
from identity_service.resets import rules, texts
from identity_service.resets.actions import BY_CODE, PURPOSE
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter

_CHOSEN_LABEL = "chosen password"


class Choice(NamedTuple):
    """What comes back of the page of passkeys: the sealed hash of the chosen password, and the ids of those to keep."""

    sealed: str
    keep: frozenset[str]


class ListedPasskey(NamedTuple):
    """A passkey as its owner recognises it; one that is new may have been added by somebody else."""

    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    is_new: bool


class Outcome(NamedTuple):
    """What a new password led to: the handle of the link. With `passkeys` nothing is used up yet: whoever has the link
    or code sees them, and sends `sealed`, the hash of the password, back with what to keep (PKY-14)."""

    handle: str
    passkeys: Sequence[ListedPasskey] = ()
    sealed: str = ""


async def choose_by_link(
    database: Database,
    hasher: Hasher,
    link: str,
    password: str,
    *,
    sent: str | None = None,
    choice: Choice | None = None,
    now: datetime,
) -> Outcome:
    """Set the password with the link from the email. A weak password does not consume the link (RST-13). Where there
    are passkeys, it is set by the second call, with the choice of those to keep, instead of the password (PKY-14).

    Raises:
        LinkInvalid, rules.ChoiceInvalid, passwords.rules.WeakPassword, passwords.rules.HashingBusy
    """
    async with database.transaction() as session:
        found = await one_time_tokens.verify_link(session, PURPOSE, link)
        if sent not in (None, found.token.handle):
            raise LinkInvalid
        account = await _account_of_token(session, found, by="link", now=now)
        own_words = _own_words(account, found)
    phc = await _hash_of(database, hasher, found, password, own_words, choice)
    async with database.transaction() as session:
        return await _use_reset(session, found.token.id, phc, by="link", choice=choice, now=now)


async def choose_by_code(
    database: Database,
    hasher: Hasher,
    limits: RateLimiter,
    code: str,
    password: str,
    *,
    tracked: str | None = None,
    sent: str = "",
    browser: KnownBrowser | None = None,
    choice: Choice | None = None,
    now: datetime,
) -> Outcome:
    """Set the password with the code from the email, on the page that tracks it (`tracked`) or on the one that its link
    opens (`sent`); both are handles. `choice` as in `choose_by_link`.

    The password is checked first, so that a weak one costs no attempt; then the attempt is counted and the code is
    compared. Only after a correct code does anything depend on the account. For an unknown address, time and errors
    are the same (RST-14).

    Raises:
        one_time_tokens.rules.UnknownTracking, one_time_tokens.rules.CodeWrong, one_time_tokens.rules.CodeIsUserId,
        LinkInvalid, rules.ChoiceInvalid, passwords.rules.WeakPassword, passwords.rules.HashingBusy,
        rate_limits.TooManyRequests
    """
    typed = token_rules.read_code(code)
    found = await database.in_transaction(partial(_find_for_code, tracked=tracked, sent=sent, now=now))
    if choice is None:
        await passwords.check_strength(hasher, database.settings, password, _own_words(None, found))
    await one_time_tokens.count_code_attempt(database, limits, found.token, tracked_by=tracked, browser=browser)
    async with database.transaction() as session:
        one_time_tokens.check_code(session, found.token, typed)
        account = await _account_of_token(session, found, by="code", now=now)
    phc = await _hash_of(database, hasher, found, password, _own_words(account, found), choice)
    async with database.transaction() as session:
        return await _use_reset(session, found.token.id, phc, by="code", choice=choice, now=now)


async def _hash_of(
    database: Database, hasher: Hasher, found: TokenWithMessage, password: str, own_words: list[str],
    choice: Choice | None,
) -> str:  # fmt: skip
    """Return the hash of a password, or the one that an earlier page of the same reset has sealed."""
    if choice is None:
        return await passwords.make_hash(hasher, database.settings, password, own_words)
    try:
        return database.keys.unseal(_seal_of(found.token.id), encoding.base64url_decode(choice.sealed)).decode()
    except (InvalidTag, ValueError) as refused:
        raise rules.ChoiceInvalid from refused


def _seal_of(token_id: uuid.UUID) -> str:
    return f"{_CHOSEN_LABEL} {token_id}"


async def _find_for_code(
    session: DatabaseSession, *, tracked: str | None, sent: str, now: datetime
) -> TokenWithMessage:
    if tracked is not None:
        return await one_time_tokens.find_by_tracking(session, tracked, BY_CODE, now=now)
    found = await one_time_tokens.find_by_handle(session, sent)
    if found is None or found.token.purpose not in PURPOSE:
        raise LinkInvalid
    return found


async def _account_of_token(session: DatabaseSession, found: TokenWithMessage, *, by: str, now: datetime) -> Account:
    """Return the account of a valid token; an account that is closed, erased, missing or for passkeys alone raises
    LinkInvalid (RST-14, PKY-15)."""
    account = await accounts.find_for_sign_in(session, found.token.user_id or "")
    if account is None or await passkeys.is_only_way(session, account):
        raise LinkInvalid
    one_time_tokens.check_valid(session, found, valid_after=account.tokens_valid_after, by=by, now=now)
    return account


async def _use_reset(
    session: DatabaseSession, token_id: uuid.UUID, phc: str, *, by: str, choice: Choice | None, now: datetime
) -> Outcome:
    """Consume the token and set the password, in one transaction (RST-09, RST-10); where there are passkeys and nobody
    has chosen yet, only list them. Before the first proof of an address none is worth a choice: all of them go."""
    found = await one_time_tokens.find_token(session, token_id)
    if found is None or found.token.purpose not in BY_CODE:
        raise rules.UnknownReset
    if found.token.user_id is not None:
        # Lock the account: a concurrent reset by another link waits here, and then finds its own token revoked.
        await accounts.find_account(session, UserId(found.token.user_id), lock=True)
    account = await _account_of_token(session, found, by=by, now=now)
    listed = await passkeys.list_passkeys(session, account.user_id) if account.email_state == "confirmed" else ()
    if listed and choice is None:
        sealed = encoding.base64url_encode(session.keys.seal(_seal_of(token_id), phc.encode()))
        return Outcome(found.token.handle, [describe_passkey(one, now=now) for one in listed], sealed)
    proof = await one_time_tokens.consume(session, found, now=now)
    data = {"reset_id": token_id, "by": by}
    await events.record_event(session, "reset.used", user_id=proof.user_id, actor="customer", data=data, now=now)
    # In this order: the first proof of an address removes an older password.
    reason = SessionsEndedReason.PASSWORD_SET
    account = await credentials.confirm_mailbox(session, proof.user_id, proof, ends_sessions=reason, now=now)
    await passwords.set_password(session, proof, phc, now=now)
    keep = frozenset[str]() if choice is None else choice.keep
    await credentials.keep_passkeys(session, account.user_id, keep, actor="customer", now=now)
    await credentials.remove_numbers(session, account.user_id, since=now - code_rules.NEW, actor="customer", now=now)
    await recovery_codes.end_code(
        session, account.user_id, since=now - code_rules.NEW, reason="reset", actor="customer", now=now
    )
    kind = "password_changed_by_text" if found.token.purpose == texts.PURPOSE else "password_changed"
    facts = {"occurred_at": now.isoformat(), "from": found.message.facts.get("from")}
    await credentials.notify_mailboxes(
        session, kind, [account.user_id], facts=facts, cause="password.set", actor="customer", now=now
    )
    return Outcome(found.token.handle)


def describe_passkey(one: Passkey, *, now: datetime) -> ListedPasskey:
    """Return a passkey as its owner recognises it."""
    new = passkey_rules.is_new(one.created_at, now=now)
    return ListedPasskey(str(one.id), one.label, one.created_at, one.last_used_at, new)


def _own_words(account: Account | None, found: TokenWithMessage) -> list[str]:
    """Return the words that a password must not consist of: the recipient's address and the account's name."""
    address = found.message.recipient or ""
    local, _, domain = address.rpartition("@")
    name = (account.display_name or "") if account is not None else ""
    return [address, local, domain, domain.partition(".")[0], name, *name.split()]
