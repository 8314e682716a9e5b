"""What a customer may change about himself at /me: become a business, another address, take everything along, close,
erase. What cannot be taken back needs a sign-in of the last ten minutes."""

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import email_addresses, pages, user_ids
from identity_service.accounts import business
from identity_service.doors import Now, Session, Settings
from identity_service.errors import Unprocessable
from identity_service.forms import Form, PageDoor
from identity_service.history import actions as history
from identity_service.history.rules import KINDS
from identity_service.life import addresses, conversions, endings
from identity_service.life.data_map import TITLES
from identity_service.life.me import ids_of
from identity_service.signin import access
from identity_service.signin import actions as signin
from identity_service.signin.access import Customer
from identity_service.user_ids import UserId

router = APIRouter(prefix="/me", route_class=PageDoor, include_in_schema=False)
SHOWN = 100


class CompanyMissing(Unprocessable):
    """A business needs a name and a country."""


class NotConfirmed(Unprocessable):
    """Please type your User ID, to be sure."""


@router.get("/business")
async def show_business(request: Request, session: Session, customer: Customer) -> Response:
    """Show the form of a company, filled in where it is one."""
    current = await business.current(session, customer.account.user_id)
    values = {} if current is None else {k: v or "" for k, v in business.as_shown(current).items()}
    return pages.page(request, "life/business.html", values=values, is_business=current is not None)


@router.post("/business", openapi_extra={"x-form": "life/business.html"})
async def become_business(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Become a business, at once and under the same User ID."""
    names = ("company_name", "country", "vat_number", "registration_number", "contact_person", "billing_address")
    given = {name: value.strip() or None for name, value in zip(names, form.take(*names), strict=True)}
    if given["company_name"] is None or not (given["country"] or "").isalpha() or len(given["country"] or "") != 2:
        raise CompanyMissing
    company = conversions.company({**given, "country": (given["country"] or "").upper()})
    await conversions.become_business(session, UserId(customer.account.user_id), company, actor="customer", now=now)
    return RedirectResponse("/me", 303)


@router.post("/consumer")
async def become_consumer(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Go back to being a private customer."""
    form.take()
    await business.leave(session, UserId(customer.account.user_id), version=None, actor="customer", now=now)
    return RedirectResponse("/me", 303)


@router.get("/email")
async def show_email(request: Request, customer: Customer) -> Response:
    """Show the field for another address."""
    return pages.page(request, "life/email.html", current=customer.account.email)


@router.post("/email", openapi_extra={"x-form": "life/email.html"})
async def change_email(
    request: Request, session: Session, form: Form, customer: Customer, settings: Settings, now: Now
) -> Response:
    """Name another address; it counts when its mailbox has confirmed."""
    (text,) = form.take("email")
    signin.check_fresh(customer, now=now)
    address = email_addresses.parse(text.strip(), special_use=settings.development)
    await addresses.ask_or_add(session, UserId(customer.account.user_id), address, actor="customer", now=now)
    return pages.page(
        request, "life/email.html", current=customer.account.email, asked=email_addresses.mask(address.shown)
    )


@router.get("/history")
async def show_history(request: Request, session: Session, customer: Customer) -> Response:
    """Show what happened, in the words of the services where it happened."""
    ids = await ids_of(session, customer.account)
    entries = await history.listing(session, ids, limit=SHOWN)
    summary = await history.summary(session, ids, since=customer.account.customer_since)
    return pages.page(request, "life/history.html", entries=entries, summary=summary, kinds=KINDS)


@router.post("/export")
async def export(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Hand out everything that is held, as one file."""
    form.take()
    signin.check_fresh(customer, now=now)
    found = await endings.export(session, UserId(customer.account.user_id), actor="customer", now=now)
    name = f'attachment; filename="everything-{user_ids.show(customer.account.user_id)}.json"'
    body = orjson.dumps(found, option=orjson.OPT_INDENT_2)
    return Response(body, media_type="application/json", headers={"Content-Disposition": name})


@router.get("/everything")
async def show_everything(request: Request, session: Session, customer: Customer, now: Now) -> Response:
    """Show everything that is held as a page that can be read."""
    signin.check_fresh(customer, now=now)
    found = await endings.export(session, UserId(customer.account.user_id), actor="customer", now=now)
    return pages.page(request, "life/everything.html", found=found, titles=TITLES)


@router.get("/end")
async def show_end(request: Request, customer: Customer) -> Response:
    """Show the two ways to end: close, and erase."""
    return pages.page(request, "life/end.html", user_id=user_ids.show(customer.account.user_id))


@router.post("/close", openapi_extra={"x-form": "life/end.html"})
async def close(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Close the account; what happened with it stays on record."""
    (typed,) = form.take("user_id")
    await _be_sure(customer, typed, now)
    await endings.close(session, UserId(customer.account.user_id), actor="customer", now=now)
    return access.forget(RedirectResponse("/ended", 303))


@router.post("/erase", openapi_extra={"x-form": "life/end.html"})
async def erase(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Erase what is personal, and hand out the signed receipt of it."""
    (typed,) = form.take("user_id")
    await _be_sure(customer, typed, now)
    receipt = await endings.erase(session, UserId(customer.account.user_id), actor="customer", now=now)
    name = 'attachment; filename="erasure-receipt.jwt"'
    response = Response(receipt, media_type="application/jwt", headers={"Content-Disposition": name})
    return access.forget(response)


async def _be_sure(customer: signin.Customer, typed: str, now: Now) -> None:
    signin.check_fresh(customer, now=now)
    try:
        meant = user_ids.parse(typed)
    except user_ids.MalformedUserId:
        raise NotConfirmed from None
    if meant != customer.account.user_id:
        raise NotConfirmed
