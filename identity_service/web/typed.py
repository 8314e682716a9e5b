"""The address that a browser sent last: its own page shows it whole, so that a slip is noticed; others see it masked.

The cookie holds only what this browser sent or has confirmed, and the place it belongs to: the handle of a tracking
page, a form, or the page that says that an address is confirmed.
"""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from fastapi.responses import Response

from identity_service.keys import encoding
from identity_service.web import forms

COOKIE: Final = "__Host-typed"
_SECONDS: Final = 3600
_LONGEST: Final = 400


def remember_typed(response: Response, place: str, text: str) -> Response:
    """Set the cookie: what was typed, for the page of `place`."""
    kept = f"{place}~{encoding.base64url_encode(text[:_LONGEST].encode())}"
    forms.set_cookie(response, COOKIE, kept, same_site="lax", seconds=_SECONDS)
    return response


def place_of(address: str) -> str:
    """Return the place that the page at this address, a path with its query, asks for what was typed."""
    parts = urlsplit(address)
    return parse_qs(parts.query).get("typed", [parts.path])[0]


def filled_in(request: Request) -> dict[str, str]:
    """Return the values of a form that asks for the address again: of the page that led here (`?typed=`), or
    what was in this form when its language was changed."""
    place = request.query_params.get("typed") or request.url.path
    return {"email": find_typed(request, place)}


def find_typed(request: Request, place: str) -> str:
    """Return what this browser typed for the page of `place`, or ""."""
    own, _, kept = request.cookies.get(COOKIE, "").partition("~")
    if not place or own != place:
        return ""
    try:
        return encoding.base64url_decode(kept).decode()[:_LONGEST]
    except ValueError:
        return ""
