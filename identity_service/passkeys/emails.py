"""The notices about passkeys: when, and how to object; no link signs in (PKY-08, PKY-10, PKY-14)."""

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


async def build_passkey_copied(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that a passkey's counter went back."""
    return _build(session, message, "passkey_copied")


async def build_passkey_only(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that passkeys are the only way in."""
    return _build(session, message, "passkey_only", page="/signin")


async def build_passkey_only_ended(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that there are other ways in again."""
    return _build(session, message, "passkey_only_ended")


async def build_weaker_sign_in(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the notice that somebody signed in by a weaker way than a passkey."""
    return _build(session, message, "weaker_sign_in")


def _build(session: DatabaseSession, message: ClaimedMessage, words: str, page: str = "/reset") -> RenderedEmail:
    zone = session.settings.brands.find(message.brand).time_zone
    return rendering.render_message(
        session, message, words, link=f"{session.settings.public_url}{page}",
        changed_at=translations.format_time(message.created_at, message.locale, zone),
    )  # fmt: skip
