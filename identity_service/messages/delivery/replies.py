"""Classify a relay's replies by code, enhanced code (RFC 3463) and phase. Pure."""

import re
from datetime import timedelta
from typing import Final, NamedTuple

from identity_service.messages.inbound import verdicts
from identity_service.messages.inbound.verdicts import Cause

MAXIMUM_REPLY: Final = 1000


_THROTTLED = ((452, "4.3.1"), (454, "4.7.0"))


class ReplyClass(NamedTuple):
    """The meaning of a reply: the attempt's outcome, and a more specific class."""

    outcome: str
    reply_class: str


NO_SMTPUTF8: Final = ReplyClass("permanent", "permanent.utf8")
"""A relay that does not send to an international address (RFC 6531)."""


def classify_reply(phase: str, code: int, enhanced: str | None, text: str) -> ReplyClass:  # noqa: PLR0911
    """Return the class of a reply: by code, then enhanced code (RFC 3463); the phase decides whose fault it is."""
    e = enhanced or ""
    if not 200 <= code <= 599:
        return ReplyClass("unknown", "unknown") if phase in ("payload", "eod") else ReplyClass("relay_fault", "garbage")
    if code == 421 or (code, e) in _THROTTLED or phase in ("connect", "tls", "auth"):
        return ReplyClass("relay_fault", _relay_fault(phase, code, e))
    if phase == "eod" and 200 <= code <= 299:
        return ReplyClass("accepted", "accepted")
    if e == "5.6.7":
        return NO_SMTPUTF8
    if phase == "mail":
        return _at_mail(code, e)
    if code in (452, 552) or e[1:] == ".2.2":
        return ReplyClass("transient", "transient.mailbox_full")
    if code < 500:
        return _temporary(phase, code, e, text)
    if e.startswith("5.7.") or "relay access denied" in text.lower() or "relaying denied" in text.lower():
        return ReplyClass("permanent", "policy")
    if phase == "rcpt":
        return ReplyClass("permanent", "permanent.address" if _has_no_mailbox(code, e, text) else "policy")
    return ReplyClass("permanent", "permanent.content")


def _has_no_mailbox(code: int, enhanced: str, text: str) -> bool:
    """Return whether a refused recipient does not exist: a code says so, and no word of us or of a living mailbox."""
    if not (verdicts.cause_of_code(enhanced) is Cause.ADDRESS or (not enhanced and code in (550, 551, 553))):
        return False
    return verdicts.judge_failure(enhanced or None, text).cause in (Cause.ADDRESS, None)


def _relay_fault(phase: str, code: int, enhanced: str) -> str:
    """Return the class of a relay's fault; before MAIL, 454 4.7.0 means a failed TLS or login (RFC 3207, RFC 4954)."""
    if phase in ("connect", "tls", "auth"):
        return "login" if phase == "auth" and code >= 500 else "unavailable"
    return "throttled" if (code, enhanced) in _THROTTLED else "unavailable"


def _at_mail(code: int, enhanced: str) -> ReplyClass:
    if code == 552 and enhanced in ("5.3.4", "5.2.3", ""):
        return ReplyClass("permanent", "permanent.too_big")
    return ReplyClass("relay_fault", "sender_refused")


def _temporary(phase: str, code: int, enhanced: str, text: str) -> ReplyClass:
    if 200 <= code <= 399:
        return ReplyClass("relay_fault", "garbage")
    lower = text.lower()
    is_hinted = any(hint in lower for hint in ("grey", "gray", "try again", "later"))
    if phase == "rcpt" and is_hinted and (code in (450, 451) or enhanced in ("4.2.0", "4.7.1")):
        return ReplyClass("transient", "transient.greylist")
    return ReplyClass("transient", "transient")


def classify_silence(phase: str) -> ReplyClass:
    """Return the class of a timeout or closed connection; from the first payload byte on, the outcome is unknown."""
    if phase in ("payload", "eod"):
        return ReplyClass("unknown", "unknown")
    if phase in ("mail", "rcpt", "data"):
        return ReplyClass("transient", "transient.silence")
    return ReplyClass("relay_fault", "unavailable")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_DELAY = re.compile(r"(\d{1,5})\s*(s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE)
_QUEUE_IDS = (
    re.compile(r"queued as ([A-Za-z0-9._-]{1,80})"),
    re.compile(r"\bid=([A-Za-z0-9._-]{1,80})"),
    re.compile(r"^(?:2\.\d\.\d )?[Oo]k:? ([A-Za-z0-9._-]{6,80})"),
)
_LINK = re.compile(r"(v1\.[A-Za-z0-9_.-]{8,})|((?:token|secret|code)=[^\s&]+)")


def scrub_reply(text: str) -> str:
    """Return a reply in a form that may be stored: see `scrub_text`, at most 1,000 characters."""
    return scrub_text(text, MAXIMUM_REPLY)


def scrub_text(text: str, maximum: int) -> str:
    """Return text of at most `maximum` characters without control characters and surrogates (PostgreSQL refuses NUL
    and surrogates), and without our links' secrets, which some mail servers quote."""
    cleaned = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
    return _LINK.sub("[link]", cleaned)[:maximum]


def enhanced_code(text: str) -> str | None:
    """Return the enhanced status code at the head of a reply (RFC 3463), if there is one."""
    match = _ENHANCED.match(text.lstrip())
    return match[0] if match else None


def retry_after_hint(text: str) -> timedelta | None:
    """Return the delay a reply asks for ("try again in 300 seconds"), at most 4 hours."""
    match = _DELAY.search(text)
    if not match:
        return None
    seconds = int(match[1]) * (60 if match[2][0].lower() == "m" else 1)
    return timedelta(seconds=min(seconds, 4 * 3600))


def queue_id(text: str) -> str | None:
    """Return the relay's queue id for an accepted message, if its reply has one."""
    found = (match for pattern in _QUEUE_IDS if (match := pattern.search(text)))
    return next((match[1] for match in found), None)
