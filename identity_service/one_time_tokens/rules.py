"""One-time tokens: how secrets are derived, how long they are valid, and when they are revoked. Pure."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from identity_service.errors import NotFound, Problem, Unprocessable
from identity_service.keys import encoding, hashing
from identity_service.values import user_ids

CODE_LENGTH: Final = 10
DIGITS: Final = 6
"""Digits of a code that confirms a number or a caller; such a code opens nothing (TXT-07)."""
CODE_TRIES: Final = 5
CODE_TRIES_PER_ADDRESS: Final = "200/hour"
"""Code attempts per tracking link, and per address and hour; counted before the check. Links are not affected (RST-06).

A code has 45 bits: 200 attempts an hour guess one in ten thousand million days."""
JUST_USED: Final = timedelta(minutes=10)
"""How long whoever presents a used link or code again is told that it was done, and not that it is invalid."""
TRACKED_FOR: Final = timedelta(days=7)
REFERENCE_LENGTH: Final = 8

_LINK = re.compile(r"v1\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})(?![A-Za-z0-9])")
_TRACKING = re.compile(r"([A-Za-z0-9_-]{24})(?![A-Za-z0-9])")

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Lifetime(NamedTuple):
    """How long link and code are valid, counted from acceptance by a relay; `cap` is counted from the request, and
    without one it is the time within which a relay must take the message, plus this time.

    With `outlives` (undo and stop links) the token stays valid when older tokens are revoked (RST-16).
    """

    link: timedelta
    code: timedelta
    cap: timedelta | None = None
    outlives: bool = False


LIFETIMES: Final[Mapping[str, Lifetime]] = {
    "reset": Lifetime(link=30 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "reset_elsewhere": Lifetime(link=30 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "signin_elsewhere": Lifetime(link=10 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "signin": Lifetime(link=10 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "consent": Lifetime(link=7 * DAY, code=7 * DAY),
    "withdraw": Lifetime(link=3650 * DAY, code=3650 * DAY, outlives=True),
    "business_undo": Lifetime(link=7 * DAY, code=7 * DAY, outlives=True),
    "email_change": Lifetime(link=30 * MINUTE, code=30 * MINUTE),
    "email_undo": Lifetime(link=7 * DAY, code=7 * DAY, outlives=True),
    "further_address": Lifetime(link=30 * MINUTE, code=30 * MINUTE),
    "address_undo": Lifetime(link=7 * DAY, code=7 * DAY, outlives=True),
    "merge": Lifetime(link=24 * HOUR, code=24 * HOUR),
    "change": Lifetime(link=24 * HOUR, code=24 * HOUR),
    "stop": Lifetime(link=72 * HOUR, code=72 * HOUR, outlives=True),
    "keep_factor": Lifetime(link=72 * HOUR, code=72 * HOUR, outlives=True),
    "caller_check": Lifetime(link=5 * MINUTE, code=5 * MINUTE),
    "address": Lifetime(link=24 * HOUR, code=24 * HOUR),
    "recovery": Lifetime(link=10 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "reset_text": Lifetime(link=10 * MINUTE, code=10 * MINUTE, cap=15 * MINUTE),
    "number": Lifetime(link=10 * MINUTE, code=10 * MINUTE, cap=15 * MINUTE),
    "reopen": Lifetime(link=30 * DAY, code=30 * DAY, cap=30 * DAY, outlives=True),
}
"""Every purpose. A secret that was made for one purpose works for no other (ATT-05)."""


class LinkInvalid(Problem):
    """This link or code doesn't work. It has expired, was already used, or isn't ours. Please ask for a new one."""

    status = 410
    used_at: datetime | None = None
    """When the link or code was used, told to whoever presents it."""


class LinkIncomplete(LinkInvalid):
    """The part of the link after the # is missing. Open the link from the email again, or enter the code."""


class JustUsed(LinkInvalid):
    """You did this a moment ago with the same link or code. You don't need to do it again."""


class NotAgreed(Unprocessable):
    """Please tick the box to say that you agree. Then press the button again."""


class ChooseAccount(Unprocessable):
    """This address belonged to an account that is closed. Choose whether to reopen it or use the new one."""


class CodeWrong(Unprocessable):
    """That code isn't right. Enter the 10 characters as they are in your email, in two groups of five."""


class DigitsWrong(Unprocessable):
    """That code isn't right. Enter the six digits as they are in the text message."""


class CodeIsUserId(Unprocessable):
    """That's a User ID. The code is further down in the email. It has 10 characters, in two groups of five."""


class UnknownTracking(NotFound):
    """There's no email to show here, or it's more than seven days old."""


@dataclass(frozen=True, slots=True)
class MailboxProof:
    """Proof that a token for this purpose, requested for this account, was just read at one mailbox and consumed.

    `recipient_hash` is the keyed hash of that mailbox's address: what the proof says about an address holds for this
    one alone. Only `actions.consume` makes one; an action that needs this proof takes it as an argument (ATT-03).
    """

    user_id: str
    purpose: str
    recipient_hash: bytes | None


class ParsedLink(NamedTuple):
    """The parts of a link's fragment."""

    handle: str
    secret: str


def derive_secret(key: bytes, purpose: str, nonce: bytes) -> str:
    """Return the link's secret: HMAC-SHA-256 in base64url, 256 bits (RST-04)."""
    return encoding.base64url_encode(hashing.keyed_hash(key, "link", purpose.encode(), nonce))


def derive_code(key: bytes, purpose: str, nonce: bytes) -> str:
    """Return the code to type: ten symbols of the User ID's alphabet, 45.2 bits (RST-05)."""
    number = (
        int.from_bytes(hashing.keyed_hash(key, "code", purpose.encode(), nonce), "big") % user_ids.PRIME**CODE_LENGTH
    )
    return "".join(user_ids.ALPHABET[number // user_ids.PRIME**place % user_ids.PRIME] for place in range(CODE_LENGTH))


def derive_digits(key: bytes, purpose: str, nonce: bytes) -> str:
    """Return six digits to type, for what they confirm alone."""
    number = int.from_bytes(hashing.keyed_hash(key, "digits", purpose.encode(), nonce), "big") % 10**DIGITS
    return f"{number:0{DIGITS}d}"


def show_code(symbols: str) -> str:
    """Return a code as it is displayed: XXXXX-XXXXX."""
    return f"{symbols[:5]}-{symbols[5:]}"


def read_code(text: str) -> str:
    """Return the symbols of a typed or pasted code, read as a User ID is: case, blanks, dashes, invisible signs and a
    label do not count, full-width forms are read, O is read as 0 and so on (IDN-03).

    Raises:
        CodeIsUserId: a User ID was typed instead.
        CodeWrong: the text cannot be a code.
    """
    symbols = user_ids.read_symbols(text[:200], CODE_LENGTH)
    if user_ids.is_canonical(symbols):
        raise CodeIsUserId
    if len(symbols) != CODE_LENGTH or not set(symbols) <= set(user_ids.ALPHABET):
        raise CodeWrong
    return symbols


def read_link(text: str) -> ParsedLink:
    """Return the parts of `v1.<handle>.<secret>` (ATT-17, RST-14).

    What a text program put around the link is cut off: a full stop, bracket, quote or soft line break cannot belong to
    a secret, nor can an underscore or hyphen behind its last letter. Letters and digits behind it are not cut off.

    Raises:
        LinkIncomplete: there is no text.
        LinkInvalid: there is no link in the first 1,000 characters.
    """
    if not text.strip():
        raise LinkIncomplete
    found = _LINK.search(text[:1000])
    if found is None:
        raise LinkInvalid
    return ParsedLink(found[1], found[2])


def read_tracking_handle(text: str) -> str:
    """Return the handle of a tracking link without what a text program put behind it; other text as it is."""
    found = _TRACKING.match(text)
    return text if found is None else found[1]


def constant_time_equal(given: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def ends_at(
    span: timedelta,
    cap: timedelta,
    *,
    requested_at: datetime,
    accepted_at: datetime | None,
    deadline_at: datetime,
) -> datetime:
    """Return when a secret expires: `span` after a relay accepted the message (while pending, after its deadline), and
    never later than `cap` after the request, however often the message is sent (RST-07)."""
    return min((accepted_at or deadline_at) + span, requested_at + cap)


def is_revoked(lifetime: Lifetime, requested_at: datetime, valid_after: datetime | None) -> bool:
    """Return whether a token was requested before the account's `tokens_valid_after` and does not outlive it."""
    return not lifetime.outlives and valid_after is not None and requested_at <= valid_after
