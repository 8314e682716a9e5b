"""The sign-in pages: by password, or by an emailed code with a tracking page; and the language of all pages."""

import re
from datetime import datetime
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import translations
from identity_service.accounts import actions as accounts
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import elsewhere, tracking
from identity_service.sign_in import actions, codes, rules
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in.actions import SignedIn
from identity_service.sign_in.dependencies import SignedInCustomer, Wanted
from identity_service.values import email_addresses
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies, forms, known_browsers, pages, typed
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute, refuse_user_id
from identity_service.web.networks import coarse_network

_OWN_PAGE = re.compile(r"/([\w~.-]+(/[\w~.-]+)*)?(\?[\w~.!$&'()*+,;=:@/?%-]{0,4000})?", re.ASCII)
"""A path of ours, with its query: a browser reads `//host` and `/\\host` as another site."""
router = APIRouter(route_class=FormRoute, include_in_schema=False)


@router.get("/signin")
async def show_sign_in(request: Request, now: Now, wanted: Wanted, signed_out: str = "") -> Response:
    """Show the form for both methods, or for the password only if sign-in by email is off; say why somebody is here.

    Who is signed in goes on, unless they were led here because a sign-in of the last ten minutes is needed, or because
    an application asks for one.
    """
    back = "next" in request.query_params or forms.RETURN_COOKIE in request.cookies
    cookie, for_application = request.cookies.get(forms.SESSION_COOKIE), rules.leads_to_application(wanted)
    why: str = ""
    if cookie and not for_application:
        async with dependencies.database_of(request).transaction() as session:
            customer = await actions.find_session(session, cookie, now=now)
            why = await actions.why_signed_out(session, cookie, now=now) or ""
            if customer is not None:
                why = await _why_again(session, customer, wanted, now=now) if back else ""
        if customer is not None and not why:
            return RedirectResponse(wanted, 303)
    first = "signed_out" if signed_out else "first" if wanted != "/me" and not for_application else ""
    page = pages.render_page(request, "sign_in/signin.html", why=why or first, values=_filled_in(request))
    if "next" in request.query_params:
        sign_in_dependencies.remember_return(page, wanted)
    return page


@router.post("/signin", openapi_extra={"x-form": "sign_in/signin.html"})
async def sign_in(request: Request, form: Form, settings: Settings, now: Now, wanted: Wanted) -> Response:
    """Sign in by password, set the session cookie and redirect to `/me`, or to the page that was wanted."""
    text, password = form.take("email", "password")
    refuse_user_id(text)
    address = email_addresses.parse_pasted(text, special_use=settings.development)
    state = request.app.state
    await state.throttle.hit_network("signin-network", rules.PER_NETWORK, dependencies.client_network(request))
    new = await actions.sign_in_by_password(
        state.database, state.hasher, address, password, browser=sign_in_dependencies.browser_of(request),
        known=known_browsers.browser_of(request), replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, new, wanted, settings.session_hours, now=now)


@router.post("/signin/code", openapi_extra={"x-form": "sign_in/code_request.html"})
async def request_code(
    request: Request, form: Form, session: Session, settings: Settings, now: Now, wanted: Wanted
) -> Response:
    """Email a code; the response is the tracking page, whether or not there is an account.

    A browser may have filled in the password of the same form; it is not looked at.
    """
    address = forms.take_address(form, settings, "password")
    limits, network = request.app.state.throttle, dependencies.client_network(request)
    await limits.hit_network("code-network", rules.CODES_PER_NETWORK, network)
    handle = await codes.request_code(
        session, limits, address, locale=pages.locale_of(request), where_from=coarse_network(network),
        browser=known_browsers.browser_of(request), network=network, now=now,
    )  # fmt: skip
    tracked = RedirectResponse(f"/signin/{handle}{rules.query_for(wanted)}", 303)
    return typed.remember_typed(tracked, handle, address.shown)


@router.get("/signin/{handle}")
async def show_code(request: Request, handle: str, session: Session, now: Now, wanted: Wanted) -> Response:  # noqa: ARG001
    """Show the tracking page with the field for the code."""
    found = await one_time_tokens.find_by_tracking(session, handle, codes.PURPOSE, now=now)
    watched = None
    if found.token.purpose == "signin":
        watched = await tracking.tracking_view(session, found, locale=pages.locale_of(request), now=now)
    return pages.render_page(
        request, "sign_in/code.html", watched=watched, handle=handle, typed=typed.find_typed(request, handle)
    )


@router.post("/signin/{handle}", openapi_extra={"x-form": "sign_in/code_again.html"})
async def sign_in_by_code(
    request: Request, handle: str, form: Form, settings: Settings, now: Now, wanted: Wanted
) -> Response:
    """Sign in by code, set the session cookie and redirect to `/me`, or to the page that was wanted."""
    (code,) = form.take("code")
    state = request.app.state
    await state.throttle.hit_network("signin-network", rules.PER_NETWORK, dependencies.client_network(request))
    new = await codes.sign_in_by_code(
        state.database, state.throttle, handle, code, browser=sign_in_dependencies.browser_of(request),
        known=known_browsers.browser_of(request),
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, new, wanted, settings.session_hours, now=now)


@router.post("/signin/{handle}/elsewhere", openapi_extra={"x-form": "sign_in/other_ways.html"})
async def request_code_elsewhere(
    request: Request, handle: str, form: Form, session: Session, settings: Settings, now: Now, wanted: Wanted
) -> Response:
    """Email a code to another address of the customer; the response is the same whether it is one or not."""
    forms.redisplay_on(request, "sign_in/other_ways.html", handle=handle)
    address, network = forms.take_other_address(form, settings), dependencies.client_network(request)
    # Looked up before it is counted, so that a stranger's handle makes no counter.
    await dependencies.database_of(request).in_transaction(
        partial(one_time_tokens.find_by_tracking, handle=handle, purposes=("signin",), now=now)
    )
    await request.app.state.throttle.hit_network("elsewhere", elsewhere.PER_NETWORK, network)
    other = await codes.request_code_elsewhere(
        session, handle, address, locale=pages.locale_of(request), where_from=coarse_network(network), now=now
    )
    return RedirectResponse(f"/signin/{other}{rules.query_for(wanted)}", 303)


@router.get("/.well-known/change-password")
async def change_password() -> Response:
    """Lead password managers to the page for a new password (W3C, A Well-Known URL for Changing Passwords)."""
    return RedirectResponse("/reset", 303)


@router.post("/language")
async def choose_language(request: Request, form: Form, session: Session, now: Now) -> Response:
    """Show pages in this language from now on, in this browser; if it is signed in, emails are in it, too."""
    language, back, email = form.take("language", "back", "email")
    customer = await sign_in_dependencies.find_customer(request, session, now)
    if customer is not None:
        request.state.shown_brand = customer.account.brand
    if language not in pages.brand_of(request).offered:
        raise rules.UnknownLanguage
    if customer is not None and translations.find_language(customer.account.locale) != language:
        changes = {"locale": language}
        await accounts.update_account(session, UserId(customer.account.user_id), changes, actor="customer", now=now)
    back = back if _OWN_PAGE.fullmatch(back) else "/"
    response = RedirectResponse(back, 303)
    if email:
        typed.remember_typed(response, typed.place_of(back), email)
    forms.set_cookie(response, forms.LANGUAGE_COOKIE, language, same_site="lax", seconds=365 * 24 * 3600)
    return response


@router.post("/signout")
async def sign_out(session: Session, form: Form, customer: SignedInCustomer, now: Now) -> Response:
    """End the session, delete its cookie and redirect to `/signin`, which says so."""
    form.take()
    await actions.end_session(session, customer.account.user_id, customer.session.id, now=now)
    return sign_in_dependencies.delete_session_cookie(RedirectResponse(rules.SIGNED_OUT, 303))


async def _why_again(session: DatabaseSession, customer: SignedIn, wanted: str, *, now: datetime) -> str:
    """Return why who is signed in has to sign in again for the page that they want, "" if they need not."""
    check = actions.check_changes_ways_in if wanted in ("/me/passkeys", "/me/recovery-code") else actions.check_fresh
    try:
        await check(session, customer, now=now)
    except rules.PasswordRequired:
        return "password"
    except rules.PasskeyRequired:
        return "passkey"
    except rules.SecondFactorRequired:
        return "second_factor"
    except rules.ReauthenticationRequired:
        return "again"
    return ""


def _filled_in(request: Request) -> dict[str, str]:
    """Return what was typed before, or else whom the application expects."""
    values = typed.filled_in(request)
    expected = getattr(request.state, "page_facts", {}).get("destination")
    return values if values["email"] or expected is None else {"email": expected.login_hint or ""}
