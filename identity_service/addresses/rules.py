"""Limits of an account's addresses, when a further one counts for recovery, and the errors. Pure."""

from datetime import datetime, timedelta
from typing import Final

from identity_service.errors import Conflict, NotFound, Unprocessable

REQUESTS_PER_ACCOUNT: Final = "10/day"
REQUESTS_PER_ADDRESS: Final = "3/hour"
"""Whoever asks must not write to strangers, or try addresses, without a limit. The second is for each account, so that
nobody keeps a customer from an address by asking for it."""
ADDED_PER_ACCOUNT: Final = "5/day"
MOST: Final = 5
"""Email addresses of an account, the one on file included (ADR-01)."""
RECOVERS_AFTER: Final = timedelta(hours=72)
"""How long a further address does not recover an account that can already be recovered or signed in to: its owner is
told at once, and can take back what somebody else has added (ADR-05)."""
KEPT_FOR: Final = timedelta(days=10)
"""How long a removed address is kept: the link that brings it back works for seven days, after three to deliver it."""


class AlreadyYours(Unprocessable):
    """That's already your address."""


class TooManyAddresses(Conflict):
    """You can have up to five email addresses. Remove one before you add another."""


class UnknownAddress(NotFound):
    """This isn't one of your further email addresses."""


class NotYet(Conflict):
    """This address can't be your main address yet. It can once you've confirmed it and can use it to recover your
    account.
    """


def recovers_at(*, for_recovery: bool, is_protected: bool, now: datetime) -> datetime | None:
    """Return from when an address that is confirmed now recovers its account, None for never. `is_protected` says that
    the account has another confirmed address, a password or a passkey."""
    if not for_recovery:
        return None
    return now + RECOVERS_AFTER if is_protected else now
