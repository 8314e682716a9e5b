"""How long a check holds, how its code and phrase are made, when a hand-over is one too many. Pure."""

from datetime import datetime, timedelta
from functools import cache
from typing import Final

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from identity_service import tokens
from identity_service.errors import Conflict, NotFound, Problem, Unprocessable

DIGITS: Final = 6
TRIES: Final = 3
HOLDS: Final = timedelta(minutes=15)
"""How long a match unlocks anything (PHN-08)."""
WARN_AT: Final = 2
NUMBER_LENGTH: Final = 6
WHATS: Final = ("opened", "note", "handed_over", "picked_up", "verified", "not_verified", "did", "closed")
PURPOSES: Final = ("identify", "reset", "business", "receipt")
"""What a check may be asked for; it is good for no other. `identify` is the call as a whole."""
NAMES: Final = 2048

CHECKS_PER_CLERK: Final = "30/hour"
CHECKS_PER_ACCOUNT: Final = 6
COUNTED_FOR: Final = timedelta(hours=1)
"""However many clerks ask: 18 guesses an hour at six digits."""


class UnknownContact(NotFound):
    """There is no such contact."""


class ContactClosed(Conflict):
    """This contact is closed; open a new one."""


class AnothersContact(Conflict):
    """This contact is about another customer, and so are its notes; open a new one."""


class UnknownDesk(Unprocessable):
    """There is no such desk; the known ones are listed in `known`."""


class UnknownCheck(NotFound):
    """There is no such caller check, or it is another clerk's, or of another contact."""


class CheckOver(Conflict):
    """This check is over: answered, out of tries, or too old. Start another one."""


class NotVerified(Problem):
    """The caller is not verified in this contact, or it was more than 15 minutes ago."""

    status = 403


def digits(key: bytes, nonce: bytes) -> str:
    """Return the code of a check: six digits, derived like every secret in a letter and stored nowhere (PHN-05)."""
    number = int.from_bytes(tokens.keyed_hash(key, "digits", b"caller_check", nonce), "big") % 10**DIGITS
    return f"{number:0{DIGITS}d}"


def phrase(key: bytes, nonce: bytes) -> str:
    """Return the two words that the clerk reads and the letter shows: first names, 22 bits, their own label, so that
    they tell nothing of the code (PHN-07)."""
    number = int.from_bytes(tokens.keyed_hash(key, "phrase", b"caller_check", nonce), "big")
    names = _names()
    return f"{names[number % NAMES].capitalize()} {names[number // NAMES % NAMES].capitalize()}"


def waited(seconds: int, since: datetime | None, now: datetime) -> int:
    """Return how long a caller has waited in all: what is added up, and the wait that is still going on."""
    return seconds if since is None else seconds + max(0, int((now - since).total_seconds()))


def holds(answered_at: datetime | None, now: datetime) -> bool:
    """Tell whether a match still unlocks something."""
    return answered_at is not None and now - answered_at <= HOLDS


@cache
def _names() -> list[str]:
    return sorted(name for name in list(FREQUENCY_LISTS["female_names"])[: NAMES + 400] if len(name) >= 3)[:NAMES]
