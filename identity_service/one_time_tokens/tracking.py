"""The tracking page: everything about the delivery of a message, and nothing about an account.

Known and unknown addresses have the same rows, so the page may show the complete timeline (decision 5). It never shows
the message kind, a User ID, *opened* or *used*: those would reveal to a stranger that there is an account.
"""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions as messages
from identity_service.messages import descriptions, retries
from identity_service.messages import rules as message_rules
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.values import email_addresses

PAGES: Final = {"reset": "/reset", "signin": "/signin", "address": "/welcome"}
"""The tracking page of each purpose: `<page>/<tracking handle>`."""

SUBJECTS: Final = {
    "reset": "Your new password",
    "signin": "Your code to sign in",
    "address": "Please confirm your address",
}
"""The subject of the email; messages to known and unknown addresses have the same."""

_NOW_DO: Final = {
    "queued": "You need not do anything: it leaves in a moment, and this page shows it.",
    "sending": "You need not do anything: it is being handed over right now.",
    "deferred": "You need not do anything: we go on trying. You can also have it sent by another route.",
    "accepted": "Check your mailbox. If it is not there after five minutes, check the spam folder.",
    "delivered": "Check your mailbox and the spam folder.",
    "unconfirmed": "Check your mailbox. If nothing is there, ask for a new email.",
    "rejected": "Check the address, or use another one; the sentence above says why it was refused.",
    "bounced": "Check the address, or ask your mail provider; the sentence above says why it came back.",
    "expired": "Ask for a new email.",
    "suppressed": "Emails to this address came back before. Check the address, or call us.",
    "limited": "Look for an earlier email; the newest one works. You can ask again in an hour.",
    "cancelled": "Ask for a new email.",
    "failed": "Please call us and read out the reference below.",
}


@dataclass(frozen=True, slots=True)
class TrackingEntry:
    """One entry of the timeline: time (UTC), sentence, and the mail server's reply, verbatim."""

    occurred_at: str
    sentence: str
    reply: str | None


@dataclass(frozen=True, slots=True)
class TrackingView:
    """The data of a tracking page."""

    state: str
    sentence: str
    now_do: str
    lines: list[TrackingEntry]
    to: str
    sender: str
    subject: str
    reference: str
    is_moving: bool
    is_taken: bool
    can_reroute: bool
    ends: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for the event stream."""
        return asdict(self)


async def tracking_view(
    session: DatabaseSession, found: TokenWithMessage, *, locale: str, now: datetime
) -> TrackingView:
    """Return the tracking page of a message at `now`, in the language of `locale`."""
    say = translations.catalogue(locale).gettext
    timeline = await messages.load_timeline(session, found.message.id)
    message, settings = timeline.message, session.settings
    entries = descriptions.describe_timeline(message, timeline.attempts, timeline.feedback, say)
    lines = [
        TrackingEntry(f"{entry['occurred_at']:%H:%M:%S}", entry["sentence"], _mask_reply(entry.get("reply"), message))
        for entry in entries
    ]
    reference = found.token.reference
    return TrackingView(
        state=message.state,
        sentence=descriptions.describe_message(message.state, message.last_class, message.next_attempt_at, say),
        now_do=say(_NOW_DO[message.state]),
        lines=lines,
        to="…" if message.recipient is None else _masked(message.recipient),
        sender=f"{settings.mail_from_name} <{settings.mail_from}>",
        subject=say(SUBJECTS[found.token.purpose]),
        reference=f"{reference[:4]}-{reference[4:]}",
        is_moving=message_rules.may_change(message.state, message.accepted_at or message.created_at, now),
        is_taken=descriptions.is_final(message.state),
        can_reroute=message.state in ("queued", "deferred") and len(settings.relays) > 1,
        ends=_ends(session, TokenWithMessage(found.token, message), say),
    )


async def reroute_message(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Retry a pending message now, at the relay after the one that was tried last."""
    if found.message.state not in message_rules.PENDING:
        return
    names = [relay.name for relay in session.settings.relays]
    timeline = await messages.load_timeline(session, found.message.id)
    tried = [attempt.relay for attempt in timeline.attempts if attempt.relay in names]
    other = names[(names.index(tried[-1]) + 1) % len(names)] if tried else names[-1]
    await retries.retry_message(session, found.message.id, relay=other, actor="customer", now=now)


def _ends(session: DatabaseSession, found: TokenWithMessage, say: descriptions.Translate) -> str:
    """Return a sentence about the validity of link and code; the same for known and unknown addresses."""
    if found.message.accepted_at is None:
        return say("The time for link and code begins when a relay takes the email.")
    link, code = actions.ends_at(session, found), actions.ends_at(session, found, by="code")
    if link == code:
        return say("The email's code works until {code} UTC.").format(code=f"{code:%H:%M}")
    sentence = say("The email's link works until {link} UTC, its code until {code} UTC.")
    return sentence.format(link=f"{link:%H:%M}", code=f"{code:%H:%M}")


def _mask_reply(reply: str | None, message: Message) -> str | None:
    """Return a reply with the recipient's address masked and all others removed: a mail server may quote them."""
    if reply is None or message.recipient is None:
        return reply
    own = {text.lower() for text in (message.recipient_ascii, message.recipient) if text is not None}
    mine = _masked(message.recipient)
    return re.sub(r"[^\s<>@:;,()\"]+@[^\s<>@:;,()\"]+", lambda m: mine if m[0].lower() in own else "…@…", reply)


def _masked(address: str) -> str:
    # In lower case: the message goes to the address on file, whose spelling would reveal that there is an account.
    return email_addresses.mask(address.lower())
