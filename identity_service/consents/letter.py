"""The letters of consent: a proposal that asks the mailbox, and the confirmation that carries the link to withdraw."""

import uuid
from typing import Any

from sqlalchemy import select

from identity_service import user_ids
from identity_service.consents import rules, wordings
from identity_service.consents.tables import ConsentEntry
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules


async def consent_confirmation(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter that asks for a yes, or None where the customer has spoken since."""
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    if found is None:
        return None
    proposal = await session.scalar(select(ConsentEntry).where(ConsentEntry.proof_id == found.proof.id))
    if proposal is None:
        return None
    later = select(ConsentEntry.id).where(
        ConsentEntry.user_id == proposal.user_id,
        ConsentEntry.purpose == proposal.purpose,
        ConsentEntry.id > proposal.id,
    )
    if await session.scalar(later.limit(1)) is not None:
        return None
    code = proof_rules.show_code(proofs.code_of(session, found.proof))
    return _render(session, "consent_confirmation", message, link=_link(session, found), code=code)


async def consent_granted(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter that confirms a grant and carries the link to withdraw it."""
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    return None if found is None else _render(session, "consent_granted", message, link=_link(session, found))


def _link(session: AsyncSession, found: proofs.Found) -> str:
    return proofs.link_of(session, found.proof, f"/confirm/{found.proof.handle}")


def _render(session: AsyncSession, name: str, message: Claimed, **facts: Any) -> Letter:  # noqa: ANN401
    purpose = message.facts["purpose"]
    wording = wordings.find(purpose, message.facts["wording"], message.locale)
    return letters.render(
        name, message.locale, purpose=rules.PURPOSES.get(purpose, purpose), wording=wording.text,
        user_id=user_ids.show(message.user_id or ""), asked_at=letters.moment(message.created_at),
        signed=settings_of(session).mail_from_name, **facts,
    )  # fmt: skip
