"""Read the fields of a delivery status notification (RFC 3464, RFC 6533). Pure.

What is written to the letter is read first. Then what is written otherwise and is clear nevertheless: a blank before
the colon, a continuation that is not indented, the fields of a recipient in the first block, comments and other words
in Action, fields in a part of another type.
"""

import re
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import Final, NamedTuple

from identity_service.messages.delivery import replies
from identity_service.messages.inbound import mail_parts

MAXIMUM_BLOCKS: Final = 100
STATUS_TYPES: Final = ("text/x-delivery-status", "text/x-global-delivery-status")
"""The types of status parts as `mail_parts` names them."""
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]{0,20}:(?!//)[ \t]*(.*)", re.DOTALL)
_KNOWN: Final = frozenset(
    "original-envelope-id reporting-mta dsn-gateway received-from-mta arrival-date original-recipient final-recipient "
    "action status remote-mta diagnostic-code last-attempt-date final-log-id will-retry-until localized-diagnostic "
    "original-message-id failure-reason mta-response".split()
)
_ACTIONS: Final = {
    "failed": "failed fail failure error expired rejected undeliverable undelivered bounced permanent fatal aborted "
    "dropped fehlgeschlagen",
    "delayed": "delayed delay deferred warning transient temporary retry verzoegert",
    "delivered": "delivered deliverable success successful ok",
    "relayed": "relayed relay expanded forwarded",
}
_ACTION: Final = {word: action for action, words in _ACTIONS.items() for word in words.split()}
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNITEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"]{1,100}@[^\s<>()\[\],;:\"]{1,255}")
_SMTP_CODE = re.compile(r"[^0-9]{0,20}\b([245]\d\d)\b", re.ASCII)
_MACHINE = re.compile(
    r"^(final-recipient|original-recipient|action|diagnostic-code)[ \t]*:", re.MULTILINE | re.IGNORECASE
)


class RecipientStatus(NamedTuple):
    """What a report says of one recipient; `action` is one of `failed`, `delayed`, `delivered`, `relayed`."""

    action: str
    status: str | None
    diagnosis: str
    original: str | None
    final: str | None

    @property
    def code(self) -> int | None:
        """Return the SMTP code at the head of the diagnosis."""
        found = _SMTP_CODE.match(self.diagnosis)
        return int(found[1]) if found else None


def read_statuses(parts: Sequence[Message]) -> list[RecipientStatus]:
    """Return what a report says of each of its recipients, from its status parts or else from texts with such fields.

    A text counts only if it names a recipient, and an action or a status.
    """
    declared = [part for part in parts if part.get_content_type() in STATUS_TYPES]
    for part in declared:
        found = list(_recipients(mail_parts.read_text(part)))
        if found:
            return found
    for part in parts:
        if part.get_content_maintype() != "text" or part in declared:
            continue
        text = mail_parts.read_text(part)
        names = {match[1].lower() for match in _MACHINE.finditer(text)}
        if names & {"final-recipient", "original-recipient"} and len(names) > 1:
            found = list(_recipients(text))
            if found:
                return found
    return []


def read_envelope_id(parts: Sequence[Message]) -> str:
    """Return the Original-Envelope-Id of a report (RFC 3464, 2.2.1), or an empty text."""
    for part in parts:
        if part.get_content_type() in STATUS_TYPES:
            for block in _blocks(mail_parts.read_text(part)):
                if "original-envelope-id" in block:
                    return block["original-envelope-id"]
    return ""


def _recipients(text: str) -> Iterator[RecipientStatus]:
    for block in _blocks(text):
        action, status = _action(block), replies.enhanced_code(block.get("status", ""))
        if action is None:
            continue
        diagnosis = block.get("diagnostic-code") or block.get("localized-diagnostic") or block.get("mta-response") or ""
        head, separator, words = diagnosis.partition(";")
        is_type = bool(separator) and re.fullmatch(r"[A-Za-z0-9/-]{1,20}", head.strip()) is not None
        yield RecipientStatus(
            action=action,
            status=status,
            diagnosis=mail_parts.decode_words((words if is_type else diagnosis).strip()),
            original=_address(block.get("original-recipient", "")),
            final=_address(block.get("final-recipient", "")),
        )


def _action(block: dict[str, str]) -> str | None:
    """Return the action of a block; from its status if the action is missing or of no known word."""
    words = re.findall(r"[a-zà-ÿ-]+", re.sub(r"\([^)]{0,200}\)", "", block.get("action", "")).lower())
    known = next((_ACTION[word] for word in words if word in _ACTION), None)
    if known is not None:
        return known
    status = replies.enhanced_code(block.get("status", ""))
    if "final-recipient" not in block and "original-recipient" not in block:
        return None
    if status is None:
        return "failed" if block.get("diagnostic-code", "").strip() and "will-retry-until" not in block else None
    return {"2": "delivered", "4": "delayed", "5": "failed"}[status[0]]


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each block, names in lower case, values in one line; the first of a name counts.

    A new block begins at an empty line, and where a field of a recipient comes a second time.
    """
    block: dict[str, str] = {}
    last, count = "", 0
    for line in text.split("\n"):
        found = _FIELD.match(line)
        name = found[1].lower() if found else ""
        if not line.strip() or (name in ("final-recipient", "action") and name in block):
            if block:
                yield block
                count += 1
            block, last = {}, ""
        if count >= MAXIMUM_BLOCKS:
            return
        if found and (name in _KNOWN or name.startswith("x-") or not last):
            last = name
            block.setdefault(name, found[2].strip())
        elif last and line.strip():
            block[last] = f"{block[last]} {line.strip()}".strip()[: mail_parts.LONGEST_HEADER]
    if block:
        yield block


def _address(field: str) -> str | None:
    """Return the mailbox of a recipient field, with xtext (RFC 3461, 4) and unitext (RFC 6533, 3) undone."""
    kind, separator, value = field.partition(";")
    value = (value if separator else field)[:1000]
    if "x400" in kind.lower() and separator:
        return None
    found = list(_ADDRESS.finditer(value))
    if not found:
        return None
    plain = _XTEXT.sub(lambda match: chr(int(match[1], 16)), found[-1][0])
    return _UNITEXT.sub(lambda match: _symbol(match[1]), plain).strip(".'")


def _symbol(code: str) -> str:
    number = int(code, 16)
    return chr(number) if number < 0xD800 or 0xE000 <= number <= 0x10FFFF else "\ufffd"
