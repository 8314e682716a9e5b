"""The public page that checks a receipt and explains it; it stores nothing."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service import doors, pages
from identity_service.consents import receipts
from identity_service.doors import Now, Session, Settings
from identity_service.forms import Form, PageDoor

router = APIRouter(prefix="/receipt", route_class=PageDoor, include_in_schema=False)


@router.get("")
async def show_receipt_form(request: Request) -> Response:
    """Show the field for a receipt."""
    return pages.page(request, "consents/receipt.html")


@router.post("", openapi_extra={"x-form": "consents/receipt.html"})
async def check_receipt(request: Request, form: Form, session: Session, settings: Settings, now: Now) -> Response:
    """Check a receipt, and say in plain words what it says."""
    (text,) = form.take("receipt")
    keys = doors.keyring_of(request).published()
    checked = receipts.check(text, keys, issuer=settings.issuer, now=now)
    superseded = await receipts.is_superseded(session, checked)
    return pages.page(request, "consents/receipt.html", checked=checked, superseded=superseded)
