"""Which staff member made a request, and what their role allows."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from identity_service.console import actions, rules
from identity_service.console.actions import SignedInStaff
from identity_service.errors import Problem
from identity_service.settings import Settings as AllSettings
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Settings


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


AnyStaff = Annotated[SignedInStaff, Depends(_signed_in_staff)]
"""A staff member who is signed in at the console, also a lead who may do nothing yet but add a passkey."""


def _lacks_passkey(staff: SignedInStaff, settings: AllSettings) -> bool:
    return rules.lacks_passkey(staff.staff.role, staff.session.method, leads_need=settings.leads_need_passkey)


async def _served_staff(staff: AnyStaff, settings: Settings) -> SignedInStaff:
    if _lacks_passkey(staff, settings):
        raise rules.LeadNeedsPasskey
    return staff


Staff = Annotated[SignedInStaff, Depends(_served_staff)]
"""A staff member who is signed in at the console, with any role."""


async def _fresh_staff(request: Request, staff: AnyStaff, settings: Settings, now: Now) -> SignedInStaff:
    refusal: Problem | None = None
    if not rules.is_fresh(staff.session.created_at, now=now):
        refusal = rules.StaffSignInAgain()
    elif _lacks_passkey(staff, settings):
        has_passkey = partial(actions.has_passkey, staff=staff.staff)
        if await dependencies.database_of(request).in_transaction(has_passkey):
            refusal = rules.LeadHasPasskey()
    if refusal is not None:
        refusal.leads_to = rules.sign_in_for(request.url.path)  # type: ignore[misc]
        raise refusal
    return staff


FreshStaff = Annotated[SignedInStaff, Depends(_fresh_staff)]
"""A staff member who has signed in within the last ten minutes, a lead also as `AnyStaff` if they have no passkey."""


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


async def _wanted(request: Request, given: Annotated[str, Query(alias="next")] = "") -> str:
    path = rules.read_return(given)
    if path == given:
        request.state.page_facts = {"sign_in_query": f"?next={path}"}
    return path


Wanted = Annotated[str, Depends(_wanted)]
"""The page to lead to after the sign-in: what `?next=` names, or `/console`."""


async def _renewing_lead(
    staff: Annotated[SignedInStaff, Depends(_with_permission("renew"))],
    fresh: FreshStaff,  # noqa: ARG001 (it refuses)
) -> SignedInStaff:
    return staff


RenewingLead = Annotated[SignedInStaff, Depends(_renewing_lead)]
"""A lead who has signed in within the last ten minutes."""


def set_staff_cookie(response: Response, cookie: str) -> Response:
    """Set the console's cookie: SameSite=Strict, for at most eight hours."""
    seconds = int(rules.SESSION.total_seconds())
    forms.set_cookie(response, forms.STAFF_COOKIE, cookie, same_site="strict", seconds=seconds)
    return response


def delete_staff_cookie(response: Response) -> Response:
    """Delete the console's cookie in the browser."""
    response.delete_cookie(forms.STAFF_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response
