"""The page of a customer's own telephone numbers: add, confirm, send again, allow again, remove. Each needs a sign-in
of the last ten minutes that is as strong as the account can (ADR-04, ADR-06)."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.credentials import actions as credentials
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.phone_numbers import rules
from identity_service.phone_numbers.tables import AccountNumber
from identity_service.resets import texts as reset_texts
from identity_service.sign_in.actions import SignedIn
from identity_service.sign_in.dependencies import FreshCustomer
from identity_service.values import phone_numbers as numbers
from identity_service.web import dependencies, forms, pages
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/me/numbers", route_class=FormRoute, include_in_schema=False)
_PAGE = "portal/numbers.html"
TOLD: Final[Mapping[str, str]] = {
    **dict.fromkeys(("queued", "sending", "deferred", "accepted", "unconfirmed"), "The text message is on its way."),
    "delivered": "The text message has arrived.",
    "limited": "We didn't send the text message, because there have been too many. Try again tomorrow.",
    **dict.fromkeys(
        ("rejected", "bounced", "expired", "suppressed", "cancelled", "failed"),
        "The text message couldn't be delivered. Check the number, or try again later.",
    ),
}
"""What a customer reads of the newest text to a number, by its state."""


@router.get("")
async def show_numbers(
    request: Request, session: Session, customer: FreshCustomer, now: Now, saved: str = ""
) -> Response:
    """List the numbers by their last two digits, with a form for another one."""
    return pages.render_page(request, _PAGE, **await _describe(session, customer, now), saved=saved)


@router.post("")
async def add(request: Request, session: Session, form: Form, customer: FreshCustomer, now: Now) -> Response:
    """Add a number and send its code."""
    (typed,) = form.take("number")
    forms.redisplay_on(request, _PAGE, **await _describe(session, customer, now), saved="")
    await reset_texts.check_changeable(session, customer.account.user_id, now=now)
    number = numbers.read_phone_number(typed, session.settings.text_regions)
    network = dependencies.client_network(request)
    await phone_numbers.add_number(session, customer.account.user_id, number, network=network, now=now)
    return RedirectResponse("/me/numbers?saved=sent#saved", 303)


@router.post("/{number_id}/code")
async def send_again(
    request: Request, number_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, now: Now
) -> Response:
    """Send another code to a number."""
    form.take()
    forms.redisplay_on(request, _PAGE, **await _describe(session, customer, now), saved="")
    network = dependencies.client_network(request)
    await phone_numbers.send_code_again(session, customer.account.user_id, number_id, network=network, now=now)
    return RedirectResponse("/me/numbers?saved=sent#saved", 303)


@router.post("/{number_id}/confirm")
async def confirm(
    request: Request, number_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, now: Now
) -> Response:
    """Confirm a number by the code of the text, and tell every mailbox of the customer."""
    (typed,) = form.take("code")
    forms.redisplay_on(request, _PAGE, **await _describe(session, customer, now), saved="")
    user_id = customer.account.user_id
    limits, database = request.app.state.throttle, dependencies.database_of(request)
    counted = await phone_numbers.count_try(database, limits, user_id, number_id, now=now)
    if await phone_numbers.confirm_number(session, user_id, number_id, typed, counted, now=now):
        await credentials.notify_mailboxes(
            session, "number_added", [user_id], cause="phone_number.confirmed", actor="customer", now=now
        )
    return RedirectResponse("/me/numbers?saved=confirmed#saved", 303)


@router.post("/{number_id}/allow")
async def allow(
    request: Request, number_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, now: Now
) -> Response:
    """Let texts go again to a number whose owner had answered STOP."""
    form.take()
    forms.redisplay_on(request, _PAGE, **await _describe(session, customer, now), saved="")
    await phone_numbers.allow_texts(session, customer.account.user_id, number_id, now=now)
    return RedirectResponse("/me/numbers?saved=allowed#saved", 303)


@router.post("/{number_id}/remove")
async def remove(
    request: Request, number_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, now: Now
) -> Response:
    """Remove a number, and tell every mailbox of the customer if it was confirmed."""
    form.take()
    forms.redisplay_on(request, _PAGE, **await _describe(session, customer, now), saved="")
    user_id = customer.account.user_id
    await reset_texts.check_changeable(session, user_id, now=now)
    if await phone_numbers.remove_number(session, user_id, number_id, actor="customer", now=now):
        await credentials.notify_mailboxes(
            session, "number_removed", [user_id], cause="phone_number.removed", actor="customer", now=now
        )
    return RedirectResponse("/me/numbers?saved=removed#saved", 303)


async def _describe(session: Session, customer: SignedIn, now: Now) -> dict[str, Any]:
    """Return what the page shows, as values: a refused form is shown again after its transaction has ended."""
    found = await phone_numbers.list_numbers(session, customer.account.user_id)
    shown = [await _describe_one(session, one, now) for one in found]
    regions = sorted(session.settings.text_regions)
    return {"numbers": shown, "regions": regions, "may_add": bool(regions) and len(found) < rules.MOST}


async def _describe_one(session: Session, one: AccountNumber, now: Now) -> dict[str, Any]:
    text = await phone_numbers.newest_text(session, one)
    return {
        "id": one.id, "shown": numbers.mask(one.number), "confirmed_at": one.confirmed_at,
        "recovers_from": one.recovers_from, "waits": one.recovers_from is not None and now < one.recovers_from,
        "must_confirm": one.confirmed_at is None or now >= one.confirmed_at + rules.CONFIRMED_FOR,
        "is_stopped": await phone_numbers.is_stopped(session, one), "sentence": text and TOLD[text.state],
        "is_asked": await phone_numbers.has_code(session, one, now=now),
    }  # fmt: skip
