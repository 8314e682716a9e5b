"""Read the fields of a delivery status notification (RFC 3464, RFC 6533). Pure.

What is written to the letter is read first. Then what is written otherwise and is clear nevertheless: a blank before
the colon, a continuation that is not indented, indented fields, the fields of a recipient in the first block or each in
a block of its own, comments and other words in Action or Status, fields in a part of another type.
"""

import re
from collections.abc import Iterator, Sequence
from email.message import Message
from itertools import islice
from typing import Final, NamedTuple

from identity_service.messages.inbound import mail_parts, verdicts

MAXIMUM_BLOCKS: Final = 100
STATUS_TYPES: Final = ("text/x-delivery-status", "text/x-global-delivery-status")
"""The types of status parts as `mail_parts` names them."""
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]{0,20}:(?!//)[ \t]*(.*)", re.DOTALL)
_KNOWN: Final = frozenset(
    "original-envelope-id reporting-mta dsn-gateway received-from-mta arrival-date original-recipient final-recipient "
    "action status remote-mta diagnostic-code last-attempt-date final-log-id will-retry-until localized-diagnostic "
    "original-message-id failure-reason mta-response".split()
)
_RECIPIENT: Final = frozenset(("final-recipient", "original-recipient"))
_OF_RECIPIENT: Final = _KNOWN - frozenset(
    "original-envelope-id reporting-mta dsn-gateway received-from-mta arrival-date original-message-id".split()
)
"""The fields of one recipient; the others are about the whole message."""
_ACTIONS: Final = {
    "failed": "failed fail failure error expired rejected undeliverable undelivered bounced permanent fatal aborted "
    "dropped unsuccessful fehlgeschlagen",
    "delayed": "delayed delay deferred warning transient temporary retry verzoegert",
    "delivered": "delivered deliverable success successful ok zugestellt",
    "relayed": "relayed relay expanded forwarded",
}
_ACTION: Final = {word: action for action, words in _ACTIONS.items() for word in words.split()}
_NEGATIONS: Final = frozenset("not no non un never cannot without unable nicht nie kein keine ohne".split())
_NOT_YET: Final = frozenset("yet still noch".split())
_COMMENT = re.compile(r"\([^)]{0,200}\)")
_WORD = re.compile(r"[a-zà-ÿ]+(?:['’]t\b)?|[.,;:!]")
_CLASS = re.compile(r"\D{0,20}([245])(?:\d\d)?(?!\d)", re.ASCII)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNITEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"]{1,100}@[^\s<>()\[\],;:\"]{1,255}")
_SMTP_CODE = re.compile(r"[^0-9]{0,20}\b([245]\d\d)\b", re.ASCII)
_MACHINE = re.compile(
    r"^[ \t]{0,8}(final-recipient|original-recipient|action|diagnostic-code)[ \t]*:", re.MULTILINE | re.IGNORECASE
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
    """Return what a report says of each of its recipients, from its status parts or else from parts with such fields.

    All status parts of a mail count, but none of a message that it encloses, unless the mail has none of its own. A
    part of another type counts only if it names a recipient, and an action or a status.
    """
    groups = mail_parts.by_enclosing_message(parts)
    declared = [[part for part in group if part.get_content_type() in STATUS_TYPES] for group in groups]
    others = [[part for part in group if _may_have_fields(part)] for group in groups]
    found = (_all_recipients(group) for group in (*declared, *others))
    return next((statuses for statuses in found if statuses), [])


def _may_have_fields(part: Message) -> bool:
    """Return whether a part of another type has the fields of a report."""
    if part.get_content_maintype() not in ("text", "application") or part.get_content_type() in STATUS_TYPES:
        return False
    names = {match[1].lower() for match in _MACHINE.finditer(mail_parts.read_text(part))}
    return bool(names & _RECIPIENT) and len(names) > 1


def _all_recipients(parts: Sequence[Message]) -> list[RecipientStatus]:
    """Return what these parts say of each recipient, once, at most `MAXIMUM_BLOCKS`."""
    found = (status for part in parts for status in _recipients(mail_parts.read_text(part)))
    return list(dict.fromkeys(islice(found, MAXIMUM_BLOCKS)))


def read_envelope_id(parts: Sequence[Message]) -> str:
    """Return the Original-Envelope-Id of a report (RFC 3464, 2.2.1), or an empty text."""
    for part in parts:
        if part.get_content_type() in STATUS_TYPES:
            for block in _blocks(mail_parts.read_text(part)):
                if "original-envelope-id" in block:
                    return block["original-envelope-id"]
    return ""


def read_action(text: str) -> str | None:
    """Return the action that a text names; None if it has no known word.

    A negated success is a failure, or a delay if the text says so as well ("not delivered yet"); a negated failure says
    nothing. A negation reaches to the next punctuation mark.
    """
    words = _WORD.findall(_COMMENT.sub("", text).lower())
    is_negated = False
    for word in words:
        action = _ACTION.get(word)
        if action is None:
            is_negation = word in _NEGATIONS or word.endswith(("n't", "n’t"))
            is_negated = (is_negated or is_negation) and word not in ".,;:!"
        elif not is_negated:
            return action
        elif action in ("delivered", "relayed"):
            is_late = any(other in _NOT_YET or _ACTION.get(other) == "delayed" for other in words)
            return "delayed" if is_late else "failed"
        else:
            is_negated = False
    return None


def settle_action(action: str, status: str, diagnosis: str) -> str:
    """Return what became of a delivery whose action and codes may contradict each other.

    A success needs a code of success, or none of failure. A delay is a failure if its code says that nobody has the
    mailbox, and no other code says that it may pass.
    """
    codes = verdicts.find_codes(status)[:1] + verdicts.find_codes(diagnosis)[-1:]
    found = (_CLASS.match(status), _SMTP_CODE.match(diagnosis))
    classes = {code[0] for code in codes} | {match[1][0] for match in found if match}
    if action in ("delivered", "relayed") and classes and "2" not in classes:
        return "failed" if "5" in classes else "delayed"
    if action == "delayed" and classes == {"5"}:
        exact = [code for code in codes if verdicts.cause_of_code(code) is not None]
        is_gone = bool(exact) and all(verdicts.is_about_nobody(code) for code in exact)
        return "failed" if is_gone else "delayed"
    return action


def _recipients(text: str) -> Iterator[RecipientStatus]:
    for block in _blocks(text):
        diagnosis = block.get("diagnostic-code") or block.get("localized-diagnostic") or block.get("mta-response") or ""
        head, separator, words = diagnosis.partition(";")
        is_type = bool(separator) and re.fullmatch(r"[A-Za-z0-9/-]{1,20}", head.strip()) is not None
        words = (words if is_type else diagnosis).strip()
        action = _action(block, words)
        if action is None:
            continue
        yield RecipientStatus(
            action=action,
            status=next(iter(verdicts.find_codes(block.get("status", ""))), None),
            diagnosis=mail_parts.decode_words(words),
            original=_address(block.get("original-recipient", "")),
            final=_address(block.get("final-recipient", "")),
        )


def _action(block: dict[str, str], diagnosis: str) -> str | None:
    """Return the action of a block; from its status if the action is missing or of no known word."""
    status, is_retried = block.get("status", ""), "will-retry-until" in block
    known = read_action(block.get("action", ""))
    if known == "delayed" and is_retried:
        return known
    if known is not None:
        return settle_action(known, status, diagnosis)
    if _RECIPIENT.isdisjoint(block):
        return None
    found = next(iter(verdicts.find_codes(status)), "") or _CLASS.match(status)
    if not found:
        return "failed" if block.get("diagnostic-code", "").strip() and not is_retried else None
    return {"2": "delivered", "4": "delayed", "5": "failed"}[found[0] if isinstance(found, str) else found[1]]


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of the message and those of each recipient, which may stand in several paragraphs."""
    block: dict[str, str] = {}
    for paragraph in islice(_paragraphs(text), MAXIMUM_BLOCKS):
        if _OF_RECIPIENT.isdisjoint(paragraph):
            yield paragraph
            continue
        if block and not _goes_on(block, paragraph):
            yield block
            block = {}
        block = paragraph | block
    if block:
        yield block


def _goes_on(block: dict[str, str], paragraph: dict[str, str]) -> bool:
    """Return whether a paragraph belongs to the recipient of the fields above it.

    It does not if it repeats one of them, or names a recipient where there is one already with an action or a status.
    """
    if not _OF_RECIPIENT.isdisjoint(block.keys() & paragraph.keys()):
        return False
    is_whole = not _RECIPIENT.isdisjoint(block) and not {"action", "status"}.isdisjoint(block)
    return not is_whole or _RECIPIENT.isdisjoint(paragraph)


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each paragraph, names in lower case, values in one line; the first of a name counts.

    A new paragraph begins at an empty line, and where a field of a recipient comes a second time. Where its first field
    is indented the others may be as well.
    """
    block: dict[str, str] = {}
    last, indent = "", ""
    for line in text.split("\n"):
        if not last:
            indent = line[: len(line) - len(line.lstrip(" \t"))]
        found = _FIELD.match(line.removeprefix(indent))
        name = found[1].lower() if found else ""
        if not line.strip() or (name in ("final-recipient", "action") and name in block):
            if block:
                yield block
            block, last = {}, ""
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
