"""Describe message states, attempts and feedback in plain sentences: what happened, whose fault, what follows. Pure.

Every sentence describes one row; the mail server's reply is shown with it, verbatim. A message that a relay took is
never called sent or delivered.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from identity_service.messages import rules

Translate = Callable[[str], str]
"""Translates a sentence into the reader's language; services and the desk read English."""

CODES: Final[Mapping[str, str]] = {
    "4.2.0": "the mailbox has a temporary problem",
    "4.2.2": "the mailbox is full",
    "4.3.1": "the mail server has no room",
    "4.4.1": "the next mail server does not answer",
    "4.4.7": "it waited too long at another server",
    "4.7.0": "the mail server asks us to slow down",
    "4.7.1": "the mail server asks us to come back later",
    "5.1.1": "this mailbox does not exist",
    "5.1.2": "this domain does not exist",
    "5.1.3": "the address is not valid there",
    "5.1.10": "this domain takes no mail at all",
    "5.2.1": "this mailbox takes no mail",
    "5.2.2": "the mailbox is full",
    "5.3.4": "the email is too big",
    "5.6.7": "the mail server cannot handle this kind of address",
    "5.7.1": "refused by policy",
}
"""Meanings of the enhanced status codes (RFC 3463 and its registry) that occur in practice."""

_ATTEMPT: Final[Mapping[str, str]] = {
    "accepted": "{relay} took the email.",
    "transient.greylist": "The recipient's mail server asks us to wait and come back.",
    "transient.mailbox_full": "The mailbox is full; we go on trying.",
    "transient.silence": "{relay} stopped answering before it had the email.",
    "transient": "{relay} cannot take it right now and asks us to try again.",
    "permanent.address": "This address does not exist, says the mail server.",
    "permanent.content": "The email itself was refused.",
    "permanent.too_big": "The email is too big for {relay}. This is our fault.",
    "permanent.utf8": "{relay} does not send to addresses with letters beyond A to Z before the @.",
    "policy": "{relay} refuses by policy.",
    "login": "{relay} refuses our login. This is our fault, not yours.",
    "sender_refused": "{relay} refuses our sender address. This is our fault, not yours.",
    "throttled": "{relay} asks us to slow down.",
    "garbage": "{relay} answered with something that is not SMTP.",
    "unavailable": "{relay} could not be used.",
    "unknown": "{relay} may have the email, but never answered. It may arrive twice, with the same content.",
    "lost": "Our worker stopped in the middle of this try; another one takes over. It may arrive twice.",
    "released": "Our worker could not go on before this try began; another one takes over.",
    "not_wanted": "This email was no longer wanted, and nothing was sent.",
    "no_relay_available": "None of our relays could be used at this moment.",
    "render_failed": "The email could not be made. This is our fault.",
    "unsafe_recipient": "The stored address is not safe to send to; nothing was sent.",
}

_STATE: Final[Mapping[str, str]] = {
    "queued": "The email is waiting for its first try.",
    "sending": "The email is being handed over right now.",
    "deferred": "It was not taken yet; the next try is planned.",
    "accepted": "A relay took the email. That is not delivered yet: the recipient's server decides that.",
    "delivered": "The recipient's mail server took the email. If it is not in the inbox, it is in the spam folder.",
    "unconfirmed": "A relay may have the email, but never answered. It may still arrive; asking again is fine.",
    "rejected": "The email was refused for good.",
    "bounced": "A relay took the email, and it came back.",
    "expired": "No relay took the email in time. It will certainly not arrive; asking again is fine.",
    "limited": "Not tried: this mailbox has had too many emails from us today or in the last hour.",
    "suppressed": "Not tried: emails to this address came back before. It can be allowed again.",
    "cancelled": "The email was withdrawn before anything was sent.",
    "failed": "We could not send this email. This is our fault, and we know about it.",
}

_FEEDBACK: Final[Mapping[str, str]] = {
    "provider_accepted": "The relay confirms that it has the email.",
    "relayed": "The email was passed on to the next mail server.",
    "delayed": "The email is still on its way: the recipient's server makes it wait.",
    "delivered": "The recipient's mail server took the email.",
    "bounced": "The email came back.",
    "dropped": "The relay threw the email away without sending it.",
    "complained": "The recipient says that this email was not wanted.",
    "autoreply": "An automatic answer came back; the email arrived somewhere.",
    "other": "Something came back that says nothing about the delivery of this email.",
    "unreadable": "Something came back and could not be read.",
}


def describe_attempt(
    reply_class: str | None, outcome: str | None, relay: str | None, enhanced: str | None, say: Translate = str
) -> str:
    """Return a sentence about one attempt; `enhanced` adds the meaning of its status code."""
    name = relay or say("The relay")
    if outcome is None:
        return say("{relay} is being contacted.").format(relay=name)
    if outcome == "late_accepted":
        return say("{relay} had taken the email after all; its answer came late.").format(relay=name)
    sentence = say(_ATTEMPT.get(reply_class or outcome, "{relay} could not take the email.")).format(relay=name)
    meaning = CODES.get(enhanced or "")
    return sentence if meaning is None else f"{sentence} ({say(meaning)})"


def describe_feedback(kind: str, enhanced: str | None, say: Translate = str) -> str:
    """Return a sentence about one piece of feedback; `enhanced` adds the meaning of its status code."""
    meaning = CODES.get(enhanced or "")
    return say(_FEEDBACK[kind]) if meaning is None else f"{say(_FEEDBACK[kind])} ({say(meaning)})"


def describe_message(state: str, last_class: str | None, next_attempt_at: datetime | None, say: Translate = str) -> str:
    """Return a sentence about the state of a message: what happened, whose fault it is, what follows."""
    sentence = say(_STATE[state])
    last = _ATTEMPT.get(last_class or "") if state in ("deferred", "rejected", "failed", "expired") else None
    if last is not None:
        sentence = f"{sentence} {say('Last:')} {say(last).format(relay=say('The relay'))}"
    if state == "deferred" and next_attempt_at is not None:
        next_try = say("Next try at {time} UTC.").format(time=f"{next_attempt_at:%H:%M:%S}")
        sentence = f"{sentence} {next_try}"
    return sentence


def describe_timeline(
    message: Any,  # noqa: ANN401 (a row of `message`, or one that a test made)
    attempts: list[Any],
    feedback: list[Any],
    say: Translate = str,
) -> list[dict[str, Any]]:
    """Return the timeline entries of a message in order; each describes one row, with its reply verbatim."""
    queued = say("The email was written into the outbox.")
    entries: list[dict[str, Any]] = [{"occurred_at": message.created_at, "kind": "queued", "sentence": queued}]
    entries += [
        {
            "occurred_at": attempt.finished_at or attempt.started_at,
            "kind": attempt.outcome or "sending",
            "attempt": attempt.attempt_no,
            **{name: getattr(attempt, name) for name in ("relay", "phase", "code", "enhanced", "reply", "duration_ms")},
            "reconnected": any(line["verb"] == "reconnect" for line in attempt.transcript or []),
            "sentence": describe_attempt(attempt.reply_class, attempt.outcome, attempt.relay, attempt.enhanced, say),
        }
        for attempt in attempts
    ]
    entries += [
        {
            "occurred_at": entry.recorded_at,
            "kind": entry.type,
            "code": entry.code,
            "enhanced": entry.enhanced,
            "reply": entry.reply,
            "source": entry.source,
            "sentence": describe_feedback(entry.type, entry.enhanced, say),
        }
        for entry in feedback
    ]
    if message.state in ("expired", "cancelled", "suppressed", "limited", "unconfirmed"):
        entries.append(
            {"occurred_at": message.state_changed_at, "kind": message.state, "sentence": say(_STATE[message.state])}
        )
    return sorted(entries, key=lambda entry: entry["occurred_at"])


def is_final(state: str) -> bool:
    """Return whether we do nothing more with this message; feedback may still change its state."""
    return state not in rules.PENDING
