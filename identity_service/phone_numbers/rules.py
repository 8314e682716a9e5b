"""Limits and errors of telephone numbers of accounts. Pure."""

from datetime import datetime, timedelta
from typing import Final

from identity_service.errors import Conflict, NotFound, Problem

MOST: Final = 2
"""Numbers of one account (ADR-01)."""
VALID_CODES: Final = 2
"""How many codes to one number may work at once: the newest two (TXT-07)."""
WAITS_FOR: Final = timedelta(hours=72)
"""How long a number that was added to an account with another way in does not count for recovery (ADR-05)."""
CONFIRMED_FOR: Final = timedelta(days=365)
"""How long a confirmation counts for recovery: numbers are given to other people (ADR-12)."""
MOST_UNKNOWN: Final = 2
"""How often a carrier may say that nobody has a number until it counts for recovery no longer (ADR-12)."""
OLD_ENOUGH: Final = timedelta(days=7)
"""How old an account without a confirmed address must be, with history from a service, to get a text (TXT-02)."""


class TooManyNumbers(Conflict):
    """You have two telephone numbers, and there can't be more. Remove one first."""


class NumberExists(Conflict):
    """This number is there already."""


class UnknownNumber(NotFound):
    """We can't find this number. It may have been removed already."""


class NumberNotProven(Problem):
    """We can't send a text yet. Confirm an email address first."""

    status = 403


class NumberCodeEnded(Problem):
    """This code doesn't work any more. Ask for a new one."""

    status = 410


def recovers_from(*, has_other_way: bool, recovered_from: datetime | None, now: datetime) -> datetime:
    """Return from when a number that was just confirmed counts for recovery; confirmed again, it counts as before."""
    return recovered_from or (now + WAITS_FOR if has_other_way else now)


def may_recover(*, confirmed_at: datetime | None, from_: datetime | None, unknown: int, now: datetime) -> bool:
    """Return whether a number counts for recovery now; `unknown`: how often a carrier said that nobody has it."""
    if confirmed_at is None or from_ is None:
        return False
    return from_ <= now < confirmed_at + CONFIRMED_FOR and unknown < MOST_UNKNOWN
