"""The page after an account was erased. Nobody is signed in there: the receipt is in a cookie for ten minutes, so that
the page can be loaded again, or read in another language. The customer owns it, and it names no address."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.consents import receipts
from identity_service.errors import Problem
from identity_service.web import dependencies, forms, pages
from identity_service.web.dependencies import Now, Settings
from identity_service.web.forms import FormRoute

router = APIRouter(route_class=FormRoute, include_in_schema=False)


@router.get("/erased")
async def show_erased(request: Request, settings: Settings, now: Now) -> Response:
    """Show that the account was erased, and the signed receipt while this browser has it."""
    receipt, user_id, keys = request.cookies.get(forms.RECEIPT_COOKIE), None, dependencies.key_ring_of(request)
    if receipt:
        try:
            user_id = receipts.check_receipt(receipt, keys.published(), issuer=settings.issuer, now=now).user_id
        except Problem:
            receipt = None
    return pages.render_page(request, "portal/erased.html", receipt=receipt, user_id=user_id)
