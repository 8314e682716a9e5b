"""Who has entered a recovery code, as a dependency of pages; the cookie of that session."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.database.transactions import DatabaseSession
from identity_service.recovery import actions, rules
from identity_service.recovery.actions import Recovering
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Session


async def find_recovering(request: Request, session: DatabaseSession, now: datetime) -> Recovering | None:
    """Return who recovers an account in this browser, or None."""
    cookie = request.cookies.get(forms.RECOVERY_COOKIE)
    return await actions.find_recovery(session, cookie, now=now) if cookie else None


async def _recovering(request: Request, session: Session, now: Now) -> Recovering:
    found = await find_recovering(request, session, now)
    if found is None:
        raise rules.NotRecovering
    request.state.locale, request.state.shown_brand = found.account.locale, found.account.brand
    request.scope["log_fields"] = {"user_id": found.account.user_id}
    return found


Recoverer = Annotated[Recovering, Depends(_recovering)]
"""The account of the recovery session's cookie; without a valid one the page redirects to `/recover`."""


async def _recovering_before(request: Request, now: Now) -> Recovering:
    async with dependencies.database_of(request).transaction() as session:
        return await _recovering(request, session, now)


RecovererBefore = Annotated[Recovering, Depends(_recovering_before)]
"""`Recoverer`, found in a transaction that is over: for routes that hash, which none may be open for."""


def begin_session(cookie: str, path: str) -> Response:
    """Redirect to a page of the recovery with its cookie, which follows no link from elsewhere."""
    response = RedirectResponse(path, 303)
    forms.set_cookie(
        response, forms.RECOVERY_COOKIE, cookie, same_site="strict", seconds=int(rules.LIFETIME.total_seconds())
    )
    return response


def delete_cookie(response: Response) -> Response:
    """Delete the cookie: the session is over."""
    response.delete_cookie(forms.RECOVERY_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response
