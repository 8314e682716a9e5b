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
    """Please sign in again. To do this, you need to have signed in within the last ten minutes."""

    status = 401


class WrongPassword(Unprocessable):
    """The email address or password isn't right. Check both, or set a new password."""


class TooManyAttempts(Problem):
    """There were too many attempts. Wait a while and try again, or ask us to email you a code."""

    status = 429


class PasswordChangeRequired(Forbidden):
    """This password is right, but other people may know it, so you can't use it any more. Set a new one by email."""


class SignInByMailOff(Forbidden):
    """You can't sign in by email here. Sign in with your password."""


class UnknownSession(NotFound):
    """We can't find this session. It may have ended already."""


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


class UnknownLanguage(Unprocessable):
    """This site has no pages in that language. Choose one of the languages at the end of the page."""
