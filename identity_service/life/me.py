"""My account: what a customer sees of himself, and may end or change."""

import uuid

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import pages, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import business, merges
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.consents import receipts, wordings
from identity_service.consents import rules as consent_rules
from identity_service.database import AsyncSession
from identity_service.doors import Now, Session
from identity_service.events import looks
from identity_service.forms import Form, PageDoor
from identity_service.history import actions as history
from identity_service.life.pages import card
from identity_service.passwords import actions as passwords
from identity_service.signin import access
from identity_service.signin import actions as signin
from identity_service.signin.access import Customer
from identity_service.user_ids import UserId

router = APIRouter(prefix="/me", route_class=PageDoor, include_in_schema=False)


@router.get("")
async def show_me(request: Request, session: Session, customer: Customer, now: Now) -> Response:
    """Show the User ID as a card, and everything that stands behind it."""
    account = customer.account
    states = await consents.state(session, account.user_id)
    ids = await ids_of(session, account)
    asked = await consents.asked(session, ids, since=consents.this_year(now))
    return pages.page(
        request, "life/me.html", card=card(account.user_id, request), account=account, this=customer.session,
        sessions=await signin.living(session, account, now=now),
        has_password=await passwords.exists(session, account.user_id),
        consents=[(state, wordings.newest(state.purpose, account.locale)) for state in states if _is_worded(state)],
        company=await business.current(session, account.user_id),
        looked=await looks.of_customer(session, ids),
        summary=await history.summary(session, ids, since=account.customer_since),
        descriptions=consent_rules.PURPOSES, asked=asked,
    )  # fmt: skip


@router.get("/receipt")
async def read_receipt(session: Session, customer: Customer, now: Now) -> Response:
    """Hand out the signed receipt as a file."""
    receipt = await receipts.issue(session, customer.account, now=now)
    name = f'attachment; filename="receipt-{user_ids.show(customer.account.user_id)}.jwt"'
    return Response(receipt, media_type=receipts.MEDIA_TYPE, headers={"Content-Disposition": name})


@router.post("/consents/{purpose}")
async def change_consent(session: Session, purpose: str, form: Form, customer: Customer, now: Now) -> Response:
    """Say yes or no; both are one press of a button."""
    decision, wording_id = form.take("decision", "wording")
    user_id = customer.account.user_id
    if decision == "granted":
        wording = consents.asked_with(session, purpose, wording_id, customer.account.locale)
        await consents.grant(session, user_id, purpose, wording, channel="page", actor="customer", now=now)
    else:
        await consents.withdraw(session, UserId(user_id), purpose, channel="page", actor="customer", now=now)
    return RedirectResponse("/me#consents", 303)


@router.post("/sessions/end")
async def end_everywhere(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """End every session, here and at the services."""
    form.take()
    await accounts.end_sessions(session, customer.account.user_id, actor="customer", now=now)
    await signin.end(session, customer.account.user_id, customer.session.id, now=now)
    return access.forget(RedirectResponse("/signin", 303))


@router.post("/sessions/{session_id}/end")
async def end_one(session: Session, session_id: uuid.UUID, form: Form, customer: Customer, now: Now) -> Response:
    """End one session."""
    form.take()
    await signin.end(session, customer.account.user_id, session_id, now=now)
    return RedirectResponse("/me", 303)


async def ids_of(session: AsyncSession, account: Account) -> list[str]:
    """Return every User ID that leads to this account, its own first."""
    return [account.user_id, *(member for member, _ in await merges.merged_into(session, account.user_id))]


def _is_worded(state: consents.State) -> bool:
    return any(wording.purpose == state.purpose for wording in wordings.every().values())
