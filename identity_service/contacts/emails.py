"""The email of a caller check: the code that staff will ask for, two words that prove that they are ours, and the
number of the contact.
"""

import uuid

from identity_service.contacts import checks
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.values import contact_numbers


async def build_caller_check(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email with code and phrase, or None if the code was used."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    number = await checks.number_of(session, found.token)
    code = checks.digits_of(session, found.token)
    return rendering.render_message(
        session, message, "caller_check", code=f"{code[:3]} {code[3:]}", phrase=checks.phrase_of(session, found.token),
        contact=contact_numbers.show(number),
    )  # fmt: skip
