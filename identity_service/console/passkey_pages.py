"""Passkeys of staff: the page of one's own, the sign-in with one, and the page on which a lead renews an enrolment."""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service.console import actions, passkeys, rules
from identity_service.console import dependencies as console_dependencies
from identity_service.console.dependencies import FreshStaff, Lead, RenewingLead, Wanted
from identity_service.console.views import console_page
from identity_service.keys import encoding
from identity_service.passkeys import responses
from identity_service.passkeys import rules as passkey_rules
from identity_service.passkeys.ceremonies import Begun
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/console", route_class=FormRoute, include_in_schema=False)


@router.post("/passkeys/sign-in/options")
async def begin_sign_in(request: Request, session: Session, form: Form, now: Now) -> Response:
    """Return the options for `navigator.credentials.get()`, and the id that the response comes back with."""
    form.take()
    await _count(request)
    return _options(await passkeys.begin_sign_in(session, browser=forms.browser_cookie(request), now=now))


@router.post("/passkeys/sign-in", openapi_extra={"x-form": "console/signin.html"})
async def sign_in(request: Request, form: Form, now: Now, wanted: Wanted) -> Response:
    """Sign in with a passkey alone."""
    ceremony, response = form.take("ceremony", "response")
    state = request.app.state
    await state.throttle.hit_network("staff-network", rules.PER_NETWORK, dependencies.client_network(request))
    cookie = await passkeys.sign_in_by_passkey(
        state.database, ceremony, response, browser=forms.browser_cookie(request), now=now
    )
    return console_dependencies.set_staff_cookie(RedirectResponse(wanted, 303), cookie)


@router.get("/passkeys")
async def show_passkeys(
    request: Request, session: Session, staff: FreshStaff, settings: Settings, saved: str = ""
) -> Response:
    """List one's own passkeys, with a form for another one."""
    facts = await _describe(session, staff, settings)
    return console_page(request, "console/passkeys.html", staff, **facts, saved=saved)


@router.post("/passkeys/options")
async def begin(request: Request, session: Session, form: Form, staff: FreshStaff, now: Now) -> Response:
    """Return the options for `navigator.credentials.create()`, and the id that the response comes back with."""
    form.take()
    await _count(request)
    browser = forms.browser_cookie(request)
    return _options(await passkeys.begin_registration(session, staff.staff, browser=browser, now=now))


@router.post("/passkeys")
async def add(request: Request, form: Form, staff: FreshStaff, settings: Settings, now: Now) -> Response:
    """Add the passkey, and go on as signed in with it; every other session of this person ends."""
    ceremony, response, name = form.take("ceremony", "response", "name")
    database = dependencies.database_of(request)
    facts = await database.in_transaction(lambda session: _describe(session, staff, settings))
    forms.redisplay_on(request, "console/passkeys.html", **facts, saved="")
    cookie = await passkeys.add_passkey(
        database, staff, ceremony, response, name, browser=forms.browser_cookie(request), now=now
    )
    return console_dependencies.set_staff_cookie(RedirectResponse("/console/passkeys?saved=added#saved", 303), cookie)


@router.post("/passkeys/{passkey_id}/remove")
async def remove(
    request: Request, passkey_id: uuid.UUID, session: Session, form: Form, staff: FreshStaff, settings: Settings,
    now: Now,
) -> Response:  # fmt: skip
    """Remove one of one's own passkeys."""
    form.take()
    forms.redisplay_on(request, "console/passkeys.html", **await _describe(session, staff, settings), saved="")
    await passkeys.remove_own_passkey(session, staff, passkey_id, now=now)
    return RedirectResponse("/console/passkeys?saved=removed#saved", 303)


@router.get("/staff")
async def show_staff(request: Request, session: Session, staff: Lead) -> Response:
    """List the staff, with how they sign in."""
    return await _staff_page(request, session, staff)


@router.post("/staff/{name}/renew")
async def renew(
    request: Request, name: str, session: Session, form: Form, staff: RenewingLead, settings: Settings, now: Now
) -> Response:
    """End what signs a colleague in, and show the link of a new enrolment once."""
    form.take()
    secret = await actions.renew_enrolment(session, staff, name, now=now)
    link = f"{settings.public_url}/console/enrol#{secret}"
    return await _staff_page(request, session, staff, renewed=name, link=link)


async def _staff_page(
    request: Request, session: Session, staff: actions.SignedInStaff, renewed: str = "", link: str = ""
) -> Response:
    listed = await passkeys.list_staff_with_passkeys(session)
    return console_page(
        request, "console/staff.html", staff, listed=listed, renewed=renewed, link=link,
        renewable=rules.RENEWED_BY_LEADS,
    )  # fmt: skip


async def _count(request: Request) -> None:
    await request.app.state.throttle.hit_network(
        "passkey-options", passkey_rules.OPTIONS_PER_NETWORK, dependencies.client_network(request)
    )


def _options(begun: Begun) -> Response:
    return JSONResponse(begun._asdict(), headers={"Cache-Control": "no-store"})


async def _describe(session: Session, staff: actions.SignedInStaff, settings: Settings) -> dict[str, Any]:
    """Return what the page shows, and what tells the browser which passkeys there are; values, not rows."""
    found = await passkeys.list_passkeys(session, staff.staff)
    names = ("id", "label", "created_at", "last_used_at", "backed_up", "went_back_at")
    return {
        "passkeys": [{name: getattr(one, name) for name in names} for one in found],
        "rp_id": responses.rp_id(settings),
        "ids": " ".join(encoding.base64url_encode(one.credential_id) for one in found),
        "handle": encoding.base64url_encode(found[0].user_handle) if found else "",
        "must_add": rules.lacks_passkey(
            staff.staff.role, staff.session.method, leads_need=settings.leads_need_passkey
        ),
    }  # fmt: skip
