"""The emails of a reset. Link and code are derived here, at sending time, and stored nowhere."""

import uuid
from datetime import datetime, timedelta

from identity_service import translations
from identity_service.accounts import actions as accounts
from identity_service.database.transactions import DatabaseSession, database_now
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import elsewhere, reopen_links
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.passkeys import actions as passkeys


async def build_reset(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email with link and code or, if the token was revoked meanwhile, or the account is for passkeys alone,
    one that says so.

    A revoked token still gets an email: a cancelled message would be visible on its tracking page, and reveal that
    there is an account.
    """
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    if found is None or elsewhere.is_for_nobody(message.user_id, message.facts):
        return None
    lifetime = token_rules.LIFETIMES["reset"]
    if account is None or token_rules.is_revoked(lifetime, found.token.requested_at, account.tokens_valid_after):
        return _reset_over(session, message)
    if await passkeys.is_only_way(session, account):
        page = f"{session.settings.public_url}/signin"
        return rendering.render_message(session, message, "passkey_reset", link=page)
    settings, now = session.settings, await database_now(session)
    until = min(now + timedelta(minutes=settings.reset_link_minutes), _latest_end(found))
    zone = settings.brands.find(message.brand).time_zone
    return rendering.render_message(
        session, message, "reset_needed" if message.facts.get("after_undo") else "reset",
        link=one_time_tokens.link_of(session, found, f"/reset/choose/{found.token.handle}"),
        code=token_rules.show_code(one_time_tokens.code_of(session, found.token)),
        link_until=translations.format_time(until, message.locale, zone), code_minutes=settings.reset_code_minutes,
        requested_at=translations.format_time(found.token.requested_at, message.locale, zone),
    )  # fmt: skip


def _reset_over(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    return rendering.render_message(session, message, "reset_over", link=f"{session.settings.public_url}/reset")


async def build_no_account(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email to an address without an account (or with a closed one); similar in size and structure."""
    return await reopen_links.build_no_account(session, message, page="/reset")


async def build_password_changed(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a password was set (RST-11): when, from where, and how to object; no link signs in."""
    zone = session.settings.brands.find(message.brand).time_zone
    return rendering.render_message(
        session, message, message.kind, link=f"{session.settings.public_url}/reset",
        changed_at=translations.format_time(message.created_at, message.locale, zone),
    )  # fmt: skip


def _latest_end(found: TokenWithMessage) -> datetime:
    cap = token_rules.LIFETIMES["reset"].cap
    assert cap is not None  # noqa: S101
    return found.token.requested_at + cap
