"""`/.well-known/security.txt` (RFC 9116): where a weakness is reported; there when the operator named a contact."""

from datetime import UTC, datetime, time, timedelta
from typing import Final

from fastapi.responses import PlainTextResponse

from identity_service import doors
from identity_service.problems import UnknownPath

PATH: Final = "/.well-known/security.txt"
LONGEST: Final = timedelta(days=364)
"""An `Expires` of a year or more is advised against (RFC 9116, 2.5.5); a later date of the settings is cut to this."""


async def show(settings: doors.Settings, now: doors.Now) -> PlainTextResponse:
    """Say where to report a weakness, until when that holds, and where this file is at home."""
    if not settings.security_contact or settings.security_expires is None:
        raise UnknownPath
    ends = min(datetime.combine(settings.security_expires, time.min, UTC), (now + LONGEST).replace(microsecond=0))
    lines = (
        f"Contact: {settings.security_contact}",
        f"Expires: {ends:%Y-%m-%dT%H:%M:%SZ}",
        f"Canonical: {settings.public_url}{PATH}",
        "Preferred-Languages: en, de",
    )
    return PlainTextResponse("\n".join(lines) + "\n")
