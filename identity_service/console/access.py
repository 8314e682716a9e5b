"""Who of the staff is behind a request, and what the role allows."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from identity_service import doors, forms
from identity_service.console import actions, rules
from identity_service.console.actions import SignedIn
from identity_service.doors import Now


async def _staff(request: Request, now: Now) -> SignedIn:
    # In a transaction of its own that is over before the work begins: doors here count limits and tries in short ones,
    # and whoever holds a connection while he waits for another one holds up everybody.
    database = doors.database_of(request)
    cookie = request.cookies.get(forms.STAFF_COOKIE)
    by_script = request.headers.get("sec-fetch-mode", "navigate") != "navigate"
    find = partial(actions.find, cookie=cookie or "", by_script=by_script, now=now)
    found = await database.short(find) if cookie else None
    if found is None:
        raise rules.StaffNotSignedIn
    request.scope["log_fields"] = {"staff": found.staff.name}
    return found


Staff = Annotated[SignedIn, Depends(_staff)]
"""Somebody who is signed in at the console, whatever the role."""


def _who_may(what: str) -> Callable[[SignedIn], Awaitable[SignedIn]]:
    async def check(staff: Staff) -> SignedIn:
        if not rules.may(staff.staff.role, what):
            raise rules.RoleMissing
        return staff

    return check


Server = Annotated[SignedIn, Depends(_who_may("serve"))]
Approver = Annotated[SignedIn, Depends(_who_may("approve"))]
Watcher = Annotated[SignedIn, Depends(_who_may("watch"))]
Lead = Annotated[SignedIn, Depends(_who_may("lift"))]
Auditor = Annotated[SignedIn, Depends(_who_may("audit"))]


def begin(response: Response, cookie: str) -> Response:
    """Give the browser the console's cookie: strict, for eight hours at the most."""
    seconds = int(rules.SESSION.total_seconds())
    forms.set_cookie(response, forms.STAFF_COOKIE, cookie, same_site="strict", seconds=seconds)
    return response


def forget(response: Response) -> Response:
    """Take the cookie back."""
    response.delete_cookie(forms.STAFF_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response
