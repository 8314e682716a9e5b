"""What the one who asked may see of a letter's way: everything the rows say of the mail, and nothing of an account.

Known and unknown addresses have the same rows, so the page may tell the whole truth about the mail (decision 5). It
never shows the kind of letter, a User ID, *opened* or *used*: those would tell a stranger that there is an account.
"""

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from identity_service import email_addresses, languages
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import actions as mail
from identity_service.mail import rules as mail_rules
from identity_service.mail import words
from identity_service.mail.tables import Message
from identity_service.proofs import actions
from identity_service.proofs.actions import Found

PAGES: Final = {"reset": "/reset", "signin": "/signin", "address": "/welcome"}
"""Where the letter of a purpose is followed: `<page>/<tracking handle>`."""

SUBJECTS: Final = {
    "reset": "Your new password",
    "signin": "Your code to sign in",
    "address": "Please confirm your address",
}
"""The subject to look for; letters to known and unknown addresses have the same."""

_SPAM_AFTER = timedelta(minutes=5)
_NOW_DO: Final = {
    "queued": "You need not do anything: it leaves in a moment, and this page shows it.",
    "sending": "You need not do anything: it is being handed over right now.",
    "deferred": "You need not do anything: we go on trying. You can also have it sent by another route.",
    "accepted": "Look into your mailbox. If it is not there after five minutes, look into the spam folder.",
    "delivered": "Look into your mailbox, and into the spam folder.",
    "unconfirmed": "Look into your mailbox. If nothing is there, ask for a new e-mail.",
    "rejected": "Check the address, or use another one; the sentence above says why it was refused.",
    "bounced": "Check the address, or ask your mail provider; the sentence above says why it came back.",
    "expired": "Ask for a new e-mail.",
    "suppressed": "E-mails to this address came back before. Check the address, or call us.",
    "cancelled": "Ask for a new e-mail.",
    "failed": "Please call us and read out the reference below.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: when (UTC), what it means, and what a mail server said, word for word."""

    at: str
    sentence: str
    reply: str | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A letter's way as its asker may see it."""

    state: str
    sentence: str
    now_do: str
    lines: list[Line]
    to: str
    sender: str
    subject: str
    reference: str
    is_moving: bool
    can_reroute: bool
    ends: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the live page."""
        return asdict(self)


async def look(session: AsyncSession, found: Found, *, locale: str, now: datetime) -> Watched:
    """Return what a follower of this letter may see now."""
    say = languages.catalogue(locale).gettext
    fate = await mail.fate(session, found.message.id)
    message, settings = fate.message, settings_of(session)
    entries = words.timeline(message, fate.attempts, fate.feedback, say)
    lines = [Line(f"{entry['at']:%H:%M:%S}", entry["sentence"], _own(entry.get("reply"), message)) for entry in entries]
    reference = found.proof.reference
    return Watched(
        state=message.state,
        sentence=words.of_message(message.state, message.last_class, message.next_attempt_at, say),
        now_do=say(_NOW_DO[message.state]),
        lines=lines,
        to="…" if message.to_addr is None else _masked(message.to_addr),
        sender=f"{settings.mail_from_name} <{settings.mail_from}>",
        subject=say(SUBJECTS[found.proof.purpose]),
        reference=f"{reference[:4]}-{reference[4:]}",
        is_moving=not words.is_final(message.state) or _was_just_taken(message, now),
        can_reroute=message.state in ("queued", "deferred") and len(settings.relays) > 1,
        ends=_ends(session, Found(found.proof, message), say),
    )


async def by_another_route(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Try a letter that is still waiting now, at the relay after the one that was tried last."""
    if found.message.state not in mail_rules.PENDING:
        return
    names = [relay.name for relay in settings_of(session).relays]
    fate = await mail.fate(session, found.message.id)
    tried = [attempt.relay for attempt in fate.attempts if attempt.relay in names]
    other = names[(names.index(tried[-1]) + 1) % len(names)] if tried else names[-1]
    await mail.send_again(session, found.message.id, relay=other, actor="customer", now=now)


def _ends(session: AsyncSession, found: Found, say: words.Say) -> str:
    """Say how long the letter's secrets work: they count from hand-over, for known and unknown addresses alike."""
    if found.message.accepted_at is None:
        return say("Link and code begin to count when a relay takes the e-mail.")
    link, code = actions.ends_at(session, found), actions.ends_at(session, found, by="code")
    if link == code:
        return say("The e-mail's code works until {code} UTC.").format(code=f"{code:%H:%M}")
    sentence = say("The e-mail's link works until {link} UTC, its code until {code} UTC.")
    return sentence.format(link=f"{link:%H:%M}", code=f"{code:%H:%M}")


def _was_just_taken(message: Message, now: datetime) -> bool:
    # A bounce comes within minutes, if one comes: the page stays live for as long.
    return message.state == "accepted" and message.accepted_at is not None and now - message.accepted_at < _SPAM_AFTER


def _own(reply: str | None, message: Message) -> str | None:
    """Return a reply without addresses but the reader's own, and that one masked: a mail server may quote others."""
    if reply is None or message.to_addr is None:
        return reply
    own = {text.lower() for text in (message.to_ascii, message.to_addr) if text is not None}
    mine = _masked(message.to_addr)
    return re.sub(r"[^\s<>@:;,()\"]+@[^\s<>@:;,()\"]+", lambda m: mine if m[0].lower() in own else "…@…", reply)


def _masked(address: str) -> str:
    # In lower case: the letter goes to the address on file, and its spelling would tell a stranger that there is one.
    return email_addresses.mask(address.lower())
