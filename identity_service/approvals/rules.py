"""Which changes are guarded, how long an approved one waits, and the errors. Pure."""

from datetime import timedelta
from typing import Final

from identity_service.errors import NotFound, Problem

NO_MAILBOX = "This account has no mailbox that could confirm this; a second person must approve it in the console."

GUARDED: Final = {
    "business": "business.actions:apply_business",
    "consumer": "business.actions:apply_consumer",
    "merge": "merges.actions:apply_merge",
    "close": "privacy.closing:apply_close",
    "erase": "privacy.actions:apply_erase",
    "email": "addresses.actions:apply_email",
}
"""Changes that a desk may only request, with the function that carries each one out (decision 12)."""
WAITING_TIME: Final = timedelta(hours=72)
"""How long an approved change waits, so that the old mailbox can stop it (PHN-09)."""


class ProofRefused(Problem):
    """This proof does not cover the request."""

    status = 403


class UnknownChange(NotFound):
    """There is no such change, or it is already approved, carried out or stopped."""
