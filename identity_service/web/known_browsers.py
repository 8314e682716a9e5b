"""Browsers that have signed in to an account before (OWASP: "device cookies").

A stranger who knows an address can use up what is counted for that address, but not what is counted for a browser that
its owner has signed in with: there, wrong passwords and requests for messages have counters of their own. The cookie
proves nothing else, and nothing once every session of the account has ended: after a merge is undone, a browser of the
former other customer is a stranger's again.
"""

import secrets
from datetime import datetime
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from identity_service.keys.known_browsers import KnownBrowser
from identity_service.web import dependencies, forms

COOKIE: Final = "__Host-known"
_SECONDS: Final = 365 * 24 * 3600


def browser_of(request: Request) -> KnownBrowser:
    """Return the browser that sent a request; however often it is asked for, it would get the same new name."""
    key = dependencies.database_of(request).keys.internal()
    request.state.new_name = getattr(request.state, "new_name", "") or secrets.token_urlsafe(12)
    return KnownBrowser(key, request.cookies.get(COOKIE, "")[:200], request.state.new_name)


def remember_browser(request: Request, response: Response, user_id: str, *, now: datetime) -> Response:
    """Set the cookie, for a browser that has just signed in to this account."""
    cookie = browser_of(request).cookie_for(user_id, now=now)
    forms.set_cookie(response, COOKIE, cookie, same_site="lax", seconds=_SECONDS)
    return response
