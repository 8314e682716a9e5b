"""The signed-in customer, as a dependency of the pages that show customers their own data; session cookies."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import entry_points
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.sign_in import actions, rules
from identity_service.sign_in.actions import NewSession, PendingCookie, SignedIn
from identity_service.web import dependencies, forms, known_browsers, pages
from identity_service.web.dependencies import Now, Session, Settings


async def find_customer(request: Request, session: DatabaseSession, now: datetime) -> SignedIn | None:
    """Return who is signed in in this browser, or None."""
    cookie = request.cookies.get(forms.SESSION_COOKIE)
    return await actions.find_session(session, cookie, now=now) if cookie else None


async def _signed_in(request: Request, session: Session, now: Now) -> SignedIn:
    found = await find_customer(request, session, now)
    if found is None:
        raise _leading(rules.NotSignedIn(), request)
    request.state.locale, request.state.shown_brand = found.account.locale, found.account.brand
    request.scope["log_fields"] = {"user_id": found.account.user_id}
    return found


SignedInCustomer = Annotated[SignedIn, Depends(_signed_in)]
"""The customer of the request's session cookie; without a valid session the page redirects to `/signin`."""


async def _customer(request: Request, customer: SignedInCustomer, settings: Settings) -> SignedIn:
    own = customer.session
    if rules.must_set_up(settings.second_factor_required, own.method, own.second_factor):
        refusal = rules.SecondFactorMissing()
        refusal.leads_to = rules.set_up_for(request.url.path)  # type: ignore[misc]
        raise refusal
    return customer


Customer = Annotated[SignedIn, Depends(_customer)]
"""The customer, as above; who has to set up a second factor first is led there."""


async def _fresh(request: Request, session: Session, customer: SignedInCustomer, now: Now) -> SignedIn:
    try:
        await actions.check_fresh(session, customer, now=now)
    except rules.ReauthenticationRequired as refusal:
        raise _leading(refusal, request) from None
    return customer


SettingUpCustomer = Annotated[SignedIn, Depends(_fresh)]
"""A fresh customer, as below, who may have to set up a second factor yet."""


async def _fresh_customer(customer: Customer, fresh: SettingUpCustomer) -> SignedIn:  # noqa: ARG001
    return fresh


FreshCustomer = Annotated[SignedIn, Depends(_fresh_customer)]
"""The customer, signed in within the last ten minutes, and as strongly as the account can; any other session leads to
`/signin`, and back afterwards."""


async def _strongest_customer(request: Request, session: Session, customer: Customer, now: Now) -> SignedIn:
    try:
        await actions.check_changes_ways_in(session, customer, now=now)
    except rules.ReauthenticationRequired as refusal:
        raise _leading(refusal, request) from None
    return customer


StrongestCustomer = Annotated[SignedIn, Depends(_strongest_customer)]
"""As `FreshCustomer`, and not by an emailed code where the account has a password: who may add a way to sign in."""


async def _strongest_customer_before(request: Request, settings: Settings, now: Now) -> SignedIn:
    async with dependencies.database_of(request).transaction() as session:
        customer = await _customer(request, await _signed_in(request, session, now), settings)
        return await _strongest_customer(request, session, customer, now)


StrongestCustomerBefore = Annotated[SignedIn, Depends(_strongest_customer_before)]
"""`StrongestCustomer`, found in a transaction that is over: for routes that hash, which none may be open for."""


def _leading(refusal: Problem, request: Request) -> Problem:
    again = isinstance(refusal, rules.ReauthenticationRequired)
    refusal.leads_to = rules.sign_in_for(request.url.path, again=again)  # type: ignore[misc]
    return refusal


async def _wanted(request: Request, now: Now, given: Annotated[str, Query(alias="next")] = "") -> str:
    path = rules.read_return(given or request.cookies.get(forms.RETURN_COOKIE, ""))
    if rules.leads_to_application(path):
        find_destination = entry_points.load("openid.requests:find_destination")
        browser = request.cookies.get(forms.AUTHORIZE_COOKIE, "")
        found = await dependencies.database_of(request).in_transaction(
            partial(find_destination, path=path, browser=browser, now=now)
        )
        if found is not None:
            request.state.shown_brand, request.state.form_destination = found.brand, found.origin
            pages.prefer_languages(request, found.ui_locales)
            request.state.page_facts = {"destination": found, "sign_in_query": f"?next={path}"}
    return path


Wanted = Annotated[str, Depends(_wanted)]
"""The page to lead to after the sign-in: what `?next=` or this browser's cookie names, or `/me`. Where an application
waits for the customer, its name and brand are shown, and the page's form may lead to it."""


def remember_return(response: Response, path: str) -> None:
    """Keep the page to lead back to, through every way of signing in."""
    forms.set_cookie(response, forms.RETURN_COOKIE, path, same_site="lax", seconds=rules.RETURN_S)


def browser_of(request: Request) -> str:
    """Return the names of browser and system, by which a customer recognises a session; nothing more is stored."""
    agent = request.headers.get("user-agent", "")[:300]
    engine = next((name for name in ("Edg", "Firefox", "Chrome", "Safari", "curl") if name in agent), "")
    system = next((name for name in ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux") if name in agent), "")
    return " · ".join(filter(None, ("Edge" if engine == "Edg" else engine, system))) or "a browser"


def begin_session(
    request: Request, new: NewSession | PendingCookie, path: str, hours: int, *, now: datetime
) -> Response:
    """Redirect to the page that was wanted, set the session cookie, and remember that this browser has signed in to the
    account; or lead to the second step, which does so.

    `SameSite=Lax`, so that a link in an email is opened signed in (SES-02).
    """
    if isinstance(new, PendingCookie):
        response = RedirectResponse(f"{rules.SECOND_STEP}{rules.query_for(path)}", 303)
        seconds = int(rules.PENDING_LIFETIME.total_seconds())
        forms.set_cookie(response, forms.SECOND_FACTOR_COOKIE, new.cookie, same_site="strict", seconds=seconds)
        return response
    response = RedirectResponse(path, 303)
    for name in (forms.RETURN_COOKIE, forms.SECOND_FACTOR_COOKIE):
        if name in request.cookies:
            response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
    forms.set_cookie(response, forms.SESSION_COOKIE, new.cookie, same_site="lax", seconds=hours * 3600)
    return known_browsers.remember_browser(request, response, new.user_id, now=now)


def delete_session_cookie(response: Response) -> Response:
    """Delete the session cookie and what the browser has cached and stored of our pages (ASVS 14.3.1)."""
    response.delete_cookie(forms.SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
