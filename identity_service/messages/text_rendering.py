"""Render texts at sending time, and hand over no number or secret that a carrier does not need."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from identity_service import entry_points, translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import kinds, text_copy
from identity_service.messages.delivery.queue import ClaimedMessage

TextBuilder = Callable[[DatabaseSession, ClaimedMessage], Awaitable[str | None]]
"""Builds the text of a message, in a short transaction of its own; None if it is no longer wanted."""
REPORTS: Final = "/webhooks/texts"


@dataclass(frozen=True, slots=True)
class TextEnvelope:
    """A text and its number, ready for a carrier; `reports` is the URL below which reports are taken."""

    message_id: str
    recipient: str
    text: str
    reports: str
    words: str | None = None

    def report_url(self, carrier: str) -> str:
        """Return the URL to which a carrier reports what became of this text."""
        return f"{self.reports}/{carrier}/{self.message_id}"


def load_builders() -> dict[str, TextBuilder]:
    """Return the builder of each kind of text."""
    return {name: entry_points.load(kind.builder) for name, kind in kinds.KINDS.items() if kind.channel == "text"}


def render_text(session: DatabaseSession, message: ClaimedMessage, *, code: str, **facts: str) -> str:
    """Return the text of a message in its language, or in English where that fits into no segment.

    Raises:
        text_copy.TooLong
    """
    settings = session.settings
    known = text_copy.TEXTS[message.kind]
    say = translations.catalogue(translations.find_language(message.locale)).gettext
    host = urlsplit(settings.public_url).hostname or ""
    brand = settings.brands.find(message.brand).name
    sentences = (say(known.sentence), known.sentence)
    return text_copy.write(known, sentences, brand=brand, code=code, host=host, **facts)


def envelope(session: DatabaseSession, message: ClaimedMessage, text: str) -> TextEnvelope:
    """Return a text ready for a carrier."""
    return TextEnvelope(str(message.id), message.recipient_ascii, text, f"{session.settings.public_url}{REPORTS}")
