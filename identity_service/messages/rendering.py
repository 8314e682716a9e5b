"""Render emails from facts at sending time, and assemble the bytes for SMTP.

An email says what it concerns and what happens if nothing is done; it contains no tracking pixel, no rewritten link and
no marketing. Header values are checked here: on older Pythons `email` lets an encoded word in a value inject a real
header (FACT-1), so a value with an encoded word or a control character is refused. The bytes are assembled by hand:
`EmailMessage` takes 1 ms per email, a third of a worker's time; this takes a thirtieth of that.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from identity_service import entry_points, translations
from identity_service.accounts import rules
from identity_service.brands.rules import Brand, Mail
from identity_service.database.transactions import DatabaseSession
from identity_service.keys import hashing
from identity_service.messages import copy, kinds
from identity_service.messages import words as own_words
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.settings import Settings
from identity_service.values import email_addresses, user_ids

_LOCAL = re.compile(r"[A-Za-z0-9_+.'&=~#$*/?^{}-]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9.-]{1,253}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|=\?")


class UnsafeHeader(ValueError):
    """A value that reaches a header has a control character or looks like an encoded word."""


class UnsafeRecipient(ValueError):
    """The stored address is not exactly one plain mailbox."""


@dataclass(frozen=True, slots=True)
class RenderedEmail:
    """Subject, text and HTML of an email, its attachments, and the version of the brand's own words, if it has some."""

    subject: str
    text: str
    html: str
    attachments: tuple["Attachment", ...] = ()
    words: str | None = None


class Attachment(NamedTuple):
    """An attached file; `media_type` like `application/jwt`."""

    name: str
    media_type: str
    content: bytes


EmailBuilder = Callable[[DatabaseSession, ClaimedMessage], Awaitable[RenderedEmail | None]]
"""Builds the email of a message, in a short transaction of its own; None if it is no longer wanted."""


@dataclass(frozen=True, slots=True)
class SmtpEnvelope:
    """SMTP envelope and payload: CRLF lines, dots stuffed, the final dot included."""

    sender: str
    recipient: str
    envid: str
    payload: bytes
    words: str | None = None

    @property
    def needs_smtputf8(self) -> bool:
        """Return whether the relay must offer SMTPUTF8 (RFC 6531)."""
        return not self.recipient.isascii()

    def payload_for(self, headers: Mapping[str, str]) -> bytes:
        """Return the payload with additional `headers` of a relay; `{id}` is replaced by the message id."""
        message_id = self.envid.partition(".")[0]
        lines = [f"{name}: {_safe(value.replace('{id}', message_id))}\r\n" for name, value in headers.items()]
        return "".join(lines).encode("ascii") + self.payload


async def build_from_facts(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail:
    """Return the email of the kind's own words, or of those that its facts name, with the facts of the message."""
    return render_message(session, message, **{"words": message.kind, **message.facts})


def render_message(
    session: DatabaseSession,
    message: ClaimedMessage,
    words: str,
    **facts: Any,  # noqa: ANN401
) -> RenderedEmail:
    """Return the email of a message in these words of `copy.COPY`, in its language and wearing its brand."""
    brand = session.settings.brands.find(message.brand)
    zone, tag = brand.time_zone, message.locale
    common = {
        "requested_at": translations.format_time(message.created_at, tag, zone), "where_from": origin_text(message),
        "user_id": user_ids.show(message.user_id) if message.user_id else "",
    }  # fmt: skip
    return render_email(words, tag, brand, **{**common, **facts})


def load_builders() -> dict[str, EmailBuilder]:
    """Return the builder of each kind of email."""
    return {name: entry_points.load(kind.builder) for name, kind in kinds.KINDS.items() if kind.channel == "email"}


def render_email(words: str, locale: str, brand: Brand, **facts: Any) -> RenderedEmail:  # noqa: ANN401
    """Return the email of these words of `copy.COPY`: subject, text and HTML, made of the same paragraphs.

    Raises:
        KeyError: a place of a sentence has no fact.
    """
    language = translations.find_language(locale)
    say = translations.catalogue(language).gettext

    def sentence(name: str, ours: str) -> str:
        return copy.fill(own_words.own_sentence(brand, language, words, name) or say(ours), facts)

    known, direction = copy.COPY[words], translations.direction(language)
    shown = {**facts, "promise": say(rules.PROMISE)}
    parts = [
        part._replace(text=sentence(part.name, part.text), button=part.button and say(part.button))
        for part in known.parts
        if part.shows is None or shown.get(part.shows)
    ]
    subject = sentence("subject", known.subject)
    frame = {
        "parts": parts, "shown": shown, "subject": subject, "brand": brand,
        "hello": say("Hello {name},").format(name=facts["customer"]) if facts.get("customer") else say("Hello,"),
        "locale": language, "direction": direction, "between": ",\u200f " if direction == "rtl" else ", ",
        "colors": brand.colors,
        "signature": _signature(brand, say), "links": _links(brand, say), "leads_to": say("The button opens a page at"),
        "host": urlsplit(facts.get("link") or "").hostname,
    }  # fmt: skip
    text = _TEXT.get_template("messages/email.txt").render(**frame)
    html = _HTML.get_template("messages/email.html").render(**frame)
    return RenderedEmail(subject, text.strip() + "\n", html, words=own_words.version(brand, language))


def _signature(brand: Brand, say: Callable[[str], str]) -> list[str]:
    """Return who writes: the brand, its company with the postal address, and where a person answers."""
    company = ", ".join(filter(None, (brand.legal_name, brand.postal_address)))
    phone = brand.telephone and say("Telephone: {number}").format(number=brand.telephone)
    return [line for line in (brand.name, company, phone) if line]


def _links(brand: Brand, say: Callable[[str], str]) -> list[tuple[str, str]]:
    names = {"help": say("Help"), "privacy": say("Privacy"), "terms": say("Terms"), "imprint": say("Imprint")}
    return [(name, url) for key, name in names.items() if (url := getattr(brand.links, key)) is not None]


def origin_text(message: ClaimedMessage) -> str:
    """Return where a message was requested, as text: the start of the network address, or one of our services."""
    say = translations.catalogue(message.locale).gettext
    network = str(message.facts.get("from") or "").rstrip(".:…")
    if not network:
        return say("through our support team or another of our services")
    return say("from a network that begins with {network}").format(network=network)


def smtp_envelope(
    message: ClaimedMessage, email: RenderedEmail, settings: Settings, key: bytes, *, now: datetime
) -> SmtpEnvelope:
    """Return an email with its SMTP envelope, ready for a relay; every name and address in it is its brand's.

    Raises:
        UnsafeHeader: a header value could inject another header.
        UnsafeRecipient: the stored address is not one plain mailbox; nothing is sent (FACT-2).
    """
    local, at, domain = message.recipient_ascii.rpartition("@")
    is_plain = _LOCAL.fullmatch(local) or email_addresses.is_international_local_part(local)
    if not at or not is_plain or "=?" in local or not _DOMAIN.fullmatch(domain):
        raise UnsafeRecipient
    mail = sender_of(settings.brands.find(message.brand), settings)
    headers = _headers(message, email, mail, now=now)
    headers["Content-Type"], body = _body(f"part-{secrets.token_hex(12)}", email)
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    # Only the recipient's local part may be beyond ASCII; then the relay must take UTF-8 headers (RFC 6532).
    raw = head.encode("utf-8") + body
    return SmtpEnvelope(
        sender=return_address(message.id.hex, mail.bounce_domain or mail.domain, key),
        recipient=message.recipient_ascii,
        envid=envelope_id(message.id.hex, key),
        payload=_dot_stuffed(raw),
        words=email.words,
    )


def _headers(message: ClaimedMessage, email: RenderedEmail, mail: Mail, *, now: datetime) -> dict[str, str]:
    return {
        "From": formataddr((_safe(mail.from_name or ""), _safe(mail.from_address))),
        "To": message.recipient_ascii,
        **({"Reply-To": _safe(mail.reply_to)} if mail.reply_to else {}),
        "Subject": _encoded("Subject", _safe(email.subject)),
        "Date": format_datetime(now),
        "Message-ID": f"<{message.id.hex}@{_safe(mail.domain)}>",
        "X-Outbox-Id": str(message.id),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Feedback-ID": _safe(f"{message.kind}:::identity"),
        "Content-Language": translations.find_language(message.locale),
        "MIME-Version": "1.0",
    }


def _encoded(name: str, value: str) -> str:
    """Return a header value, as encoded words (RFC 2047) unless it is ASCII."""
    return value if value.isascii() else Header(value, "utf-8", header_name=name).encode()


def _part(boundary: str, subtype: str, text: str) -> bytes:
    """Return one text part of an email, quoted-printable (RFC 2045, 6.7)."""
    head = f'\n--{boundary}\nContent-Type: text/{subtype}; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable'
    return head.encode("ascii") + b"\n\n" + binascii.b2a_qp(text.replace("\r\n", "\n").encode())


def _body(boundary: str, email: RenderedEmail) -> tuple[str, bytes]:
    """Return media type and body of an email: text and HTML, wrapped in multipart/mixed if there are attachments."""
    alternative = f'multipart/alternative; boundary="{boundary}"'
    body = _part(boundary, "plain", email.text) + _part(boundary, "html", email.html)
    body += f"\n--{boundary}--\n".encode("ascii")
    if not email.attachments:
        return alternative, body
    outer = f"{boundary}-m"
    parts = [f"\n--{outer}\nContent-Type: {alternative}\n".encode("ascii") + body]
    parts += [_attached(outer, attachment) for attachment in email.attachments]
    return f'multipart/mixed; boundary="{outer}"', b"".join(parts) + f"\n--{outer}--\n".encode("ascii")


def _attached(boundary: str, attachment: Attachment) -> bytes:
    head = (
        f"\n--{boundary}\nContent-Type: {_safe(attachment.media_type)}\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="{_safe(attachment.name)}"\n\n'
    )
    return head.encode("ascii") + base64.encodebytes(attachment.content)


def sender_of(brand: Brand, settings: Settings) -> Mail:
    """Return who writes the brand's emails: in its own name always, from the default brand's address if it has none."""
    mail = brand.mail or settings.brands.find(None).mail
    if mail is None:
        raise UnsafeHeader
    name = brand.name if brand.mail is None else mail.from_name or brand.name
    return mail.model_copy(update={"from_name": name})


def relays_of(brand: Brand, settings: Settings) -> list[str]:
    """Return the names of the relays that a brand's emails may take, in the order of preference."""
    own = brand.mail.relays if brand.mail else ()
    return [relay.name for relay in settings.relays if not own or relay.name in own]


def return_address(message_id: str, domain: str, key: bytes) -> str:
    """Return the signed envelope sender (VERP): only a notice sent to it may change the message."""
    return f"b+{message_id}.{tag(message_id, key)}@{domain}"


def envelope_id(message_id: str, key: bytes) -> str:
    """Return the DSN envelope id (RFC 3461, 4.4) with the same tag."""
    return f"{message_id}.{tag(message_id, key)}"


def tag(message_id: str, key: bytes) -> str:
    """Return 10 hexadecimal digits of a keyed hash of the message id, which nobody can forge without the key."""
    return hashing.keyed_hash(key, "return address", message_id.encode()).hex()[:10]


def tag_is_ours(message_id: str, given: str, key: bytes) -> bool:
    """Return whether a tag is the one of this message; compares in constant time."""
    return hmac.compare_digest(tag(message_id, key).encode(), given.encode())


def _safe(value: str) -> str:
    if _UNSAFE.search(value):
        raise UnsafeHeader
    return value


def _dot_stuffed(raw: bytes) -> bytes:
    """Return CRLF lines with leading dots doubled and the final dot (RFC 5321, 4.5.2); no bare CR or LF remains."""
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").split(b"\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"


_TEXT = SandboxedEnvironment(
    loader=PackageLoader("identity_service"),
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
)
_HTML = SandboxedEnvironment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)
