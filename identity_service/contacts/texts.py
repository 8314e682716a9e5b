"""The text of a caller check: the code that staff will ask for, and the two words that prove that they are ours."""

import uuid

from identity_service.contacts import checks
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import text_rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.one_time_tokens import actions as one_time_tokens


async def build_caller_check_text(session: DatabaseSession, message: ClaimedMessage) -> str | None:
    """Return the text with code and phrase, or None if the code was used."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    code, phrase = checks.digits_of(session, found.token), checks.phrase_of(session, found.token)
    return text_rendering.render_text(session, message, code=f"{code[:3]} {code[3:]}", phrase=phrase)
