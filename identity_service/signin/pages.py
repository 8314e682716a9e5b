"""The pages of signing in: by password, or by a code that is mailed and followed like every letter."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import doors, email_addresses, forms, pages
from identity_service.doors import Now, Session, Settings
from identity_service.forms import Form, PageDoor
from identity_service.proofs import actions as proofs
from identity_service.proofs import watch
from identity_service.resets.actions import where_from
from identity_service.resets.pages import refuse_user_id
from identity_service.signin import access, actions, rules
from identity_service.signin.access import Customer

router = APIRouter(route_class=PageDoor, include_in_schema=False)


@router.get("/signin")
async def show_sign_in(request: Request) -> Response:
    """Show both ways, or the one where signing in by mail is off."""
    return pages.page(request, "signin/signin.html")


@router.post("/signin", openapi_extra={"x-form": "signin/signin.html"})
async def sign_in(request: Request, form: Form, settings: Settings, now: Now) -> Response:
    """Sign in by password."""
    text, password = form.take("email", "password")
    refuse_user_id(text)
    address = email_addresses.parse(text.strip(), special_use=settings.development)
    state = request.app.state
    await state.throttle.hit("signin-network", rules.PER_NETWORK, doors.network_of(request))
    cookie = await actions.by_password(
        state.database, state.hasher, address, password, browser=access.browser_of(request),
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return access.begin(RedirectResponse("/me", 303), cookie, settings.session_hours)


@router.post("/signin/code", openapi_extra={"x-form": "signin/signin.html"})
async def ask_code(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Mail a code; whoever the address belongs to, the answer is the page that shows the letter's way."""
    (text,) = form.take("email")
    refuse_user_id(text)
    address = email_addresses.parse(text.strip(), special_use=settings.development)
    limits, network = request.app.state.throttle, doors.network_of(request)
    await limits.hit("signin-network", rules.PER_NETWORK, network)
    handle = await actions.ask_code(
        session, limits, address, locale=pages.locale_of(request), where_from=where_from(network), now=now
    )
    return RedirectResponse(f"/signin/{handle}", 303)


@router.get("/signin/{handle}")
async def show_code(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show where the letter is, and the field for its code."""
    found = await proofs.followed(session, handle, actions.PURPOSE, now=now)
    watched = await watch.look(session, found, locale=pages.locale_of(request), now=now)
    return pages.page(request, "signin/code.html", watched=watched, handle=handle)


@router.post("/signin/{handle}", openapi_extra={"x-form": "signin/code_again.html"})
async def sign_in_by_code(request: Request, handle: str, form: Form, settings: Settings, now: Now) -> Response:
    """Sign in by the code."""
    (code,) = form.take("code")
    state = request.app.state
    cookie = await actions.by_code(
        state.database, state.throttle, handle, code, browser=access.browser_of(request),
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return access.begin(RedirectResponse("/me", 303), cookie, settings.session_hours)


@router.post("/signout")
async def sign_out(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """End this session."""
    form.take()
    await actions.end(session, customer.account.user_id, customer.session.id, now=now)
    return access.forget(RedirectResponse("/signin", 303))
