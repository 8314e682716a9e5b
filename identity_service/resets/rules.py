"""The states of a reset and what is refused. Pure."""

from datetime import datetime
from typing import Literal

from identity_service.errors import Conflict, NotFound

State = Literal["asked", "mailed", "opened", "used", "expired"]

PER_ADDRESS = "3/hour; 10/day"
PER_NETWORK = "30/hour; 100/day"
PER_CLIENT = "600/minute"
JUDGED_PER_NETWORK = "240/minute"
"""How often a reset may be asked for; over the address's limit the asker is led to the newest letter (ATT-18);
and how many passwords are judged for somebody who has not proven anything yet."""


class UnknownReset(NotFound):
    """There is no such reset."""


class AccountClosed(Conflict):
    """This account is closed; it needs no password."""


def state(
    *,
    opened_at: datetime | None,
    used_at: datetime | None,
    accepted_at: datetime | None,
    ends_at: datetime,
    now: datetime,
) -> State:
    """Return how far a reset has come: asked → mailed → opened → used, or expired."""
    if used_at is not None:
        return "used"
    if now >= ends_at:
        return "expired"
    if opened_at is not None:
        return "opened"
    return "asked" if accepted_at is None else "mailed"
