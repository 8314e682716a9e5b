"""Which staff member made a request, and what their role allows."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from identity_service.console import actions, rules
from identity_service.console.actions import SignedInStaff
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now


async def _signed_in_staff(request: Request, now: Now) -> SignedInStaff:
    # In its own transaction, which ends before the route runs: routes count limits and attempts in other transactions,
    # and holding one connection while waiting for a second can deadlock the pool.
    database = dependencies.database_of(request)
    cookie = request.cookies.get(forms.STAFF_COOKIE)
    by_script = request.headers.get("sec-fetch-mode", "navigate") != "navigate"
    find = partial(actions.find_staff_session, cookie=cookie or "", by_script=by_script, now=now)
    found = await database.in_transaction(find) if cookie else None
    if found is None:
        raise rules.StaffNotSignedIn
    request.state.page_facts = {"staff": found.staff}
    request.scope["log_fields"] = {"staff": found.staff.name}
    return found


Staff = Annotated[SignedInStaff, Depends(_signed_in_staff)]
"""A staff member who is signed in at the console, with any role."""


def _with_permission(permission: str) -> Callable[[SignedInStaff], Awaitable[SignedInStaff]]:
    async def check(staff: Staff) -> SignedInStaff:
        if not rules.may(staff.staff.role, permission):
            raise rules.RoleMissing
        return staff

    return check


ReopeningStaff = Annotated[SignedInStaff, Depends(_with_permission("reopen"))]
DeskStaff = Annotated[SignedInStaff, Depends(_with_permission("serve"))]
ApprovingStaff = Annotated[SignedInStaff, Depends(_with_permission("approve"))]
OperationsStaff = Annotated[SignedInStaff, Depends(_with_permission("operations"))]
Lead = Annotated[SignedInStaff, Depends(_with_permission("lift"))]
Auditor = Annotated[SignedInStaff, Depends(_with_permission("audit"))]


def set_staff_cookie(response: Response, cookie: str) -> Response:
    """Set the console's cookie: SameSite=Strict, for at most eight hours."""
    seconds = int(rules.SESSION.total_seconds())
    forms.set_cookie(response, forms.STAFF_COOKIE, cookie, same_site="strict", seconds=seconds)
    return response


def delete_staff_cookie(response: Response) -> Response:
    """Delete the console's cookie in the browser."""
    response.delete_cookie(forms.STAFF_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response
