"""The account page at /me: account data, consents, receipt and sessions."""

import uuid
from collections.abc import Iterable

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.account_access import actions as account_access
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.addresses import waiting
from identity_service.business import periods
from identity_service.clients import resource_servers
from identity_service.clients.rules import SIGN_IN_SCOPES
from identity_service.consents import actions as consents
from identity_service.consents import permissions, receipts, wordings
from identity_service.consents import rules as consent_rules
from identity_service.contacts import customer_views, screen_answers
from identity_service.database.transactions import DatabaseSession
from identity_service.events.data_models import SessionsEndedReason
from identity_service.history import actions as history
from identity_service.openid import ending, grants
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.resets import actions as resets
from identity_service.resets import rules as reset_rules
from identity_service.second_factors import actions as second_factors
from identity_service.sign_in import actions as sign_in
from identity_service.sign_in import dependencies as sign_in_dependencies
from identity_service.sign_in import rules as sign_in_rules
from identity_service.sign_in.dependencies import Customer
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies, known_browsers, networks, pages
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute
from identity_service.web.user_id_card import user_id_card

router = APIRouter(prefix="/me", route_class=FormRoute, include_in_schema=False)


@router.get("")
async def show_me(request: Request, session: Session, customer: Customer, now: Now, saved: str = "") -> Response:
    """Show the User ID as a card, with consents, sessions, company, staff access, summary and permission questions.

    `saved` is what was just changed: `name`, `company`, `consent`, `session`, or `stopped` for a change of address.
    """
    account = customer.account
    states = await consents.list_states(session, account.user_id)
    ids = await ownership.user_ids_of(session, UserId(account.user_id))
    asked = await permissions.list_questions(session, ids, since=permissions.start_of_year(now))
    applications = await grants.list_access(session, account.user_id, now=now)
    return pages.render_page(
        request, "portal/account.html", card=user_id_card(account.user_id, request), account=account,
        this=customer.session, waiting=await waiting.find_waiting(session, account, now=now),
        sessions=await sign_in.active_sessions(session, account, now=now),
        has_password=await passwords.has_password(session, account.user_id),
        passkeys=await passkeys.list_passkeys(session, account.user_id),
        recovery_code=await recovery_codes.find_current(session, account.user_id),
        recovery_used_at=await recovery_codes.last_used_at(session, account.user_id),
        calls=[customer_views.describe_call(one) for one in await screen_answers.list_calls(session, ids)],
        factor=await second_factors.find_factor(session, account.user_id),
        numbers=await phone_numbers.list_numbers(session, account.user_id),
        takes_numbers=bool(session.settings.text_regions),
        consents=[
            (state, wordings.newest_wording(state.purpose, account.locale)) for state in states if _is_worded(state)
        ],
        company=await periods.current_period(session, account.user_id),
        looked=await account_access.list_access(session, ids),
        summary=await history.summarise(session, ids, since=account.customer_since),
        applications=applications, scope_words=await _words_of(session, applications),
        descriptions=consent_rules.PURPOSES, asked=asked, saved=saved,
    )  # fmt: skip


async def _words_of(session: DatabaseSession, applications: Iterable[grants.Access]) -> dict[str, str]:
    """Return what the scopes of these applications allow; those of removed APIs say their name."""
    scopes = {scope for one in applications for scope in one.scopes}
    words = {scope: scope for scope in scopes} | SIGN_IN_SCOPES
    return words | await resource_servers.describe_scopes(session, scopes)


@router.get("/receipt")
async def read_receipt(session: Session, customer: Customer, now: Now) -> Response:
    """Return the signed consent receipt as a file."""
    receipt = await receipts.issue_receipt(session, customer.account, now=now)
    name = f'attachment; filename="receipt-{user_ids.show(customer.account.user_id)}.jwt"'
    return Response(receipt, media_type=receipts.MEDIA_TYPE, headers={"Content-Disposition": name})


@router.post("/consents/{purpose}")
async def change_consent(session: Session, purpose: str, form: Form, customer: Customer, now: Now) -> Response:
    """Grant or withdraw a consent."""
    decision, wording_id = form.take("decision", "wording")
    user_id = customer.account.user_id
    if decision == "granted":
        wording = consents.asked_with(session, purpose, wording_id, customer.account.locale)
        await consents.grant_consent(session, user_id, purpose, wording, channel="page", actor="customer", now=now)
    else:
        await consents.withdraw_consent(session, UserId(user_id), purpose, channel="page", actor="customer", now=now)
    return RedirectResponse("/me?saved=consent#saved", 303)


@router.post("/password")
async def request_password(request: Request, session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """Email the link for a new password to the customer's own confirmed address; the response tracks the email."""
    form.take()
    account, network = customer.account, dependencies.client_network(request)
    if account.email is None or account.email_state != "confirmed":
        return RedirectResponse("/reset", 303)
    limits = request.app.state.throttle
    await limits.hit_network("reset-network", reset_rules.PER_NETWORK, network)
    requested = await resets.request_reset_within_limit(
        session, limits, accounts.address_of(account), locale=account.locale,
        where_from=networks.coarse_network(network), browser=known_browsers.browser_of(request), network=network,
        actor="customer", now=now,
    )  # fmt: skip
    return RedirectResponse(f"/reset/{requested.handle}", 303)


@router.post("/sessions/end")
async def end_everywhere(session: Session, form: Form, customer: Customer, now: Now) -> Response:
    """End every session of the customer, here and at the services, this one included."""
    form.take()
    reason = SessionsEndedReason.SIGNED_OUT_EVERYWHERE
    await accounts.end_sessions(session, customer.account.user_id, reason, actor="customer", now=now)
    await sign_in.end_session(session, customer.account.user_id, customer.session.id, now=now)
    return sign_in_dependencies.delete_session_cookie(RedirectResponse(sign_in_rules.SIGNED_OUT, 303))


@router.post("/sessions/{session_id}/end")
async def end_one(session: Session, session_id: uuid.UUID, form: Form, customer: Customer, now: Now) -> Response:
    """End one session of the customer; a session of another customer is answered as unknown."""
    form.take()
    await sign_in.end_session(session, customer.account.user_id, session_id, now=now)
    return RedirectResponse("/me?saved=session#saved", 303)


@router.post("/applications/{client_id}/end")
async def end_application(session: Session, client_id: str, form: Form, customer: Customer, now: Now) -> Response:
    """End the access of an application; it has to ask again."""
    form.take()
    await ending.withdraw_application(session, customer.account.user_id, client_id, actor="customer", now=now)
    return RedirectResponse("/me#applications", 303)


def _is_worded(state: consents.PurposeState) -> bool:
    return any(wording.purpose == state.purpose for wording in wordings.all_wordings().values())
