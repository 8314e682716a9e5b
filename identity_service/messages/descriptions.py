"""Describe message states, attempts and feedback in plain sentences: what happened, whose fault, what follows. Pure.

Every sentence describes one row; the mail server's reply is shown with it, verbatim. A message that a relay took is
never called sent or delivered.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from identity_service.messages import rules, text_descriptions

When = Callable[[datetime], str]
"""Writes a time of day for the reader, with its zone."""
Translate = Callable[[str], str]
"""Translates a sentence into the reader's language; services and the desk read English."""

CODES: Final[Mapping[str, str]] = {
    "4.2.0": "the mailbox has a temporary problem",
    "4.2.2": "the mailbox is full",
    "4.3.1": "the mail server has no space left",
    "4.4.1": "the next mail server isn't responding",
    "4.4.7": "it waited too long at another mail server",
    "4.7.0": "the mail server has asked us to slow down",
    "4.7.1": "the mail server has asked us to try again later",
    "5.1.1": "this mailbox doesn't exist",
    "5.1.2": "this domain doesn't exist",
    "5.1.3": "the mail server says that the address isn't valid",
    "5.1.10": "this domain doesn't accept any email",
    "5.2.1": "this mailbox doesn't accept any email",
    "5.2.2": "the mailbox is full",
    "5.3.4": "the email is too big",
    "5.6.7": "the mail server can't handle this kind of address",
    "5.7.1": "blocked by the mail server's rules",
}
"""Meanings of the enhanced status codes (RFC 3463 and its registry) that occur in practice."""

_ATTEMPT: Final[Mapping[str, str]] = {
    "accepted": "{relay} has accepted the email.",
    "transient.greylist": "The recipient's mail server has asked us to wait and try again.",
    "transient.mailbox_full": "The mailbox is full.",
    "transient.silence": "{relay} stopped responding before it had the email.",
    "transient": "{relay} can't accept the email right now and has asked us to try again.",
    "permanent.address": "The mail server says that this address doesn't exist.",
    "permanent.content": "The email itself was rejected.",
    "permanent.too_big": "{relay} doesn't accept an email of this size. This is our fault.",
    "permanent.utf8": "{relay} can't send to addresses with letters other than A to Z before the @.",
    "policy": "{relay} blocked the email under its own rules.",
    "login": "{relay} didn't let us sign in. This is our fault, not yours.",
    "sender_refused": "{relay} rejected our sender address. This is our fault, not yours.",
    "throttled": "{relay} has asked us to send more slowly.",
    "garbage": "{relay} sent a reply that we couldn't understand. It wasn't SMTP.",
    "unavailable": "{relay} wasn't available.",
    "unknown": (
        "{relay} may have the email, but never confirmed this. The email may arrive twice, with the same content."
    ),
    "lost": (
        "We were interrupted during this attempt. Another of our systems is taking over, so the email may arrive twice."
    ),
    "released": "We were interrupted before this attempt began. Another of our systems is taking over.",
    "not_wanted": "This email was no longer needed, so we didn't send it.",
    "no_relay_available": "None of our mail servers was available at this moment.",
    "sender_not_proven": (
        "Our sender address isn't set up completely, so we're holding the email back. This is our fault, not yours."
    ),
    "render_failed": "We couldn't create the email. This is our fault.",
    "unsafe_recipient": "We can't send safely to the stored address, so we sent nothing.",
}

_SAID: Final[Mapping[str, str]] = {
    "transient.mailbox_full": "4.2.2 5.2.2",
    "permanent.address": "5.1.1",
    "permanent.too_big": "5.3.4",
    "permanent.utf8": "5.6.7",
    "policy": "5.7.1",
}
"""Codes whose meaning the sentence of a class says already."""

_STATE: Final[Mapping[str, str]] = {
    "queued": "The email is waiting to be sent.",
    "sending": "We're handing the email over to our mail server now.",
    "deferred": "The email hasn't been accepted yet. We're still trying.",
    "accepted": (
        "Our mail server has the email and will pass it on. We don't know yet whether it will arrive. The"
        " recipient's mail server decides that."
    ),
    "delivered": (
        "The recipient's mail server has accepted the email. If it's not in the inbox, check the spam folder."
    ),
    "unconfirmed": (
        "Our mail server may have the email, but it never confirmed this. The email may still arrive. "
        "You can safely ask for a new one."
    ),
    "rejected": "The email was rejected. We've stopped trying to send it.",
    "bounced": "Our mail server accepted the email, but it came back.",
    "expired": (
        "None of our mail servers accepted the email in time, so it won't arrive. You can safely ask for a new one."
    ),
    "limited": (
        "We didn't send this email, because this mailbox has had too many emails from us today or in the last hour."
    ),
    "suppressed": (
        "We didn't send this email, because earlier emails to this address came back. We can unblock the address."
    ),
    "cancelled": "The email was cancelled before we sent anything.",
    "failed": "We couldn't send this email. This is our fault, and we know about it.",
}

_FEEDBACK: Final[Mapping[str, str]] = {
    "provider_accepted": "Our mail server has confirmed that it has the email.",
    "relayed": "The email was passed on to the next mail server.",
    "delayed": "The email is still on its way. The recipient's mail server is making it wait.",
    "delivered": "The recipient's mail server has accepted the email.",
    "bounced": "The email came back.",
    "dropped": "Our mail server discarded the email without sending it.",
    "complained": "The recipient reported this email as unwanted.",
    "autoreply": "An automatic reply came back, so the email did arrive somewhere.",
    "other": "We received a reply that doesn't say whether this email was delivered.",
    "unreadable": "We received a reply that we couldn't read.",
}

KIND_NAMES: Final[Mapping[str, str]] = {
    "welcome": "Welcome, with the User ID",
    "reset": "Password reset",
    "no_account": "Password reset for an address without an open account",
    "signin_code": "Sign-in code",
    "no_account_signin": "Sign-in code for an address without an open account",
    "address_check": "Check of an address",
    "address_taken": "Check of an address that an account has",
    "consent_confirmation": "Question about marketing",
    "consent_granted": "Marketing allowed",
    "business_undo": "Business account, with a link to undo it",
    "email_change": "Check of a new address",
    "address_changed": "Notice: address changed",
    "further_address": "Check of a further address",
    "address_added": "Notice: address added",
    "address_removed": "Notice: address removed",
    "merge_confirmation": "Question about merging two accounts",
    "change_confirmation": "Question about a change",
    "stop_link": "Notice: a change is coming, with a link to stop it",
    "merge_undone": "Notice: accounts separated",
    "merged": "Notice: accounts merged",
    "taken_back": "Notice: a change was undone",
    "business_ended": "Notice: private account again",
    "company_changed": "Notice: company changed",
    "account_closed": "Notice: account closed",
    "account_erased": "Notice: account erased",
    "account_reopened": "Notice: account reopened",
    "caller_check": "Code for a call",
    "password_changed": "Notice: password changed",
    "second_factor_added": "Notice: authenticator app added",
    "second_factor_removed": "Notice: authenticator app removed",
    "second_factor_lost": "Notice: authenticator app will be removed, with a link to stop it",
    "second_factor_failed": "Notice: wrong codes of the authenticator app",
    "passkey_added": "Notice: passkey added",
    "passkey_removed": "Notice: passkey removed",
    "call_denied": "Notice: the customer denied a call",
    "recovery_proof": "Code for a recovery",
    "recovery_code_created": "Notice: new recovery code",
    "recovery_code_used": "Notice: recovery code used",
    "recovery_code_entered": "Notice: recovery code entered, a second proof is missing",
    "recovery_code_missed": "Notice: wrong recovery codes",
    "passkey_copied": "Notice: passkey may have been copied",
    "passkey_only": "Notice: sign-in by passkey alone",
    "passkey_only_ended": "Notice: other ways to sign in allowed",
    "weaker_sign_in": "Notice: sign-in without the passkey",
    "number_added": "Notice: telephone number added",
    "number_removed": "Notice: telephone number removed",
    "password_changed_by_text": "Notice: password changed with a text message",
    "reset_text": "Password reset by text message",
    "no_number": "Password reset by text message, for a number that is not the account's",
    "caller_check_text": "Code for a call, by text message",
    "number_check": "Check of a telephone number",
    "test": "Test email",
}
"""What the desk calls each kind of message."""

STATE_NAMES: Final[Mapping[str, str]] = {
    "queued": "waiting to be sent",
    "sending": "being sent",
    "deferred": "not accepted yet, still trying",
    "accepted": "accepted by our mail server",
    "delivered": "accepted by the recipient's mail server",
    "unconfirmed": "unknown, may have been sent",
    "rejected": "rejected",
    "bounced": "came back",
    "expired": "not accepted in time",
    "suppressed": "not sent, the address is blocked",
    "limited": "not sent, too many for this mailbox",
    "cancelled": "cancelled",
    "failed": "failed, our fault",
}
"""What the desk calls each state of a message."""


def describe_attempt(
    reply_class: str | None,
    outcome: str | None,
    relay: str | None,
    enhanced: str | None,
    say: Translate = str,
    *,
    channel: str = "email",
) -> str:
    """Return a sentence about one attempt; `enhanced` adds the meaning of its status code."""
    name = relay or say("Our mail server")
    if outcome is None:
        return say("{relay} is being contacted now.").format(relay=name)
    if outcome == "late_accepted":
        return say("{relay} had accepted the email after all. Its answer came late.").format(relay=name)
    known = text_descriptions.ATTEMPT if channel == "text" else _ATTEMPT
    sentence = say(known.get(reply_class or outcome, "{relay} couldn't accept the email.")).format(relay=name)
    meaning = CODES.get(enhanced or "")
    is_said = (enhanced or "") in _SAID.get(reply_class or "", "").split()
    return sentence if meaning is None or is_said else f"{sentence} ({say(meaning)})"


def describe_feedback(kind: str, enhanced: str | None, say: Translate = str, *, channel: str = "email") -> str:
    """Return a sentence about one piece of feedback; `enhanced` adds the meaning of its status code."""
    if channel == "text":
        return say(text_descriptions.FEEDBACK.get(kind, _FEEDBACK[kind]))
    meaning = CODES.get(enhanced or "")
    return say(_FEEDBACK[kind]) if meaning is None else f"{say(_FEEDBACK[kind])} ({say(meaning)})"


def clock_in_utc(at: datetime) -> str:
    """Return a time of day as services and the desk read it: `15:45:44 UTC`."""
    return f"{at:%H:%M:%S} UTC"


def describe_message(
    state: str,
    last_class: str | None,
    next_attempt_at: datetime | None,
    say: Translate = str,
    when: When = clock_in_utc,
    *,
    channel: str = "email",
) -> str:
    """Return a sentence about the state of a message: what happened, whose fault it is, what follows."""
    states, attempts = (text_descriptions.STATE, text_descriptions.ATTEMPT) if channel == "text" else (_STATE, _ATTEMPT)
    sentence = say(states[state])
    last = attempts.get(last_class or "") if state in ("deferred", "rejected", "failed", "expired") else None
    if last is not None:
        relay = say("Our carrier" if channel == "text" else "Our mail server")
        sentence = f"{sentence} {say('Last attempt:')} {say(last).format(relay=relay)}"
    if state == "deferred" and next_attempt_at is not None:
        next_try = say("We'll try again at {time}.").format(time=when(next_attempt_at))
        sentence = f"{sentence} {next_try}"
    return sentence


def describe_relay(
    breaker: str, opened_until: datetime | None, last_reply: str | None, *, now: datetime, when: When = clock_in_utc
) -> tuple[str, str]:
    """Return how a worker sees a relay, as a tone (`good`, `wait` or `bad`) and a sentence for the desk."""
    if breaker == "closed":
        return "good", "Healthy."
    if breaker == "half_open" or opened_until is None or opened_until <= now:
        return "wait", "Trying again."
    why = f"the last attempts failed: {last_reply}" if last_reply else "it didn't respond."
    return "bad", f"Not used until {when(opened_until)}, because {why}"


def describe_timeline(
    message: Any,  # noqa: ANN401 (a row of `message`, or one that a test made)
    attempts: list[Any],
    feedback: list[Any],
    say: Translate = str,
) -> list[dict[str, Any]]:
    """Return the timeline entries of a message in order; each describes one row, with its reply verbatim."""
    channel = message.channel
    queued = say(text_descriptions.QUEUED) if channel == "text" else say("We put the email in the queue for sending.")
    entries: list[dict[str, Any]] = [{"occurred_at": message.created_at, "kind": "queued", "sentence": queued}]
    entries += [
        {
            "occurred_at": attempt.finished_at or attempt.started_at,
            "kind": attempt.outcome or "sending",
            "attempt": attempt.attempt_no,
            **{name: getattr(attempt, name) for name in ("relay", "phase", "code", "enhanced", "reply", "duration_ms")},
            "reconnected": any(line["verb"] == "reconnect" for line in attempt.transcript or []),
            "sentence": describe_attempt(
                attempt.reply_class, attempt.outcome, attempt.relay, attempt.enhanced, say, channel=channel
            ),
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
            "sentence": describe_feedback(entry.type, entry.enhanced, say, channel=channel),
        }
        for entry in feedback
    ]
    if message.state in ("expired", "cancelled", "suppressed", "limited", "unconfirmed"):
        told = describe_message(message.state, None, None, say, channel=channel)
        entries.append({"occurred_at": message.state_changed_at, "kind": message.state, "sentence": told})
    return sorted(entries, key=lambda entry: entry["occurred_at"])


def is_final(state: str) -> bool:
    """Return whether we do nothing more with this message; feedback may still change its state."""
    return state not in rules.PENDING
