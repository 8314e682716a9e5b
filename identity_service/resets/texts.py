"""A new password by a code in a text message, where the email of a reset does not come (ADR-09, TXT-07, TXT-08).

The first request names the account; the number that is typed names none. A text goes to it only where it belongs to
that account, and the statements, rows and answer are the same where it does not. A number alone never recovers an
account with a second factor, and after a recovery by text nothing else is changed for a while.
"""

import uuid
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Conflict
from identity_service.events import actions as events
from identity_service.messages import text_rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import digits
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.phone_numbers import recovery
from identity_service.values.phone_numbers import read_phone_number

PURPOSE: Final = "reset_text"
FIXED_FOR: Final = timedelta(hours=72)


class FixedAfterText(Conflict):
    """You set your password with a text message. For 72 hours, addresses, numbers and passkeys stay as they are."""


class TextRequest(NamedTuple):
    """A requested text and the handle of the page at which its code is typed: `/reset/{handle}/code`."""

    token: OneTimeToken
    handle: str


async def send_reset_text(
    session: DatabaseSession,
    first: OneTimeToken,
    typed: str,
    *,
    locale: str,
    network: str,
    actor: str = "customer",
    now: datetime,
) -> TextRequest:
    """Send a code to the typed number if it counts for recovery of the account that `first`, the token of a reset by
    email, was about; return what the page leads to, in either case.

    `locale` is the asker's; where a text is sent, it is the account's own.

    Raises:
        phone_numbers.MalformedPhoneNumber, phone_numbers.NoTextsThere: whatever the account is.
    """
    number = read_phone_number(typed, session.settings.text_regions)
    found = await recovery.find_number(session, first.user_id, number, now=now)
    token_id = uuid.uuid4()
    data = {"reset_id": token_id}
    await events.record_event(session, "reset.requested", user_id=found.user_id, actor=actor, data=data, now=now)
    token = await one_time_tokens.send_token(
        session, PURPOSE, kind="no_number" if found.user_id is None else "reset_text", to=number,
        user_id=found.user_id, locale=found.locale or locale, token_id=token_id, network=network,
        cause="reset.requested", actor=actor, now=now,
    )  # fmt: skip
    return TextRequest(token, await one_time_tokens.create_tracking_link(session, token.id, now=now))


async def check_changeable(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """Refuse a change of addresses, numbers or factors soon after a recovery by text: the number may be in other hands.

    Raises:
        FixedAfterText
    """
    if await digits.was_used(session, PURPOSE, user_id, since=now - FIXED_FOR):
        raise FixedAfterText


async def build_reset_text(session: DatabaseSession, message: ClaimedMessage) -> str | None:
    """Return the text with the code, or None if the account or its tokens have ended since: no page shows its state."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    lifetime = token_rules.LIFETIMES[PURPOSE]
    if (
        found is None or account is None or found.token.used_at is not None
        or token_rules.is_revoked(lifetime, found.token.requested_at, account.tokens_valid_after)
    ):  # fmt: skip
        return None
    code = token_rules.show_code(one_time_tokens.code_of(session, found.token))
    return text_rendering.render_text(session, message, code=code)


async def build_no_number(session: DatabaseSession, message: ClaimedMessage) -> None:  # noqa: ARG001
    """Return None: the number does not belong to the account, so nothing is sent."""
    return
