"""The tracking page: everything about the delivery of a message, and nothing about an account.

Known and unknown addresses have the same rows, so the page may show the complete timeline (decision 5). It never shows
the message kind, a User ID, *opened* or *used*: those would reveal to a stranger that there is an account. The one
exception is a new User ID, whose page is that of whoever got it: it tells that the address is confirmed.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions as messages
from identity_service.messages import copy, descriptions, rendering, retries
from identity_service.messages import rules as message_rules
from identity_service.messages.inbound import verdicts
from identity_service.messages.inbound.verdicts import Cause
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.values import email_addresses

PAGES: Final = {"reset": "/reset", "signin": "/signin", "address": "/welcome"}
"""The tracking page of each purpose: `<page>/<tracking handle>`."""

_HEADLINES: Final = {
    "accepted": "We've sent the email.",
    "delivered": "The recipient's mail server has accepted the email.",
}
"""The headline of a state that `descriptions` describes at more length; that is told below the technical details."""

NOW_DO: Final = {
    "queued": "You don't need to do anything. We'll send the email in a moment, and this page will update.",
    "sending": "You don't need to do anything.",
    "deferred": "You don't need to do anything.",
    "accepted": "Check your inbox, and your spam folder if it's not there after five minutes.",
    "delivered": "Check your inbox and your spam folder.",
    "unconfirmed": "Check your inbox. If nothing is there, ask for a new email.",
    "rejected": "Please call us and read out the reference below.",
    "bounced": "Please call us and read out the reference below.",
    "suppressed": "Check the address, or call us and read out the reference below.",
    "limited": "Look for an earlier email from us. The newest one works. You can ask for another one in an hour.",
    "cancelled": "Ask for a new email.",
    "failed": "Please call us and read out the reference below.",
}
_NOW_DO_ABOUT: Final = {
    "address": "Check the address, or use a different one.",
    "full": "Make room in your mailbox, or use a different address.",
}
"""What to do if the address or its mailbox is the cause."""
_CAUSES: Final = {"permanent.address": "address", "transient.mailbox_full": "full"}
_ENDS: Final = {
    "reset": (
        "If we know this address, the email has a link that works until {link} and a code that works until {code}."
    ),
    "signin": "If we know this address, the email has a code that works until {code}.",
    "address": "Link and code work until {time}.",
}
"""How long what is in the email works; the same for known and unknown addresses."""

_REFUSALS: Final = ("permanent", "bounced", "dropped", "complained", "expired", "suppressed", "limited")
"""Entries of the timeline that are bad news."""

TONES: Final = {
    "accepted": "good", "delivered": "good",
    "queued": "wait", "sending": "wait", "deferred": "wait", "unconfirmed": "wait",
}  # fmt: skip
"""How a state is shown; every other one is bad news."""


@dataclass(frozen=True, slots=True)
class TrackingEntry:
    """One entry of the timeline: time of day, sentence, the mail server's reply, verbatim, and whether it refused."""

    occurred_at: str
    sentence: str
    reply: str | None
    is_bad: bool


@dataclass(frozen=True, slots=True)
class TrackingView:
    """The data of a tracking page; `tone` is `good`, `wait` or `bad`, `zone` that of the times.

    `is_coming` says whether the message is on its way or may be there, `detail` more than the headline does.
    """

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
    is_coming: bool
    is_done: bool
    detail: str
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
    reference, headline = found.token.reference, _HEADLINES.get(message.state)
    told = descriptions.describe_message(message.state, message.last_class, message.next_attempt_at, say, when)
    now_do = _now_do(message, timeline.feedback)
    newest = TokenWithMessage(found.token, message)
    is_new, is_coming = found.token.purpose == "address", message.state in TONES
    is_done = is_new and found.token.used_at is not None
    waits = is_new and is_coming and now < actions.ends_at(session, newest)
    return TrackingView(
        state=message.state,
        tone=TONES.get(message.state, "bad"),
        sentence=told if headline is None else say(headline),
        now_do=now_do and say(now_do),
        lines=_entries(timeline, say, partial(translations.format_second, tag=locale, zone=brand.time_zone)),
        to="…" if message.recipient is None else _masked(message.recipient),
        sender=f"{sender.from_name} <{sender.from_address}>",
        subject=say(copy.SUBJECTS[found.token.purpose]),
        reference=f"{reference[:4]}-{reference[4:]}",
        is_moving=not is_done
        and (waits or message_rules.may_change(message.state, message.accepted_at or message.created_at, now)),
        is_taken=descriptions.is_final(message.state),
        is_coming=is_coming,
        is_done=is_done,
        detail="" if headline is None else told,
        can_reroute=message.state in ("queued", "deferred") and len(rendering.relays_of(brand, settings)) > 1,
        ends=_ends(session, newest, say, when),
        zone=translations.zone_name(now, locale, brand.time_zone),
    )


def _entries(
    timeline: messages.MessageTimeline, say: descriptions.Translate, when: descriptions.When
) -> list[TrackingEntry]:
    message = timeline.message
    return [
        TrackingEntry(
            occurred_at=when(entry["occurred_at"]),
            sentence=entry["sentence"],
            reply=_mask_reply(entry.get("reply"), message),
            is_bad=entry["kind"] in _REFUSALS,
        )
        for entry in descriptions.describe_timeline(message, timeline.attempts, timeline.feedback, say)
    ]


def _now_do(message: Message, feedback: Sequence[Any]) -> str:
    """Return what the reader can do about it, by the cause where it is theirs."""
    cause = _bounce_cause(feedback) if message.state == "bounced" else _CAUSES.get(message.last_class or "")
    is_stuck = message.state in ("deferred", "rejected", "bounced", "expired")
    return _NOW_DO_ABOUT[cause] if cause and is_stuck else NOW_DO.get(message.state, "")


def _bounce_cause(feedback: Sequence[Any]) -> str | None:
    code = next((entry.enhanced for entry in reversed(feedback) if entry.type == "bounced" and entry.enhanced), "")
    if code.endswith(".2.2"):
        return "full"
    return "address" if verdicts.cause_of_code(code) is Cause.ADDRESS else None


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
    """Return a sentence about the validity of link and code, once there is a message that has them."""
    if found.message.accepted_at is None or found.message.state not in TONES:
        return ""
    link, code = actions.ends_at(session, found), actions.ends_at(session, found, by="code")
    return say(_ENDS[found.token.purpose]).format(link=when(link), code=when(code), time=when(link))


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
