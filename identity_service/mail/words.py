"""What a message's rows mean, in a plain sentence each: what happened, whose fault it is, what comes now. Pure.

Every sentence comes from one row, and the verbatim reply stands beside it. "Taken by the relay" is never called sent
or delivered.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from identity_service.mail import rules

Say = Callable[[str], str]
"""Puts a sentence into somebody's language; services and the desk read English."""

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
    "5.2.1": "this mailbox is switched off",
    "5.2.2": "the mailbox is full",
    "5.3.4": "the e-mail is too big",
    "5.6.7": "the mail server cannot handle this kind of address",
    "5.7.1": "refused by policy",
}
"""Enhanced status codes (RFC 3463 and its registry) that people meet, in their words."""

_ATTEMPT: Final[Mapping[str, str]] = {
    "accepted": "{relay} took the e-mail.",
    "transient.greylist": "The recipient's mail server asks us to wait and come back.",
    "transient.mailbox_full": "The mailbox is full; we go on trying.",
    "transient.silence": "{relay} stopped answering before it had the e-mail.",
    "transient": "{relay} cannot take it right now and asks us to try again.",
    "permanent.address": "This address does not exist, says the mail server.",
    "permanent.content": "The e-mail itself was refused.",
    "permanent.too_big": "The e-mail is too big for {relay}. This is our fault.",
    "permanent.utf8": "{relay} cannot handle this kind of address.",
    "policy": "{relay} refuses by policy.",
    "login": "{relay} refuses our login. This is our fault, not yours.",
    "sender_refused": "{relay} refuses our sender address. This is our fault, not yours.",
    "throttled": "{relay} asks us to slow down.",
    "garbage": "{relay} answered with something that is not SMTP.",
    "unavailable": "{relay} could not be used.",
    "unknown": "{relay} may have the e-mail, but never answered. It may arrive twice, with the same content.",
    "lost": "Our worker stopped in the middle of this try; another one takes over. It may arrive twice.",
    "handed_back": "Our worker could not go on before this try began; another one takes over.",
    "not_wanted": "This e-mail was no longer wanted, and nothing was sent.",
    "no_relay_available": "None of our relays could be used at this moment.",
    "letter": "The e-mail could not be made. This is our fault.",
    "unsafe_recipient": "The stored address is not safe to send to; nothing was sent.",
}

_STATE: Final[Mapping[str, str]] = {
    "queued": "The e-mail is waiting for its first try.",
    "sending": "The e-mail is being handed over right now.",
    "deferred": "It was not taken yet; the next try is planned.",
    "accepted": "A relay took the e-mail. That is not delivered yet: the recipient's server has the next word.",
    "delivered": "The recipient's mail server took the e-mail. If it is not in the inbox, it is in the spam folder.",
    "unconfirmed": "A relay may have the e-mail, but never answered. It may still arrive; asking again is fine.",
    "rejected": "The e-mail was refused for good.",
    "bounced": "A relay took the e-mail, and it came back.",
    "expired": "No relay took the e-mail in time. It will certainly not arrive; asking again is fine.",
    "suppressed": "Not tried: e-mails to this address came back before. It can be allowed again.",
    "cancelled": "The e-mail was withdrawn before anything was sent.",
    "failed": "We could not send this e-mail. This is our fault, and somebody has been told.",
}

_FEEDBACK: Final[Mapping[str, str]] = {
    "provider_accepted": "The relay confirms that it has the e-mail.",
    "relayed": "The e-mail was passed on to the next mail server.",
    "delayed": "The e-mail is still on its way: the recipient's server makes it wait.",
    "delivered": "The recipient's mail server took the e-mail.",
    "bounced": "The e-mail came back.",
    "soft_bounced": "The recipient's server could not take it for now.",
    "dropped": "The relay threw the e-mail away without sending it.",
    "complained": "The recipient says that this e-mail was not wanted.",
    "autoreply": "An automatic answer came back; the e-mail arrived somewhere.",
}


def of_attempt(
    reply_class: str | None, outcome: str | None, relay: str | None, enhanced: str | None, say: Say = str
) -> str:
    """Return what one attempt means."""
    name = relay or say("The relay")
    if outcome is None:
        return say("{relay} is being talked to.").format(relay=name)
    if outcome == "late_accepted":
        return say("{relay} had taken the e-mail after all; its answer came late.").format(relay=name)
    sentence = say(_ATTEMPT.get(reply_class or outcome, "{relay} could not take the e-mail.")).format(relay=name)
    meaning = CODES.get(enhanced or "")
    return sentence if meaning is None else f"{sentence} ({say(meaning)})"


def of_feedback(kind: str, enhanced: str | None, say: Say = str) -> str:
    """Return what one piece of feedback means."""
    meaning = CODES.get(enhanced or "")
    return say(_FEEDBACK[kind]) if meaning is None else f"{say(_FEEDBACK[kind])} ({say(meaning)})"


def of_message(state: str, last_class: str | None, next_attempt_at: datetime | None, say: Say = str) -> str:
    """Return the state of a message: what, whose fault, what now."""
    sentence = say(_STATE[state])
    last = _ATTEMPT.get(last_class or "") if state in ("deferred", "rejected", "failed", "expired") else None
    if last is not None:
        sentence = f"{sentence} {say('Last:')} {say(last).format(relay=say('The relay'))}"
    if state == "deferred" and next_attempt_at is not None:
        next_try = say("Next try at {time} UTC.").format(time=f"{next_attempt_at:%H:%M:%S}")
        sentence = f"{sentence} {next_try}"
    return sentence


def timeline(message: Any, attempts: list[Any], feedback: list[Any], say: Say = str) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return everything that happened to a message, in order; each entry from one row, its reply verbatim."""
    entries: list[dict[str, Any]] = [
        {"at": message.created_at, "what": "queued", "sentence": say("The e-mail was written into the outbox.")}
    ]
    entries += [
        {
            "at": attempt.finished_at or attempt.started_at,
            "what": attempt.outcome or "sending",
            "attempt": attempt.attempt_no,
            "relay": attempt.relay,
            "phase": attempt.phase,
            "code": attempt.code,
            "enhanced": attempt.enhanced,
            "reply": attempt.reply,
            "duration_ms": attempt.duration_ms,
            "reconnected": any(line["verb"] == "reconnect" for line in attempt.transcript or []),
            "sentence": of_attempt(attempt.reply_class, attempt.outcome, attempt.relay, attempt.enhanced, say),
        }
        for attempt in attempts
    ]
    entries += [
        {
            "at": entry.recorded_at,
            "what": entry.type,
            "code": entry.code,
            "enhanced": entry.enhanced,
            "reply": entry.words,
            "source": entry.source,
            "sentence": of_feedback(entry.type, entry.enhanced, say),
        }
        for entry in feedback
    ]
    if message.state in ("expired", "cancelled", "suppressed", "unconfirmed"):
        entries.append({"at": message.state_changed_at, "what": message.state, "sentence": say(_STATE[message.state])})
    return sorted(entries, key=lambda entry: entry["at"])


def is_final(state: str) -> bool:
    """Tell whether nothing of ours changes this message any more (feedback still may)."""
    return state not in rules.PENDING
