"""Limits and errors of passkeys. Pure."""

from datetime import datetime, timedelta
from typing import Final

from identity_service.errors import Conflict, NotFound, Unprocessable

PURPOSES: Final = ("register", "sign_in")
CHALLENGE_LIFETIME: Final = timedelta(minutes=5)
MOST: Final = 10
"""Passkeys of one account (PKY-07)."""
NEW: Final = timedelta(days=7)
"""A reset proposes to remove passkeys that are younger: whoever took an account over may have added one (PKY-14)."""
TOLD_EVERY: Final = timedelta(days=1)
"""How often one passkey's counter, or one browser's weaker sign-in, is written about at most (PKY-10, PKY-14)."""
LONGEST_NAME: Final = 60
LONGEST_ID: Final = 1023
"""Bytes of a credential's id (WebAuthn, 7.1)."""
OPTIONS_PER_NETWORK: Final = "120/minute; 1200/hour"
"""Challenges that one network may ask for; the sign-in page asks for one when it opens."""
TRANSPORTS: Final = ("ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb")


def is_new(created_at: datetime, *, now: datetime) -> bool:
    """Return whether a passkey is younger than `NEW`."""
    return now - created_at <= NEW


FOR_ONLY: Final = 2
"""Passkeys that ask for a PIN, fingerprint or face, and are not new, that an account needs for `PasskeyOnly`."""


class PasskeyRefused(Unprocessable):
    """We couldn't sign you in with this passkey. Try again, or sign in another way."""


class PasskeyNotAdded(Unprocessable):
    """We couldn't add this passkey. Try again. If that doesn't help, use another device or browser."""


class TooManyPasskeys(Conflict):
    """You have ten passkeys, and there can't be more. Remove one that you don't use first."""


class PasskeyExists(Conflict):
    """This passkey is there already. Use another device or password manager for a second one."""


class LastWayIn(Conflict):
    """This passkey is the only way to sign in to your account. Add another passkey or an email address first."""


class TooFewPasskeys(Conflict):
    """For this you need two passkeys that ask for a PIN, fingerprint or face, each added more than seven days ago."""


class AddressUnconfirmed(Conflict):
    """Confirm your email address first. To do this, sign in once with a code that we email to you."""


class TwoMustStay(Conflict):
    """Only passkeys sign you in, so two must stay. Add another passkey, or allow other ways first."""


class UnknownPasskey(NotFound):
    """We can't find this passkey. It may have been removed already."""
