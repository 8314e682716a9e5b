"""UUIDs of version 7 (RFC 9562, 5.7). Pure."""

import secrets
import uuid
from datetime import datetime


def new_uuid7(now: datetime) -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    milliseconds = int(now.timestamp() * 1000)
    bits = (milliseconds << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (2 << 62) | secrets.randbits(62)
    return uuid.UUID(int=bits)
