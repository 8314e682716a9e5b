"""The tracking page: everything about the delivery of a message, and nothing about an account.

Known and unknown addresses have the same rows, so the page may show the complete timeline (decision 5). It never shows
the message kind, a User ID, *opened* or *used*: those would reveal to a stranger that there is an account.
"""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions as messages
from identity_service.messages import copy, descriptions, rendering, retries
from identity_service.messages import rules as message_rules
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.values import email_addresses

PAGES: Final = {"reset": "/reset", "signin": "/signin", "address": "/welcome"}
"""The tracking page of each purpose: `<page>/<tracking handle>`."""

NOW_DO: Final = {
    "queued": "You don't need to do anything. We'll send the email in a moment, and this page will update.",
    "sending": "You don't need to do anything. We're handing the email over now.",
    "deferred": "You don't need to do anything. We'll keep trying.",
    "accepted": "Check your inbox, and your spam folder if it's not there after five minutes.",
    "delivered": "Check your inbox and your spam folder.",
    "unconfirmed": "Check your inbox. If nothing is there, ask for a new email.",
    "rejected": "Check the address, or use a different one. The message above says why the email was rejected.",
    "bounced": "Check the address, or ask your email provider. The message above says why it came back.",
    "expired": "Ask for a new email.",
    "suppressed": "Emails to this address have come back before. Check the address, or call us.",
    "limited": "Look for an earlier email from us. The newest one works. You can ask for another one in an hour.",
    "cancelled": "Ask for a new email.",
    "failed": "Please call us and read out the reference below.",
}
"""What the reader may do now."""

TONES: Final = {
    "accepted": "good", "delivered": "good",
    "queued": "wait", "sending": "wait", "deferred": "wait", "unconfirmed": "wait",
}  # fmt: skip
"""How a state is shown; every other one is bad news."""


@dataclass(frozen=True, slots=True)
class TrackingEntry:
    """One entry of the timeline: time of day, sentence, and the mail server's reply, verbatim."""

    occurred_at: str
    sentence: str
    reply: str | None


@dataclass(frozen=True, slots=True)
class TrackingView:
    """The data of a tracking page; `tone` is `good`, `wait` or `bad`, `zone` that of the times."""

    state: str
    tone: str
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
    zone: str

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
    brand = settings.brands.find(message.brand)
    when = partial(_write_time, locale=locale, zone=brand.time_zone, now=now)
    sender = rendering.sender_of(brand, settings)
    entries = descriptions.describe_timeline(message, timeline.attempts, timeline.feedback, say)
    lines = [
        TrackingEntry(
            translations.format_second(entry["occurred_at"], locale, brand.time_zone),
            entry["sentence"],
            _mask_reply(entry.get("reply"), message),
        )
        for entry in entries
    ]
    reference = found.token.reference
    return TrackingView(
        state=message.state,
        tone=TONES.get(message.state, "bad"),
        sentence=descriptions.describe_message(message.state, message.last_class, message.next_attempt_at, say, when),
        now_do=say(NOW_DO[message.state]),
        lines=lines,
        to="…" if message.recipient is None else _masked(message.recipient),
        sender=f"{sender.from_name} <{sender.from_address}>",
        subject=say(copy.SUBJECTS[found.token.purpose]),
        reference=f"{reference[:4]}-{reference[4:]}",
        is_moving=message_rules.may_change(message.state, message.accepted_at or message.created_at, now),
        is_taken=descriptions.is_final(message.state),
        can_reroute=message.state in ("queued", "deferred") and len(rendering.relays_of(brand, settings)) > 1,
        ends=_ends(session, TokenWithMessage(found.token, message), say, when),
        zone=translations.zone_name(now, locale, brand.time_zone),
    )


def _write_time(at: datetime, *, locale: str, zone: str, now: datetime) -> str:
    """Return a time of day with its zone, and the date if it is another one."""
    same_day = translations.is_same_day(at, now, zone)
    return (translations.format_clock if same_day else translations.format_time)(at, locale, zone)


async def reroute_message(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Retry a pending message now, at the relay after the one that was tried last."""
    if found.message.state not in message_rules.PENDING:
        return
    settings = session.settings
    names = rendering.relays_of(settings.brands.find(found.message.brand), settings)
    timeline = await messages.load_timeline(session, found.message.id)
    tried = [attempt.relay for attempt in timeline.attempts if attempt.relay in names]
    other = names[(names.index(tried[-1]) + 1) % len(names)] if tried else names[-1]
    await retries.retry_message(session, found.message.id, relay=other, actor="customer", now=now)


def _ends(
    session: DatabaseSession, found: TokenWithMessage, say: descriptions.Translate, when: descriptions.When
) -> str:
    """Return a sentence about the validity of link and code; the same for known and unknown addresses."""
    if found.message.accepted_at is None:
        return say("The time limit for the link and code starts when our mail server accepts the email.")
    link, code = actions.ends_at(session, found), actions.ends_at(session, found, by="code")
    if link == code:
        return say("Link and code work until {time}.").format(time=when(link))
    return say("The link works until {link}, the code until {code}.").format(link=when(link), code=when(code))


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
