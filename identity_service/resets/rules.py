"""States, limits and errors of resets. Pure."""

from datetime import datetime
from typing import Final, Literal

from identity_service.errors import NotFound, Unprocessable

State = Literal["asked", "mailed", "opened", "used", "expired"]

PER_ADDRESS = "3/hour; 10/day"
PER_NETWORK = "30/hour; 100/day"
PER_CLIENT = "600/minute"
JUDGED_PER_NETWORK = "240/minute"
"""Limits of requests for resets, and of password checks before a token is presented. A request beyond the address's
limit gets the tracking page of the newest message (ATT-18)."""


MOST_KEPT: Final = 12
"""Passkeys that the page of a reset lists at most; of merged accounts there may be more, and the others go."""


class ChoiceInvalid(Unprocessable):
    """This page doesn't belong to your email. Open the link from the email again, or type the code again."""


KEPT_FIELDS = tuple(f"keep{number}" for number in range(MOST_KEPT))
"""The fields of a form that lists passkeys: each has the id of one that is kept."""


class UnknownReset(NotFound):
    """No password reset has this id. Start a new one."""


def state(
    *,
    opened_at: datetime | None,
    used_at: datetime | None,
    accepted_at: datetime | None,
    ends_at: datetime,
    now: datetime,
) -> State:
    """Return the state of a reset: asked → mailed → opened → used, or expired."""
    if used_at is not None:
        return "used"
    if now >= ends_at:
        return "expired"
    if opened_at is not None:
        return "opened"
    return "asked" if accepted_at is None else "mailed"
