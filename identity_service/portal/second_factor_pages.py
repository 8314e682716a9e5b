"""The page of a customer's own authenticator app: set up, replace, remove. Each needs a sign-in of the last ten minutes
that is as strong as the account can, so that a password removes no app (SFA-05, SFA-07)."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.resets import texts as reset_texts
from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import rules as factor_rules
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in import rules as sign_in_rules
from identity_service.sign_in.dependencies import FreshCustomer, SettingUpCustomer, Wanted
from identity_service.web import forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix=sign_in_rules.SET_UP, route_class=FormRoute, include_in_schema=False)
_SET_UP = "portal/second_factor_set_up.html"


@router.get("")
async def show_second_factor(
    request: Request, session: Session, customer: SettingUpCustomer, settings: Settings, wanted: Wanted, saved: str = ""
) -> Response:
    """Show whether there is an app, with the forms to set one up and to remove it."""
    own = customer.session
    page = pages.render_page(
        request, "portal/second_factor.html", saved=saved, removal_waits=factor_rules.REMOVAL_WAITS,
        factor=await second_factors.find_factor(session, customer.account.user_id),
        must=sign_in_rules.must_set_up(settings.second_factor_required, own.method, own.second_factor),
    )  # fmt: skip
    if "next" in request.query_params:
        sign_in_dependencies.remember_return(page, wanted)
    return page


@router.post("/set-up")
async def begin(
    request: Request,
    session: Session,
    form: Form,
    customer: SettingUpCustomer,
    settings: Settings,
    now: Now,
    wanted: Wanted,  # noqa: ARG001
) -> Response:
    """Show a new seed, this once, as a QR code and as text."""
    form.take()
    if settings.second_factor_required == "none":
        await reset_texts.check_changeable(session, customer.account.user_id, now=now)
    setup = await second_factors.begin_setup(session, customer.account, now=now)
    return pages.render_page(request, _SET_UP, setup=setup)


@router.post("/confirm", openapi_extra={"x-form": _SET_UP})
async def confirm(
    request: Request, session: Session, form: Form, customer: SettingUpCustomer, settings: Settings, now: Now,
    wanted: Wanted,
) -> Response:  # fmt: skip
    """Let the app count from its first code on, and go on as signed in with it."""
    (code,) = form.take("code")
    await second_factors.finish_setup(session, customer.account.user_id, code, now=now)
    cookie = forms.browser_cookie(request)
    new = await sign_in.continue_session(session, customer, cookie, second_factor="totp", now=now)
    path = f"{sign_in_rules.SET_UP}?saved=added#saved" if wanted == "/me" else wanted
    return sign_in_dependencies.begin_session(request, new, path, settings.session_hours, now=now)


@router.post("/remove")
async def remove(
    request: Request, session: Session, form: Form, customer: FreshCustomer, settings: Settings, now: Now
) -> Response:
    """Remove the app, end every other session, and tell every mailbox of the customer."""
    form.take()
    await reset_texts.check_changeable(session, customer.account.user_id, now=now)
    await second_factors.remove_factor(session, customer.account.user_id, actor="customer", now=now)
    new = await sign_in.continue_session(session, customer, forms.browser_cookie(request), now=now)
    path = f"{sign_in_rules.SET_UP}?saved=removed#saved"
    return sign_in_dependencies.begin_session(request, new, path, settings.session_hours, now=now)
