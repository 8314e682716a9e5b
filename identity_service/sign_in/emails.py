"""The emails of sign-in by email."""

import uuid

from identity_service.accounts import actions as accounts
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import reopen_links
from identity_service.one_time_tokens import rules as token_rules
from identity_service.passkeys import actions as passkeys


async def build_sign_in_code(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email with the code, or None if the token was revoked or the account is gone; of an account that is
    for passkeys alone, one that says so."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    lifetime = token_rules.LIFETIMES["signin"]
    if (
        found is None
        or account is None
        or token_rules.is_revoked(lifetime, found.token.requested_at, account.tokens_valid_after)
    ):
        return None
    if await passkeys.is_only_way(session, account):
        page = f"{session.settings.public_url}/signin"
        return rendering.render_message(session, message, "passkey_signin", link=page)
    code = token_rules.show_code(one_time_tokens.code_of(session, found.token))
    return rendering.render_message(
        session, message, "signin_code", code=code, code_minutes=lifetime.code.seconds // 60,
        link=f"{session.settings.public_url}/signin",
    )  # fmt: skip


async def build_no_account(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the email to an address without an account, or with a closed one."""
    return await reopen_links.build_no_account(session, message, page="/")
