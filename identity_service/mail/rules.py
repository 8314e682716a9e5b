"""What the outbox decides: states and steps, schedules and deadlines, and what a relay's reply means. Pure."""

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from identity_service.errors import Conflict, NotFound

PENDING: Final = ("queued", "deferred", "sending")
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "queued": ("sending", "cancelled", "suppressed", "expired", "failed"),
    "sending": ("accepted", "deferred", "rejected", "expired", "unconfirmed", "failed", "bounced", "cancelled"),
    "deferred": (
        "sending", "accepted", "expired", "unconfirmed", "cancelled", "suppressed", "bounced", "delivered", "failed",
    ),
    "accepted": ("delivered", "bounced"),
    "delivered": ("bounced",),
    "unconfirmed": ("accepted", "delivered", "bounced"),
    "rejected": (),
    "bounced": (),
    "expired": (),
    "suppressed": (),
    "cancelled": (),
    "failed": (),
}  # fmt: skip
"""Every state, and where it may go from there; the database's trigger holds the same table. Birth is `queued`."""

PHASES: Final = ("claimed", "connect", "tls", "auth", "mail", "rcpt", "data", "payload", "eod")
OUTCOMES: Final = (
    "accepted", "transient", "permanent", "relay_fault", "unknown", "lost", "late_accepted", "aborted",
)  # fmt: skip
FEEDBACK: Final = (
    "provider_accepted", "delayed", "delivered", "bounced", "soft_bounced", "dropped", "complained", "autoreply",
    "relayed",
)  # fmt: skip

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LEASE: Final = {0: 180 * SECOND, 5: 480 * SECOND, 9: 480 * SECOND}
TURN: Final = {0: 120 * SECOND, 5: 360 * SECOND, 9: 360 * SECOND}
"""How long one worker may hold a message, and how long it goes on trying relays with it, per lane."""
AFTER_UNKNOWN: Final = (60 * SECOND, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE)
LOST_IN_A_ROW: Final = 3
GREYLIST_WAIT: Final = 60 * SECOND
MAXIMUM_REPLY: Final = 1000

_FAST = (5, 15, 45, 120, 300)
_CODE = (3, 8, 20, 45, 60)
_CHECK = (15, 60, 300, 900, 3600)
_NOTICE = (60, 300, 900, 3600, 7200)


_THROTTLED = ((452, "4.3.1"), (454, "4.7.0"))


class UnknownMessage(NotFound):
    """There is no such message."""


class UnknownRelay(NotFound):
    """There is no relay of this name."""


class UnknownSuppression(NotFound):
    """There is no such suppression, or it was lifted already."""


class CannotSendAgain(Conflict):
    """This message cannot be sent again: what it was about is gone."""


class Kind(NamedTuple):
    """How a kind of letter is handled: its class, lane, deadline to hand over, and seconds between tries."""

    purpose: str
    lane: int
    hand_over: timedelta
    waits: tuple[int, ...]


KINDS: Final[Mapping[str, Kind]] = {
    "welcome": Kind("account", 5, 24 * HOUR, _CHECK),
    "reset": Kind("security", 0, 90 * MINUTE, _FAST),
    "no_account": Kind("security", 0, 90 * MINUTE, _FAST),
    "signin_code": Kind("security", 0, 10 * MINUTE, _CODE),
    "no_account_signin": Kind("security", 0, 10 * MINUTE, _CODE),
    "address_check": Kind("account", 0, 24 * HOUR, _CHECK),
    "address_taken": Kind("account", 0, 24 * HOUR, _CHECK),
    "consent_confirmation": Kind("privacy", 5, 72 * HOUR, _NOTICE),
    "consent_granted": Kind("privacy", 5, 72 * HOUR, _NOTICE),
    "business_undo": Kind("account", 5, 72 * HOUR, _NOTICE),
    "email_change": Kind("security", 0, 24 * HOUR, _CHECK),
    "address_changed": Kind("security", 0, 72 * HOUR, _CHECK),
    "merge_confirmation": Kind("security", 0, 24 * HOUR, _CHECK),
    "change_confirmation": Kind("security", 0, 24 * HOUR, _CHECK),
    "stop_link": Kind("security", 0, 72 * HOUR, _CHECK),
    "account_closed": Kind("account", 5, 72 * HOUR, _NOTICE),
    "caller_check": Kind("security", 0, 3 * MINUTE, _CODE),
    "password_changed": Kind("security", 5, 72 * HOUR, _NOTICE),
    "test": Kind("account", 0, 10 * MINUTE, _CODE),
}
"""Every kind of letter there is. None of them is marketing: the class is held by a CHECK (`account`, `security`,
`privacy`)."""

ASKS: Final = ("reset", "no_account", "signin_code", "no_account_signin", "address_check", "address_taken")
"""Kinds that a person asks for: their suppressions are counted apart, so that none tells who has an account."""
PURPOSES: Final = ("security", "account", "privacy")
LANES: Final = (0, 5, 9)


class Verdict(NamedTuple):
    """What a reply means: the attempt's outcome, and its class."""

    outcome: str
    reply_class: str


class Step(NamedTuple):
    """What becomes of a message after an attempt."""

    state: str
    next_attempt_at: datetime | None = None
    maybe_sent: bool = False
    next_relay: bool = False
    """The same turn goes on at the next relay."""
    prefer_other: bool = False
    """The next turn begins at another relay."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the schedule needs to know of a message at the end of an attempt."""

    kind: str
    turns: int
    deadline_at: datetime
    unknown_before: int = 0
    policy_before: bool = False
    aborted_before: int = 0


def new_id(now: datetime) -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    milliseconds = int(now.timestamp() * 1000)
    bits = (milliseconds << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (2 << 62) | secrets.randbits(62)
    return uuid.UUID(int=bits)


def classify(phase: str, code: int, enhanced: str | None, text: str) -> Verdict:  # noqa: PLR0911
    """Return what a reply means: code first, enhanced code (RFC 3463) second; the phase decides whose fault it is."""
    e = enhanced or ""
    if not 200 <= code <= 599:
        return Verdict("unknown", "unknown") if phase in ("payload", "eod") else Verdict("relay_fault", "garbage")
    if code == 421 or (code, e) in _THROTTLED or phase in ("connect", "tls", "auth"):
        return Verdict("relay_fault", _at_fault(phase, code, e))
    if phase == "eod" and 200 <= code <= 299:
        return Verdict("accepted", "accepted")
    if phase == "mail":
        return _at_mail(code, e)
    if e == "5.6.7":
        return Verdict("permanent", "permanent.utf8")
    if code in (452, 552) or e[1:] == ".2.2":
        return Verdict("transient", "transient.mailbox_full")
    if code < 500:
        return _temporary(phase, code, e, text)
    if e.startswith("5.7.") or "relay access denied" in text.lower() or "relaying denied" in text.lower():
        return Verdict("permanent", "policy")
    if phase == "rcpt":
        gone = e in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1") or (not e and code in (550, 551, 553))
        return Verdict("permanent", "permanent.address" if gone else "policy")
    return Verdict("permanent", "permanent.content")


def _at_fault(phase: str, code: int, enhanced: str) -> str:
    """Return how a relay is at fault; while it lets us in, 454 4.7.0 is trouble with TLS or login (RFC 3207, 4954)."""
    if phase in ("connect", "tls", "auth"):
        return "login" if phase == "auth" and code >= 500 else "unavailable"
    return "throttled" if (code, enhanced) in _THROTTLED else "unavailable"


def _at_mail(code: int, enhanced: str) -> Verdict:
    if code == 552 and enhanced in ("5.3.4", "5.2.3", ""):
        return Verdict("permanent", "permanent.too_big")
    return Verdict("relay_fault", "sender_refused")


def _temporary(phase: str, code: int, enhanced: str, text: str) -> Verdict:
    if 200 <= code <= 399:
        return Verdict("relay_fault", "garbage")
    words = "grey" in text.lower() or "gray" in text.lower() or "try again" in text.lower() or "later" in text.lower()
    if phase == "rcpt" and words and (code in (450, 451) or enhanced in ("4.2.0", "4.7.1")):
        return Verdict("transient", "transient.greylist")
    return Verdict("transient", "transient")


def without_reply(phase: str) -> Verdict:
    """Return what a timeout or a closed connection means: from the first payload byte on, nobody knows."""
    if phase in ("payload", "eod"):
        return Verdict("unknown", "unknown")
    if phase in ("mail", "rcpt", "data"):
        return Verdict("transient", "transient.silence")
    return Verdict("relay_fault", "unavailable")


def after(verdict: Verdict, facts: Facts, now: datetime, *, hint: timedelta | None, jitter: float) -> Step:  # noqa: PLR0911
    """Return what becomes of a message; `jitter` is between 0.75 and 1.25, `hint` a delay the reply named."""
    outcome, reply_class = verdict
    if outcome == "accepted":
        return Step("accepted")
    if outcome == "relay_fault":
        return Step("deferred", _next(facts, now, hint, jitter), next_relay=True)
    if outcome == "unknown":
        wait = AFTER_UNKNOWN[min(facts.unknown_before, len(AFTER_UNKNOWN) - 1)]
        return Step("deferred", now + wait, maybe_sent=True, prefer_other=True)
    if outcome == "transient":
        least = GREYLIST_WAIT if reply_class == "transient.greylist" else None
        at = _next(facts, now, max(filter(None, (hint, least)), default=None), jitter)
        return Step("deferred", at, prefer_other=reply_class == "transient.silence")
    if reply_class == "permanent.too_big":
        return Step("failed")
    if reply_class == "permanent.utf8" or (reply_class == "policy" and not facts.policy_before):
        return Step("rejected", next_relay=True)
    return Step("rejected")


def after_abort(facts: Facts, now: datetime) -> Step:
    """Return what becomes of a message that we could not make: three times in a row, and it has failed."""
    if facts.aborted_before + 1 >= LOST_IN_A_ROW:
        return Step("failed")
    return Step("deferred", now + 15 * SECOND)


def _next(facts: Facts, now: datetime, hint: timedelta | None, jitter: float) -> datetime:
    waits = KINDS[facts.kind].waits if facts.kind in KINDS else _NOTICE
    wait = timedelta(seconds=waits[min(max(facts.turns - 1, 0), len(waits) - 1)] * jitter)
    return now + max(wait, hint or wait)


def may_step(old: str, new: str) -> bool:
    """Tell whether a message may go from one state to another."""
    return new in STEPS[old]


def after_feedback(state: str, kind: str) -> str | None:
    """Return the state that feedback leads to, or None where it changes nothing (it is kept all the same)."""
    wanted = {"delivered": "delivered", "bounced": "bounced", "dropped": "bounced"}.get(kind)
    return wanted if wanted is not None and state != "sending" and may_step(state, wanted) else None


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_DELAY = re.compile(r"(\d{1,5})\s*(s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE)
_QUEUE_IDS = (
    re.compile(r"queued as ([A-Za-z0-9._-]{1,80})"),
    re.compile(r"\bid=([A-Za-z0-9._-]{1,80})"),
    re.compile(r"^(?:2\.\d\.\d )?[Oo]k:? ([A-Za-z0-9._-]{6,80})"),
)
_LINK = re.compile(r"(v1\.[A-Za-z0-9_.-]{8,})|((?:token|secret|code)=[^\s&]+)")


def scrub(text: str) -> str:
    """Return a reply as it may be stored: at most 1,000 characters that PostgreSQL takes, and no link of ours."""
    return scrub_long(text, MAXIMUM_REPLY)


def scrub_long(text: str, maximum: int) -> str:
    """Return text without control characters and surrogates (PostgreSQL refuses both), and without a link's secret
    that a filter quoted back."""
    cleaned = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
    return _LINK.sub("[link]", cleaned)[:maximum]


def enhanced_code(text: str) -> str | None:
    """Return the enhanced status code at the head of a reply (RFC 3463), if there is one."""
    match = _ENHANCED.match(text.lstrip())
    return match[0] if match else None


def named_delay(text: str) -> timedelta | None:
    """Return the delay a reply asks for ("try again in 300 seconds"), at most 4 hours."""
    match = _DELAY.search(text)
    if not match:
        return None
    seconds = int(match[1]) * (60 if match[2][0].lower() == "m" else 1)
    return timedelta(seconds=min(seconds, 4 * 3600))


def queue_id(text: str) -> str | None:
    """Return the relay's own name for what it took, if its reply tells one."""
    found = (match for pattern in _QUEUE_IDS if (match := pattern.search(text)))
    return next((match[1] for match in found), None)


def lost_in_a_row(outcomes: list[str | None]) -> int:
    """Return how many attempts in a row, the newest first, ended with their worker."""
    trailing = 0
    for outcome in outcomes:
        if outcome != "lost":
            break
        trailing += 1
    return trailing


def scope_of(kind: str) -> str:
    """Return which letters a refusal of this kind of letter suppresses."""
    return "asks" if kind in ASKS else "other"


def suppressed_for(earlier: list[datetime], now: datetime) -> timedelta:
    """Return how long a dead address is left alone: 72 hours, or 30 days after two refusals within 7 days."""
    marks = sorted([*earlier, now])
    return timedelta(days=30) if any(b - a <= timedelta(days=7) for a, b in pairwise(marks)) else timedelta(hours=72)
