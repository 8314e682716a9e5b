"""The page of a customer's own email addresses: list, add, remove, choose the main one.

Each needs a sign-in of the last ten minutes that is as strong as the account can (ADR-04, ADR-06).
"""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.addresses import further, rules, waiting
from identity_service.database.transactions import DatabaseSession
from identity_service.resets import texts as reset_texts
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in.dependencies import FreshCustomer
from identity_service.values.user_ids import UserId
from identity_service.web import forms, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

PAGE = "portal/addresses.html"
router = APIRouter(prefix="/me/addresses", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_addresses(
    request: Request, session: Session, customer: FreshCustomer, now: Now, saved: str = ""
) -> Response:
    """List the addresses, with a form for another one."""
    return pages.render_page(request, PAGE, **await _describe(session, customer, now), saved=saved)


@router.post("", openapi_extra={"x-form": PAGE})
async def add(
    request: Request, session: Session, form: Form, customer: FreshCustomer, settings: Settings, now: Now
) -> Response:
    """Add an address, or send the email of one that waits again; its mailbox has to confirm it."""
    forms.redisplay_on(request, PAGE, **await _describe(session, customer, now), saved="")
    address = forms.take_address(form, settings, "for_recovery", "for_notices")
    *_, recovery, notices = form.take("email", *forms.ANSWERS, "for_recovery", "for_notices")
    own, limits = UserId(customer.account.user_id), request.app.state.throttle
    await reset_texts.check_changeable(session, own, now=now)
    await limits.hit("further-address", rules.ADDED_PER_ACCOUNT, own)
    to = session.keys.address_hash(address.key).hex()
    await limits.hit("further-address-to", rules.REQUESTS_PER_ADDRESS, own, to)
    await further.add_address(session, own, address, for_recovery=bool(recovery), for_notices=bool(notices), now=now)
    return RedirectResponse("/me/addresses?saved=added#saved", 303)


@router.post("/{address_id}/remove")
async def remove(
    request: Request, address_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, settings: Settings,
    now: Now,
) -> Response:  # fmt: skip
    """Remove a further address; where it was confirmed, every other session ends."""
    form.take()
    forms.redisplay_on(request, PAGE, **await _describe(session, customer, now), saved="")
    own = UserId(customer.account.user_id)
    await reset_texts.check_changeable(session, own, now=now)
    await further.remove_address(session, own, address_id, now=now)
    return await _go_on(request, session, customer, settings, "removed", now=now)


@router.post("/{address_id}/main")
async def make_main(
    request: Request, address_id: uuid.UUID, session: Session, form: Form, customer: FreshCustomer, settings: Settings,
    now: Now,
) -> Response:  # fmt: skip
    """Make a further address the main one, and end every other session."""
    form.take()
    forms.redisplay_on(request, PAGE, **await _describe(session, customer, now), saved="")
    own, proven_by = UserId(customer.account.user_id), customer.session.proven_by
    await reset_texts.check_changeable(session, own, now=now)
    await further.make_main(session, own, address_id, proven_by=proven_by, now=now)
    return await _go_on(request, session, customer, settings, "main", now=now)


async def _go_on(
    request: Request, session: DatabaseSession, customer: sign_in.SignedIn, settings: Settings, saved: str, *, now: Now
) -> Response:
    """Lead back to the page, signed in anew: changing addresses ends every session."""
    new = await sign_in.continue_session(session, customer, forms.browser_cookie(request), now=now)
    path = f"/me/addresses?saved={saved}#saved"
    return sign_in_dependencies.begin_session(request, new, path, settings.session_hours, now=now)


async def _describe(session: DatabaseSession, customer: sign_in.SignedIn, now: Now) -> dict[str, Any]:
    """Return what the page shows. These are values, not rows: a refused form is shown again after its transaction."""
    account = customer.account
    found, merged = await further.list_addresses(session, account)
    return {
        "main": account.email, "is_confirmed": account.email_state == "confirmed", "further": found, "merged": merged,
        "may_add": account.email is not None and len(found) + 1 < rules.MOST, "now": now,
        "waiting": await waiting.find_waiting(session, account, now=now),
    }  # fmt: skip
