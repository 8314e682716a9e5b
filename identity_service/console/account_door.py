"""The account page: everything a desk needs while the caller waits, on one screen, and what may be done there.

Opening it needs a reason, which the customer can read. The address is masked until the caller is verified in this
contact; what cannot be taken back is only started here (decision 12).
"""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from identity_service import doors, email_addresses, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import business, merges
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.consents import receipts
from identity_service.consents import rules as consent_rules
from identity_service.console import actions, rules
from identity_service.console.access import Server
from identity_service.console.pages import console_page
from identity_service.contacts import actions as contacts
from identity_service.contacts import checks
from identity_service.contacts import rules as contact_rules
from identity_service.contacts.tables import Contact
from identity_service.database import AsyncSession
from identity_service.doors import Now, Session, Settings
from identity_service.events import looks
from identity_service.events import rules as event_rules
from identity_service.forms import Form, PageDoor
from identity_service.history import actions as history
from identity_service.life import conversions, guarded
from identity_service.life import rules as life_rules
from identity_service.life.changes_door import place
from identity_service.mail import actions as mail
from identity_service.mail import words
from identity_service.proofs import actions as proofs
from identity_service.resets import actions as resets
from identity_service.user_ids import UserId

router = APIRouter(prefix="/console/accounts", route_class=PageDoor, include_in_schema=False)
LETTERS = 4
CONTACTS = 5


@router.post("/open")
async def open_account(
    request: Request, session: Session, form: Form, staff: Server, settings: Settings, now: Now
) -> Response:
    """Open an account, within a contact, for a reason; the customer sees both at /me."""
    typed, number, reason, desk = form.take("user_id", "contact", "reason", "desk")
    await request.app.state.throttle.hit("staff-open", event_rules.OPENED, staff.staff.name)
    account = await accounts.current(session, user_ids.parse(typed))
    at = desk if desk in settings.desks else settings.desks[0]
    user = UserId(account.user_id)
    if not number.strip():
        words = reason[: event_rules.LONGEST_REASON] or None
        number = (await contacts.begin(session, user, desk=at, words=words, by=staff.actor, now=now)).number
    contact = await contacts.look(session, number, user, reason, by=staff.actor, now=now)
    return RedirectResponse(f"/console/accounts/{user_ids.show(account.user_id)}?contact={contact.number}", 303)


@router.get("/{user_id}")
async def show_account(
    request: Request, user_id: str, session: Session, staff: Server, settings: Settings, now: Now,
    contact: Annotated[str, Query(max_length=20)],
) -> Response:  # fmt: skip
    """Show the account within a contact that was opened for it."""
    account, this = await _opened(session, staff, user_id, contact, now=now)
    facts = await _facts(session, account, this, settings, now=now)
    return console_page(request, "console/account.html", staff, **facts)


@router.post("/{user_id}/check")
async def start_check(
    request: Request, user_id: str, session: Session, form: Form, staff: Server, now: Now
) -> Response:
    """Mail a code to the address on file, and show the two words to read."""
    (number,) = form.take("contact")
    await request.app.state.throttle.hit("caller-check", contact_rules.CHECKS_PER_CLERK, staff.actor)
    account, contact = await _opened(session, staff, user_id, number, now=now)
    await checks.start(session, UserId(account.user_id), contact.number, "identify", clerk=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/check/{check_id}")
async def answer_check(
    request: Request, user_id: str, check_id: uuid.UUID, form: Form, staff: Server, now: Now
) -> Response:
    """Type what the caller reads out: match or no match; nobody here sees the code."""
    number, code = form.take("contact", "code")
    database = doors.database_of(request)
    account, contact = await database.short(lambda session: _opened(session, staff, user_id, number, now=now))
    await checks.answer(
        database, UserId(account.user_id), check_id, code, contact=contact.number,
        clerk=staff.actor, now=now,
    )  # fmt: skip
    return _back(account, contact)


@router.post("/{user_id}/reset")
async def send_reset(user_id: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Have a reset mailed to the address on file, for a verified caller."""
    (number,) = form.take("contact")
    account, contact = await _verified(session, staff, user_id, number, now=now)
    await resets.ask_for(session, UserId(account.user_id), where_from="…", actor=staff.actor, now=now)
    await contacts.write(session, contact, "did", "reset", by=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/sessions/end")
async def end_sessions(user_id: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """End every session of the customer, verified or not: whose telephone was stolen cannot read a code, and whoever
    is signed out wrongly signs in again."""
    (number,) = form.take("contact")
    account, contact = await _opened(session, staff, user_id, number, now=now)
    await accounts.end_sessions(session, account.user_id, actor=staff.actor, now=now)
    await contacts.write(session, contact, "did", "ended all sessions", by=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/letters/{message_id}/again")
async def send_again(
    user_id: str, message_id: uuid.UUID, session: Session, form: Form, staff: Server, now: Now
) -> Response:
    """Send a letter again, by the relay that is named."""
    number, relay = form.take("contact", "relay")
    account, contact = await _opened(session, staff, user_id, number, now=now)
    message = await mail.find(session, message_id)
    if message.user_id not in await merges.chain(session, UserId(account.user_id)):
        raise rules.RoleMissing("This letter is another customer's.")
    await mail.send_again(session, message_id, relay=relay or None, actor=staff.actor, now=now)
    await contacts.write(session, contact, "did", f"sent again by {relay or 'any relay'}", by=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/business")
async def become_business(user_id: str, session: Session, form: Form, staff: Server, now: Now) -> Response:
    """Make a verified caller's account a business, at once; a notice with the link to undo goes out."""
    number, name, country, vat = form.take("contact", "company_name", "country", "vat_number")
    account, contact = await _verified(session, staff, user_id, number, now=now)
    account_rules.check_company_name(name.strip())
    company = conversions.company(
        {"company_name": name.strip(), "country": country.strip().upper(), "vat_number": vat.strip() or None}
    )
    await conversions.become_business(session, UserId(account.user_id), company, actor=staff.actor, now=now)
    await contacts.write(session, contact, "did", "business", by=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/ask")
async def ask_customer(
    user_id: str, session: Session, form: Form, staff: Server, settings: Settings, now: Now
) -> Response:
    """Start a guarded change: the customer's mailbox confirms it, or, where that is lost, a second person and time."""
    number, verb, reason, value = form.take("contact", "verb", "reason", "value")
    account, contact = await _opened(session, staff, user_id, number, now=now)
    details = _details(verb, value, settings)
    user = UserId(account.user_id)
    if reason.strip():
        await guarded.wait(session, user, verb, details, reason=reason.strip()[:200], actor=staff.actor, now=now)
    else:
        await _check_mailboxes(session, user, verb, details)
        await guarded.ask(session, user, verb, details, actor=staff.actor, now=now)
    await contacts.write(session, contact, "did", f"asked: {verb}", by=staff.actor, now=now)
    return _back(account, contact)


@router.post("/{user_id}/receipt")
async def hand_out_receipt(
    user_id: str,
    session: Session,
    form: Form,
    staff: Server,
    now: Now,
) -> Response:
    """Hand out the signed consent receipt for a verified caller."""
    (number,) = form.take("contact")
    account, _ = await _verified(session, staff, user_id, number, now=now)
    receipt = await receipts.issue(session, account, now=now)
    name = f'attachment; filename="receipt-{user_ids.show(account.user_id)}.jwt"'
    return Response(receipt, media_type=receipts.MEDIA_TYPE, headers={"Content-Disposition": name})


async def _opened(
    session: AsyncSession, staff: actions.SignedIn, user_id: str, number: str, *, now: datetime
) -> tuple[Account, Contact]:
    """Return an account and the open contact in which this person opened it, so that the customer knows of everyone
    who looked, and why (PHN-13, PHN-14); without one there is nothing to see here.

    Raises:
        contacts.rules.UnknownContact; accounts.rules.UnknownUserId
    """
    account = await accounts.current(session, user_ids.parse(user_id))
    contact = await contacts.find(session, number)
    mine = contact.user_id == account.user_id and contact.closed_at is None
    if not mine or not await looks.has_looked(
        session, account.user_id, actor=staff.actor, contact=contact.number, now=now
    ):
        raise contact_rules.UnknownContact("Open the account in a contact first, with the reason.")
    return account, contact


async def _verified(
    session: AsyncSession, staff: actions.SignedIn, user_id: str, number: str, *, now: datetime
) -> tuple[Account, Contact]:
    account, contact = await _opened(session, staff, user_id, number, now=now)
    if await checks.verified(session, contact, account.user_id, now=now) is None:
        raise contact_rules.NotVerified
    return account, contact


async def _facts(
    session: AsyncSession, account: Account, contact: Contact, settings: Settings, *, now: datetime
) -> dict[str, Any]:
    ids = await merges.chain(session, UserId(account.user_id))
    match = await checks.verified(session, contact, account.user_id, now=now)
    states = await consents.state(session, account.user_id)
    running = await checks.newest(session, contact, account.user_id)
    letters = await mail.listing(session, user_ids=ids, limit=LETTERS)
    reset = await proofs.newest_of(session, "reset", account.user_id)
    return {
        "account": account,
        "contact": contact,
        "match": match,
        "company": await business.current(session, account.user_id),
        "email": account.email if match or account.email is None else email_addresses.mask(account.email),
        "promise": consent_rules.sentence([s.purpose for s in states if s.decision == "granted"]),
        "summary": await history.summary(session, ids, since=account.customer_since),
        "placed": await place(session, UserId(account.user_id), settings),
        "letters": [(letter, await _letter(session, letter.id, whole=match is not None)) for letter in letters],
        "reset": reset,
        "contacts": await contacts.listing(session, user_ids=ids, limit=CONTACTS),
        "changes": await guarded.open_changes(session, account.user_id),
        "check": running,
        "phrase": None if running is None else await checks.phrase(session, running),
        "check_letter": None if running is None else await checks.letter(session, running),
        "relays": [relay.name for relay in settings.relays],
        "words": words,
        "talking_s": int((now - contact.opened_at).total_seconds()),
        "waited_s": contact_rules.waited(contact.waited_s, contact.waiting_since, now),
    }


async def _letter(session: AsyncSession, message_id: uuid.UUID, *, whole: bool) -> list[dict[str, Any]]:
    """Return a letter's way; mail servers like to repeat the address, so it is masked in their replies as well."""
    fate = await mail.fate(session, message_id)
    lines = words.timeline(fate.message, fate.attempts, fate.feedback)
    if not whole:
        for line in lines:
            line["reply"] = email_addresses.mask_all(line.get("reply"))
    return lines


async def _check_mailboxes(session: AsyncSession, user_id: UserId, verb: str, details: dict[str, Any]) -> None:
    """Refuse what a mailbox would have to confirm that is not there; a merge has two of them."""
    other = [user_ids.parse(details["duplicate"])] if verb == "merge" else []
    for one in (user_id, *other):
        if (await accounts.current(session, one)).email is None:
            raise life_rules.ProofRefused(
                "There is no mailbox that could confirm this; say why, and a second person approves it."
            )


def _details(verb: str, value: str, settings: Settings) -> dict[str, Any]:
    if verb == "merge":
        return {"duplicate": user_ids.show(user_ids.parse(value))}
    if verb == "email":
        address = email_addresses.parse(value.strip(), special_use=settings.development)
        return {"email": address.shown, "ascii": address.ascii, "key": address.key}
    if verb not in ("close", "erase", "consumer"):
        raise rules.RoleMissing("This cannot be started here.")
    return {}


def _back(account: Account, contact: Contact) -> Response:
    return RedirectResponse(f"/console/accounts/{user_ids.show(account.user_id)}?contact={contact.number}", 303)
