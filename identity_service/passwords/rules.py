"""Limits of password attempts, cost limits of hashes, and errors. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Conflict, Unavailable, Unprocessable

Result = Literal["match", "no_match", "wait", "change_required", "second_factor_needed"]
Reason = Literal["too_short", "too_long", "common", "context", "guessable", "breached", "recovery_code"]

MAXIMUM_CHARACTERS: Final = 256
MAXIMUM_BYTES: Final = 1024
"""Longer passwords are refused, never cut (PWD-02; NIST SP 800-63B-4, 3.1.1.2)."""
FREE_ATTEMPTS: Final = 10
LOCKED_AFTER: Final = 100
"""Failures in a row after which a password is locked until a reset (NIST SP 800-63B-4, 3.2.2; PWD-06)."""
FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=1)
FORGET_AFTER: Final = timedelta(days=30)

MAXIMUM_MEMORY_KIB: Final = 256 * 1024
MAXIMUM_PASSES: Final = 10
MAXIMUM_LANES: Final = 8
"""Cost limits of a stored argon2 hash; one above them is not evaluated and an error is logged, so that a manipulated
row cannot exhaust memory or CPU (PWD-15)."""


_WEAK: Final[Mapping[Reason, str]] = {
    "too_short": (
        "Your password is too short. Use at least {minimum} characters. Four or five random words work well."
    ),
    "too_long": "Your password is too long. Use no more than 256 characters.",
    "common": "This password is too common, or made from common passwords. Try four or five unrelated words.",
    "context": (
        "This password is made from your name or email address, or from our name. Try four or five unrelated words."
    ),
    "guessable": "This password is too easy to guess. Try four or five unrelated words.",
    "breached": "This password has appeared in a data breach. Choose a different one.",
    "recovery_code": "This is a recovery code. Whoever finds your card would have your password. Choose another one.",
}


@dataclass(frozen=True, slots=True)
class RecoveryProof:
    """Proof that a recovery code of this account was entered, with a second proof where the account needs one, and that
    its session was used up. Only `recovery.actions.finish` makes one (ATT-03)."""

    user_id: str


class WeakPassword(Unprocessable):
    """This password is too weak. `reason` says why, and `detail` says what helps."""

    def __init__(self, reason: Reason, minimum: int) -> None:
        """Set the sentence for `reason`; `minimum` is the smallest number of characters."""
        super().__init__(_WEAK[reason].format(minimum=minimum), reason=reason, minimum=minimum)

    def sentence(self, say: Callable[[str], str] = str) -> str:
        """Return the sentence in the language of `say`."""
        return say(_WEAK[self.members["reason"]]).format(minimum=self.members["minimum"])


class NoPassword(Conflict):
    """This account has no password. To set one, ask for a password reset."""


class HashingBusy(Unavailable):
    """We're checking too many passwords right now. Try again in a few seconds."""


def is_bounded(memory_kib: int, passes: int, lanes: int) -> bool:
    """Return whether the cost parameters of an argon2 hash are within our limits (PWD-15)."""
    return memory_kib <= MAXIMUM_MEMORY_KIB and passes <= MAXIMUM_PASSES and lanes <= MAXIMUM_LANES


def delay_after(failures: int) -> timedelta | None:
    """Return the delay before another attempt is evaluated, by the number of failures in a row: None for the first
    nine, then 30 s, doubling up to an hour (PWD-06)."""
    if failures < FREE_ATTEMPTS:
        return None
    doublings = min(failures - FREE_ATTEMPTS, 12)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def seconds_left(blocked_until: datetime | None, now: datetime) -> int:
    """Return for how many more seconds no attempt is evaluated, rounded up; 0 if attempts are evaluated."""
    if blocked_until is None or blocked_until <= now:
        return 0
    return int((blocked_until - now).total_seconds()) + 1
