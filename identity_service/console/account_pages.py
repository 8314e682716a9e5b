"""The account page: everything that a desk needs while the caller waits, on one screen, and its actions.

Opening it needs a reason, which the customer can read. The address is masked until the caller is verified in this
contact. Changes that cannot be undone are only started here (decision 12).
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import entry_points
from identity_service.account_access import rules as access_rules
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.business import actions as business
from identity_service.business import periods
from identity_service.business import rules as business_rules
from identity_service.consents import actions as consents
from identity_service.consents import receipts
from identity_service.consents import rules as consent_rules
from identity_service.console import actions, opened, rules
from identity_service.console.dependencies import DeskStaff, ReopeningStaff
from identity_service.console.views import CHANGE_NAMES, console_page, spelled
from identity_service.contacts import actions as contacts
from identity_service.contacts import checks, screen_answers
from identity_service.contacts import limits as check_limits
from identity_service.contacts import rules as contact_rules
from identity_service.contacts.desks import suggest_desk_for
from identity_service.contacts.tables import Contact
from identity_service.database.transactions import DatabaseSession
from identity_service.events import rules as event_rules
from identity_service.events.data_models import SessionsEndedReason
from identity_service.history import actions as history
from identity_service.history import rules as history_rules
from identity_service.merges import actions as merges
from identity_service.messages import actions as messages
from identity_service.messages import descriptions, retries
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.openid import deliveries
from identity_service.resets import actions as resets
from identity_service.values import email_addresses, user_ids
from identity_service.values import text as values_text
from identity_service.values.user_ids import UserId
from identity_service.web import dependencies, forms
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

_REOPEN: Final = "privacy.closing:reopen_account"

router = APIRouter(prefix="/console/accounts", route_class=FormRoute, include_in_schema=False)
_MESSAGES_SHOWN = 4
_CONTACTS_SHOWN = 5
_ENDED_SHOWN: Final = timedelta(days=30)
_DONE: Final = {
    "reset": "We're sending a password reset to the address on file.",
    "sessions": "The customer is signed out on every device.",
    "retry": "We're sending the email again.",
    "business": "This is a business account now.",
    "reopen": "The account is open again.",
    "ask": "The change is requested.",
}
"""What an action did, in the words of the page that follows it."""
_ENTRIES_SHOWN = 4


@router.post("/open")
async def open_account(
    request: Request, session: Session, form: Form, staff: DeskStaff, settings: Settings, now: Now
) -> Response:
    """Open an account within a contact, for a reason; the customer can read the access at /me."""
    typed, number, reason, desk = form.take("user_id", "contact", "reason", "desk")
    await request.app.state.throttle.hit("staff-open", event_rules.OPENED, staff.staff.name)
    account = await accounts.find_active_account(session, user_ids.parse(typed))
    known_desk = desk if desk in settings.desks else settings.desks[0]
    user = UserId(account.user_id)
    if not number.strip():
        note = reason[: access_rules.LONGEST_REASON] or None
        new = await contacts.open_contact(session, user, desk=known_desk, note=note, actor=staff.actor, now=now)
        number = new.number
    contact = await contacts.open_account(session, number, user, reason, actor=staff.actor, now=now)
    return RedirectResponse(f"/console/accounts/{user_ids.show(account.user_id)}?contact={contact.number}", 303)


@router.get("/{user_id}")
async def show_account(
    request: Request, user_id: str, session: Session, staff: DeskStaff, settings: Settings, now: Now,
    contact: Annotated[str, Query(max_length=20)] = "", done: Annotated[str, Query(max_length=20)] = "",
) -> Response:  # fmt: skip
    """Show the account within the contact in which it was opened; without a contact, the console to open one."""
    if not contact:
        return RedirectResponse("/console", 303)
    account, opened_in = await opened.find_opened(session, staff, user_id, contact, now=now)
    facts = await _facts(session, account, opened_in, settings, now=now)
    return console_page(request, "console/account.html", staff, done=_DONE.get(done), **facts)


@router.post("/{user_id}/check")
async def start_check(
    request: Request, user_id: str, session: Session, form: Form, staff: DeskStaff, now: Now
) -> Response:
    """Start a check by one of the methods, and show the two words that the clerk reads out."""
    number, method = form.take("contact", "method")
    await request.app.state.throttle.hit("caller-check", contact_rules.CHECKS_PER_CLERK, staff.actor)
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    await checks.start_check(
        session, UserId(account.user_id), contact.number, "identify", method=contact_rules.read_method(method),
        may_weaken=rules.may(staff.staff.role, "weaken"), clerk=staff.actor, now=now,
    )  # fmt: skip
    return _back(account, contact)


@router.post("/{user_id}/check/{check_id}")
async def answer_check(
    request: Request, user_id: str, check_id: uuid.UUID, form: Form, staff: DeskStaff, now: Now
) -> Response:
    """Compare the code that the caller reads out; staff never see the right one."""
    number, code = form.take("contact", "code")
    database, throttle = dependencies.database_of(request), request.app.state.throttle
    async with database.transaction() as session:
        account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
        await check_limits.count_answer(session, throttle, check_id, code, clerk=staff.actor)
    await checks.answer_check(
        database, UserId(account.user_id), check_id, code, contact=contact.number,
        clerk=staff.actor, now=now,
    )  # fmt: skip
    return _back(account, contact)


@router.post("/{user_id}/reset")
async def send_reset(user_id: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Email a reset to the address on file, for a verified caller."""
    (number,) = form.take("contact")
    account, contact = await _verified(session, staff, user_id, number, now=now)
    await resets.request_reset_for_account(session, UserId(account.user_id), where_from="…", actor=staff.actor, now=now)
    await contacts.add_entry(session, contact, "did", "sent a password reset", actor=staff.actor, now=now)
    return _back(account, contact, "reset")


@router.post("/{user_id}/sessions/end")
async def end_sessions(user_id: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """End every session of the customer, also for an unverified caller: with a stolen phone they cannot read a code,
    and a customer who is signed out wrongly can sign in again."""
    (number,) = form.take("contact")
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    reason = SessionsEndedReason.SIGNED_OUT_EVERYWHERE
    await accounts.end_sessions(session, account.user_id, reason, actor=staff.actor, now=now)
    await contacts.add_entry(session, contact, "did", "ended all sessions", actor=staff.actor, now=now)
    return _back(account, contact, "sessions")


@router.post("/{user_id}/messages/{message_id}/retry")
async def send_again(
    user_id: str, message_id: uuid.UUID, session: Session, form: Form, staff: DeskStaff, now: Now
) -> Response:
    """Send a message of this customer again, by one relay or any."""
    number, relay = form.take("contact", "relay")
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    message = await messages.find_message(session, message_id)
    if not await opened.owns_message(session, account, message):
        raise rules.RoleMissing("This message belongs to another customer.")
    await retries.retry_message(
        session, message_id, relay=relay or None, despite_suppression=rules.may(staff.staff.role, "lift"),
        actor=staff.actor, now=now,
    )  # fmt: skip
    await contacts.add_entry(
        session, contact, "did", f"sent again by {relay or 'any relay'}", actor=staff.actor, now=now
    )
    return _back(account, contact, "retry")


@router.post("/{user_id}/business")
async def become_business(user_id: str, session: Session, form: Form, staff: DeskStaff, now: Now) -> Response:
    """Make a verified caller's account a business at once; the customer gets an email with the undo link."""
    number, name, country, vat = form.take("contact", "company_name", "country", "vat_number")
    account, contact = await _verified(session, staff, user_id, number, now=now)
    company = business_rules.checked_company(
        {"company_name": name, "country": values_text.read_line(country).upper(), "vat_number": vat}
    )
    await business.become_business(session, UserId(account.user_id), company, actor=staff.actor, now=now)
    await contacts.add_entry(session, contact, "did", "converted to business", actor=staff.actor, now=now)
    return _back(account, contact, "business")


@router.post("/{user_id}/reopen")
async def reopen(user_id: str, session: Session, form: Form, staff: ReopeningStaff, now: Now) -> Response:
    """Open a closed account again, within 30 days; its owner is told."""
    (number,) = form.take("contact")
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    await entry_points.load(_REOPEN)(session, UserId(account.user_id), actor=staff.actor, now=now)
    await contacts.add_entry(session, contact, "did", "reopened", actor=staff.actor, now=now)
    return _back(account, contact, "reopen")


@router.post("/{user_id}/ask")
async def ask_customer(
    user_id: str, session: Session, form: Form, staff: DeskStaff, settings: Settings, now: Now
) -> Response:
    """Start a guarded change, confirmed by the mailbox or, given a reason, by a second person and a wait of 72 h."""
    number, verb, reason, value, *answers = form.take("contact", "verb", "reason", "value", *forms.ANSWERS)
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    details = _details(verb, value, answers, settings)
    user = UserId(account.user_id)
    if reason.strip():
        await approvals.request_approval(
            session, user, verb, details, reason=reason.strip()[:200], actor=staff.actor, now=now
        )
    else:
        await _check_mailboxes(session, user, verb, details)
        await approvals.request_confirmation(session, user, verb, details, actor=staff.actor, now=now)
    await contacts.add_entry(session, contact, "did", f"requested: {CHANGE_NAMES[verb]}", actor=staff.actor, now=now)
    return _back(account, contact, "ask")


@router.post("/{user_id}/receipt")
async def hand_out_receipt(
    user_id: str,
    session: Session,
    form: Form,
    staff: DeskStaff,
    now: Now,
) -> Response:
    """Download the signed consent receipt, for a verified caller."""
    (number,) = form.take("contact")
    account, _ = await _verified(session, staff, user_id, number, now=now)
    receipt = await receipts.issue_receipt(session, account, now=now)
    name = f'attachment; filename="receipt-{user_ids.show(account.user_id)}.jwt"'
    return Response(receipt, media_type=receipts.MEDIA_TYPE, headers={"Content-Disposition": name})


async def _verified(
    session: DatabaseSession, staff: actions.SignedInStaff, user_id: str, number: str, *, now: datetime
) -> tuple[Account, Contact]:
    account, contact = await opened.find_opened(session, staff, user_id, number, now=now)
    if await checks.find_verification(session, contact, account.user_id, now=now) is None:
        raise contact_rules.NotVerified
    return account, contact


async def _facts(
    session: DatabaseSession, account: Account, contact: Contact, settings: Settings, *, now: datetime
) -> dict[str, Any]:
    ids = await ownership.user_ids_of(session, UserId(account.user_id))
    match = await checks.find_verification(session, contact, account.user_id, now=now)
    states = await consents.list_states(session, account.user_id)
    check = await checks.newest_check(session, contact, account.user_id)
    emails = await opened.load_emails(session, await _newest_messages(session, account), masked=match is None)
    reset = await one_time_tokens.newest_of(session, "reset", account.user_id)
    return {
        "account": account,
        "contact": contact,
        "match": match,
        "company": await periods.current_period(session, account.user_id),
        "email": account.email if match or account.email is None else email_addresses.mask(account.email),
        "promise": consent_rules.describe_permission([s.purpose for s in states if s.decision == "granted"]),
        "summary": await history.summarise(session, ids, since=account.customer_since),
        "placed": await suggest_desk_for(session, UserId(account.user_id), settings),
        "emails": emails,
        "reset": reset,
        "contacts": await contacts.list_contacts(session, user_ids=ids, limit=_CONTACTS_SHOWN),
        "changes": await approvals.list_open_changes(session, account.user_id),
        "ended": await approvals.list_ended_changes(session, account.user_id, since=now - _ENDED_SHOWN),
        "untold": await deliveries.list_failed(session, ids),
        "check": check,
        "tries": contact_rules.TRIES,
        "phrase": None if check is None else await checks.phrase(session, check, now=now),
        "digits": screen_answers.digits_of(session, check) if check and check.method == "on_screen" else None,
        "check_letter": None if check is None else await checks.check_message(session, check),
        "methods": await check_limits.list_methods(session, contact, now=now),
        "warned": await check_limits.list_warnings(session, account.user_id, now=now),
        "relays": [relay.name for relay in settings.relays],
        "words": descriptions,
        "spelled": spelled(account.user_id, account.locale),
        "kinds": history_rules.KINDS,
        "entries": await history.list_entries(session, ids, limit=_ENTRIES_SHOWN),
        "talking_s": int((now - contact.opened_at).total_seconds()),
        "waited_s": contact_rules.waited(contact.waited_s, contact.waiting_since, now),
    }


async def _newest_messages(session: DatabaseSession, account: Account) -> Sequence[Message]:
    """Return the newest messages, with the newest reset: codes and checks must not push that one out of sight."""
    newest = list(await opened.list_messages(session, account, limit=_MESSAGES_SHOWN))
    if not any(message.kind == "reset" for message in newest):
        newest += await opened.list_messages(session, account, kind="reset", limit=1)
    return newest


async def _check_mailboxes(session: DatabaseSession, user_id: UserId, verb: str, details: dict[str, Any]) -> None:
    """Refuse a change if a mailbox that must confirm it does not exist; a merge needs two."""
    if verb == "merge":
        await merges.require_mailboxes(session, user_id, user_ids.parse(details["duplicate"]))
    elif (await accounts.find_active_account(session, user_id)).email is None:
        raise approval_rules.ProofRefused(
            "No mailbox can confirm this; give a reason, so that a second person can approve it."
        )


def _details(verb: str, value: str, answers: Sequence[str], settings: Settings) -> dict[str, Any]:
    if verb == "merge":
        return {"duplicate": user_ids.show(user_ids.parse(value))}
    if verb == "email":
        address = forms.read_address(settings, value, *answers)
        return {"email": address.shown, "ascii": address.ascii, "key": address.key}
    if verb not in ("close", "erase", "consumer"):
        raise rules.RoleMissing("A desk cannot start this change.")
    return {}


def _back(account: Account, contact: Contact, done: str | None = None) -> Response:
    said = "" if done is None else f"&done={done}"
    return RedirectResponse(f"/console/accounts/{user_ids.show(account.user_id)}?contact={contact.number}{said}", 303)
