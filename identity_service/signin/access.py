"""Who is signed in: the dependency of every page that shows somebody his own."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from identity_service import forms
from identity_service.doors import Now, Session
from identity_service.signin import actions, rules
from identity_service.signin.actions import Customer as SignedIn


async def _customer(request: Request, session: Session, now: Now) -> SignedIn:
    cookie = request.cookies.get(forms.SESSION_COOKIE)
    found = None if not cookie else await actions.find(session, cookie, now=now)
    if found is None:
        raise rules.NotSignedIn
    request.state.locale = found.account.locale
    request.scope["log_fields"] = {"user_id": found.account.user_id}
    return found


Customer = Annotated[SignedIn, Depends(_customer)]
"""The customer whose session's cookie came with the request; a page without one leads to signing in."""


def browser_of(request: Request) -> str:
    """Return what a customer recognises a browser by: the engine's and the system's name, no more."""
    agent = request.headers.get("user-agent", "")[:300]
    engine = next((name for name in ("Edg", "Firefox", "Chrome", "Safari", "curl") if name in agent), "")
    system = next((name for name in ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux") if name in agent), "")
    return " · ".join(filter(None, ("Edge" if engine == "Edg" else engine, system))) or "a browser"


def begin(response: Response, cookie: str, hours: int) -> Response:
    """Give the browser its session's cookie: `Lax`, so that a link in a letter finds one signed in (SES-02)."""
    forms.set_cookie(response, forms.SESSION_COOKIE, cookie, same_site="lax", seconds=hours * 3600)
    return response


def forget(response: Response) -> Response:
    """Take the cookie back, and what the browser has kept of our pages (ASVS 14.3.1)."""
    response.delete_cookie(forms.SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
