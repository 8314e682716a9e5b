"""The second step of a sign-in: the page that asks for the code of the customer's authenticator app."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.second_factors import removal
from identity_service.second_factors import rules as factor_rules
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in import rules, second_step
from identity_service.sign_in.dependencies import Wanted
from identity_service.web import dependencies, forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix=rules.SECOND_STEP, route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_second_step(request: Request, session: Session, now: Now, wanted: Wanted) -> Response:  # noqa: ARG001
    """Ask for the code; without a sign-in that waits for one, lead to its beginning."""
    waiting = await second_step.find_waiting(session, request.cookies.get(forms.SECOND_FACTOR_COOKIE, ""), now=now)
    request.state.locale = waiting.account.locale
    return pages.render_page(request, "sign_in/second_factor.html")


@router.get("/lost")
async def show_lost(request: Request, session: Session, now: Now, wanted: Wanted) -> Response:  # noqa: ARG001
    """Say what helps somebody who cannot use the app."""
    waiting = await second_step.find_waiting(session, request.cookies.get(forms.SECOND_FACTOR_COOKIE, ""), now=now)
    request.state.locale = waiting.account.locale
    due_at = await removal.find_due(session, waiting.account.user_id)
    return pages.render_page(request, "sign_in/second_factor_lost.html", due_at=due_at)


@router.post("/lost")
async def ask_removal(request: Request, session: Session, form: Form, now: Now, wanted: Wanted) -> Response:
    """Begin the time after which the app is removed, and tell every mailbox."""
    form.take()
    waiting = await second_step.find_waiting(session, request.cookies.get(forms.SECOND_FACTOR_COOKIE, ""), now=now)
    user_id = waiting.account.user_id
    await request.app.state.throttle.hit("second-factor-removal", factor_rules.REMOVALS, user_id)
    await removal.ask_removal(session, user_id, now=now)
    return RedirectResponse(f"{rules.SECOND_STEP}/lost{rules.query_for(wanted)}", 303)


@router.post("", openapi_extra={"x-form": "sign_in/second_factor.html"})
async def finish_sign_in(request: Request, form: Form, settings: Settings, now: Now, wanted: Wanted) -> Response:
    """Finish the sign-in, set the session cookie and redirect to `/me`, or to the page that was wanted."""
    (code,) = form.take("code")
    state = request.app.state
    await state.throttle.hit_network("signin-network", rules.PER_NETWORK, dependencies.client_network(request))
    new = await second_step.finish(
        state.database, request.cookies.get(forms.SECOND_FACTOR_COOKIE, ""), code,
        replaces=request.cookies.get(forms.SESSION_COOKIE), now=now,
    )  # fmt: skip
    return sign_in_dependencies.begin_session(request, new, wanted, settings.session_hours, now=now)
