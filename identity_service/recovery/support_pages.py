"""A support code for whoever has entered a recovery code, or holds the page of a new account."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service.accounts import ownership
from identity_service.contacts import customer_views, screen_answers, support_codes
from identity_service.recovery import actions, dependencies, rules
from identity_service.recovery.actions import Recovering
from identity_service.recovery.dependencies import Recoverer
from identity_service.registration import new_accounts
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies as web_dependencies
from identity_service.web import forms, pages
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/recover/support", route_class=FormRoute, include_in_schema=False)
_PAGE = "/recover/support"


@router.post("/new")
async def begin_for_new_account(request: Request, session: Session, form: Form, now: Now) -> Response:
    """Lead whoever holds the page of a new account to the page for a call."""
    (sealed,) = form.take("account")
    await request.app.state.throttle.hit_network(
        "recover-network", rules.PER_NETWORK, web_dependencies.client_network(request)
    )
    account = await new_accounts.find_new_account(session, sealed, browser=forms.browser_cookie(request), now=now)
    return dependencies.begin_session(await actions.begin_for_new_account(session, account.user_id, now=now), _PAGE)


@router.get("")
async def show_support(request: Request, session: Session, customer: Recoverer, now: Now) -> Response:
    """Show the code that can be read out, or ask first who called whom."""
    if customer.session.action not in (None, "support_code"):
        raise rules.NotRecovering
    if customer.session.action is None:
        actions.check_may_act(customer)
    asks = customer.session.action is None
    return pages.render_page(request, "recovery/support.html", asks=asks, **await _facts(session, customer, now))


@router.post("")
async def make_code(session: Session, form: Form, customer: Recoverer, now: Now) -> Response:
    """Make a code, which is the one thing that this session is for."""
    form.take()
    await actions.finish(session, customer, "support_code", now=now)
    await support_codes.make_code(
        session, customer.account.user_id, method=_method(customer), since=customer.session.created_at, now=now
    )
    return RedirectResponse(_PAGE, 303)


@router.post("/unexpected")
async def note_unexpected(session: Session, form: Form, customer: Recoverer, now: Now) -> Response:
    """Note that somebody called the customer: no code, and a warning."""
    form.take()
    actions.check_may_act(customer)
    await support_codes.note_unexpected_call(
        session, customer.account.user_id, method=_method(customer), since=customer.session.created_at, now=now
    )
    return RedirectResponse(_PAGE, 303)


@router.post("/not-me")
async def deny(session: Session, form: Form, customer: Recoverer, now: Now) -> Response:
    """End every verification of the past day at once (SUP-07)."""
    form.take()
    if customer.session.action != "support_code":
        actions.check_may_act(customer)
    await screen_answers.deny_calls(session, await _ids(session, customer), now=now)
    return RedirectResponse(_PAGE, 303)


@router.get("/state")
async def read_state(request: Request, session: Session, now: Now) -> Response:
    """Return a text that changes when the page would, for its script."""
    customer = await dependencies.find_recovering(request, session, now)
    ids = [] if customer is None else await _ids(session, customer)
    state = await customer_views.read_state(session, ids, answers=False, now=now) if ids else ""
    return JSONResponse({"state": state}, headers={"Cache-Control": "no-store"})


async def _facts(session: Session, customer: Recovering, now: Now) -> dict[str, Any]:
    return await customer_views.support_facts(session, await _ids(session, customer), answers=False, now=now)


async def _ids(session: Session, customer: Recovering) -> list[str]:
    return list(await ownership.user_ids_of(session, UserId(customer.account.user_id)))


def _method(customer: Recovering) -> str:
    return "new_account" if customer.session.code_id is None else "recovery"
