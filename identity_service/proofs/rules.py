"""How secrets in letters are derived, how long they are good for, and when they are dead. Pure."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from identity_service import tokens, user_ids
from identity_service.errors import NotFound, Problem, Unprocessable

CODE_LENGTH: Final = 10
CODE_TRIES: Final = 5
CODE_TRIES_PER_ADDRESS: Final = "5/hour"
"""Wrong codes per letter, and per address and hour; counted before the check. The link is not affected (RST-06)."""
TRACKED_FOR: Final = timedelta(days=7)
REFERENCE_LENGTH: Final = 8

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Life(NamedTuple):
    """How long a letter's secrets are good, from hand-over; `cap` counts from the ask; `outlives`: undo and stop
    links go on when everything proven before has died (RST-16)."""

    link: timedelta
    code: timedelta
    cap: timedelta | None = None
    outlives: bool = False


LIVES: Final[Mapping[str, Life]] = {
    "reset": Life(link=30 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "signin": Life(link=10 * MINUTE, code=10 * MINUTE, cap=2 * HOUR),
    "consent": Life(link=7 * DAY, code=7 * DAY),
    "withdraw": Life(link=3650 * DAY, code=3650 * DAY, outlives=True),
    "business_undo": Life(link=7 * DAY, code=7 * DAY, outlives=True),
    "email_change": Life(link=30 * MINUTE, code=30 * MINUTE),
    "email_undo": Life(link=7 * DAY, code=7 * DAY, outlives=True),
    "merge": Life(link=24 * HOUR, code=24 * HOUR),
    "change": Life(link=24 * HOUR, code=24 * HOUR),
    "stop": Life(link=72 * HOUR, code=72 * HOUR, outlives=True),
    "caller_check": Life(link=5 * MINUTE, code=5 * MINUTE),
    "address": Life(link=24 * HOUR, code=24 * HOUR),
}
"""Every purpose there is. A secret made for one is good for no other (ATT-05)."""


class LinkDead(Problem):
    """This link or code does not work: it was used, it has expired, or it was never ours. Please ask for a new one."""

    status = 410


class CodeWrong(Unprocessable):
    """This code does not fit this e-mail. It has ten symbols, in two groups of five."""


class CodeIsUserId(Unprocessable):
    """That is a User ID. The code stands further down in the e-mail; it has ten symbols, in two groups of five."""


class UnknownTracking(NotFound):
    """There is no e-mail to follow here, or it is too long ago."""


@dataclass(frozen=True, slots=True)
class MailboxProof:
    """Somebody read the mailbox of this account, for this purpose, just now. Made by the UPDATE that uses up a proof
    and by nothing else; what may only be done with one takes it as an argument (ATT-03)."""

    user_id: str
    purpose: str


class Presented(NamedTuple):
    """A link's fragment, taken apart."""

    handle: str
    secret: str


def secret(key: bytes, purpose: str, nonce: bytes) -> str:
    """Return the link's secret: HMAC-SHA-256 in base64url, 256 bits (RST-04)."""
    return tokens.encode(tokens.keyed_hash(key, "link", purpose.encode(), nonce))


def code(key: bytes, purpose: str, nonce: bytes) -> str:
    """Return the code to type: ten symbols of the User ID's alphabet, 45.2 bits (RST-05)."""
    number = (
        int.from_bytes(tokens.keyed_hash(key, "code", purpose.encode(), nonce), "big") % user_ids.PRIME**CODE_LENGTH
    )
    return "".join(user_ids.ALPHABET[number // user_ids.PRIME**place % user_ids.PRIME] for place in range(CODE_LENGTH))


def show_code(symbols: str) -> str:
    """Return a code as it is printed: XXXXX-XXXXX."""
    return f"{symbols[:5]}-{symbols[5:]}"


def read_code(text: str) -> str:
    """Return the symbols of a typed code; case, blanks and dashes do not matter, O is 0 and so on (IDN-03).

    Raises:
        CodeIsUserId: a User ID was typed in its place.
        CodeWrong: it cannot be a code.
    """
    symbols = user_ids.read_symbols(text[:200])
    if user_ids.is_canonical(symbols):
        raise CodeIsUserId
    if len(symbols) != CODE_LENGTH or not set(symbols) <= set(user_ids.ALPHABET):
        raise CodeWrong
    return symbols


def read_link(text: str) -> Presented:
    """Return the parts of `v1.<handle>.<secret>`; LinkDead for anything else, whatever it is (ATT-17, RST-14)."""
    parts = text.split(".") if len(text) <= 200 else []
    if len(parts) != 3 or parts[0] != "v1":
        raise LinkDead
    return Presented(parts[1], parts[2])


def same(given: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def ends_at(
    span: timedelta, cap: timedelta | None, *, asked_at: datetime, accepted_at: datetime | None, deadline_at: datetime
) -> datetime:
    """Return when a secret ends: `span` after the relay took the letter (until then, after the last moment it may be
    taken), and never later than `cap` after the ask (RST-07)."""
    end = (accepted_at or deadline_at) + span
    return end if cap is None else min(end, asked_at + cap)


def is_older(life: Life, asked_at: datetime, valid_after: datetime | None) -> bool:
    """Tell whether everything proven at that time has died since."""
    return not life.outlives and valid_after is not None and asked_at <= valid_after
