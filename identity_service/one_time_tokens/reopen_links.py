"""The email to an address without an account that is open: if its account was closed lately, it offers to reopen it."""

from datetime import datetime
from typing import Final

from identity_service.accounts import actions as accounts
from identity_service.database.transactions import DatabaseSession, database_now
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions
from identity_service.values import user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId

_CLOSED: Final = {"no_account": "closed_reset", "no_account_signin": "closed_signin"}
"""The words for an account that its owner can still reopen, by the kind of the message."""


async def build_no_account(session: DatabaseSession, message: ClaimedMessage, *, page: str) -> RenderedEmail:
    """Return the email to an address without an account, or with a closed one: `page` is where it leads, or else the
    link that was sent when the account was closed, while that works."""
    found = await _find_reopening(session, message, now=await database_now(session))
    if found is None:
        return rendering.render_message(session, message, message.kind, link=f"{session.settings.public_url}{page}")
    return rendering.render_message(
        session, message, _CLOSED[message.kind], known_id=user_ids.show(found.token.user_id or ""),
        link=actions.link_of(session, found, f"/confirm/{found.token.handle}"),
    )  # fmt: skip


async def _find_reopening(
    session: DatabaseSession, message: ClaimedMessage, *, now: datetime
) -> actions.TokenWithMessage | None:
    """Return the valid token that this mailbox was sent when its account was closed. Nothing here is visible to whoever
    asked: the worker builds the message."""
    address = EmailAddress(message.recipient, message.recipient_ascii, message.recipient_ascii.lower())
    holder = await accounts.find_by_email(session, address)
    newest = None if holder is None else await actions.latest_message(session, "reopen", address)
    if holder is None or newest is None or await actions.has_ended(session, newest.id, now=now):
        return None
    kept = await accounts.find_active_account(session, UserId(holder.user_id))
    is_its_own = kept.state == "closed" and newest.user_id == kept.user_id
    return await actions.find_token(session, newest.id) if is_its_own else None
