"""The notices that a passkey was added or removed: when, and how to object; no link signs in (PKY-08)."""

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail


async def build_passkey_added(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a passkey was added."""
    return _build(session, message, "passkey_added")


async def build_passkey_removed(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a passkey was removed."""
    return _build(session, message, "passkey_removed")


def _build(session: DatabaseSession, message: ClaimedMessage, words: str) -> RenderedEmail:
    zone = session.settings.brands.find(message.brand).time_zone
    return rendering.render_message(
        session, message, words, link=f"{session.settings.public_url}/reset",
        changed_at=translations.format_time(message.created_at, message.locale, zone),
    )  # fmt: skip
