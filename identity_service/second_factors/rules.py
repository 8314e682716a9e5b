"""How often codes may be tried, and errors of the second factor. Pure."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from identity_service.errors import Conflict, Forbidden, NotFound, Problem, Unprocessable

SETUP_LIFETIME: Final = timedelta(minutes=10)
IN_A_ROW: Final = 5
"""Wrong codes in a row, after which no code is looked at for `PAUSE`, and the owner is told once."""
PAUSE: Final = timedelta(minutes=15)
A_DAY: Final = 20
DAY: Final = timedelta(days=1)
LOCKED_AFTER: Final = 50
"""Wrong codes in a row after which no code counts any more (NIST SP 800-63B-4, 3.2.2, allows 100)."""


REMOVAL_WAITS: Final = timedelta(hours=72)
"""How long the removal of a lost app waits, so that every mailbox can stop it (SFA-08)."""
REMOVALS: Final = "3/day"
"""Removals that may be asked for one account."""


class NobodyToTell(Conflict):
    """Your account has no email address that we could tell, so we can't remove the app this way. Please contact us."""


class FactorCodeWrong(Unprocessable):
    """This code isn't right. Type the six digits that your authenticator app shows now."""


class FactorCodeUsed(Unprocessable):
    """This code has been used already. Wait until your authenticator app shows the next one."""


class TooManyFactorCodes(Problem):
    """There were too many wrong codes. Wait a while, then try again."""

    status = 429


class FactorLocked(Forbidden):
    """There were too many wrong codes, so codes of this authenticator app don't work any more. Sign in another way."""


class SetupOver(Conflict):
    """Setting up the app took more than ten minutes, or was begun again elsewhere. Please start again."""


class NoSecondFactor(NotFound):
    """Your account has no authenticator app. It may have been removed already."""


class Tries(NamedTuple):
    """Wrong codes so far: in a row, and since `day_began_at`."""

    failures: int
    failures_today: int
    day_began_at: datetime | None
    blocked_until: datetime | None
    locked_at: datetime | None


def count_try(before: Tries, *, now: datetime) -> Tries:
    """Return the counts with one more code, which is counted as wrong before it is looked at.

    Raises:
        FactorLocked
        TooManyFactorCodes: with `retry_after` in seconds.
    """
    if before.locked_at is not None:
        raise FactorLocked
    if before.blocked_until is not None and now < before.blocked_until:
        raise TooManyFactorCodes(retry_after=int((before.blocked_until - now).total_seconds()) + 1)
    began, today = before.day_began_at, before.failures_today
    if began is None or now - began >= DAY:
        began, today = now, 0
    failures, today = before.failures + 1, today + 1
    pause = now + PAUSE if failures % IN_A_ROW == 0 else None
    blocked_until = began + DAY if today >= A_DAY else pause
    return Tries(failures, today, began, blocked_until, now if failures >= LOCKED_AFTER else None)
