"""All messages and all history entries of a customer whose account was opened, newest first, page by page."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.console import opened
from identity_service.console.dependencies import DeskStaff
from identity_service.console.views import console_page
from identity_service.contacts import checks
from identity_service.contacts.tables import Contact
from identity_service.history import actions as history
from identity_service.history import rules as history_rules
from identity_service.messages import descriptions
from identity_service.values.user_ids import UserId
from identity_service.web import pagination
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import FormRoute

router = APIRouter(prefix="/console/accounts", route_class=FormRoute, include_in_schema=False)
_MESSAGES: Final = 10
"""Each is shown with its timeline."""
_ENTRIES: Final = 50


async def _opened(
    session: Session, staff: DeskStaff, user_id: str, now: Now, contact: Annotated[str, Query(max_length=20)]
) -> tuple[Account, Contact]:
    return await opened.find_opened(session, staff, user_id, contact, now=now)


Opened = Annotated[tuple[Account, Contact], Depends(_opened)]
Filter = Annotated[str, Query(max_length=40)]
After = Annotated[str | None, Query(max_length=300)]


@router.get("/{user_id}/messages")
async def show_messages(
    request: Request, session: Session, staff: DeskStaff, own: Opened, settings: Settings, now: Now,
    kind: Filter = "", state: Filter = "", after: After = None,
) -> Response:  # fmt: skip
    """Show the messages of a customer, of a kind and in a state, with their timelines."""
    account, contact = own
    key, place = session.keys.internal(), f"console messages of {account.user_id}"
    found = await opened.list_messages(
        session, account, kind=kind or None, state=state or None,
        before=pagination.read_row_cursor(key, place, after), limit=_MESSAGES + 1,
    )  # fmt: skip
    last = found[_MESSAGES - 1] if len(found) > _MESSAGES else None
    masked = await checks.find_verification(session, contact, account.user_id, now=now) is None
    return _page(
        request, "console/messages.html", staff, own, kind=kind, state=state, words=descriptions,
        emails=await opened.load_emails(session, found[:_MESSAGES], masked=masked),
        relays=[relay.name for relay in settings.relays],
        older=last and pagination.make_row_cursor(key, place, last.created_at, last.id),
    )  # fmt: skip


@router.get("/{user_id}/history")
async def show_history(
    request: Request, session: Session, staff: DeskStaff, own: Opened, after: After = None
) -> Response:
    """Show the history of a customer: orders and whatever else services report."""
    account, _ = own
    ids = await ownership.user_ids_of(session, UserId(account.user_id))
    key, place = session.keys.internal(), f"console history of {account.user_id}"
    before = pagination.read_row_cursor(key, place, after)
    found = await history.list_entries(session, ids, before=before, limit=_ENTRIES + 1)
    last = found[_ENTRIES - 1] if len(found) > _ENTRIES else None
    return _page(
        request, "console/history.html", staff, own, entries=found[:_ENTRIES], kinds=history_rules.KINDS,
        older=last and pagination.make_row_cursor(key, place, last.occurred_at, last.id),
    )  # fmt: skip


def _page(request: Request, template: str, staff: Any, own: Opened, **facts: Any) -> Response:  # noqa: ANN401
    account, contact = own
    return console_page(request, template, staff, account=account, contact=contact, **facts)
