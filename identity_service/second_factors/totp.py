"""One-time codes by time (TOTP, RFC 6238): seeds of 160 bits, six digits, steps of 30 seconds."""

import secrets
from datetime import datetime
from typing import Final

import pyotp
import segno

from identity_service.values import pasted

WINDOW: Final = 1
"""Steps before and after the server's own that count, for clocks that differ (RFC 6238, 5.2)."""


def new_seed() -> str:
    """Return a random seed in Base32."""
    return pyotp.random_base32()


def setup_uri(seed: str, *, name: str, issuer: str) -> str:
    """Return what an authenticator app reads from the QR code: the seed, and whose account at whom."""
    return pyotp.TOTP(seed).provisioning_uri(name=name, issuer_name=issuer)


def qr_code(uri: str) -> str:
    """Return the QR code of a setup URI as an SVG in a `data:` URI."""
    return segno.make(uri, micro=False).svg_data_uri(scale=4, border=2)


def find_step(seed: str, typed: str, *, now: datetime) -> int | None:
    """Return the newest time step that a typed code belongs to, used or not; None if it belongs to none."""
    totp, code = pyotp.TOTP(seed), pasted.read_digits(typed)
    this = int(now.timestamp()) // totp.interval
    for step in range(this + WINDOW, this - WINDOW - 1, -1):
        # Bytes, because compare_digest refuses texts that are not ASCII, and digits of other scripts pass `isalnum`.
        if secrets.compare_digest(totp.at(step * totp.interval).encode(), code.encode()):
            return step
    return None
