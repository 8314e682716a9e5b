"""Read notices in words: a mail system tells of a failure or delay without the fields of a report. Pure.

Exim, qmail, old sendmails, Domino and many providers write so. Our own rules read first. `flufl.bounce` knows the
forms of many old systems and reads what is left; it finds addresses and says nothing about the cause.
"""

import email
import logging
import re
from collections.abc import Sequence
from email.message import Message
from itertools import pairwise
from typing import Final, NamedTuple

from flufl.bounce import all_failures

from identity_service.messages.inbound import automatic_replies, mail_parts, return_addresses, verdicts

SECOND_READER_LINES: Final = 100
SECOND_READER_WIDTH: Final = 120
"""`flufl.bounce` tries each of some 90 patterns on each line, some in time quadratic in the line's length."""
MAXIMUM_SECTIONS: Final = 20
# It logs each detector that fails, with the stack; here a failure means no more than that nothing was found.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'|]{1,100}@[^\s<>()\[\],;:\"'|]{1,255}")
_GENERATED = re.compile(
    r"(?:generated from|forwarded from|expanded from)[: ]{1,3}<?([^\s<>()]{1,100}@[^\s<>()]{1,255})"
)
_RETURNED = re.compile(
    r"^(?:[ \t]{0,8}[-=_*+#]{2,}(?![-=_*+#]).{0,60}(?:original|a copy|copy of|below this line|headers?\b|"
    r"returned m|undelivered m|message follows|kopfzeilen|urspr|nachricht folgt|mensaje orig|message d'orig"
    r"|messaggio orig|исходн|原始|元の).*"
    r"|(?:Return-Path|Received|DKIM-Signature|MIME-Version|Message-ID|Content-Type)[ \t]{0,4}:.*"
    r"|(?:below|here|following) is (?:a|the) (?:copy|original|header).*|original-message-id:.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_DELAYED = re.compile(
    r"\bdelayed\b|delay reason|not (yet )?been delivered (yet|to one)|still (being )?(retried|undelivered"
    r"|trying|waits)"
    r"|will (keep|continue|go on) (on )?trying|will be (re)?tried|delivery attempts (go on|will continue)|non-fatal"
    r"|delivery incomplete|temporary problem delivering|verzögert|noch nicht zugestellt|weitere versuche|retardé"
    r"|sarà ritentat|demorad|retrasad|opóźnion",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"permanent|fatal error|for good|giv(e|en|ing) up|not going to try again|will not (be )?(re)?tr(y|ied)|no further"
    r"|endgültig|définiti|definitiv",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(
    r"\b(if|unless|in case|should|when|wenn|falls|sollten?|si|se|jeśli)\b[^.\n]{0,200}|\bno (permanent|fatal) error",
    re.IGNORECASE,
)
"""What a delay notice says of an end that may come: "if it fails permanently, you will be told"."""
_FAILED = re.compile(
    r"undeliver|un-?deliver|non-?delivery|nondeliver|(not|n't|never) (be(en)? )?(deliver|sen[dt]\b|reach|handed"
    r"|returned)"
    r"|deliver\w* .{0,60}(fail|abort|not possible|error|problem|impossible|refused)|fail\w* .{0,30}(deliver"
    r"|recipient)"
    r"|address(\(?es\)?)? (\w+ ){0,3}failed|failure notice|mail failure|(message|mail) returned|returned (mail"
    r"|to sender)"
    r"|did not reach|was (rejected|returned|bounced|not accepted)|cannot be deliver|permanent (error|fail)"
    r"|could not (be )?"
    r"|(nicht|leider) .{0,30}(zugestellt|zustell|übermittelt)|unzustellbar|fehler bei der zustellung"
    r"|zustellung .{0,60}fehl"
    r"|n'a (pas )?pu être|non remis|échec|impossible de (remettre|livrer)|no (se )?(ha )?(podido|pudo)|no entregad"
    r"|não (foi|pôde|entreg)|impossibile|non (è stato|consegnat)|mancata consegna|niet .{0,30}(afgeleverd|bezorgd)"
    r"|onbestelbaar|kunde inte|kunne ikke|nie (mogła|została|dostarcz)|не (может|могла|удалось|было|доставлен)"
    r"|недоставлен"
    r"|退信|无法(投递|送达|发送)|投递失败|退回|送信できません|配信できません|届けられません|送れません|エラー",
    re.IGNORECASE,
)
_SECTION = re.compile(r"^[ \t]{0,8}[\"'<]?[^\s<>()\[\],;:\"']{1,100}@[^\s<>()\[\],;:\"']{1,255}", re.MULTILINE)
_REPLY_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?=[ :-])", re.ASCII)


class WordedNotice(NamedTuple):
    """What a notice in words says: whether it is a delay only, the verdict, the recipient and the decisive words."""

    is_delay: bool
    verdict: verdicts.Verdict
    recipient: str | None
    words: str

    @property
    def code(self) -> int | None:
        """Return the SMTP code in the decisive words."""
        found = _REPLY_CODE.search(self.words)
        return int(found[1]) if found else None


def read_own_words(mail: Message) -> str:
    """Return what a notice says in its own words, without the message that it returns; at most 4,000 characters."""
    parts = [part for part in mail_parts.own_parts(mail) if part.get_content_maintype() == "text"]
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    written = plain or [part for part in parts if part.get_content_type() == "text/html"]
    texts = (mail_parts.read_text(part) for part in written[:3])
    return "\n\n".join(_before_returned(text) for text in texts)[: verdicts.LONGEST]


def read_words(mail: Message, parts: Sequence[Message], envelope_from: str | None) -> WordedNotice | None:
    """Return what a mail system's notice says in words; None if no mail system wrote it or its words are not clear."""
    if not is_system_notice(mail, envelope_from):
        return None
    subject, text = mail_parts.read_header(mail, "Subject"), read_own_words(mail)
    recipient = _recipient(mail, parts, text)
    spelt = text.replace("’", "'")
    named = f"{subject}\n{spelt}"
    if _DELAYED.search(named) and not _FINAL.search(_CONDITIONAL.sub("", named)):
        code = next(iter(verdicts.find_codes(text)), None)
        return WordedNotice(True, verdicts.Verdict(None, code), recipient, _decisive(text, None) or subject)
    author_is_system = automatic_replies.is_from_mail_system(mail)
    if recipient is not None and _FAILED.search(named if author_is_system else spelt):
        verdict = _judge_sections(text)
        if verdict.cause is None:
            verdict = verdicts.judge_failure(None, subject)
        return WordedNotice(False, verdict, recipient, _decisive(text, verdict.cause) or subject)
    verdict = verdicts.judge_failure(None, text)
    if recipient is not None and author_is_system and verdict.cause is not None:
        return WordedNotice(False, verdict, recipient, _decisive(text, verdict.cause) or subject)
    return _second_reading(mail, text, subject)


def is_system_notice(mail: Message, envelope_from: str | None) -> bool:
    """Return whether a mail system wrote this mail, by its author or by its empty return address."""
    if automatic_replies.is_from_mail_system(mail):
        return True
    is_answer = mail_parts.read_header(mail, "Subject").lower().startswith(("re:", "aw:", "fwd:", "wg:"))
    return automatic_replies.has_null_sender(mail, envelope_from) and not is_answer


def returned_recipient(parts: Sequence[Message]) -> str | None:
    """Return the address in the To field of the returned message, which is the one we wrote to."""
    for part in parts:
        if part.get_content_type() == "text/rfc822-headers":
            found = _to_field(mail_parts.read_text(part))
        elif part.get_content_type() in ("message/rfc822", "message/global") and part.is_multipart():
            found = _foreign_address(mail_parts.read_header(mail_parts.inner_parts(part)[0], "To"))
        else:
            found = None
        if found is not None:
            return found
    return None


def _recipient(mail: Message, parts: Sequence[Message], text: str) -> str | None:
    """Return the failed recipient that a notice names: the one we wrote to if it is named, else the failed one."""
    returned = returned_recipient(parts)
    if returned is not None:
        return returned
    for part in mail_parts.own_parts(mail):
        if part.get_content_type() == "text/plain":
            whole = mail_parts.read_text(part)
            returned = _to_field(whole[_start_of_returned(whole) :])
            if returned is not None:
                return returned
    generated = _GENERATED.search(text)
    if generated:
        return generated[1]
    failed = _foreign_address(mail_parts.read_header(mail, "X-Failed-Recipients"))
    return failed or _foreign_address(text, but=mail_parts.read_header(mail, "From"))


def _to_field(text: str) -> str | None:
    found = re.search(r"^to[ \t]{0,4}:(.{0,400})$", text, re.IGNORECASE | re.MULTILINE)
    return _foreign_address(found[1]) if found else None


def _foreign_address(text: str, but: str = "") -> str | None:
    """Return the first address in a text that is not one of our return addresses and not in `but`."""
    for match in _ADDRESS.finditer(text[: verdicts.LONGEST]):
        address = match[0].strip(".'`<>")
        if not return_addresses.find_signed_ids(address) and address.lower() not in but.lower():
            return address
    return None


def _start_of_returned(text: str) -> int:
    """Return where the returned message begins in a text, or the end of what is read."""
    found = _RETURNED.search(text[: 2 * verdicts.LONGEST])
    return min(len(text), 2 * verdicts.LONGEST) if found is None else found.start()


def _before_returned(text: str) -> str:
    lines = text[: _start_of_returned(text)].split("\n")
    return "\n".join(line for line in lines if not line.startswith("> "))


def _judge_sections(text: str) -> verdicts.Verdict:
    """Return the worst verdict among the sections of a notice, one for each address that begins a line."""
    starts = [match.start() for match in _SECTION.finditer(text)]
    if len(starts) < 2:
        return verdicts.judge_failure(None, text)
    sections = [text[start:end] for start, end in pairwise([*starts[:MAXIMUM_SECTIONS], len(text)])]
    judged = [verdicts.judge_failure(None, section) for section in sections]
    worst = max(judged, key=lambda verdict: verdicts.SEVERITY.index(verdict.cause))
    return worst if worst.cause is not None else verdicts.judge_failure(None, text)


def _decisive(text: str, cause: verdicts.Cause | None) -> str:
    """Return the line of a notice that gives the reason, with the line that it goes on in."""
    lines = text.split("\n")
    best = next((number for number, line in enumerate(lines) if _REPLY_CODE.search(line)), None)
    if best is None:
        causes = ((number, verdicts.judge_failure(None, line).cause) for number, line in enumerate(lines[:100]))
        best = next((number for number, found in causes if found is not None and found == cause), None)
    if best is None:
        return next((line.strip() for line in lines if line.strip()), "")[:300]
    return " ".join(line.strip() for line in lines[best : best + 2] if line.strip())[:500]


def _second_reading(mail: Message, text: str, subject: str) -> WordedNotice | None:
    """Return what `flufl.bounce` finds in the mail's own words, within its limits; None if it fails."""
    lines = [line[:SECOND_READER_WIDTH] for line in text.split("\n")[:SECOND_READER_LINES]]
    head = f"From: {mail_parts.read_header(mail, 'From')[:200]}\nSubject: {subject[:200]}\n".replace("\x00", "")
    try:
        delayed, failed = all_failures(email.message_from_string("\n".join([head, *lines])))
    except Exception:  # noqa: BLE001 (its detectors raise various exceptions for hostile text)
        return None
    recipient = next((address.decode("utf-8", "replace") for address in sorted(failed or delayed)), None)
    if recipient is None:
        return None
    verdict = verdicts.Verdict(None, None) if delayed and not failed else verdicts.judge_failure(None, text)
    return WordedNotice(not failed, verdict, recipient, _decisive(text, verdict.cause) or subject)
