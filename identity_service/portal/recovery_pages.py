"""The page of a customer's own recovery code: whether there is one, and a new one (REC-28)."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.credentials import actions as credentials
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.resets import texts as reset_texts
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in.actions import SignedIn
from identity_service.sign_in.dependencies import StrongestCustomer, StrongestCustomerBefore
from identity_service.web import dependencies, forms, pages, recovery_card
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/me/recovery-code", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_code_state(request: Request, session: Session, customer: StrongestCustomer) -> Response:
    """Show whether there is a recovery code, and since when; never the code."""
    return pages.render_page(request, "portal/recovery_code.html", recovery=None, **await _state(session, customer))


@router.post("")
async def make_code(
    request: Request, form: Form, customer: StrongestCustomerBefore, settings: Settings, now: Now
) -> Response:
    """Make a code in the place of the one before, show it this once, and tell every mailbox (REC-27)."""
    form.take()
    user_id, new = customer.account.user_id, await recovery_codes.prepare_code(request.app.state.hasher)
    async with dependencies.database_of(request).transaction() as session:
        # The session may have ended while the code was hashed.
        await sign_in.check_still_signed_in(session, forms.browser_cookie(request), user_id, now=now)
        await reset_texts.check_changeable(session, user_id, now=now)
        state = await _state(session, customer)
        await recovery_codes.store_code(session, user_id, new, now=now)
        await credentials.notify_mailboxes(
            session, "recovery_code_created", [user_id], cause="recovery_code.created", actor="customer", now=now
        )
    card = recovery_card.recovery_card(user_id, new.text, settings)
    return pages.render_page(request, "portal/recovery_code.html", recovery=card, **state)


async def _state(session: Session, customer: SignedIn) -> dict[str, Any]:
    found = await recovery_codes.find_current(session, customer.account.user_id)
    return {
        "made_at": None if found is None else found.created_at, "misses": 0 if found is None else found.misses,
        "used_at": await recovery_codes.last_used_at(session, customer.account.user_id),
    }  # fmt: skip
