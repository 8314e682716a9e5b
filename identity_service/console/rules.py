"""Roles, sessions and what is refused. Pure."""

from datetime import datetime, timedelta
from typing import Final, Literal

from identity_service.errors import Conflict, Forbidden, NotFound, Problem, Unprocessable

Role = Literal["clerk", "lead", "auditor"]
ROLES: Final = ("clerk", "lead", "auditor")
MAY: Final = {
    "serve": ("clerk", "lead"),
    "approve": ("clerk", "lead"),
    "watch": ("clerk", "lead", "auditor"),
    "lift": ("lead",),
    "audit": ("auditor",),
}
"""What each role may do; whoever may approve still never approves what he asked for himself."""

SESSION: Final = timedelta(hours=8)
IDLE: Final = timedelta(minutes=30)
ENROLMENT: Final = timedelta(hours=24)
RECOVERY_CODES: Final = 10
TOTP_WINDOW: Final = 1
PER_NETWORK: Final = "20/minute; 200/hour"
PER_NAME: Final = "10/10 minute; 50/day"


class StaffNotSignedIn(Problem):
    """Please sign in at the console first."""

    status = 401
    leads_to = "/console/signin"


class WrongStaffSignIn(Unprocessable):
    """Name, password and one-time code do not fit together."""


class EnrolmentDead(Problem):
    """This enrolment link does not work: it was used, it is older than a day, or it was never ours."""

    status = 410


class RoleMissing(Forbidden):
    """Your role does not allow this."""


class UnknownStaff(NotFound):
    """There is nobody of this name on the staff."""


class StaffNameTaken(Conflict):
    """Somebody of this name is on the staff already."""


class MalformedStaffName(Unprocessable):
    """A name is 2 to 60 letters, digits, dots and dashes."""


def may(role: str, what: str) -> bool:
    """Tell whether a role may do something."""
    return role in MAY[what]


def is_over(
    *, created_at: datetime, seen_at: datetime, ended_at: datetime | None, removed_at: datetime | None, now: datetime
) -> bool:
    """Tell whether a session of staff is over (PHN-11)."""
    return ended_at is not None or removed_at is not None or now - created_at >= SESSION or now - seen_at >= IDLE
