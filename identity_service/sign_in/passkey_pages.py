"""Sign in with a passkey: the challenge for the script of the sign-in page, and the response that its form sends."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import rules as passkey_rules
from identity_service.sign_in import actions, rules
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in.dependencies import Wanted
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(route_class=FormRoute, include_in_schema=False)


@router.post("/passkeys/sign-in/options")
async def begin_sign_in(request: Request, session: Session, form: Form, now: Now) -> Response:
    """Return the options for `navigator.credentials.get()`, and the id that the response comes back with."""
    form.take()
    await request.app.state.throttle.hit_network(
        "passkey-options", passkey_rules.OPTIONS_PER_NETWORK, dependencies.client_network(request)
    )
    begun = await passkeys.begin_sign_in(session, browser=forms.browser_cookie(request), now=now)
    return JSONResponse(begun._asdict(), headers={"Cache-Control": "no-store"})


@router.post("/passkeys/sign-in", openapi_extra={"x-form": "sign_in/signin.html"})
async def sign_in(request: Request, form: Form, settings: Settings, now: Now, wanted: Wanted) -> Response:
    """Sign in, set the session cookie and redirect to `/me`, or to the page that was wanted."""
    ceremony, response = form.take("ceremony", "response")
    state = request.app.state
    await state.throttle.hit_network("signin-network", rules.PER_NETWORK, dependencies.client_network(request))
    new = await actions.sign_in_by_passkey(
        state.database, ceremony, response, browser=forms.browser_cookie(request),
        device=sign_in_dependencies.browser_of(request), replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, new, wanted, settings.session_hours, now=now)


@router.get("/.well-known/passkey-endpoints")
async def list_passkey_pages(settings: Settings) -> JSONResponse:
    """Tell password managers where passkeys are added and managed (W3C, Passkey Endpoints)."""
    page = f"{settings.issuer}/me/passkeys"
    return JSONResponse({"enroll": page, "manage": page}, headers={"Cache-Control": "public, max-age=86400"})
