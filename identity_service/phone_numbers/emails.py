"""The notices that a telephone number was added or removed: when, and how to object; no link signs in (ADR-07)."""

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail


async def build_number_notice(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a number was added or removed."""
    zone = session.settings.brands.find(message.brand).time_zone
    return rendering.render_message(
        session, message, message.kind, link=f"{session.settings.public_url}/reset",
        changed_at=translations.format_time(message.created_at, message.locale, zone),
    )  # fmt: skip
