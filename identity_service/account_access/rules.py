"""When staff may read an account, and when searching is suspicious. Pure."""

from datetime import timedelta
from typing import Final

from identity_service.errors import Unprocessable

LONGEST_REASON: Final = 200
ACCESS_LASTS: Final = timedelta(hours=8)
"""How long an opened account stays readable in its contact: a working day, like a console session (PHN-13)."""
SEARCHES: Final = "60/minute; 600/hour"
"""How often one person at a desk may search."""
SEARCHES_UNSUSPICIOUS: Final = "30/hour"
OPENED_UNSUSPICIOUS: Final = 10
"""More searches in an hour raise the alarm if fewer accounts than this were opened in that hour (PHN-12)."""


class ReasonMissing(Unprocessable):
    """Say why you're opening this account. The customer can read your reason."""


class AccountNotOpened(Unprocessable):
    """Open the account in a contact first, and give the reason. Then name the contact in the X-Contact header."""
