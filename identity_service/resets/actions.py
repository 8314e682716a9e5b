"""Request a reset, and set the new password by link or code."""

import uuid
from datetime import datetime
from typing import NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.keys.known_browsers import KnownBrowser
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import elsewhere, requests
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.resets import rules, texts
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId
from identity_service.web.rate_limits import RateLimiter

PURPOSE = ("reset", "reset_elsewhere")
"""A reset, and one whose message went to another address of the customer (ADR-09)."""
BY_CODE = (*PURPOSE, texts.PURPOSE)
"""Purposes of tokens whose code sets a password; a text has no link, and nobody follows it."""


class ResetRequest(NamedTuple):
    """A requested reset with the handle of its tracking page.

    With `again_at` the address has reached its limit until then: nothing new was sent, and the handle is for the newest
    message to it.
    """

    token: OneTimeToken
    handle: str
    again_at: datetime | None = None


class LinkDescription(NamedTuple):
    """What is known of a link: whether it is ours, can work no more, was used, and the address that it was sent to."""

    is_known: bool
    has_ended: bool
    used_at: datetime | None = None
    address: str = ""


async def request_reset_within_limit(
    session: DatabaseSession,
    limits: RateLimiter,
    address: EmailAddress,
    *,
    locale: str,
    where_from: str | None,
    browser: KnownBrowser | None = None,
    network: str | None = None,
    actor: str,
    now: datetime,
) -> ResetRequest:
    """Call `request_reset`; beyond the limit of an address, known or unknown, track its newest message (ATT-18)."""
    followed = await requests.count_request(
        session, limits, "reset", address, rules.PER_ADDRESS, browser=browser, network=network, now=now
    )
    if followed is not None:
        await _record_request(session, followed.token.id, followed.token.user_id, actor=actor, now=now)
        handle = await one_time_tokens.create_tracking_link(session, followed.token.id, now=now)
        return ResetRequest(followed.token, handle, again_at=followed.again_at)
    return await request_reset(session, address, locale=locale, where_from=where_from, actor=actor, now=now)


async def request_reset(
    session: DatabaseSession, address: EmailAddress, *, locale: str, where_from: str | None, actor: str, now: datetime
) -> ResetRequest:
    """Request a reset by address, with the same statements and rows whether or not there is an account (ATT-21).

    While a message is still pending, another request uses the same one; once a relay has it, a new message is sent, and
    the link in the older one stays valid (RST-08). The address on file is used, never the typed one (ATT-02). The
    message is in the account's language; `locale`, the asker's, is used where there is no account (ADR-11).
    """
    found = await ownership.owner_of_address(session, address, recovers_at=now, hold=True)
    return await _send(
        session, kind="no_account" if found.active is None else "reset", to=found.address, user_id=found.active,
        locale=found.language(locale), where_from=where_from, actor=actor, now=now,
    )  # fmt: skip


async def request_elsewhere(
    session: DatabaseSession, handle: str, address: EmailAddress, *, locale: str, where_from: str, now: datetime
) -> str:
    """Request the reset that a tracking page is about at another address of the customer; return the handle of its own
    page. Nothing is sent to an address that does not belong to the account, and the answer is the same (ADR-09).

    Raises:
        one_time_tokens.rules.UnknownTracking
    """
    first = await one_time_tokens.find_by_tracking(session, handle, ("reset",), now=now)
    await _record_request(session, first.token.id, first.token.user_id, actor="customer", now=now)
    return await elsewhere.send_elsewhere(
        session, first, address, purpose="reset_elsewhere", kind="reset", locale=locale, facts={"from": where_from},
        cause="reset.requested", now=now,
    )  # fmt: skip


async def request_text(
    session: DatabaseSession, handle: str, number: str, *, locale: str, network: str, now: datetime
) -> str:
    """Request the code of the reset that a tracking page is about at a telephone number of the customer; return the
    handle of the page that takes it, whether the number belongs to the account or not (ADR-09).

    Raises:
        one_time_tokens.rules.UnknownTracking; what `texts.send_reset_text` raises
    """
    first = await one_time_tokens.find_by_tracking(session, handle, ("reset",), now=now)
    asked = await texts.send_reset_text(session, first.token, number, locale=locale, network=network, now=now)
    return asked.handle


async def request_reset_for_account(
    session: DatabaseSession,
    user_id: UserId,
    *,
    to: EmailAddress | None = None,
    where_from: str | None,
    after_undo: bool = False,
    actor: str,
    now: datetime,
) -> ResetRequest:
    """Request a reset for an account, for a service or desk; the message goes to the address on file, or to this one of
    the account's further ones. With `after_undo` it says that the password was removed when the customer took back a
    change of address.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail
    """
    account = await accounts.find_changeable_account(session, user_id)
    return await _send(
        session, kind="reset", to=to or accounts.address_of(account), user_id=account.user_id, locale=account.locale,
        where_from=where_from, after_undo=after_undo, actor=actor, now=now,
    )  # fmt: skip


async def find_reset(session: DatabaseSession, reset_id: uuid.UUID) -> TokenWithMessage:
    """Return a reset with its newest message.

    Raises:
        rules.UnknownReset
    """
    found = await one_time_tokens.find_token(session, reset_id)
    if found is None or found.token.purpose not in PURPOSE:
        raise rules.UnknownReset
    return found


async def describe_link(session: DatabaseSession, handle: str, *, now: datetime) -> LinkDescription:
    """Return what the page of a link may say to whoever has its handle, which only the email tells."""
    found = await one_time_tokens.find_by_handle(session, handle)
    if found is None or found.token.purpose not in PURPOSE:
        return LinkDescription(is_known=False, has_ended=True)
    has_ended = await one_time_tokens.has_ended(session, found.token.id, now=now)
    address = None if has_ended else found.message.recipient
    return LinkDescription(True, has_ended, found.token.used_at, address or "")


async def note_opened(session: DatabaseSession, link: str, *, now: datetime) -> None:
    """Record that a browser opened the link; consumes nothing, and returns nothing that reveals if it was valid."""
    try:
        found = await one_time_tokens.verify_link(session, PURPOSE, link)
    except LinkInvalid:
        return
    if await one_time_tokens.note_opened(session, found.token.id, now=now):
        data = {"reset_id": str(found.token.id)}
        await events.record_event(
            session, "reset.opened", user_id=found.token.user_id, actor="customer", data=data, now=now
        )


async def _send(
    session: DatabaseSession,
    *,
    kind: str,
    to: EmailAddress,
    user_id: str | None,
    locale: str,
    where_from: str | None,
    after_undo: bool = False,
    actor: str,
    now: datetime,
) -> ResetRequest:
    """Record the request, then send its message, or use the one that is still pending."""
    pending = await one_time_tokens.find_pending(session, "reset", to)
    token_id = uuid.uuid4() if pending is None else pending.id
    about = user_id if pending is None else pending.user_id
    await _record_request(session, token_id, about, actor=actor, now=now)
    facts = {"from": where_from, **({"after_undo": True} if after_undo else {})}
    token = pending or await one_time_tokens.send_token(
        session, "reset", kind=kind, to=to, user_id=user_id, locale=locale, facts=facts, once=True,
        token_id=token_id, cause="reset.requested", actor=actor, now=now,
    )  # fmt: skip
    return ResetRequest(token, await one_time_tokens.create_tracking_link(session, token.id, now=now))


async def _record_request(
    session: DatabaseSession, reset_id: uuid.UUID, user_id: str | None, *, actor: str, now: datetime
) -> None:
    data = {"reset_id": reset_id}
    await events.record_event(session, "reset.requested", user_id=user_id, actor=actor, data=data, now=now)
