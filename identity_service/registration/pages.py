"""The registration pages, and the pages that confirmation links in emails open."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.accounts import actions as accounts
from identity_service.messages import budget
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import confirmations, tracking
from identity_service.one_time_tokens.rules import UnknownTracking
from identity_service.registration import actions, new_accounts
from identity_service.values.user_ids import UserId
from identity_service.web import brand_assets, dependencies, forms, pages, typed, user_id_card
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute
from identity_service.web.networks import coarse_network

PER_NETWORK = "30/hour; 100/day"
PER_NETWORK_AND_MAILBOX = "4/hour; 8/day"
"""One network uses up a fifth of what a mailbox gets for addresses that somebody typed (`messages.budget`)."""

router = APIRouter(route_class=FormRoute, include_in_schema=False)


@router.get("/")
async def show_home(request: Request) -> Response:
    """Show the registration form: the promise and one field; or that for the address which this browser mistyped."""
    values = typed.filled_in(request)
    if values["email"]:
        values["corrects"] = request.query_params.get("typed", "")
    return pages.render_page(request, "registration/home.html", values=values)


@router.post("/", openapi_extra={"x-form": "registration/home.html"})
async def get_id(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Issue a User ID at once, whether or not the address has an account; or correct the address of the one that this
    browser was just given (`corrects` is the handle of its page).
    """
    corrects, *_ = form.take("corrects", "email", *forms.ANSWERS)
    address = forms.take_address(form, settings, "corrects")
    limits, network = request.app.state.throttle, dependencies.client_network(request)
    await limits.hit_network("register-network", PER_NETWORK, network)
    mailbox = budget.mailbox_hash(session, address).hex()
    await limits.hit_network("register-mailbox-network", PER_NETWORK_AND_MAILBOX, network, mailbox)
    started = await actions.register_publicly(
        session, address, corrected=(corrects, typed.find_typed(request, corrects)), locale=pages.locale_of(request),
        where_from=coarse_network(network), now=now,
    )  # fmt: skip
    return typed.remember_typed(RedirectResponse(f"/welcome/{started.handle}", 303), started.handle, address.shown)


@router.post("/without-email", openapi_extra={"x-form": "registration/home.html"})
async def get_id_without_email(request: Request, form: Form, session: Session, now: Now) -> Response:
    """Issue a User ID to somebody who gives no address, and show its card: this once, for no page leads to it."""
    form.take()
    await request.app.state.throttle.hit_network("register-network", PER_NETWORK, dependencies.client_network(request))
    issued = await actions.register_account(
        session, None, display_name=None, locale=pages.locale_of(request), external_ref=None, source="page",
        actor="customer", now=now,
    )  # fmt: skip
    card = user_id_card.user_id_card(issued.account.user_id, request)
    sealed = None
    # Passkeys are bound to the issuer's host; on a brand's the browser would refuse (BRD-05).
    if getattr(request.state, "brand", None) is None:
        browser = forms.browser_cookie(request)
        sealed = new_accounts.seal_account(session, issued.account.user_id, browser=browser, now=now)
    return pages.render_page(request, "registration/card.html", card=card, sealed=sealed, recovery=None)


@router.get("/welcome/{handle}")
async def show_welcome(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show the new User ID as a card, and the timeline of its message."""
    found = await one_time_tokens.find_by_tracking(session, handle, now=now)
    brand_assets.wear(request, found.message.brand)
    if found.token.purpose != "address" or found.token.user_id is None:
        raise UnknownTracking
    locale = pages.locale_of(request)
    account = await accounts.find_account(session, UserId(found.token.user_id))
    view = await tracking.tracking_view(session, found, locale=locale, now=now)
    return pages.render_page(
        request, "registration/welcome.html", watched=view, handle=handle,
        card=user_id_card.user_id_card(account.user_id, request), confirm=f"/confirm/{found.token.handle}",
        typed=typed.find_typed(request, handle),
    )  # fmt: skip


@router.get("/confirm/{handle}")
async def show_confirm(request: Request, handle: str, session: Session, now: Now) -> Response:
    """Show what confirming will do, or that it was done or can be done no more.

    A GET changes nothing: the token is in the URL fragment, which is not sent.
    """
    described = await confirmations.describe_confirmation(session, handle, now=now)
    brand_assets.wear(request, described.pop("message_brand"))
    return pages.render_page(request, "one_time_tokens/confirm.html", handle=handle, **described)


@router.post("/confirm/{handle}", openapi_extra={"x-form": "one_time_tokens/confirm.html"})
async def confirm(request: Request, handle: str, form: Form, now: Now) -> Response:
    """Carry out what the email asks to confirm, by its link or its code."""
    link, code, agreed = form.take("link", "code", "agreed")
    state = request.app.state
    described = await state.database.in_transaction(
        partial(confirmations.describe_confirmation, handle=handle, now=now)
    )
    brand_assets.wear(request, described.pop("message_brand"))
    forms.redisplay_on(request, "one_time_tokens/confirm.html", **described)
    result = await confirmations.confirm_token(
        state.database, state.throttle, handle, link=link, code=code, answer=agreed, now=now
    )
    # Set a fragment: without one, a browser would keep the link's, which is the token (RFC 9110, 10.2.2).
    done = f"/confirmed/{result}"
    page = RedirectResponse(f"{done}#main", 303)
    return typed.remember_typed(page, done, described["proven"]) if described["proven"] else page


@router.get("/confirmed/{result}")
async def show_confirmed(request: Request, result: str) -> Response:
    """Show what was confirmed."""
    return pages.render_page(
        request, "one_time_tokens/confirmed.html", done=confirmations.describe_result(result),
        has_no_password=result == "address",
    )  # fmt: skip


@router.get("/account-closed")
async def show_account_closed(request: Request) -> Response:
    """Show that the account was closed; a static page, reached after the session ended."""
    return pages.render_page(request, "portal/account_closed.html")
