"""Validity of sessions, limits and errors of sign-in. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Forbidden, NotFound, Problem, Unprocessable

Method = Literal["password", "mail", "passkey", "verified_passkey"]
WhyOver = Literal["inactive", "changed", "ended", "unused"]
METHODS: Final = ("password", "mail", "passkey", "verified_passkey")
"""A verified passkey asked for a PIN or fingerprint at this sign-in, so it counts as two factors (PKY-03)."""
SECOND_FACTORS: Final = ("totp",)
STRENGTH: Final[Mapping[str, int]] = {"mail": 0, "password": 1, "passkey": 1, "verified_passkey": 2}
"""How strong a sign-in is by its first step alone: a mailed code, one factor, two."""
STRONGEST: Final = 2
PENDING_LIFETIME: Final = timedelta(minutes=5)
"""How long a sign-in may wait for its second factor (SFA-01)."""

SEEN_EVERY: Final = timedelta(minutes=5)
IDLE: Final = timedelta(hours=2)
FRESH: Final = timedelta(minutes=10)
"""How recent a sign-in must be for actions that cannot be undone."""
RETURN_S: Final = 3600
"""How long a browser remembers the page that it wanted: until a code has been mailed, read and typed."""

PER_NETWORK: Final = "60/minute; 600/hour"
CODES_PER_ADDRESS: Final = "5/hour; 20/day"
CODES_PER_NETWORK: Final = "30/hour; 100/day"


def set_up_for(path: str) -> str:
    """Return where to set up a second factor, to come back to this page."""
    back = read_return(path)
    return SET_UP if back == "/me" else f"{SET_UP}?next={back}"


class NotSignedIn(Problem):
    """Please sign in first."""

    status = 401
    leads_to = "/signin"


_PAGES: Final = (
    "addresses", "business", "close", "consumer", "email", "end", "erase", "everything", "history", "name", "numbers",
    "passkeys",
    "receipt", "recovery-code", "second-factor", "support",
)  # fmt: skip
RETURNS: Final = frozenset(f"/me/{page}" for page in _PAGES)
"""The pages that a sign-in may lead back to, beside `/me`."""


_AUTHORIZATION: Final = re.compile(r"/oauth/authorize/[A-Za-z0-9_-]{22}")
"""The path of a stored request of an application that signs customers in."""

SECOND_STEP: Final = "/signin/second-factor"
SET_UP: Final = "/me/second-factor"
SIGNED_OUT: Final = "/signin?signed_out=yes"


def read_return(path: str) -> str:
    """Return the page to lead to after a sign-in: this one if it is of `RETURNS` or a stored request, else `/me`."""
    return path if path in RETURNS or leads_to_application(path) else "/me"


def leads_to_application(path: str) -> bool:
    """Return whether this is the path of a stored request of an application."""
    return _AUTHORIZATION.fullmatch(path) is not None


def query_for(path: str) -> str:
    """Return the query that keeps an application's request through the forms of a sign-in, so that two tabs each end
    with their own; a page of ours is kept by a cookie."""
    return f"?next={path}" if leads_to_application(path) else ""


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


class SecondFactorRequired(ReauthenticationRequired):
    """Please sign in again, with your password or passkey and the code from your authenticator app."""


class SecondFactorMissing(Problem):
    """Please set up an authenticator app first. You need one to use your account here."""

    status = 401
    leads_to = SET_UP
    leads_always = True


class SignInOver(Problem):
    """This sign-in took too long, or something has changed since. Please sign in again."""

    status = 401
    leads_to = "/signin"


class PasswordRequired(ReauthenticationRequired):
    """Please sign in with your password, or set a new one. Your account has one, so a code isn't enough for this."""


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


def strength_of(method: str, second_factor: str | None) -> int:
    """Return how strong a sign-in was (SFA-07): 0 a mailed code, 1 one factor, 2 two. A second factor beside a mailed
    code is one, because email is none (NIST SP 800-63B-4, 3.1.3.1)."""
    return min(STRENGTH[method] + (second_factor is not None), STRONGEST)


def best_strength(*, passkeys: Iterable[bool], has_password: bool, has_factor: bool) -> int:
    """Return the strongest sign-in that an account has; `passkeys` says of each whether it asks for a PIN. Without a
    factor its password counts for no more than the mailbox that can set it."""
    by_passkey = [STRENGTH["verified_passkey" if verified else "passkey"] for verified in passkeys]
    if not has_factor:
        return max(by_passkey, default=0)
    return min(max([*by_passkey, int(has_password)]) + 1, STRONGEST)


def must_set_up(required: str, method: str, second_factor: str | None) -> bool:
    """Return whether a customer has to set up a second factor before anything else, by the setting of that name."""
    return required == "customers" and second_factor is None and method != "verified_passkey"


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
