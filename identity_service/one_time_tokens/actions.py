"""Send a message with a token, track it, check the link or code that is presented, and consume the token once."""

import secrets
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.brands import proofs as brand_proofs
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys import hashing
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.messages import actions as messages
from identity_service.messages import kinds, text_budget
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import rules
from identity_service.one_time_tokens.rules import Lifetime, LinkInvalid, MailboxProof
from identity_service.one_time_tokens.tables import OneTimeToken, TrackingLink
from identity_service.values import user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.web.rate_limits import RateLimiter

_LONGEST: Final = timedelta(days=30)
"""Longer than any token that `end_tokens` ends is valid, time to delivery included."""


class TokenWithMessage(NamedTuple):
    """A token and the newest message that was sent for it."""

    token: OneTimeToken
    message: Message


async def send_token(
    session: DatabaseSession,
    purpose: str,
    *,
    kind: str,
    to: messages.Recipient,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any] | None = None,
    once: bool = False,
    network: str | None = None,
    token_id: uuid.UUID | None = None,
    cause: str,
    actor: str,
    now: datetime,
) -> OneTimeToken:
    """Enqueue a message of this kind with a new token, whose id is `token_id` if it is given; return the token.

    With `once`, if a message of the same purpose to the address is still pending, return its token instead and enqueue
    nothing, for known and unknown addresses alike (RST-08). `network` is the one that asked for a text.
    """
    token_id, recipient_hash = token_id or uuid.uuid4(), session.keys.address_hash(to.key)
    message: dict[str, Any] = {
        "to": to, "user_id": user_id, "locale": locale, "facts": {**(facts or {}), "token": str(token_id)},
        "network": network, "cause": cause, "actor": actor, "now": now,
    }  # fmt: skip
    if once:
        key = _pending_key(purpose, recipient_hash)
        message_id, is_new = await messages.enqueue_once(session, kind, pending_key=key, **message)
        if not is_new:
            return await _of_message(session, message_id)
    else:
        message_id = await messages.enqueue(session, kind, **message)
    row = {
        "id": token_id, "purpose": purpose, "user_id": user_id, "recipient_hash": recipient_hash,
        "message_id": message_id, "requested_at": now, **_random_values(session),
    }  # fmt: skip
    token: OneTimeToken = (await session.execute(_WRITE, row)).scalar_one()
    return token


# On the tables instead of their classes, as for events: an ORM insert takes more than twice as long, and omits NULL
# columns, so that the statement would differ between known and unknown addresses (ATT-21).
_TOKEN, _TRACKING = (OneTimeToken.metadata.tables[name] for name in ("one_time_token", "tracking_link"))
_WRITE = select(OneTimeToken).from_statement(insert(_TOKEN).returning(*_TOKEN.columns))
_TRACK = insert(_TRACKING)


def _random_values(session: DatabaseSession) -> dict[str, Any]:
    """Return the random columns of a token: its public names, and the nonce that its secrets are derived from."""
    return {
        "handle": secrets.token_urlsafe(16),
        "reference": "".join(secrets.choice(user_ids.ALPHABET) for _ in range(rules.REFERENCE_LENGTH)),
        "nonce": secrets.token_bytes(16),
        "key_id": session.keys.link_key()[0],
    }


async def find_pending(session: DatabaseSession, purpose: str, to: EmailAddress) -> OneTimeToken | None:
    """Return the token of a message of this purpose to this address that is still pending, or None.

    Until the transaction ends, no other one can send such a message with `once`.
    """
    key = _pending_key(purpose, session.keys.address_hash(to.key))
    message_id = await messages.find_pending_message(session, key)
    return None if message_id is None else await _of_message(session, message_id)


def _pending_key(purpose: str, recipient_hash: bytes) -> str:
    return f"{purpose}:{recipient_hash.hex()}"


async def _of_message(session: DatabaseSession, message_id: uuid.UUID) -> OneTimeToken:
    return (await session.scalars(select(OneTimeToken).where(OneTimeToken.message_id == message_id))).one()


async def create_tracking_link(session: DatabaseSession, token_id: uuid.UUID, *, now: datetime) -> str:
    """Store a new tracking link for a token, valid for seven days; return its handle."""
    handle = secrets.token_urlsafe(18)
    row = {
        "handle_hash": hashing.hash_secret(handle),
        "token_id": token_id,
        "created_at": now,
        "expires_at": now + rules.TRACKED_FOR,
    }
    await session.execute(_TRACK, row)
    return handle


async def find_by_tracking(
    session: DatabaseSession, handle: str, purposes: Collection[str] = tuple(rules.LIFETIMES), *, now: datetime
) -> TokenWithMessage:
    """Return the token that a tracking handle belongs to, if it is for one of these purposes.

    Raises:
        rules.UnknownTracking: there is no such handle, it has expired, or the purpose is another one.
    """
    live = select(OneTimeToken).join(TrackingLink, TrackingLink.token_id == OneTimeToken.id)
    hashed = hashing.hash_secret(rules.read_tracking_handle(handle))
    token = await session.scalar(live.where(TrackingLink.handle_hash == hashed, TrackingLink.expires_at > now))
    if token is None or token.purpose not in purposes:
        raise rules.UnknownTracking
    return TokenWithMessage(token, await messages.newest_message(session, token.message_id))


async def find_token(session: DatabaseSession, token_id: uuid.UUID) -> TokenWithMessage | None:
    """Return a token by its id, or None if there is none."""
    token = await session.get(OneTimeToken, token_id, populate_existing=True)
    return None if token is None else TokenWithMessage(token, await messages.newest_message(session, token.message_id))


async def find_by_reference(session: DatabaseSession, reference: str) -> TokenWithMessage | None:
    """Return a token by the short reference that the customer reads out on the phone, or None."""
    token = await session.scalar(select(OneTimeToken).where(OneTimeToken.reference == reference))
    return None if token is None else TokenWithMessage(token, await messages.newest_message(session, token.message_id))


async def latest_message(session: DatabaseSession, purpose: str, to: EmailAddress) -> OneTimeToken | None:
    """Return the newest token of this purpose that was sent to an address, or None."""
    recipient_hash = session.keys.address_hash(to.key)
    mine = select(OneTimeToken).where(OneTimeToken.recipient_hash == recipient_hash, OneTimeToken.purpose == purpose)
    found: OneTimeToken | None = await session.scalar(mine.order_by(OneTimeToken.requested_at.desc()).limit(1))
    return found


async def newest_of(session: DatabaseSession, purpose: str, user_id: str) -> TokenWithMessage | None:
    """Return the newest token of this purpose for an account, or None."""
    mine = select(OneTimeToken).where(OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose)
    token = await session.scalar(mine.order_by(OneTimeToken.requested_at.desc()).limit(1))
    return None if token is None else TokenWithMessage(token, await messages.newest_message(session, token.message_id))


async def find_by_handle(session: DatabaseSession, handle: str) -> TokenWithMessage | None:
    """Return a token by its handle, which is part of the link, or None."""
    if "\0" in handle:
        # PostgreSQL refuses NUL in text: the query would fail, and no such handle exists.
        return None
    token = await session.scalar(select(OneTimeToken).where(OneTimeToken.handle == handle[:64]))
    return None if token is None else TokenWithMessage(token, await messages.newest_message(session, token.message_id))


async def verify_link(session: DatabaseSession, purposes: tuple[str, ...], text: str) -> TokenWithMessage:
    """Return the token of a link after comparing its derived secret; `check_valid` checks whether it still works.

    Raises:
        rules.LinkInvalid: not one of our links, or for another purpose.
    """
    link = rules.read_link(text)
    found = await find_by_handle(session, link.handle)
    if found is None or found.token.purpose not in purposes:
        raise LinkInvalid
    if not rules.constant_time_equal(link.secret, secret_of(session, found.token)):
        raise LinkInvalid
    return found


async def count_code_attempt(
    database: Database,
    limits: RateLimiter,
    token: OneTimeToken,
    *,
    tracked_by: str | None = None,
    browser: KnownBrowser | None = None,
) -> None:
    """Count an attempt before its code is compared; the count is committed, whatever happens to the request.

    Five per tracking link, so that whoever requested a message cannot use up the attempts of its owner; a token that is
    found by its own handle has five as well. All attempts for one address and purpose together are limited too, which a
    new message does not reset (RST-06, ATT-11); a browser that has signed in to the account before has a count of its
    own. What is tried at a link without attempts left counts for nobody.

    Raises:
        rate_limits.TooManyRequests, rules.LinkInvalid: there are no attempts left.
    """
    table: type[OneTimeToken | TrackingLink] = OneTimeToken if tracked_by is None else TrackingLink
    mine = (
        OneTimeToken.id == token.id
        if tracked_by is None
        else TrackingLink.handle_hash == hashing.hash_secret(tracked_by)
    )
    counted = update(table).where(mine, table.code_attempts < rules.CODE_TRIES)
    counting = counted.values(code_attempts=table.code_attempts + 1).returning(table.code_attempts)
    async with database.transaction() as session:
        is_counted = await session.scalar(counting) is not None
        valid_after = await ownership.sessions_valid_after(session, token.user_id)
    if not is_counted:
        raise LinkInvalid
    known = (None if browser is None else browser.name_for(token.user_id, valid_after)) or ""
    await limits.hit("code", rules.CODE_TRIES_PER_ADDRESS, token.purpose, (token.recipient_hash or b"").hex(), known)


def check_code(session: DatabaseSession, token: OneTimeToken, typed: str) -> None:
    """Compare a code with the token's; call `count_code_attempt` first.

    Raises:
        rules.CodeWrong
    """
    if not rules.constant_time_equal(typed, code_of(session, token)):
        raise rules.CodeWrong


def check_valid(
    session: DatabaseSession, found: TokenWithMessage, *, valid_after: datetime | None, by: str = "link", now: datetime
) -> None:
    """Refuse a token that is used, expired, cancelled or revoked.

    `valid_after` is the account's `tokens_valid_after`; `by` is `link` or `code`.

    Raises:
        rules.LinkInvalid; rules.JustUsed: whoever presents it has just used it.
    """
    token, message = found
    if token.used_at is not None:
        refused = rules.JustUsed() if timedelta(0) <= now - token.used_at < rules.JUST_USED else LinkInvalid()
        refused.used_at = token.used_at
        raise refused
    if (
        message.state == "cancelled"
        or rules.is_revoked(rules.LIFETIMES[token.purpose], token.requested_at, valid_after)
        or now >= ends_at(session, found, by=by)
    ):
        raise LinkInvalid


def ends_at(session: DatabaseSession, found: TokenWithMessage, *, by: str = "link") -> datetime:
    """Return when the link of a token expires, or its code if `by` is `code`."""
    lifetime = _lifetime(session, found.token.purpose)
    span = lifetime.link if by == "link" else lifetime.code
    return rules.ends_at(
        span,
        lifetime.cap or kinds.KINDS[found.message.kind].hand_over + span,
        requested_at=found.token.requested_at,
        accepted_at=found.message.accepted_at,
        deadline_at=found.message.deadline_at,
    )


async def has_ended(session: DatabaseSession, token_id: uuid.UUID, *, now: datetime) -> bool:
    """Return whether neither link nor code of a token can work any more, so that its message is of no use."""
    found = await find_token(session, token_id)
    if found is None or found.token.used_at is not None:
        return True
    owner = select(Account.tokens_valid_after).where(Account.user_id == found.token.user_id)
    is_revoked = rules.is_revoked(
        rules.LIFETIMES[found.token.purpose], found.token.requested_at, await session.scalar(owner)
    )
    return is_revoked or now >= max(ends_at(session, found), ends_at(session, found, by="code"))


async def note_opened(session: DatabaseSession, token_id: uuid.UUID, *, now: datetime) -> bool:
    """Record that the link was opened in a browser; return whether it was the first time. Consumes nothing (RST-01)."""
    mine = update(OneTimeToken).where(
        OneTimeToken.id == token_id, OneTimeToken.opened_at.is_(None), OneTimeToken.used_at.is_(None)
    )
    return await session.scalar(mine.values(opened_at=now).returning(OneTimeToken.id)) is not None


async def consume(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> MailboxProof:
    """Consume a token: of concurrent calls only one succeeds (ATT-08). The only function that makes a `MailboxProof`.

    Call it in the transaction of the change that needs the proof, after `check_valid`.

    Raises:
        rules.LinkInvalid: the token was used already, or belongs to no account.
    """
    mine = update(OneTimeToken).where(
        OneTimeToken.id == found.token.id, OneTimeToken.used_at.is_(None), OneTimeToken.user_id.is_not(None)
    )
    used = mine.values(used_at=now).returning(OneTimeToken.user_id, OneTimeToken.recipient_hash)
    row = (await session.execute(used)).one_or_none()
    if row is None:
        raise LinkInvalid
    if found.message.channel == "text":
        await text_budget.mark_used(session, found.message.id, now=now)
    return MailboxProof(row.user_id, found.token.purpose, row.recipient_hash)


async def was_proven(session: DatabaseSession, recipient_hashes: Sequence[bytes], *, since: datetime) -> bool:
    """Return whether a token that was sent to one of these mailboxes was used since a moment."""
    used = select(OneTimeToken.id).where(OneTimeToken.recipient_hash.in_(recipient_hashes))
    return await session.scalar(used.where(OneTimeToken.used_at > since).limit(1)) is not None


async def end_tokens(session: DatabaseSession, *, now: datetime) -> int:
    """End every valid token; return how many. After a restore, tokens used since the backup would work again (ATT-07).

    Links that undo, stop or withdraw stay valid: what they did was lost in the restore and may be done again.
    """
    ending = [purpose for purpose, lifetime in rules.LIFETIMES.items() if not lifetime.outlives]
    valid = update(OneTimeToken).where(
        OneTimeToken.used_at.is_(None), OneTimeToken.purpose.in_(ending), OneTimeToken.requested_at > now - _LONGEST
    )
    return len((await session.scalars(valid.values(used_at=now).returning(OneTimeToken.id))).all())


def secret_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the secret of a token's link, derived from its nonce (RST-04)."""
    return rules.derive_secret(_key(session, token), token.purpose, token.nonce)


def code_of(session: DatabaseSession, token: OneTimeToken) -> str:
    """Return the code of a token, derived from its nonce (RST-05)."""
    return rules.derive_code(_key(session, token), token.purpose, token.nonce)


def link_of(session: DatabaseSession, found: TokenWithMessage, path: str) -> str:
    """Return the link for a message, secret in the fragment (RST-03): below the configured public URL (ATT-32), or on
    the host of the message's brand, which serves confirmations once it is proven (BRD-07).
    """
    settings, token = session.settings, found.token
    brand = settings.brands.find(found.message.brand)
    serves = path.startswith("/confirm/") and brand.host and session.proves(brand_proofs.host_subject(brand))
    base = f"https://{brand.host}" if serves else settings.public_url
    return f"{base}{path}#v1.{token.handle}.{secret_of(session, token)}"


async def forget_address(session: DatabaseSession, hashes: Sequence[bytes]) -> None:
    """Erase a customer's addresses from tokens that belong to no account, or to one that never had the address."""
    proving = ("address", "email_change", "further_address")
    not_owned = OneTimeToken.user_id.is_(None) | OneTimeToken.purpose.in_(proving)
    await session.execute(
        update(OneTimeToken).where(OneTimeToken.recipient_hash.in_(hashes), not_owned).values(recipient_hash=None)
    )


async def purge_tokens(session: DatabaseSession) -> None:
    """Delete expired tracking links."""
    await session.execute(delete(TrackingLink).where(TrackingLink.expires_at < func.now()))


def _key(session: DatabaseSession, token: OneTimeToken) -> bytes:
    return session.keys.link_key(token.key_id)[1]


def _lifetime(session: DatabaseSession, purpose: str) -> Lifetime:
    lifetime = rules.LIFETIMES[purpose]
    if purpose in ("reset", "reset_elsewhere"):
        settings = session.settings
        link, code = timedelta(minutes=settings.reset_link_minutes), timedelta(minutes=settings.reset_code_minutes)
        return lifetime._replace(link=link, code=code)
    return lifetime
