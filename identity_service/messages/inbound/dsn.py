"""Read returned mail: delivery status notifications (RFC 3464), complaints (RFC 5965), automatic replies. Pure.

Anyone can send a notice, so a notice counts only if it has the tag that we put into the envelope sender (VERP) or the
envelope id of that message. Every other notice is stored as unmatched and changes nothing; a recipient's address is
never enough.
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
from identity_service.messages.delivery import replies

MAXIMUM: Final = 256 * 1024
DEPTH: Final = 10
PARTS: Final = 50
LINES: Final = 2500
LONGEST_LINE: Final = 4096
SEMICOLONS: Final = 100
HEADER_LINES: Final = 200
BOUNDARIES: Final = 50
LONGEST_HEADER: Final = 4000
"""Characters; decoding some charsets takes time quadratic in the length."""
_RETURN_PATH = re.compile(r"b\+([0-9a-f]{32})\.([0-9a-f]{10})@", re.IGNORECASE)
_ENVELOPE_ID = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{10})", re.IGNORECASE)


class UnreadableNotice(Problem):
    """This notice cannot be read: the body must be one JSON object."""


class UnsignedNotice(Problem):
    """This notice has no valid signature or secret."""

    status = 403


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of feedback; `message_id` is set only if our tag or the provider's signature proves it."""

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


def read_notice(
    raw: bytes, *, envelope_from: str | None, envelope_to: str, check_tag: Callable[[str, str], bool], now: datetime
) -> Notice:
    """Return the notice in a mail to our return address.

    `check_tag(message_id_hex, tag)` returns whether the tag is ours. Never raises because of the mail's content: mail
    that cannot be read becomes `unreadable`, and the stored text omits our links and the returned message.
    """
    cut = len(raw) > MAXIMUM
    mail, parts = _parsed(_bounded(raw[:MAXIMUM]))
    message_id, how = _matched(envelope_to, parts, check_tag)
    kind, code, enhanced, text, permanent = _meaning(mail, parts)
    status = "unreadable" if kind is None else "cut" if cut else "read"
    return Notice(
        type=kind or "autoreply",
        source="dsn",
        source_event_id=hashlib.sha256(raw).hexdigest(),
        occurred_at=now,
        message_id=message_id if kind is not None else None,
        code=code,
        enhanced=enhanced,
        words=replies.scrub_reply(text),
        permanent=permanent,
        parse_status=status if message_id is not None or kind is None else "unmatched",
        envelope_from=replies.scrub_reply(envelope_from or "") or None,
        envelope_to=replies.scrub_reply(envelope_to),
        detail={"matched_by": how, "words": replies.scrub_reply(text)},
        raw=_stored_text(mail, parts),
    )


class _TooDeep(ValueError):
    pass


def _bounded(raw: bytes) -> bytes:
    """Return a mail without what slows the standard library's parser, whose time grows with the square of some counts.

    Lines (with their continuations) keep 4 KiB and 100 semicolons, a mail its first 2,500 lines, 200 header lines in a
    row and 50 lines that could be a boundary. What a notice says comes before the message that it returns.
    """
    kept, length, semicolons, headers, boundaries = [], 0, 0, 0, 0
    for line in raw.split(b"\n", LINES)[:LINES]:
        folded = line[:1] in (b" ", b"\t")
        length, semicolons = (length, semicolons) if folded else (0, 0)
        is_header = folded or b":" in line[:100]
        headers = headers + 1 if is_header else 0
        boundaries += line[:2] == b"--"
        if headers > HEADER_LINES or (line[:2] == b"--" and boundaries > BOUNDARIES):
            continue
        cut = line[: max(0, LONGEST_LINE - length)]
        if cut.count(b";") > SEMICOLONS - semicolons:
            cut = b";".join(cut.split(b";", SEMICOLONS - semicolons + 1)[: SEMICOLONS - semicolons + 1])
        length, semicolons = length + len(cut), semicolons + cut.count(b";")
        kept.append(cut)
    return b"\n".join(kept)


def _parsed(raw: bytes) -> tuple[Message, list[Message]]:
    """Return a mail and its parts, or an empty mail if the standard library fails to parse hostile input.

    The oldest policy (compat32) keeps headers as received. Newer policies parse each header into a tree and raise
    various exceptions for hostile values.
    """
    try:
        mail = email.message_from_bytes(raw)
        return mail, list(_parts(mail))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Message(), []


def _parts(mail: Message, depth: int = 0) -> Iterator[Message]:
    """Yield the parts of a mail in order; ValueError beyond `DEPTH` levels or `PARTS` parts of one multipart."""
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
    """Return the id of the message that a tag of ours names, and where the tag was found."""
    found = _RETURN_PATH.match(envelope_to)
    if found and check_tag(found[1].lower(), found[2].lower()):
        return uuid.UUID(found[1]), "return_address"
    for part in parts:
        given = _ENVELOPE_ID.search(_header(part, "Original-Envelope-Id"))
        if given and check_tag(given[1].lower(), given[2].lower()):
            return uuid.UUID(given[1]), "envelope_id"
    return None, "nothing"


def _meaning(mail: Message, parts: list[Message]) -> tuple[str | None, int | None, str | None, str, bool]:
    """Return type, code, enhanced code, text, and whether the address does not exist."""
    report = next((p for p in parts if p.get_content_type() == "message/feedback-report"), None)
    if report is not None:
        return "complained", None, None, _header(_first(report), "Feedback-Type") or "complaint", False
    for block in _status_blocks(parts):
        action = _header(block, "Action").strip().lower()
        status = replies.enhanced_code(_header(block, "Status"))
        diagnostic = _header(block, "Diagnostic-Code")
        text = diagnostic.partition(";")[2].strip() or diagnostic or action
        code = int(text[:3]) if re.match(r"[245]\d\d\b", text) else None
        if action == "failed":
            # `failed` is final (RFC 3464, 2.3.3) whatever the status: Postfix reports expired greylisting with 4.2.0.
            permanent = status in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
            return "bounced", code, status, text, permanent
        if action in ("delayed", "delivered", "relayed", "expanded"):
            kind = "relayed" if action == "expanded" else action
            return kind, code, status, text, False
    if _header(mail, "Auto-Submitted").lower().startswith("auto-") or mail.get("X-Autoreply") is not None:
        return "autoreply", None, None, _header(mail, "Subject")[:200], False
    return None, None, None, "", False


def _status_blocks(parts: list[Message]) -> Iterator[Message]:
    """Return the per-recipient blocks of the status part (RFC 3464, 2.1); the first block is about the whole mail."""
    for part in parts:
        if part.get_content_type() == "message/delivery-status" and part.is_multipart():
            yield from (block for block in part.get_payload() if isinstance(block, Message) and block.get("Action"))


def _first(part: Message) -> Message:
    content = _content(part)
    return content[0] if isinstance(content[0], Message) else email.message_from_string(content[0])


def _header(part: Message, name: str) -> str:
    """Return a header in one line with its encoded words decoded (RFC 2047), or as received if that fails."""
    value = next((value for known, value in part.raw_items() if known.lower() == name.lower()), "")
    received = (
        "".join(value.splitlines())[:LONGEST_HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    try:
        pieces = [(text, charset or "raw-unicode-escape") for text, charset in decode_header(received)]
        return "".join(text if isinstance(text, str) else text.decode(charset) for text, charset in pieces)
    except (ValueError, LookupError, MessageError):
        return received


def _stored_text(mail: Message, parts: list[Message]) -> str:
    """Return the notice's own headers and status parts, without the returned message and without our links."""
    lines = [f"{name}: {_header(mail, name)}" for name in ("From", "Subject", "Date", "Auto-Submitted", "Content-Type")]
    for part in parts:
        if part.get_content_type() in ("message/delivery-status", "message/feedback-report"):
            lines += ["", _as_received(part)[:4000]]
    return replies.scrub_text("\n".join(lines), 8000)


def _as_received(part: Message) -> str:
    """Return a part's headers and text; `Message.as_string` raises for hostile values."""
    headers = [f"{name}: {value}" for name, value in part.raw_items()]
    texts = [_as_received(block) if isinstance(block, Message) else block for block in _content(part)]
    return "\n".join([*headers, "", *texts])


def _content(part: Message) -> list[Message | str]:
    """Return a part's parts or its text as a list that is never empty; the text is empty if it cannot be decoded."""
    try:
        payload = part.get_payload()
    except (ValueError, LookupError):
        return [""]
    blocks = payload if isinstance(payload, list) else [payload]
    return [block if isinstance(block, Message) else str(block or "") for block in blocks] or [""]
