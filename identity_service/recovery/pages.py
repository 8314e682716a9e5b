"""The pages of a recovery: enter User ID and recovery code, keep the next code, and make one change."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service.addresses import rules as address_rules
from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import rules as passkey_rules
from identity_service.recovery import actions, dependencies, rules
from identity_service.recovery.actions import Recovering
from identity_service.recovery.dependencies import Recoverer, RecovererBefore
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.resets import rules as reset_rules
from identity_service.second_factors import actions as second_factors
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.values import secret_codes, user_ids
from identity_service.web import dependencies as web_dependencies
from identity_service.web import forms, pages, recovery_card
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/recover", route_class=FormRoute, include_in_schema=False)
_CHOOSE = "/recover/choose"


@router.get("")
async def show_form(request: Request) -> Response:
    """Show the form for User ID and recovery code; a script fills it in from the card's QR code."""
    return pages.render_page(request, "recovery/enter.html")


@router.post("", openapi_extra={"x-form": "recovery/enter.html"})
async def begin(request: Request, form: Form, now: Now) -> Response:
    """Begin a recovery session; whatever is wrong is refused alike (REC-22)."""
    typed, secret = form.take("user_id", "secret")
    user_id, code = user_ids.parse(typed), secret_codes.read(secret, secret_codes.RECOVERY)
    state = request.app.state
    await state.throttle.hit_network("recover-network", rules.PER_NETWORK, web_dependencies.client_network(request))
    cookie = await actions.begin_recovery(state.database, state.hasher, user_id, code, now=now)
    return dependencies.begin_session(cookie, _CHOOSE)


@router.get("/choose")
async def show_choices(
    request: Request, session: Session, customer: Recoverer, settings: Settings, now: Now
) -> Response:
    """Ask for the second proof, or show the new code until it is kept, or what can be done now."""
    if customer.session.ended_at is not None:
        raise rules.NotRecovering
    return pages.render_page(request, "recovery/choose.html", **await _facts(session, customer, settings, now=now))


@router.post("/kept")
async def confirm_kept(session: Session, form: Form, customer: Recoverer) -> Response:
    """Forget the new code itself: the customer has it."""
    form.take()
    actions.check_may_act(customer)
    await recovery_codes.confirm_kept(session, customer.account.user_id)
    return RedirectResponse(_CHOOSE, 303)


@router.post("/second-code/send")
async def send_second_code(request: Request, session: Session, form: Form, customer: Recoverer, now: Now) -> Response:
    """Email the code of the second proof to the address on file."""
    form.take()
    await actions.send_second_code(session, request.app.state.throttle, customer, now=now)
    return RedirectResponse(_CHOOSE, 303)


@router.post("/second-code")
async def give_second_code(request: Request, form: Form, customer: RecovererBefore, now: Now) -> Response:
    """Compare the emailed code."""
    (code,) = form.take("code")
    state = request.app.state
    await actions.give_second_code(state.database, state.throttle, state.hasher, customer, code, now=now)
    return RedirectResponse(_CHOOSE, 303)


@router.post("/app-code")
async def give_app_code(request: Request, form: Form, customer: RecovererBefore, now: Now) -> Response:
    """Compare a code of the authenticator app."""
    (code,) = form.take("code")
    state = request.app.state
    await actions.give_app_code(state.database, state.hasher, customer, code, now=now)
    return RedirectResponse(_CHOOSE, 303)


@router.post("/password")
async def set_password(request: Request, form: Form, customer: RecovererBefore, now: Now) -> Response:
    """Set a password; this does not sign in."""
    password, factor, *keep = form.take("password", "factor", *reset_rules.KEPT_FIELDS)
    state = request.app.state
    await actions.set_password(
        state.database,
        state.hasher,
        customer,
        password,
        keep=frozenset(filter(None, keep)),
        factor_too=bool(factor),
        now=now,
    )
    return dependencies.delete_cookie(RedirectResponse("/reset/done#main", 303))


@router.post("/passkey/options")
async def begin_passkey(request: Request, session: Session, form: Form, customer: Recoverer, now: Now) -> Response:
    """Return the options for `navigator.credentials.create()`, and the id that the response comes back with."""
    form.take()
    actions.check_may_act(customer)
    await request.app.state.throttle.hit_network(
        "passkey-options", passkey_rules.OPTIONS_PER_NETWORK, web_dependencies.client_network(request)
    )
    browser = forms.browser_cookie(request)
    begun = await passkeys.begin_registration(session, customer.account, browser=browser, now=now)
    return JSONResponse(begun._asdict(), headers={"Cache-Control": "no-store"})


@router.post("/passkey")
async def add_passkey(
    request: Request, session: Session, form: Form, customer: Recoverer, settings: Settings, now: Now
) -> Response:
    """Add a passkey, and sign in with it."""
    ceremony, response = form.take("ceremony", "response")
    actions.check_may_act(customer)
    new = await passkeys.read_registration(
        web_dependencies.database_of(request), customer.account.user_id, ceremony, response,
        browser=forms.browser_cookie(request), now=now,
    )  # fmt: skip
    device = sign_in_dependencies.browser_of(request)
    begun = await actions.add_passkey(session, customer, new, device=device, now=now)
    page = sign_in_dependencies.begin_session(request, begun, "/me", settings.session_hours, now=now)
    return dependencies.delete_cookie(page)


@router.post("/address")
async def attach_address(
    request: Request, session: Session, form: Form, customer: Recoverer, settings: Settings, now: Now
) -> Response:
    """Ask a mailbox whether it shall be the account's address."""
    forms.redisplay_on(request, "recovery/choose.html", **await _facts(session, customer, settings, now=now))
    address = forms.take_address(form, settings)
    actions.check_may_act(customer)
    limits, own = request.app.state.throttle, customer.account.user_id
    await limits.hit("email-change", address_rules.REQUESTS_PER_ACCOUNT, own)
    await limits.hit(
        "email-change-to", address_rules.REQUESTS_PER_ADDRESS, own, session.keys.address_hash(address.key).hex()
    )
    await actions.attach_address(session, customer, address, now=now)
    return dependencies.delete_cookie(RedirectResponse("/recover/done", 303))


@router.get("/done")
async def show_done(request: Request) -> Response:
    """Show that the mailbox was asked."""
    return pages.render_page(request, "recovery/done.html")


async def _facts(session: Session, customer: Recovering, settings: Settings, *, now: Now) -> dict[str, Any]:
    """Return what the page shows. These are values, not rows: a refused form is shown again after its transaction."""
    account, row = customer
    code = None if row.needs_second else await recovery_codes.show_again(session, account.user_id, now=now)
    return {
        "needs_second": row.needs_second, "was_sent": row.token_id is not None,
        "can_send": row.needs_second and await actions.has_settled_address(session, account, now=now),
        "recovery": None if code is None else recovery_card.recovery_card(account.user_id, code, settings),
        "has_address": account.email_state == "confirmed", "shown_id": user_ids.show(account.user_id),
        "listed": [] if row.needs_second else await actions.list_passkeys(session, account.user_id, now=now),
        "has_app": await second_factors.find_factor(session, account.user_id) is not None,
    }  # fmt: skip
