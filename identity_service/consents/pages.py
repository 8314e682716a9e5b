"""The public page that checks a receipt and explains it; it stores nothing."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.consents import receipts
from identity_service.web import dependencies, pages
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/receipt", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_receipt_form(request: Request) -> Response:
    """Show the form that takes a receipt."""
    return pages.render_page(request, "consents/receipt.html")


@router.post("", openapi_extra={"x-form": "consents/receipt.html"})
async def check_receipt(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Check a receipt, and explain in plain sentences what it states."""
    (text,) = form.take("receipt")
    keys = dependencies.key_ring_of(request).published()
    checked = receipts.check_receipt(text, keys, issuer=settings.issuer, now=now)
    superseded = await receipts.is_superseded(session, checked)
    return pages.render_page(request, "consents/receipt.html", checked=checked, superseded=superseded)
