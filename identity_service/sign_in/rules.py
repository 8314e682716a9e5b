"""Validity of sessions, limits and errors of sign-in. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Forbidden, NotFound, Problem, Unprocessable

Method = Literal["password", "mail", "passkey", "verified_passkey"]
WhyOver = Literal["inactive", "changed", "ended", "unused"]
METHODS: Final = ("password", "mail", "passkey", "verified_passkey")
"""A verified passkey asked for a PIN or fingerprint at this sign-in, so it counts as two factors (PKY-03)."""
STRENGTH: Final[Mapping[str, int]] = {"mail": 0, "password": 1, "passkey": 1, "verified_passkey": 2}
"""How strong a sign-in is: a mailed code, one factor, two."""
STRONGEST: Final = 2

SEEN_EVERY: Final = timedelta(minutes=5)
IDLE: Final = timedelta(hours=2)
FRESH: Final = timedelta(minutes=10)
"""How recent a sign-in must be for actions that cannot be undone."""
RETURN_S: Final = 3600
"""How long a browser remembers the page that it wanted: until a code has been mailed, read and typed."""

PER_NETWORK: Final = "60/minute; 600/hour"
CODES_PER_ADDRESS: Final = "5/hour; 20/day"
CODES_PER_NETWORK: Final = "30/hour; 100/day"


class NotSignedIn(Problem):
    """Please sign in first."""

    status = 401
    leads_to = "/signin"


RETURNS: Final = frozenset(
    f"/me/{page}"
    for page in "addresses business close consumer email end erase everything history name passkeys receipt".split()
)
"""The pages that a sign-in may lead back to, beside `/me`."""


_AUTHORIZATION: Final = re.compile(r"/oauth/authorize/[A-Za-z0-9_-]{22}")
"""The path of a stored request of an application that signs customers in."""

SIGNED_OUT: Final = "/signin?signed_out=yes"


def read_return(path: str) -> str:
    """Return the page to lead to after a sign-in: this one if it is of `RETURNS` or a stored request, else `/me`."""
    return path if path in RETURNS or leads_to_application(path) else "/me"


def leads_to_application(path: str) -> bool:
    """Return whether this is the path of a stored request of an application."""
    return _AUTHORIZATION.fullmatch(path) is not None


def sign_in_for(path: str, *, again: bool = False) -> str:
    """Return where to sign in, to come back to this page; with `again` also for who is signed in."""
    back = read_return(path)
    return f"/signin?next={back}" if again or back != "/me" else "/signin"


class ReauthenticationRequired(Problem):
    """Please sign in again. To do this, you need to have signed in within the last ten minutes."""

    status = 401
    leads_always = True


class PasskeyRequired(ReauthenticationRequired):
    """Please sign in with your passkey. Your account has one, so a password or code isn't enough for this."""


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


def is_fresh(signed_in_at: datetime, *, now: datetime) -> bool:
    """Return whether a sign-in is recent enough for what cannot be undone."""
    return now - signed_in_at <= FRESH


def why_over(
    *,
    created_at: datetime,
    seen_at: datetime,
    expires_at: datetime,
    ended_at: datetime | None,
    account_state: str,
    valid_after: datetime | None,
    now: datetime,
) -> WhyOver | None:
    """Return why a session is over, None for a valid one: of an inactive account, older than `valid_after`, ended,
    expired or idle (SES-04)."""
    if account_state != "active":
        return "inactive"
    if valid_after is not None and created_at < valid_after:
        return "changed"
    if ended_at is not None:
        return "ended"
    return "unused" if now >= expires_at or now - seen_at > IDLE else None


class UnknownLanguage(Unprocessable):
    """This site has no pages in that language. Choose one of the languages at the end of the page."""
