"""Decisions of the outbox: states and transitions, schedules and deadlines, suppression. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from identity_service.errors import Conflict, NotFound
from identity_service.messages import kinds
from identity_service.messages.delivery.replies import ReplyClass


class MessageState(StrEnum):
    """The state of a message. It begins as `queued`; `TRANSITIONS` lists the allowed changes."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    UNCONFIRMED = "unconfirmed"
    REJECTED = "rejected"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    LIMITED = "limited"
    CANCELLED = "cancelled"
    FAILED = "failed"


PENDING: Final = (MessageState.QUEUED, MessageState.DEFERRED, MessageState.SENDING)


def _states(names: str) -> tuple[MessageState, ...]:
    return tuple(map(MessageState, names.split()))


TRANSITIONS: Final[Mapping[MessageState, tuple[MessageState, ...]]] = {
    MessageState.QUEUED: _states("sending cancelled suppressed limited expired failed"),
    MessageState.SENDING: _states("accepted deferred rejected expired unconfirmed failed bounced cancelled"),
    MessageState.DEFERRED: _states(
        "sending accepted expired unconfirmed cancelled suppressed bounced delivered failed"
    ),
    MessageState.ACCEPTED: _states("delivered bounced"),
    MessageState.DELIVERED: _states("bounced"),
    MessageState.UNCONFIRMED: _states("accepted delivered bounced"),
    MessageState.REJECTED: (),
    MessageState.BOUNCED: (),
    MessageState.EXPIRED: (),
    MessageState.SUPPRESSED: (),
    MessageState.LIMITED: (),
    MessageState.CANCELLED: (),
    MessageState.FAILED: (),
}
"""Every state with the states that may follow; the trigger `message_step` enforces the same table."""


FEEDBACK_WITHIN: Final = timedelta(days=7)
"""How long after a relay took a message its feedback may come: mail servers retry for five days (RFC 5321, 4.5.4.1)."""


def may_change(state: str, since: datetime, now: datetime) -> bool:
    """Return whether something may still happen to a message that a relay took at `since`, or was made then.

    A delivered message may still bounce, but hardly ever does: nobody waits for that.
    """
    if state in PENDING:
        return True
    waits = state != MessageState.DELIVERED and bool(TRANSITIONS[MessageState(state)])
    return waits and now - since < FEEDBACK_WITHIN


class Phase(StrEnum):
    """How far a conversation with a relay got."""

    CLAIMED = "claimed"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    PAYLOAD = "payload"
    EOD = "eod"


class Outcome(StrEnum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    RELAY_FAULT = "relay_fault"
    UNKNOWN = "unknown"
    LOST = "lost"
    LATE_ACCEPTED = "late_accepted"
    ABORTED = "aborted"


class FeedbackType(StrEnum):
    """What was reported about a message after a relay took it."""

    PROVIDER_ACCEPTED = "provider_accepted"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    DROPPED = "dropped"
    COMPLAINED = "complained"
    AUTOREPLY = "autoreply"
    RELAYED = "relayed"
    OTHER = "other"
    """Something that was read and says nothing about delivery: a report that a message is no spam."""
    UNREADABLE = "unreadable"


LEASE: Final = {0: 180 * kinds.SECOND, 5: 480 * kinds.SECOND, 9: 480 * kinds.SECOND}
DELIVERY_TIME: Final = {0: 120 * kinds.SECOND, 5: 360 * kinds.SECOND, 9: 360 * kinds.SECOND}
"""Per priority: how long a worker leases a message, and how long it keeps trying relays within that lease."""
AFTER_UNKNOWN: Final = (60 * kinds.SECOND, 5 * kinds.MINUTE, 15 * kinds.MINUTE, 30 * kinds.MINUTE)
LOST_IN_A_ROW: Final = 3
GREYLIST_WAIT: Final = 60 * kinds.SECOND
NOT_PROVEN: Final = "sender_not_proven"
"""The class of an attempt that was not made, because DNS has not proven the brand's sender (BRD-07)."""


class UnknownMessage(NotFound):
    """There is no message with this id."""


class UnknownRelay(NotFound):
    """There is no relay with this name; GET /v1/relays lists them."""


class UnknownSuppression(NotFound):
    """There is no such suppression, or it was lifted already."""


class CannotRetry(Conflict):
    """This message cannot be sent again, because its address was erased."""


class TokenEnded(Conflict):
    """The link and code of this message have ended, so it is not sent again; please request a new one."""


class AddressSuppressed(Conflict):
    """Earlier emails to this address came back, so we don't send to it. Use another address. If this one is right, a
    lead or a client with `mail:operate` can send the email anyway.
    """


RETRIES_PER_MESSAGE: Final = 3
RETRIES_COUNTED_FOR: Final = timedelta(hours=1)
"""How often a message may be sent again within that time, whoever asks."""


class Transition(NamedTuple):
    """The next state of a message after an attempt."""

    state: str
    next_attempt_at: datetime | None = None
    possibly_sent: bool = False
    next_relay: bool = False
    """The same delivery continues at the next relay."""
    prefer_other: bool = False
    """The next delivery begins at another relay."""


@dataclass(frozen=True, slots=True)
class RetryContext:
    """The facts about a message that decide its next state after an attempt."""

    kind: str
    deliveries: int
    deadline_at: datetime
    unknown_before: int = 0
    policy_before: bool = False
    other_relays: bool = False
    """Whether a relay is left that has not refused this kind of address, and only cannot be used now."""
    aborted_before: int = 0


def next_state(  # noqa: PLR0911 (one return for each outcome)
    verdict: ReplyClass, facts: RetryContext, now: datetime, *, hint: timedelta | None, jitter: float
) -> Transition:
    """Return the next state of a message; `jitter` is between 0.75 and 1.25, `hint` a delay that the reply named."""
    outcome, reply_class = verdict
    if outcome == "accepted":
        return Transition("accepted")
    if outcome == "relay_fault":
        return Transition("deferred", _next(facts, now, hint, jitter), next_relay=True)
    if outcome == "unknown":
        wait = AFTER_UNKNOWN[min(facts.unknown_before, len(AFTER_UNKNOWN) - 1)]
        return Transition("deferred", now + wait, possibly_sent=True, prefer_other=True)
    if outcome == "transient":
        least = GREYLIST_WAIT if reply_class == "transient.greylist" else None
        at = _next(facts, now, max(filter(None, (hint, least)), default=None), jitter)
        return Transition("deferred", at, prefer_other=reply_class == "transient.silence")
    if reply_class == "permanent.too_big":
        return Transition("failed")
    if reply_class == "permanent.utf8" and facts.other_relays:
        return Transition("deferred", _next(facts, now, hint, jitter), next_relay=True)
    if reply_class == "permanent.utf8" or (reply_class == "policy" and not facts.policy_before):
        return Transition("rejected", next_relay=True)
    return Transition("rejected")


def state_after_abort(facts: RetryContext, now: datetime) -> Transition:
    """Return the next state of a message that could not be rendered: failed after three times in a row."""
    if facts.aborted_before + 1 >= LOST_IN_A_ROW:
        return Transition("failed")
    return Transition("deferred", now + 15 * kinds.SECOND)


def state_while_held(facts: RetryContext, now: datetime, *, jitter: float) -> Transition:
    """Return the next state of a message whose sender is not proven: it waits, and is looked at again."""
    return Transition("deferred", _next(facts, now, None, jitter))


def _next(facts: RetryContext, now: datetime, hint: timedelta | None, jitter: float) -> datetime:
    waits = kinds.KINDS[facts.kind].waits if facts.kind in kinds.KINDS else kinds.NOTICE_WAITS
    wait = timedelta(seconds=waits[min(max(facts.deliveries - 1, 0), len(waits) - 1)] * jitter)
    return now + max(wait, hint or wait)


def can_transition(old: str, new: str) -> bool:
    """Return whether a message may change from one state to the other."""
    return new in TRANSITIONS[MessageState(old)]


def state_after_feedback(state: str, kind: str) -> str | None:
    """Return the state that follows from feedback, or None if it changes nothing (it is stored all the same)."""
    wanted = {"delivered": "delivered", "bounced": "bounced", "dropped": "bounced"}.get(kind)
    return wanted if wanted is not None and state != "sending" and can_transition(state, wanted) else None


def lost_in_a_row(outcomes: list[str | None]) -> int:
    """Return how many attempts in a row, from the newest back, were lost because their worker stopped."""
    trailing = 0
    for outcome in outcomes:
        if outcome != "lost":
            break
        trailing += 1
    return trailing


def suppression_scope(kind: str) -> str:
    """Return which messages to an address are suppressed after a bounce of this kind: `asks` or `other`."""
    return "asks" if kinds.KINDS[kind].asked_for else "other"


def suppression_time(earlier: list[datetime], now: datetime) -> timedelta:
    """Return how long an address is suppressed: 72 hours, or 30 days after two bounces within 7 days."""
    marks = sorted([*earlier, now])
    return timedelta(days=30) if any(b - a <= timedelta(days=7) for a, b in pairwise(marks)) else timedelta(hours=72)
