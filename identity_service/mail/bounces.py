"""Read what comes back: delivery status notifications (RFC 3464), complaints (RFC 5965), automatic answers. Pure.

Anybody can send a notice, so a notice counts only if it carries the tag that we put into the envelope sender of that
very letter (VERP), or into its envelope id. Everything else is kept as unmatched and changes nothing; a recipient's
address is at most a suggestion.
"""

import email
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from typing import Any, Final

from identity_service.errors import Problem
from identity_service.mail import rules

MAXIMUM: Final = 256 * 1024
DEPTH: Final = 10
PARTS: Final = 50
LONGEST_HEADER: Final = 4000
"""Characters; a charset may cost the square of what it reads."""
_RETURN_PATH = re.compile(r"b\+([0-9a-f]{32})\.([0-9a-f]{10})@", re.IGNORECASE)
_ENVELOPE_ID = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{10})", re.IGNORECASE)


class UnreadableNotice(Problem):
    """This notice cannot be read."""


class UnsignedNotice(Problem):
    """This notice is not signed as it must be, or its signature is too old."""

    status = 403


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that came back; `message_id` only where our own tag or a provider's signature vouches for it."""

    type: str
    source: str
    source_event_id: str
    occurred_at: datetime
    message_id: uuid.UUID | None = None
    code: int | None = None
    enhanced: str | None = None
    words: str = ""
    permanent: bool = False
    parse_status: str = "read"
    envelope_from: str | None = None
    envelope_to: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    raw: str | None = None


def read(
    raw: bytes, *, envelope_from: str | None, envelope_to: str, check_tag: Callable[[str, str], bool], now: datetime
) -> Notice:
    """Return what a mail to our return address says.

    `check_tag(message_id_hex, tag)` tells whether we made that tag. Never raises for what stands in the mail: what
    cannot be read is kept as `unreadable`, and links and the returned letter are cut out of what is kept.
    """
    cut = len(raw) > MAXIMUM
    mail, parts = _parsed(raw[:MAXIMUM])
    message_id, how = _matched(envelope_to, parts, check_tag)
    kind, code, enhanced, words, permanent = _meaning(mail, parts)
    status = "unreadable" if kind is None else "cut" if cut else "read"
    return Notice(
        type=kind or "autoreply",
        source="dsn",
        source_event_id=hashlib.sha256(raw).hexdigest(),
        occurred_at=now,
        message_id=message_id if kind is not None else None,
        code=code,
        enhanced=enhanced,
        words=rules.scrub(words),
        permanent=permanent,
        parse_status=status if message_id is not None or kind is None else "unmatched",
        envelope_from=rules.scrub(envelope_from or "") or None,
        envelope_to=rules.scrub(envelope_to),
        detail={"matched_by": how, "words": rules.scrub(words)},
        raw=_kept(mail, parts),
    )


class _TooDeep(ValueError):
    pass


def _parsed(raw: bytes) -> tuple[Message, list[Message]]:
    """Return a mail and its parts; an empty one where the standard library's parser gives up on hostile input.

    Its oldest policy keeps headers as they came. The newer ones read each into a tree, and raise on hostile values
    whatever goes wrong in there.
    """
    try:
        mail = email.message_from_bytes(raw)
        return mail, list(_parts(mail))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Message(), []


def _parts(mail: Message, depth: int = 0) -> Iterator[Message]:
    """Return the parts of a mail in order; ValueError past a depth or a number that no honest notice has."""
    if depth > DEPTH:
        raise _TooDeep
    yield mail
    if mail.is_multipart():
        for number, part in enumerate(mail.get_payload()):
            if number >= PARTS:
                raise _TooDeep
            if isinstance(part, Message):
                yield from _parts(part, depth + 1)


def _matched(
    envelope_to: str, parts: list[Message], check_tag: Callable[[str, str], bool]
) -> tuple[uuid.UUID | None, str]:
    """Return the message that our own tag names, and where the tag stood."""
    found = _RETURN_PATH.match(envelope_to)
    if found and check_tag(found[1].lower(), found[2].lower()):
        return uuid.UUID(found[1]), "return_address"
    for part in parts:
        given = _ENVELOPE_ID.search(_header(part, "Original-Envelope-Id"))
        if given and check_tag(given[1].lower(), given[2].lower()):
            return uuid.UUID(given[1]), "envelope_id"
    return None, "nothing"


def _meaning(mail: Message, parts: list[Message]) -> tuple[str | None, int | None, str | None, str, bool]:
    """Return type, code, enhanced code, words, and whether the address is dead for good."""
    report = next((p for p in parts if p.get_content_type() == "message/feedback-report"), None)
    if report is not None:
        return "complained", None, None, _header(_first(report), "Feedback-Type") or "complaint", False
    for block in _status_blocks(parts):
        action = _header(block, "Action").strip().lower()
        status = rules.enhanced_code(_header(block, "Status"))
        diagnostic = _header(block, "Diagnostic-Code")
        words = diagnostic.partition(";")[2].strip() or diagnostic or action
        code = int(words[:3]) if re.match(r"[245]\d\d\b", words) else None
        if action == "failed":
            # It is given up (RFC 3464, 2.3.3) whatever the status: Postfix gives up a greylisted one with 4.2.0.
            dead = status in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
            return "bounced", code, status, words, dead
        if action in ("delayed", "delivered", "relayed", "expanded"):
            kind = "relayed" if action == "expanded" else action
            return kind, code, status, words, False
    if _header(mail, "Auto-Submitted").lower().startswith("auto-") or mail.get("X-Autoreply") is not None:
        return "autoreply", None, None, _header(mail, "Subject")[:200], False
    return None, None, None, "", False


def _status_blocks(parts: list[Message]) -> Iterator[Message]:
    """Return the per-recipient blocks of the status part (RFC 3464, 2.1); the first block is about the whole mail."""
    for part in parts:
        if part.get_content_type() == "message/delivery-status" and part.is_multipart():
            yield from (block for block in part.get_payload() if isinstance(block, Message) and block.get("Action"))


def _first(part: Message) -> Message:
    inside = _inside(part)
    return inside[0] if isinstance(inside[0], Message) else email.message_from_string(inside[0])


def _header(part: Message, name: str) -> str:
    """Return a header's text in one line, its encoded words read (RFC 2047); as it came where they cannot be."""
    value = next((value for known, value in part.raw_items() if known.lower() == name.lower()), "")
    came = "".join(value.splitlines())[:LONGEST_HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        pieces = [(text, charset or "raw-unicode-escape") for text, charset in decode_header(came)]
        return "".join(text if isinstance(text, str) else text.decode(charset) for text, charset in pieces)
    except (ValueError, LookupError, MessageError):
        return came


def _kept(mail: Message, parts: list[Message]) -> str:
    """Return the notice's own headers and status parts, without the letter that came back and without our links."""
    lines = [f"{name}: {_header(mail, name)}" for name in ("From", "Subject", "Date", "Auto-Submitted", "Content-Type")]
    for part in parts:
        if part.get_content_type() in ("message/delivery-status", "message/feedback-report"):
            lines += ["", _as_it_came(part)[:4000]]
    return rules.scrub_long("\n".join(lines), 8000)


def _as_it_came(part: Message) -> str:
    """Return a part's headers and text; to write them anew, the standard library raises on what hostile ones hold."""
    headers = [f"{name}: {value}" for name, value in part.raw_items()]
    texts = [_as_it_came(block) if isinstance(block, Message) else block for block in _inside(part)]
    return "\n".join([*headers, "", *texts])


def _inside(part: Message) -> list[Message | str]:
    """Return what a part holds, never nothing: parts, or its text, which is empty where its charset is a trap."""
    try:
        payload = part.get_payload()
    except (ValueError, LookupError):
        return [""]
    blocks = payload if isinstance(payload, list) else [payload]
    return [block if isinstance(block, Message) else str(block or "") for block in blocks] or [""]
