"""The letter of a caller check: the code that our staff will ask for, two words that show that they are ours, and the
number of the call.
"""

import uuid

from identity_service.contacts import checks
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs


async def caller_check(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter with code and phrase."""
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    if found is None or found.proof.used_at is not None:
        return None
    number = await checks.number_of(session, found.proof)
    code = checks.digits_of(session, found.proof)
    return letters.render(
        "caller_check", message.locale, code=f"{code[:3]} {code[3:]}", phrase=checks.phrase_of(session, found.proof),
        contact=f"{number[:3]}-{number[3:]}", signed=settings_of(session).mail_from_name,
    )  # fmt: skip
