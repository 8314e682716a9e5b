"""Changes at /me: give a name, become a business, change the address, export, close and erase. Exporting and what
cannot be undone need a sign-in of the last ten minutes (`FreshCustomer`)."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.addresses import actions as addresses
from identity_service.addresses import rules as address_rules
from identity_service.addresses import waiting
from identity_service.business import actions as business
from identity_service.business import periods
from identity_service.business import rules as business_rules
from identity_service.consents import actions as consents
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Unprocessable
from identity_service.history import actions as history
from identity_service.history.rules import KINDS
from identity_service.portal import rules
from identity_service.privacy import actions as privacy
from identity_service.privacy import closing
from identity_service.privacy.inventory import COLUMN_TITLES, TITLES
from identity_service.resets import texts as reset_texts
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in.dependencies import Customer, FreshCustomer
from identity_service.values import text as values_text
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/me", route_class=FormRoute, include_in_schema=False)
SHOWN = 100


class CompanyMissing(Unprocessable):
    """Enter the company name and a two-letter country code."""


class MalformedName(Unprocessable):
    """Enter your name on one line, with no more than 200 printable characters."""


class NotConfirmed(Unprocessable):
    """Type your own User ID to confirm."""


@router.get("/name")
async def show_name(request: Request, customer: Customer) -> Response:
    """Show the form for the customer's name, filled in with what is stored."""
    return pages.render_page(request, "portal/name.html", values={"name": customer.account.display_name or ""})


@router.post("/name")
async def change_name(request: Request, session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Set the customer's name, or remove it if nothing was entered, by the rules of `PATCH /v1/accounts/{user_id}`."""
    forms.redisplay_on(request, "portal/name.html")
    name = values_text.read_line(*form.take("name")) or None
    if name is not None and not values_text.is_line(name):
        raise MalformedName
    changes, own = {"display_name": name}, UserId(customer.account.user_id)
    await accounts.update_account(session, own, changes, actor="customer", now=now)
    return RedirectResponse("/me?saved=name#saved", 303)


@router.get("/business")
async def show_business(request: Request, session: Session, customer: Customer) -> Response:
    """Show the company form, filled in if the account is a business, or was one."""
    known = await periods.list_periods(session, [customer.account.user_id])
    values = {} if not known else {name: value or "" for name, value in periods.company_fields(known[0]).items()}
    is_business = customer.account.kind == "business"
    return pages.render_page(request, "portal/business.html", values=values, is_business=is_business)


@router.post("/business")
async def become_business(request: Request, session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Make the account a business, or change its company details."""
    forms.redisplay_on(request, "portal/business.html", is_business=customer.account.kind == "business")
    names = ("company_name", "country", "vat_number", "registration_number", "contact_person", "billing_address")
    given = {name: values_text.read_line(value) or None for name, value in zip(names, form.take(*names), strict=True)}
    if given["company_name"] is None or not (given["country"] or "").isalpha() or len(given["country"] or "") != 2:
        raise CompanyMissing
    company = business_rules.checked_company({**given, "country": (given["country"] or "").upper()})
    await business.become_business(session, UserId(customer.account.user_id), company, actor="customer", now=now)
    return RedirectResponse("/me?saved=company#saved", 303)


@router.get("/consumer")
async def show_consumer(request: Request, customer: Customer) -> Response:
    """Ask whether the account shall be a consumer again."""
    if customer.account.kind != "business":
        return RedirectResponse("/me", 303)
    return pages.render_page(request, "portal/consumer.html")


@router.post("/consumer")
async def become_consumer(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Make the account a consumer again."""
    form.take()
    await business.become_consumer(session, UserId(customer.account.user_id), actor="customer", now=now)
    return RedirectResponse("/me?saved=company#saved", 303)


@router.get("/email")
async def show_email(request: Request, session: Session, customer: FreshCustomer, now: Now) -> Response:
    """Show the form for another address, and the one that waits to be confirmed."""
    return pages.render_page(request, "portal/email.html", **await _addresses(session, customer, now))


async def _addresses(session: DatabaseSession, customer: sign_in.SignedIn, now: Now) -> dict[str, Any]:
    account = customer.account
    return {"current": account.email, "waiting": await waiting.find_waiting(session, account, now=now)}


@router.post("/email")
async def change_email(
    request: Request, session: Session, form: Form, customer: FreshCustomer, settings: Settings, now: Now
) -> Response:
    """Request another address; it is used once its mailbox has confirmed."""
    forms.redisplay_on(request, "portal/email.html", **await _addresses(session, customer, now))
    address = forms.take_address(form, settings)
    if address.key == customer.account.email_key:
        raise address_rules.AlreadyYours
    own, limits = UserId(customer.account.user_id), request.app.state.throttle
    await reset_texts.check_changeable(session, own, now=now)
    await limits.hit("email-change", address_rules.REQUESTS_PER_ACCOUNT, own)
    await limits.hit(
        "email-change-to", address_rules.REQUESTS_PER_ADDRESS, own, session.keys.address_hash(address.key).hex()
    )
    await addresses.request_own_email(session, own, address, proven_by=customer.session.proven_by, now=now)
    return RedirectResponse("/me/email", 303)


@router.post("/email/cancel")
async def cancel_email(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """End the change that waits to be confirmed."""
    form.take()
    await waiting.end_waiting(session, customer.account.user_id, now=now)
    return RedirectResponse("/me?saved=stopped#saved", 303)


@router.get("/history")
async def show_history(request: Request, session: Session, customer: Customer) -> Response:
    """Show the newest 100 history entries as the services wrote them, and the summary."""
    ids = await ownership.user_ids_of(session, UserId(customer.account.user_id))
    entries = await history.list_entries(session, ids, limit=SHOWN)
    summary = await history.summarise(session, ids, since=customer.account.customer_since)
    return pages.render_page(request, "portal/history.html", entries=entries, summary=summary, kinds=KINDS)


@router.post("/export")
async def export(session: Session, form: Form, customer: FreshCustomer, now: Now) -> Response:
    """Return everything stored about the customer as one JSON file."""
    form.take()
    found = await privacy.export_account(session, UserId(customer.account.user_id), actor="customer", now=now)
    name = f'attachment; filename="everything-{user_ids.show(customer.account.user_id)}.json"'
    body = orjson.dumps(found, option=orjson.OPT_INDENT_2)
    return Response(body, media_type="application/json", headers={"Content-Disposition": name})


@router.get("/everything")
async def show_everything(request: Request, session: Session, customer: FreshCustomer, now: Now) -> Response:
    """Show everything stored about the customer as a page."""
    found = await privacy.export_account(session, UserId(customer.account.user_id), actor="customer", now=now)
    return pages.render_page(request, "portal/everything.html", found=found, titles=TITLES, columns=COLUMN_TITLES)


@router.get("/end")
async def show_end(request: Request, session: Session, customer: Customer) -> Response:
    """Show what closing and erasing mean, each with the way to its own page."""
    return pages.render_page(request, "portal/end.html", **await _what_ends(session, customer))


@router.get("/close")
async def show_close(request: Request, session: Session, customer: FreshCustomer) -> Response:
    """Show what closing ends and what stays, with the form."""
    return pages.render_page(request, "portal/close.html", **await _what_ends(session, customer))


@router.get("/erase")
async def show_erase(request: Request, session: Session, customer: FreshCustomer) -> Response:
    """Show what erasing removes for ever, with the form."""
    return pages.render_page(request, "portal/erase.html", **await _what_ends(session, customer))


async def _what_ends(session: DatabaseSession, customer: sign_in.SignedIn) -> dict[str, Any]:
    account = customer.account
    ids = await ownership.user_ids_of(session, UserId(account.user_id))
    states = await consents.list_states(session, account.user_id)
    return {
        "user_id": user_ids.show(account.user_id), "email": account.email,
        "summary": await history.summarise(session, ids, since=account.customer_since),
        "granted": sum(state.decision == "granted" for state in states),
        "others": [user_ids.show(one) for one in ids[1:]],
    }  # fmt: skip


@router.post("/close", openapi_extra={"x-form": "portal/close.html"})
async def close(session: Session, form: Form, customer: FreshCustomer, now: Now) -> Response:
    """Close the account; its history stays."""
    (typed,) = form.take("user_id")
    _require_confirmation(customer, typed)
    await closing.close_account(session, UserId(customer.account.user_id), actor="customer", now=now)
    return sign_in_dependencies.delete_session_cookie(RedirectResponse("/account-closed", 303))


@router.post("/erase", openapi_extra={"x-form": "portal/erase.html"})
async def erase(request: Request, session: Session, form: Form, customer: FreshCustomer, now: Now) -> Response:
    """Erase the customer's personal data; the last page has the signed receipt, to keep as a file."""
    (typed,) = form.take("user_id")
    _require_confirmation(customer, typed)
    receipt = await privacy.erase_account(session, UserId(customer.account.user_id), actor="customer", now=now)
    response: Response = RedirectResponse("/erased", 303)
    if len(receipt) > rules.LONGEST_RECEIPT:
        request.state.signed_out, shown = True, user_ids.show(customer.account.user_id)
        response = pages.render_page(request, "portal/erased.html", receipt=receipt, user_id=shown)
        return sign_in_dependencies.delete_session_cookie(response)
    forms.set_cookie(response, forms.RECEIPT_COOKIE, receipt, same_site="strict", seconds=rules.RECEIPT_SHOWN_S)
    return sign_in_dependencies.delete_session_cookie(response)


def _require_confirmation(customer: sign_in.SignedIn, typed: str) -> None:
    try:
        confirmed = user_ids.parse(typed)
    except user_ids.MalformedUserId:
        raise NotConfirmed from None
    if confirmed != customer.account.user_id:
        raise NotConfirmed
