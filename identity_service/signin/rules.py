"""When a session is over, and what is refused. Pure."""

from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Forbidden, NotFound, Problem, Unprocessable

Way = Literal["password", "mail"]
WAYS: Final = ("password", "mail")

SEEN_EVERY: Final = timedelta(minutes=5)
IDLE: Final = timedelta(hours=2)
FRESH: Final = timedelta(minutes=10)
"""How recent a sign-in must be for what cannot be undone."""

PER_NETWORK: Final = "60/minute; 600/hour"
CODES_PER_ADDRESS: Final = "5/hour; 20/day"


class NotSignedIn(Problem):
    """Please sign in first."""

    status = 401
    leads_to = "/signin"


class ReauthenticationRequired(Problem):
    """Please sign in once more: this needs a sign-in of the last ten minutes."""

    status = 401


class WrongPassword(Unprocessable):
    """Address and password do not fit together."""


class PleaseWait(Problem):
    """There were too many tries; please wait a little, or have a code mailed to you."""

    status = 429


class PasswordChangeRequired(Forbidden):
    """This password fits, but it became known and must not be used any more. Please set a new one by mail."""


class SignInByMailOff(Forbidden):
    """Signing in by mail is switched off here."""


class UnknownSession(NotFound):
    """There is no such session."""


def is_over(
    *,
    created_at: datetime,
    seen_at: datetime,
    until: datetime,
    ended_at: datetime | None,
    account_state: str,
    valid_after: datetime | None,
    now: datetime,
) -> bool:
    """Tell whether a session is over, for whatever reason (SES-04)."""
    if ended_at is not None or now >= until or now - seen_at > IDLE or account_state != "active":
        return True
    return valid_after is not None and created_at < valid_after
