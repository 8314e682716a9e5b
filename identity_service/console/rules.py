"""Roles, sessions and errors of staff. Pure."""

import re
from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Conflict, Forbidden, NotFound, Problem, Unprocessable

Role = Literal["clerk", "lead", "auditor"]
ROLES: Final = ("clerk", "lead", "auditor")
MAY: Final = {
    "serve": ("clerk", "lead"),
    "approve": ("clerk", "lead"),
    "operations": ("clerk", "lead", "auditor"),
    "lift": ("lead",),
    "weaken": ("lead",),
    "reopen": ("lead",),
    "audit": ("auditor",),
}
"""Which roles have a permission. Staff never approve what they requested themselves."""

SESSION: Final = timedelta(hours=8)
IDLE: Final = timedelta(minutes=30)
ENROLMENT: Final = timedelta(hours=24)
RECOVERY_CODES: Final = 10
_SECRET = re.compile(r"(?<![\w.-])([A-Za-z0-9_-]{43})(?![A-Za-z0-9])")
PER_NETWORK: Final = "20/minute; 200/hour"
PER_NAME: Final = "500/day"
PER_NAME_AND_NETWORK: Final = "10/10 minute; 50/day"
"""A stranger who knows a colleague's name uses up the attempts of the own network alone."""


class StaffNotSignedIn(Problem):
    """Sign in to the console first."""

    status = 401
    leads_to = "/console/signin"


class WrongStaffSignIn(Unprocessable):
    """The name, password or one-time code isn't right. Check all three."""


class StaffCodeUsed(Unprocessable):
    """This one-time code has already been used. Wait for the next code in your authenticator app, then sign in with
    that.
    """


class EnrolmentLinkInvalid(Problem):
    """This enrolment link doesn't work. It has been used, is more than a day old, or isn't one of ours. Ask for a new
    one.
    """

    status = 410


class EnrolmentPageInvalid(Unprocessable):
    """This page doesn't belong to your enrolment link. Open the link again."""


class RoleMissing(Forbidden):
    """Your role doesn't allow this."""


class UnknownStaff(NotFound):
    """No staff member has this name."""


class StaffNameTaken(Conflict):
    """Another staff member already has this name. Choose a different one."""


class MalformedStaffName(Unprocessable):
    """Use 2 to 60 letters, digits, dots and dashes for a staff name, like clara.clerk."""


def read_enrolment_secret(text: str) -> str:
    """Return the secret of an enrolment link without what a text program put around it; other text as it is."""
    found = _SECRET.search(text[:1000])
    return text if found is None else found[1]


def may(role: str, permission: str) -> bool:
    """Return whether a role has a permission of `MAY`."""
    return role in MAY[permission]


def is_over(
    *, created_at: datetime, seen_at: datetime, ended_at: datetime | None, removed_at: datetime | None, now: datetime
) -> bool:
    """Return whether a staff session is over: ended, too old, idle for too long, or its owner removed (PHN-11)."""
    return ended_at is not None or removed_at is not None or now - created_at >= SESSION or now - seen_at >= IDLE
