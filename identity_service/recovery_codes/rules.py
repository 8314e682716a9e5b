"""Numbers and errors of recovery codes. Pure."""

from datetime import timedelta
from typing import Final

from identity_service.errors import Unprocessable

FREE_MISSES: Final = 10
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=24)
MOST_MISSES: Final = 100
"""Wrong codes with the right locator: ten without a wait, then waits that double, and after a hundred in all the code
is invalid (NIST SP 800-63B-4, 3.2.2)."""
TOLD_AT: Final = (5, MOST_MISSES)
"""After so many of them the customer is told (REC-27)."""
NEW: Final = timedelta(days=7)
"""A reset ends a code that is younger: whoever took an account over may have made it."""


class RecoveryRefused(Unprocessable):
    """This User ID and recovery code don't go together, or the code was used. Check both. After many tries, wait a
    day.
    """


def wait_after(misses: int) -> timedelta:
    """Return how long no code is evaluated after so many misses."""
    if misses < FREE_MISSES:
        return timedelta()
    return min(FIRST_WAIT * (1 << min(misses - FREE_MISSES, 12)), LONGEST_WAIT)
