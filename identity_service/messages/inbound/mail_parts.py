"""Parse a returned mail into parts, headers and text, in bounded CPU time. Pure.

The standard library's parser takes time that grows with the square of some counts, so a mail is limited before it
is parsed. The oldest policy (compat32) keeps headers as received; newer policies raise for hostile values.
"""

import contextlib
import email
import html
import re
from collections.abc import Iterator, Sequence
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from typing import Any, Final

DEPTH: Final = 10
PARTS: Final = 50
ENCODED: Final = 5
"""Enclosed messages in base64 that are decoded."""
LINES: Final = 2500
LONGEST_LINE: Final = 4096
SEMICOLONS: Final = 100
HEADER_LINES: Final = 200
BOUNDARIES: Final = 50
LONGEST_HEADER: Final = 4000
"""Characters; decoding some charsets takes time quadratic in the length."""
LONGEST_TEXT: Final = 16_000
"""Characters of one part that are read as words."""

_LOST_HEAD = re.compile(rb"^--(\S{1,70})[ \t]*\r?\nContent-[A-Za-z-]{1,40}:", re.MULTILINE | re.IGNORECASE)
_REPORT_TYPE = re.compile(
    rb"^(content-type[ \t]{0,8}:\s{0,8})message/"
    rb"((?:global-)?(?:delivery-status|disposition-notification)|feedback-report)\b",
    re.MULTILINE | re.IGNORECASE,
)
_TEXT_CHARSET = re.compile(r"utf|us-ascii|ascii|iso|latin|windows|cp|koi8|gb|hz|big5|euc|shift|sjis|ks_|mac|tis", re.I)
"""Beginnings of the charsets that are decoded: some of Python's codecs (punycode) take quadratic time."""
_ASCII = re.compile(rb"[\t\n\f\r -~]*")
_ESCAPED_CHARSET = re.compile(r"(?:utf[-_]?7|hz)", re.IGNORECASE)
"""Charsets in which printable ASCII can stand for other symbols."""
_WIDE_CHARSET = re.compile(r"utf[-_]?(?:16|32)", re.IGNORECASE)
_TAG_NAME = re.compile(r"/?[a-zA-Z!][a-zA-Z0-9-]{0,20}")
_HIDDEN: Final = ("head", "style", "script")
_BREAKS: Final = ("br", "p", "div", "tr", "li", "td", "h1", "h2", "h3", "h4", "table", "pre", "blockquote")


_HOSTILE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What the standard library raises for hostile input."""


class _TooDeep(ValueError):
    pass


def limit_mail(raw: bytes) -> bytes:
    """Return a mail without what slows the standard library's parser.

    Lines (with their continuations) keep 4 KiB and 100 semicolons, a mail its first 2,500 lines, 200 header lines in a
    row and 50 lines that could be a boundary. What a notice says comes before the message that it returns. Below the
    mail's head a line of blanks is an empty line: to the parser it would continue the field above it.
    """
    kept, length, semicolons, headers, boundaries, in_head = [], 0, 0, 0, 0, True
    for line in raw.split(b"\n", LINES)[:LINES]:
        if not line.strip() and not (in_head and line[:1] in (b" ", b"\t")):
            in_head, line = False, b""  # noqa: PLW2901
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


_ENCODING = re.compile(rb"^(content-transfer-encoding:[ \t]*[\w-]{1,40})[ \t]+(?=\r?$)", re.I | re.M)
"""A transfer encoding with blanks behind it, which the standard library does not undo."""


def parse_mail(raw: bytes) -> tuple[Message, list[Message]]:
    """Return a mail and its parts in order; an empty mail if the standard library fails to parse hostile input.

    `raw` has passed `limit_mail`. Parts whose MIME head was lost on the way are found by their boundary. The machine
    parts of a report have the type `text/x-…` instead of `message/…`: the standard library would split them into
    blocks by its own rules, and would not undo their transfer encoding. An enclosed message in base64 is decoded.
    """
    raw = _ENCODING.sub(rb"\1", _REPORT_TYPE.sub(rb"\1text/x-\2", raw))
    try:
        mail = email.message_from_bytes(raw)
        if not mail.is_multipart() and "Content-Type" not in mail:
            mail = _with_found_boundary(mail, raw)
        return mail, list(_walk(mail, iter(range(ENCODED))))
    except _HOSTILE:
        return Message(), []


def _with_found_boundary(mail: Message, raw: bytes) -> Message:
    found = _LOST_HEAD.search(raw)
    if found is None:
        return mail
    head, separator, body = raw.partition(b"\r\n\r\n" if b"\r\n\r\n" in raw else b"\n\n")
    if b'"' in found[1] or b"\\" in found[1]:
        return mail
    lines = head + b'\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="' + found[1] + b'"'
    return email.message_from_bytes(lines + separator + body)


def _walk(mail: Message, encoded: Iterator[int], depth: int = 0) -> Iterator[Message]:
    """Yield the parts of a mail in order; ValueError beyond `DEPTH` levels or `PARTS` parts of one multipart.

    As many enclosed messages are decoded as `encoded` has items.
    """
    if depth > DEPTH:
        raise _TooDeep
    if mail.get_content_maintype() == "message" and is_base64(mail) and next(encoded, None) is not None:
        _decode_enclosed(mail)
    yield mail
    for number, part in enumerate(inner_parts(mail)):
        if number >= PARTS:
            raise _TooDeep
        yield from _walk(part, encoded, depth + 1)


def is_base64(part: Message) -> bool:
    """Return whether the content of a part is declared to be base64."""
    return read_header(part, "Content-Transfer-Encoding").strip().lower() == "base64"


def _decode_enclosed(part: Message) -> None:
    """Replace the message that a part encloses by what it says if it was not base64.

    The standard library does not decode an enclosed message (RFC 2045, 6.4, forbids to encode it): it takes the base64
    for the text of a message without headers. One with headers is not encoded, whatever is declared.
    """
    enclosed = inner_parts(part)
    if len(enclosed) != 1 or enclosed[0].is_multipart() or enclosed[0].keys():
        return
    enclosed[0]["Content-Transfer-Encoding"] = "base64"
    with contextlib.suppress(*_HOSTILE):
        content = enclosed[0].get_payload(decode=True)
        if isinstance(content, bytes):
            raw = _REPORT_TYPE.sub(rb"\1text/x-\2", limit_mail(content))
            part.set_payload([email.message_from_bytes(raw)])


def encoded_texts(parts: Sequence[Message]) -> Iterator[str]:
    """Yield the texts and headers of a mail's parts that do not stand in its bytes, because they are in base64."""
    inside: set[int] = set()
    for part in parts:
        if id(part) in inside:
            yield "\n".join(str(value) for _, value in part.raw_items())
        if id(part) in inside or is_base64(part):
            yield read_text(part)
            inside.update(map(id, inner_parts(part)))


def inner_parts(mail: Message) -> list[Message]:
    """Return the parts of a multipart or of an enclosed message, else none.

    `get_payload` of a single part decodes it, and raises on a charset that cannot be one.
    """
    inner: Any = mail.get_payload() if mail.is_multipart() else []
    return [part for part in inner if isinstance(part, Message)]


def own_parts(mail: Message, depth: int = 0) -> Iterator[Message]:
    """Yield the parts of a mail in order, without those of a message that it encloses."""
    if depth > DEPTH:
        return
    if mail.get_content_maintype() == "multipart" and mail.is_multipart():
        for part in inner_parts(mail)[:PARTS]:
            yield from own_parts(part, depth + 1)
    else:
        yield mail


def by_enclosing_message(parts: Sequence[Message]) -> list[list[Message]]:
    """Return parts in order, grouped by the innermost message that encloses them; those of the mail come first."""
    homes: dict[int, int] = {}
    groups: dict[int, list[Message]] = {}
    for part in parts:
        home = homes.get(id(part), 0)
        groups.setdefault(home, []).append(part)
        is_message = part.get_content_maintype() == "message"
        homes.update((id(inner), id(part) if is_message else home) for inner in inner_parts(part))
    return list(groups.values())


def read_header(part: Message, name: str) -> str:
    """Return a header in one line with its encoded words decoded (RFC 2047), or as received if that fails."""
    value = next((value for known, value in part.raw_items() if known.lower() == name.lower()), "")
    return decode_words("".join(value.splitlines()))


def decode_words(text: str) -> str:
    """Return text with its encoded words decoded (RFC 2047), or as received if that fails; at most 4,000 characters."""
    received = text[:LONGEST_HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if "=?" not in received:
        return received
    try:
        pieces = [(text, charset or "raw-unicode-escape") for text, charset in decode_header(received)]
        return "".join(text if isinstance(text, str) else text.decode(charset) for text, charset in pieces)
    except (ValueError, LookupError, MessageError):
        return received


def read_text(part: Message) -> str:
    """Return the text of a part that holds text or fields: transfer encoding and charset undone, HTML as plain words.

    A multipart has no text of its own.
    """
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return ""
    if not isinstance(content, bytes):
        return ""
    text = _decoded(content[: 2 * LONGEST_TEXT], _charset(part)).replace("\r\n", "\n")
    if part.get_content_type() == "text/html" or text[:200].lstrip().lower().startswith(("<!doctype html", "<html")):
        text = _plain(text)
    return text[:LONGEST_TEXT]


def _charset(part: Message) -> str:
    try:
        return str(part.get_content_charset("utf-8"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "utf-8"


def _decoded(content: bytes, charset: str) -> str:
    """Return text in its charset; in UTF-8 or else Windows-1252 if the charset is wrong or unknown.

    Codecs of UTF-16 and EBCDIC read ASCII as other symbols without an error. In such a charset a text of fields or
    lines cannot consist of printable ASCII alone, so that text is ASCII; and UTF-16 needs a byte 0 for each blank.
    """
    is_ascii = _ASCII.fullmatch(content) is not None and not _ESCAPED_CHARSET.match(charset)
    is_narrow = b"\0" not in content and _WIDE_CHARSET.match(charset) is not None
    for name in ("utf-8",) if is_ascii or is_narrow else (charset, "utf-8"):
        if not _TEXT_CHARSET.match(name):
            continue
        try:
            text = content.decode(name)
        except (ValueError, LookupError, TypeError):
            continue
        if isinstance(text, str):
            return text
    return content.decode("cp1252", "replace")


def _plain(text: str) -> str:
    """Return HTML as plain words, one block a line; an address in angle brackets is kept."""
    first, *pieces = text.split("<")
    words, hidden = [first], None
    for piece in pieces:
        tag, _, rest = piece.partition(">")
        found = _TAG_NAME.match(tag)
        name = found[0].lower() if found else ""
        if hidden is not None:
            hidden = None if name == f"/{hidden}" else hidden
            words.append(rest if hidden is None else "")
        elif "@" in tag and " " not in tag:
            words.append(f" {tag} {rest}")
        elif not name:
            words.append(f"<{piece}")
        else:
            hidden = name if name in _HIDDEN else None
            words.append(("\n" if name.removeprefix("/") in _BREAKS else "") + (rest if hidden is None else ""))
    return html.unescape("".join(words)).replace("\xa0", " ")
