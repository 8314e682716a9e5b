"""`/.well-known/security.txt` (RFC 9116): where to report a vulnerability; served if a contact is set."""

from datetime import UTC, datetime, time, timedelta
from typing import Final

from fastapi.responses import PlainTextResponse

from identity_service.web import dependencies
from identity_service.web.problems import UnknownPath

PATH: Final = "/.well-known/security.txt"
LONGEST: Final = timedelta(days=364)
"""The longest `Expires`: RFC 9116, 2.5.5 recommends less than a year; a later date in the settings is cut to this."""


async def show(settings: dependencies.Settings, now: dependencies.Now) -> PlainTextResponse:
    """Return the file: contact, expiry and canonical URL; 404 if contact or expiry is not set."""
    if not settings.security_contact or settings.security_contact_expires is None:
        raise UnknownPath
    ends = min(
        datetime.combine(settings.security_contact_expires, time.min, UTC), (now + LONGEST).replace(microsecond=0)
    )
    lines = (
        f"Contact: {settings.security_contact}",
        f"Expires: {ends:%Y-%m-%dT%H:%M:%SZ}",
        f"Canonical: {settings.public_url}{PATH}",
        f"Preferred-Languages: {', '.join(dict.fromkeys(('en', settings.brands.find(None).default_language)))}",
    )
    return PlainTextResponse("\n".join(lines) + "\n")
