"""When a password may be tried again, when it is dead, and the errors that say so. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Conflict, Unavailable, Unprocessable

Result = Literal["match", "no_match", "wait", "change_required"]
Reason = Literal["too_short", "too_long", "common", "context", "guessable", "breached"]

MAXIMUM_CHARACTERS: Final = 256
MAXIMUM_BYTES: Final = 1024
"""Longer is refused, never cut (PWD-02; NIST SP 800-63B-4, 3.1.1.2)."""
FREE_TRIES: Final = 10
DEAD_AFTER: Final = 100
"""Failures in a row after which a password is dead until a reset (NIST SP 800-63B-4, 3.2.2; PWD-06)."""
FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=1)
FORGET_AFTER: Final = timedelta(days=30)

MAXIMUM_MEMORY_KIB: Final = 256 * 1024
MAXIMUM_PASSES: Final = 10
MAXIMUM_LANES: Final = 8
"""What a stored row may ask of us; more is refused and told, so that a row cannot be made a weapon (PWD-15)."""


_WEAK: Final[Mapping[Reason, str]] = {
    "too_short": "A password needs at least {minimum} characters; four or five words do well.",
    "too_long": "A password has at most 256 characters.",
    "common": "This password, or one made of it, is among the first that anybody would try.",
    "context": "This password is made of your own name or address, or of ours.",
    "guessable": "This password can be guessed quickly. Four or five words that do not belong together do well.",
    "breached": "This password has appeared in a known breach; somebody will try it.",
}


class WeakPassword(Unprocessable):
    """This password is too easy to guess; `reason` says why, `detail` what helps."""

    def __init__(self, reason: Reason, minimum: int) -> None:
        """Take the reason, and how many characters are the least."""
        super().__init__(_WEAK[reason].format(minimum=minimum), reason=reason, minimum=minimum)

    def sentence(self, say: Callable[[str], str] = str) -> str:
        """Return why, in somebody's language."""
        return say(_WEAK[self.members["reason"]]).format(minimum=self.members["minimum"])


class NoPassword(Conflict):
    """This account has no password."""


class HashingBusy(Unavailable):
    """Too many passwords are being checked at this moment; try again in a few seconds."""


def is_bounded(memory_kib: int, passes: int, lanes: int) -> bool:
    """Tell whether an argon2 hash asks for no more than we are ready to give (PWD-15)."""
    return memory_kib <= MAXIMUM_MEMORY_KIB and passes <= MAXIMUM_PASSES and lanes <= MAXIMUM_LANES


def delay_after(failures: int) -> timedelta | None:
    """Return how long no further try is evaluated after so many failures in a row: ten are free, then 30 s, doubling
    to an hour (PWD-06)."""
    if failures < FREE_TRIES:
        return None
    doublings = min(failures - FREE_TRIES, 12)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def seconds_left(blocked_until: datetime | None, now: datetime) -> int:
    """Return how many whole seconds no try is evaluated; 0: one is."""
    if blocked_until is None or blocked_until <= now:
        return 0
    return int((blocked_until - now).total_seconds()) + 1
