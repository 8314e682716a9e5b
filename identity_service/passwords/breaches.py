"""Check whether a password has appeared in a known breach, by a range service that learns five hexadecimal digits.

Off unless a service is configured. If the service does not answer within a second, the password is accepted and a
warning is logged (REL-40).
"""

import hashlib

import httpx2

from identity_service import logs

SECONDS = 1.0


async def is_breached(password: str, range_url: str) -> bool:
    """Return whether the range service at `range_url` knows the password (SHA-1, five digits, padded response)."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False) as http:
            response = await http.get(f"{range_url}/{digest[:5]}", headers={"Add-Padding": "true"})
            response.raise_for_status()
    except (httpx2.HTTPError, OSError) as problem:
        logs.log.warning("password.breach_list_unavailable", error=type(problem).__name__)
        return False
    found = (line.partition(":") for line in response.text.splitlines())
    return any(suffix.strip().upper() == digest[5:] and count.strip() != "0" for suffix, _, count in found)
