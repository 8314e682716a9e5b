"""Limits of requests to change an address. Pure."""

from typing import Final

from identity_service.errors import Unprocessable

REQUESTS_PER_ACCOUNT: Final = "10/day"
REQUESTS_PER_ADDRESS: Final = "3/hour"
"""Whoever asks must not write to strangers, or try addresses, without a limit. The second is for each account, so that
nobody keeps a customer from an address by asking for it."""


class AlreadyYours(Unprocessable):
    """That's already your address."""
