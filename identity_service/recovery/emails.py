"""The email with the code of a second proof, and the notices of what happened to a recovery code."""

import uuid

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.recovery import rules


async def build_recovery_proof(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email with the code, or None if it was used."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    return rendering.render_message(
        session, message, "recovery_proof", code=token_rules.show_code(one_time_tokens.code_of(session, found.token)),
        code_minutes=token_rules.LIFETIMES["recovery"].code.seconds // 60,
        link=f"{session.settings.public_url}{rules.OWN_CODE}",
    )  # fmt: skip


async def build_notice(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return a notice; what ends the danger is a reset, or a new recovery code where nothing was changed."""
    zone = session.settings.brands.find(message.brand).time_zone
    page = rules.OWN_CODE if message.kind in ("recovery_code_entered", "recovery_code_missed") else "/reset"
    return rendering.render_message(
        session, message, message.kind, link=f"{session.settings.public_url}{page}",
        changed_at=translations.format_time(message.created_at, message.locale, zone),
    )  # fmt: skip
