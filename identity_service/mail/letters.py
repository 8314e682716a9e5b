"""Letters: words made from facts at sending time, and the bytes that go on the wire.

A letter says what it concerns and what happens if nothing is done; it carries no tracking pixel, no rewritten link and
no marketing. The header guard is ours: on older Pythons `email` lets an encoded word in a value put a real header on
the wire (FACT-1), so nothing that could be one, and no control character, reaches a header at all. The bytes are put
together here: `EmailMessage` takes 1 ms for a letter, a third of a worker's whole time, and this a thirtieth.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import Any, NamedTuple

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from identity_service import languages, tokens
from identity_service.database import AsyncSession
from identity_service.mail import pins
from identity_service.mail.outbox import Claimed
from identity_service.settings import Settings

_LOCAL = re.compile(r"[A-Za-z0-9_+.'&=~#$*/?^{}-]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9.-]{1,253}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|=\?")


class UnsafeHeader(ValueError):
    """A value that reaches a header has a control character or looks like an encoded word."""


class UnsafeRecipient(ValueError):
    """The stored address is not exactly one plain ASCII mailbox."""


@dataclass(frozen=True, slots=True)
class Letter:
    """The words of a mail."""

    subject: str
    text: str
    html: str
    attachments: tuple["Attachment", ...] = ()


class Attachment(NamedTuple):
    """A file in a letter; `media_type` like `application/jwt`."""

    name: str
    media_type: str
    content: bytes


Composer = Callable[[AsyncSession, Claimed], Awaitable[Letter | None]]
"""Makes the letter of a message, in a short transaction of its own; None: it is no longer wanted."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a relay is told, and the bytes of the letter: CRLF lines, dots stuffed, the final dot included."""

    sender: str
    recipient: str
    envid: str
    payload: bytes

    def payload_for(self, headers: Mapping[str, str]) -> bytes:
        """Return the payload with the headers that a relay wants to see; `{id}` becomes the message's id."""
        message_id = self.envid.partition(".")[0]
        lines = [f"{name}: {_safe(value.replace('{id}', message_id))}\r\n" for name, value in headers.items()]
        return "".join(lines).encode("ascii") + self.payload


def render(name: str, locale: str, **facts: Any) -> Letter:  # noqa: ANN401
    """Return the letter of the templates `mail/<name>.txt` (its first line is the subject) and `mail/<name>.html`.

    Raises:
        pins.LetterNotPinned: a template is not the one that was reviewed (NOM-01).
    """
    for template in ("mail/base.html", f"mail/{name}.txt", f"mail/{name}.html"):
        pins.check(template)
    plain = _TEXT.get_template(f"mail/{name}.txt").render(**_words(locale), **facts)
    subject, _, text = plain.partition("\n")
    html = _HTML.get_template(f"mail/{name}.html").render(**_words(locale), **{**facts, "subject": subject.strip()})
    return Letter(subject.strip(), text.strip() + "\n", html)


def came_from(message: Claimed) -> str:
    """Return in words where a letter was asked for: a network's beginning, or, without one, a service of ours."""
    words = languages.catalogue(message.locale)
    network = message.facts.get("from")
    if not network:
        return words.gettext("through our desk or another of our services")
    return words.gettext("from a network that begins with %(network)s").replace("%(network)s", network)


def moment(at: datetime) -> str:
    """Return a moment as letters print it: with its zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _words(locale: str) -> Mapping[str, Any]:
    catalogue = languages.catalogue(locale)
    return {"_": catalogue.gettext, "ngettext": catalogue.ngettext, "locale": locale}


def envelope(message: Claimed, letter: Letter, settings: Settings, key: bytes, *, now: datetime) -> Envelope:
    """Return a letter ready for a relay.

    Raises:
        UnsafeHeader: a header value could inject another header.
        UnsafeRecipient: the stored address is not one plain mailbox; it goes to nobody (FACT-2).
    """
    local, at, domain = message.to_ascii.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or "=?" in local or not _DOMAIN.fullmatch(domain):
        raise UnsafeRecipient
    boundary = f"part-{secrets.token_hex(12)}"
    headers = {
        "From": formataddr((_safe(settings.mail_from_name), _safe(settings.mail_from))),
        "To": message.to_ascii,
        "Subject": _worded("Subject", _safe(letter.subject)),
        "Date": format_datetime(now),
        "Message-ID": _safe(message.message_id_header),
        "X-Outbox-Id": str(message.id),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Feedback-ID": _safe(f"{message.kind}:::identity"),
        "Content-Language": _safe(message.locale),
        "MIME-Version": "1.0",
    }
    content_type, body = _bodies(boundary, letter)
    headers["Content-Type"] = content_type
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    raw = head.encode("ascii") + body
    return Envelope(
        sender=return_address(message.id.hex, settings, key),
        recipient=message.to_ascii,
        envid=envelope_id(message.id.hex, key),
        payload=_stuffed(raw),
    )


def _worded(name: str, value: str) -> str:
    """Return a header's words, as encoded words (RFC 2047) where they are not ASCII."""
    return value if value.isascii() else Header(value, "utf-8", header_name=name).encode()


def _part(boundary: str, subtype: str, words: str) -> bytes:
    """Return one part of a letter, quoted-printable (RFC 2045, 6.7)."""
    head = f'\n--{boundary}\nContent-Type: text/{subtype}; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable'
    return head.encode("ascii") + b"\n\n" + binascii.b2a_qp(words.replace("\r\n", "\n").encode())


def _bodies(boundary: str, letter: Letter) -> tuple[str, bytes]:
    """Return the media type and the parts of a letter: text and HTML, and around them what is attached."""
    alternative = f'multipart/alternative; boundary="{boundary}"'
    words = _part(boundary, "plain", letter.text) + _part(boundary, "html", letter.html)
    words += f"\n--{boundary}--\n".encode("ascii")
    if not letter.attachments:
        return alternative, words
    outer = f"{boundary}-m"
    parts = [f"\n--{outer}\nContent-Type: {alternative}\n".encode("ascii") + words]
    parts += [_attached(outer, attachment) for attachment in letter.attachments]
    return f'multipart/mixed; boundary="{outer}"', b"".join(parts) + f"\n--{outer}--\n".encode("ascii")


def _attached(boundary: str, attachment: Attachment) -> bytes:
    head = (
        f"\n--{boundary}\nContent-Type: {_safe(attachment.media_type)}\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="{_safe(attachment.name)}"\n\n'
    )
    return head.encode("ascii") + base64.encodebytes(attachment.content)


def return_address(message_id: str, settings: Settings, key: bytes) -> str:
    """Return the signed envelope sender (VERP): only a notice that comes back to it may change the message."""
    return f"b+{message_id}.{tag(message_id, key)}@{settings.bounce_domain or settings.sender_domain}"


def envelope_id(message_id: str, key: bytes) -> str:
    """Return the DSN envelope id (RFC 3461, 4.4) with the same tag."""
    return f"{message_id}.{tag(message_id, key)}"


def tag(message_id: str, key: bytes) -> str:
    """Return 10 hexadecimal digits that only we can make for this message."""
    return tokens.keyed_hash(key, "return address", message_id.encode()).hex()[:10]


def tag_is_ours(message_id: str, given: str, key: bytes) -> bool:
    """Tell whether a tag is the one we made for this message, in constant time."""
    return hmac.compare_digest(tag(message_id, key).encode(), given.encode())


def _safe(value: str) -> str:
    if _UNSAFE.search(value):
        raise UnsafeHeader
    return value


def _stuffed(raw: bytes) -> bytes:
    """Return CRLF lines with leading dots doubled and the final dot (RFC 5321, 4.5.2); no bare CR or LF is left."""
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").split(b"\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"


_TEXT = SandboxedEnvironment(
    loader=PackageLoader("identity_service"),
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
)
_HTML = SandboxedEnvironment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)
