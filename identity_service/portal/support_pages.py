"""The page for a call with the support team: a code to read out, a clerk's question to answer, and "not me"."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from identity_service.accounts import ownership
from identity_service.contacts import checks, customer_views, limits, rules, screen_answers, support_codes
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import rules as sign_in_rules
from identity_service.sign_in.actions import SignedIn
from identity_service.sign_in.dependencies import Customer, FreshCustomer
from identity_service.values.user_ids import UserId
from identity_service.web import forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/me/support", route_class=FormRoute, include_in_schema=False)
_PAGE = "portal/support.html"


@router.get("")
async def show_support(request: Request, session: Session, customer: Customer, now: Now, saved: str = "") -> Response:
    """Show the code that can be read out, or ask first who called whom (SUP-05); a GET makes no code."""
    return pages.render_page(request, _PAGE, saved=saved, **await _facts(session, customer, now))


@router.post("")
async def make_code(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Make a code for a customer who says that they called us."""
    form.take()
    row = customer.session
    await support_codes.make_code(session, row.user_id, method=row.method, since=row.proven_at, now=now)
    return RedirectResponse("/me/support", 303)


@router.post("/unexpected")
async def note_unexpected(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Note that somebody called the customer: no code, and a warning."""
    form.take()
    row = customer.session
    await support_codes.note_unexpected_call(session, row.user_id, method=row.method, since=row.proven_at, now=now)
    return RedirectResponse("/me/support", 303)


@router.post("/answer")
async def answer(request: Request, session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Compare the number that the clerk read out, once."""
    (digits,) = form.take("digits")
    forms.redisplay_on(request, _PAGE, saved="", **await _facts(session, customer, now))
    row = customer.session
    check, matched = await screen_answers.answer_ask(
        session, row.user_id, digits, method=row.method, since=row.proven_at, now=now
    )
    await checks.record_result(session, check, matched=matched, is_over=True, actor="customer", now=now)
    return RedirectResponse(f"/me/support?saved={'matched' if matched else 'wrong'}#saved", 303)


@router.post("/not-me")
async def deny(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """End every verification of the past day at once (SUP-07)."""
    form.take()
    await screen_answers.deny_calls(session, await _ids(session, customer), now=now)
    return RedirectResponse("/me/support?saved=denied#saved", 303)


@router.post("/preference")
async def choose_methods(session: Session, form: Form, customer: FreshCustomer, now: Now) -> Response:
    """Choose whether desks may verify by support code or on screen alone (SUP-12)."""
    (strict,) = form.take("strict")
    await limits.set_preference(session, customer.account.user_id, strict=strict == "yes", now=now)
    return RedirectResponse("/me/support?saved=preference#saved", 303)


@router.get("/state")
async def read_state(request: Request, session: Session, settings: Settings, now: Now) -> Response:
    """Return a text that changes when the page would, for its script. Asking keeps no session alive."""
    cookie = request.cookies.get(forms.SESSION_COOKIE, "")
    customer = await sign_in.find_session(session, cookie, is_use=False, now=now)
    if customer is None or sign_in_rules.must_set_up(
        settings.second_factor_required, customer.session.method, customer.session.second_factor
    ):
        return Response(status_code=401)
    answers = customer.session.method in rules.ANSWERING
    state = await customer_views.read_state(session, await _ids(session, customer), answers=answers, now=now)
    return JSONResponse({"state": state}, headers={"Cache-Control": "no-store"})


async def _facts(session: Session, customer: SignedIn, now: Now) -> dict[str, Any]:
    answers = customer.session.method in rules.ANSWERING
    return await customer_views.support_facts(session, await _ids(session, customer), answers=answers, now=now)


async def _ids(session: Session, customer: SignedIn) -> list[str]:
    return list(await ownership.user_ids_of(session, UserId(customer.account.user_id)))
