"""Emails of consent: the one that asks for it, and the confirmation, which contains the link to withdraw."""

import uuid
from typing import Any

from sqlalchemy import select

from identity_service.consents import rules, wordings
from identity_service.consents.tables import ConsentEntry
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.confirmations import Row


async def build_consent_confirmation(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email that asks for consent, or None if the proposal was superseded."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None:
        return None
    proposal = await session.scalar(select(ConsentEntry).where(ConsentEntry.token_id == found.token.id))
    if proposal is None:
        return None
    newer = select(ConsentEntry.id).where(
        ConsentEntry.user_id == proposal.user_id,
        ConsentEntry.purpose == proposal.purpose,
        ConsentEntry.id > proposal.id,
    )
    if await session.scalar(newer.limit(1)) is not None:
        return None
    code = token_rules.show_code(one_time_tokens.code_of(session, found.token))
    return _render(session, "consent_confirmation", message, link=_link(session, found), code=code)


async def build_consent_granted(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email that confirms a grant and contains the link to withdraw it."""
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    return None if found is None else _render(session, "consent_granted", message, link=_link(session, found))


async def show_wording(session: DatabaseSession, found: one_time_tokens.TokenWithMessage) -> list[Row]:  # noqa: ARG001
    """Return the purpose and the wording that a link is about, for its page."""
    facts = found.message.facts
    if "wording" not in facts:
        return []
    wording = wordings.find_wording(facts["purpose"], facts["wording"], found.message.locale)
    return [Row("Purpose", rules.PURPOSES.get(wording.purpose, wording.purpose), {}), Row("Wording", wording.text)]


def _link(session: DatabaseSession, found: one_time_tokens.TokenWithMessage) -> str:
    return one_time_tokens.link_of(session, found, f"/confirm/{found.token.handle}")


def _render(session: DatabaseSession, name: str, message: ClaimedMessage, **facts: Any) -> RenderedEmail:  # noqa: ANN401
    wording = wordings.find_wording(message.facts["purpose"], message.facts["wording"], message.locale)
    return rendering.render_message(session, message, name, wording=wording.text, **facts)
