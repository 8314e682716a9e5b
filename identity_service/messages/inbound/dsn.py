"""Read returned mail: delivery status notifications, notices in words, complaints, automatic replies. Pure.

Anyone can send a notice, so a notice counts only if it has the tag that we put into the envelope sender (VERP) and the
envelope id of that message, wherever the tag stands in it. Every other notice is stored as unmatched and changes
nothing; a recipient's address is never enough.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from typing import Any, Final

from identity_service.errors import Problem
from identity_service.messages.delivery import replies
from identity_service.messages.inbound import (
    automatic_replies,
    complaints,
    delivery_status,
    mail_parts,
    return_addresses,
    verdicts,
    worded_notices,
)

MAXIMUM: Final = 256 * 1024
_MAXIMUM_STORED: Final = 8000


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a returned mail says, before anybody has checked whether it is about a message of ours.

    `type` is one of `rules.FeedbackType`: `unreadable` if nothing is known, `other` if it is read and says nothing
    about delivery. `cause` is one of `verdicts.Cause`. `signed_ids` are message id, tag and where they were found;
    `text` is what is stored. Every value is plain, so that a reading can pass between processes as JSON.
    """

    type: str = "unreadable"
    code: int | None = None
    enhanced: str | None = None
    words: str = ""
    cause: str | None = None
    recipient: str | None = None
    signed_ids: Sequence[Sequence[str]] = ()
    text: str = ""


def read_notice(
    raw: bytes, *, envelope_from: str | None, envelope_to: str, check_tag: Callable[[str, str], bool], now: datetime
) -> Notice:
    """Return the notice in a mail to our return address; see `read_returned_mail` and `make_notice`."""
    reading = read_returned_mail(raw, envelope_from)
    return make_notice(reading, raw, envelope_from=envelope_from, envelope_to=envelope_to, check_tag=check_tag, now=now)


def make_notice(
    reading: Reading,
    raw: bytes,
    *,
    envelope_from: str | None,
    envelope_to: str,
    check_tag: Callable[[str, str], bool],
    now: datetime,
) -> Notice:
    """Return the notice of a reading. `check_tag(message_id_hex, tag)` returns whether the tag is ours."""
    message_id, how = _matched(envelope_to, reading, check_tag)
    status = "unreadable" if reading.type == "unreadable" else "cut" if len(raw) > MAXIMUM else "read"
    return Notice(
        type=reading.type,
        source="dsn",
        source_event_id=hashlib.sha256(raw).hexdigest(),
        occurred_at=now,
        message_id=message_id,
        code=reading.code,
        enhanced=reading.enhanced,
        words=reading.words,
        permanent=reading.cause == verdicts.Cause.ADDRESS,
        parse_status="unmatched" if message_id is None else status,
        envelope_from=replies.scrub_reply(envelope_from or "") or None,
        envelope_to=replies.scrub_reply(envelope_to),
        detail={"matched_by": how, "words": reading.words, "cause": reading.cause},
        raw=reading.text,
    )


def read_returned_mail(raw: bytes, envelope_from: str | None) -> Reading:
    """Return what a returned mail says; lines are shortened, and of what is left the first `MAXIMUM` bytes are read.

    Never raises because of the mail's content, and takes less than 50 ms of CPU. The stored text omits our links and
    the returned message.
    """
    limited = mail_parts.limit_mail(raw)[:MAXIMUM]
    mail, parts = mail_parts.parse_mail(limited)
    values = _meaning(mail, parts, envelope_from)
    values["words"] = replies.scrub_reply(values.get("words") or "")
    recipient = values.pop("recipient", None) or worded_notices.returned_recipient(parts)
    return Reading(
        **values,
        recipient=replies.scrub_reply(recipient) if recipient else None,
        signed_ids=_signed_ids(limited, parts),
        text=_stored_text(mail, parts, in_words=values.get("type", "unreadable") in ("bounced", "unreadable")),
    )


def read_head(raw: bytes) -> str:
    """Return the head of a mail as it may be stored, without reading it; for a mail that took too long."""
    head = raw[:4000].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return replies.scrub_text(head.decode("utf-8", "replace"), _MAXIMUM_STORED)


def _signed_ids(raw: bytes, parts: Sequence[Message]) -> list[list[str]]:
    """Return the signed ids in a mail: in the envelope id of its report, in its bytes, in its encoded parts."""
    envelope_id = delivery_status.read_envelope_id(parts)
    found = [(pair, "envelope_id") for pair in return_addresses.find_signed_ids(envelope_id)]
    # A line may be broken between the symbols of an id, as quoted-printable and folded headers do.
    text = raw.replace(b"=\r\n", b"").replace(b"=\n", b"").decode("latin-1")
    found += [(pair, "notice") for pair in return_addresses.find_signed_ids(text)]
    for encoded in mail_parts.encoded_texts(parts):
        found += [(pair, "notice") for pair in return_addresses.find_signed_ids(encoded)]
    return [[*pair, where] for pair, where in found[: 2 * return_addresses.MAXIMUM_FOUND]]


def _matched(envelope_to: str, reading: Reading, check_tag: Callable[[str, str], bool]) -> tuple[uuid.UUID | None, str]:
    """Return the id of the message that a tag of ours names, and where the tag was found.

    Where the envelope names a message with a wrong tag, somebody made the notice up: what its text quotes is not
    believed then, only the envelope id of a report.
    """
    in_envelope = [(*pair, "return_address") for pair in return_addresses.find_signed_ids(envelope_to)]
    in_mail = [found for found in reading.signed_ids if not in_envelope or found[2] == "envelope_id"]
    for message_id, tag, where in [*in_envelope, *in_mail]:
        if check_tag(message_id, tag):
            return uuid.UUID(message_id), where
    return None, "nothing"


def _meaning(mail: Message, parts: Sequence[Message], envelope_from: str | None) -> dict[str, Any]:
    """Return the values of a `Reading` by what the mail is: complaint, report, automatic reply, notice in words."""
    report = complaints.read_report(mail, parts)
    if report is not None:
        kind = "complained" if report.is_complaint else "other"
        return {"type": kind, "words": report.feedback_type, "recipient": report.recipient}
    is_reply = automatic_replies.is_automatic_reply(mail, parts)
    statuses = delivery_status.read_statuses(_trusted(mail, parts, envelope_from))
    if statuses and not (is_reply and not _has_report(parts)):
        return _worst(statuses, mail)
    if is_reply:
        return {"type": "autoreply", "words": mail_parts.read_header(mail, "Subject")[:200]}
    notice = worded_notices.read_words(mail, parts, envelope_from)
    if notice is None:
        return {"words": mail_parts.read_header(mail, "Subject")[:200]}
    return {
        "type": "delayed" if notice.is_delay else "bounced",
        "code": notice.code,
        "enhanced": notice.verdict.enhanced,
        "words": notice.words,
        "cause": notice.verdict.cause,
        "recipient": notice.recipient,
    }


def _has_report(parts: Sequence[Message]) -> bool:
    return any(part.get_content_type() in delivery_status.STATUS_TYPES for part in parts)


def _trusted(mail: Message, parts: Sequence[Message], envelope_from: str | None) -> Sequence[Message]:
    """Return the parts whose fields count: of a mail that a person wrote, its own report and nothing it quotes."""
    if worded_notices.is_system_notice(mail, envelope_from):
        return parts
    own = list(mail_parts.own_parts(mail))
    return [part for part in own if part.get_content_type() in delivery_status.STATUS_TYPES]


def _worst(statuses: Sequence[delivery_status.RecipientStatus], mail: Message) -> dict[str, Any]:
    """Return the values of the worst outcome among the recipients of a report: all of them stand for ours."""
    words = worded_notices.read_own_words(mail)
    judged = [_judged(status, words if len(statuses) == 1 else "") for status in statuses]
    return max(judged, key=_severity)


_SEVERITY: Final = ("delivered", "relayed", "delayed", "bounced")


def _severity(values: dict[str, Any]) -> tuple[int, int]:
    return _SEVERITY.index(values["type"]), verdicts.SEVERITY.index(values.get("cause"))


def _judged(status: delivery_status.RecipientStatus, words: str) -> dict[str, Any]:
    """Return the values of a `Reading` for one recipient; the notice's own words count where its fields say nothing."""
    values = {"code": status.code, "words": status.diagnosis, "recipient": status.original or status.final}
    if status.action != "failed":
        return {**values, "type": status.action, "enhanced": status.status}
    verdict = verdicts.judge_failure(status.status, status.diagnosis)
    if verdict.cause is None:
        in_words = verdicts.judge_failure(None, words)
        verdict = in_words if in_words.cause is not None else verdict
    shown = status.diagnosis or words.strip()[:300]
    return {**values, "type": "bounced", "words": shown, "enhanced": verdict.enhanced, "cause": verdict.cause}


def _stored_text(mail: Message, parts: Sequence[Message], *, in_words: bool) -> str:
    """Return the notice's own headers, words and status parts, without the returned message and without our links."""
    names = ("From", "Subject", "Date", "Auto-Submitted", "Content-Type")
    lines = [f"{name}: {mail_parts.read_header(mail, name)}" for name in names]
    for part in parts:
        if part.get_content_type() in (*delivery_status.STATUS_TYPES, complaints.REPORT_TYPE):
            lines += ["", mail_parts.read_text(part)[:4000]]
    if in_words:
        lines += ["", worded_notices.read_own_words(mail)]
    return replies.scrub_text("\n".join(lines), _MAXIMUM_STORED)
