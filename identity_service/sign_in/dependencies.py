"""The signed-in customer, as a dependency of the pages that show customers their own data; session cookies."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from identity_service.sign_in import actions, rules
from identity_service.sign_in.actions import NewSession, SignedIn
from identity_service.web import forms, known_browsers
from identity_service.web.dependencies import Now, Session


async def _customer(request: Request, session: Session, now: Now) -> SignedIn:
    cookie = request.cookies.get(forms.SESSION_COOKIE)
    found = None if not cookie else await actions.find_session(session, cookie, now=now)
    if found is None:
        raise rules.NotSignedIn
    request.state.locale, request.state.shown_brand = found.account.locale, found.account.brand
    request.scope["log_fields"] = {"user_id": found.account.user_id}
    return found


Customer = Annotated[SignedIn, Depends(_customer)]
"""The customer of the request's session cookie; without a valid session the page redirects to `/signin`."""


def browser_of(request: Request) -> str:
    """Return the names of browser and system, by which a customer recognises a session; nothing more is stored."""
    agent = request.headers.get("user-agent", "")[:300]
    engine = next((name for name in ("Edg", "Firefox", "Chrome", "Safari", "curl") if name in agent), "")
    system = next((name for name in ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux") if name in agent), "")
    return " · ".join(filter(None, ("Edge" if engine == "Edg" else engine, system))) or "a browser"


def begin_session(request: Request, response: Response, new: NewSession, hours: int, *, now: datetime) -> Response:
    """Set the session cookie, and remember that this browser has signed in to the account.

    `SameSite=Lax`, so that a link in an email is opened signed in (SES-02).
    """
    forms.set_cookie(response, forms.SESSION_COOKIE, new.cookie, same_site="lax", seconds=hours * 3600)
    return known_browsers.remember_browser(request, response, new.user_id, now=now)


def delete_session_cookie(response: Response) -> Response:
    """Delete the session cookie and what the browser has cached and stored of our pages (ASVS 14.3.1)."""
    response.delete_cookie(forms.SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
