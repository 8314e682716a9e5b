"""The texts to telephone numbers of accounts. Codes are derived at sending time and stored nowhere."""

import uuid

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import text_rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import digits


async def build_number_check(session: DatabaseSession, message: ClaimedMessage) -> str | None:
    """Return the text that confirms a number, or None if its code was used or ended."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    return text_rendering.render_text(session, message, code=digits.digits_of(session, found.token))
