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
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.tracking import SUBJECTS
from identity_service.values.user_ids import show


async def build_reset(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email with link and code or, if the token was revoked meanwhile, one that says so.

    A revoked token still gets an email: a cancelled message would be visible on its tracking page, and reveal that
    there is an account.
    """
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    if found is None:
        return None
    lifetime = token_rules.LIFETIMES["reset"]
    if account is None or token_rules.is_revoked(lifetime, found.token.requested_at, account.tokens_valid_after):
        return _reset_over(session, message)
    settings = session.settings
    now = await database_now(session)
    return rendering.render_email(
        "reset", message.locale, subject=subject(message.locale),
        link=one_time_tokens.link_of(session, found.token, f"/reset/choose/{found.token.handle}"),
        code=token_rules.show_code(one_time_tokens.code_of(session, found.token)),
        link_until=rendering.format_time(min(now + timedelta(minutes=settings.reset_link_minutes), _latest_end(found))),
        code_minutes=settings.reset_code_minutes, user_id=show(account.user_id),
        requested_at=rendering.format_time(found.token.requested_at),
        where_from=rendering.origin_text(message), signed=settings.mail_from_name,
    )  # fmt: skip


def _reset_over(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    settings = session.settings
    return rendering.render_email(
        "reset_over", message.locale, subject=subject(message.locale), link=f"{settings.public_url}/reset",
        requested_at=rendering.format_time(message.created_at), where_from=rendering.origin_text(message),
        signed=settings.mail_from_name,
    )  # fmt: skip


async def build_no_account(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email to an address without an account (or with a closed one); similar in size and structure."""
    settings = session.settings
    return rendering.render_email(
        "no_account", message.locale, subject=subject(message.locale), link=f"{settings.public_url}/reset",
        requested_at=rendering.format_time(message.created_at), where_from=rendering.origin_text(message),
        signed=settings.mail_from_name,
    )  # fmt: skip


async def build_password_changed(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a password was set (RST-11): when, from where, and how to object; no link signs in."""
    settings = session.settings
    return rendering.render_email(
        "password_changed", message.locale, changed_at=rendering.format_time(message.created_at),
        user_id=show(message.user_id or ""),
        where_from=rendering.origin_text(message), link=f"{settings.public_url}/reset", signed=settings.mail_from_name,
    )  # fmt: skip


def subject(locale: str) -> str:
    """Return the subject: the same for known and unknown addresses, because the tracking page shows it."""
    return translations.catalogue(locale).gettext(SUBJECTS["reset"])


def _latest_end(found: TokenWithMessage) -> datetime:
    cap = token_rules.LIFETIMES["reset"].cap
    assert cap is not None  # noqa: S101
    return found.token.requested_at + cap
