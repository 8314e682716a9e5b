"""A recovery code for an account that was issued a moment ago without an address."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.recovery_codes import actions as recovery_codes
from identity_service.registration import new_accounts
from identity_service.web import dependencies, forms, pages, recovery_card, user_id_card
from identity_service.web.dependencies import Now, Settings
from identity_service.web.forms import Form, FormRoute

PER_NETWORK = "30/hour; 100/day"
router = APIRouter(prefix="/recovery-codes", route_class=FormRoute, include_in_schema=False)


@router.post("/new")
async def make_code(request: Request, settings: Settings, form: Form, now: Now) -> Response:
    """Show the card again, with a recovery code: this once."""
    (sealed,) = form.take("account")
    await request.app.state.throttle.hit_network("recovery-code-new", PER_NETWORK, dependencies.client_network(request))
    database = dependencies.database_of(request)
    find = partial(new_accounts.find_new_account, sealed=sealed, browser=forms.browser_cookie(request), now=now)
    await database.in_transaction(find)
    new = await recovery_codes.prepare_code(request.app.state.hasher)
    async with database.transaction() as session:
        account = await find(session)
        await recovery_codes.store_code(session, account.user_id, new, now=now)
    return pages.render_page(
        request, "registration/card.html", card=user_id_card.user_id_card(account.user_id, request), sealed=sealed,
        recovery=recovery_card.recovery_card(account.user_id, new.text, settings),
    )  # fmt: skip
