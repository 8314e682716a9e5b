"""A passkey for an account that was issued a moment ago without an address; adding it signs in."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import rules as passkey_rules
from identity_service.registration import new_accounts
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/passkeys/new", route_class=FormRoute, include_in_schema=False)


@router.post("/options")
async def begin(request: Request, session: Session, form: Form, now: Now) -> Response:
    """Return the options for `navigator.credentials.create()`, and the id that the response comes back with."""
    (sealed,) = form.take("account")
    await request.app.state.throttle.hit_network(
        "passkey-options", passkey_rules.OPTIONS_PER_NETWORK, dependencies.client_network(request)
    )
    browser = forms.browser_cookie(request)
    account = await new_accounts.find_new_account(session, sealed, browser=browser, now=now)
    begun = await passkeys.begin_registration(session, account, browser=browser, now=now)
    return JSONResponse(begun._asdict(), headers={"Cache-Control": "no-store"})


@router.post("")
async def add(request: Request, session: Session, settings: Settings, form: Form, now: Now) -> Response:
    """Add the first passkey, and sign in with it."""
    sealed, ceremony, response = form.take("account", "ceremony", "response")
    browser, device = forms.browser_cookie(request), sign_in_dependencies.browser_of(request)
    account = await new_accounts.find_new_account(session, sealed, browser=browser, now=now)
    new = await passkeys.read_registration(
        dependencies.database_of(request), account.user_id, ceremony, response, browser=browser, now=now
    )
    made = await passkeys.add_passkey(session, new, device, now=now)
    begun = await sign_in.begin_session(
        session, account.user_id, "verified_passkey" if made.verified else "passkey", None, browser=device,
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, begun, "/me", settings.session_hours, now=now)
