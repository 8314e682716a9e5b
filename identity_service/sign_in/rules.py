"""Validity of sessions, limits and errors of sign-in. Pure."""

from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Forbidden, NotFound, Problem, Unprocessable

Method = Literal["password", "mail"]
METHODS: Final = ("password", "mail")

SEEN_EVERY: Final = timedelta(minutes=5)
IDLE: Final = timedelta(hours=2)
FRESH: Final = timedelta(minutes=10)
"""How recent a sign-in must be for actions that cannot be undone."""

PER_NETWORK: Final = "60/minute; 600/hour"
CODES_PER_ADDRESS: Final = "5/hour; 20/day"
CODES_PER_NETWORK: Final = "30/hour; 100/day"


class NotSignedIn(Problem):
    """Please sign in first."""

    status = 401
    leads_to = "/signin"


class ReauthenticationRequired(Problem):
    """Please sign in once more: this needs a sign-in of the last ten minutes."""

    status = 401


class WrongPassword(Unprocessable):
    """Address or password is wrong. Check both, or set a new password."""


class TooManyAttempts(Problem):
    """There were too many attempts; please wait a little, or have a code emailed to you."""

    status = 429


class PasswordChangeRequired(Forbidden):
    """This password is correct, but it became known and must not be used any more. Please set a new one by email."""


class SignInByMailOff(Forbidden):
    """Sign-in by email is turned off here. Please sign in with your password."""


class UnknownSession(NotFound):
    """There is no such session, or it has ended already."""


def is_over(
    *,
    created_at: datetime,
    seen_at: datetime,
    expires_at: datetime,
    ended_at: datetime | None,
    account_state: str,
    valid_after: datetime | None,
    now: datetime,
) -> bool:
    """Return whether a session is over: ended, expired, idle, older than `valid_after`, or of an inactive account
    (SES-04)."""
    if ended_at is not None or now >= expires_at or now - seen_at > IDLE or account_state != "active":
        return True
    return valid_after is not None and created_at < valid_after
