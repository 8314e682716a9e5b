"""Whether a password has appeared in a known breach: asked of a range service, which learns five hexadecimal digits.

Off unless a service is named. A service that is away refuses nobody: the password is taken, and the log says so
(REL-40); nobody waits longer than a second.
"""

import hashlib

import httpx

from identity_service import logs

SECONDS = 1.0


async def is_breached(password: str, range_url: str) -> bool:
    """Tell whether the service behind `range_url` knows the password (SHA-1 range of five digits, padded answer)."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    try:
        async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=False) as http:
            answer = await http.get(f"{range_url}/{digest[:5]}", headers={"Add-Padding": "true"})
            answer.raise_for_status()
    except (httpx.HTTPError, OSError) as problem:
        logs.log.warning("password.breach_list_away", error=type(problem).__name__)
        return False
    found = (line.partition(":") for line in answer.text.splitlines())
    return any(suffix.strip().upper() == digest[5:] and count.strip() != "0" for suffix, _, count in found)
