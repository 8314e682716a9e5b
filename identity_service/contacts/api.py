"""Contacts and caller checks for desk tools: everything the console can do, any tool can do."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field, StringConstraints

from identity_service import doors, idempotency, problems, throttle, user_ids
from identity_service.accounts import merges
from identity_service.accounts import rules as account_rules
from identity_service.clients import access
from identity_service.clients.access import Caller, Clerk, MissingClerk, Person
from identity_service.contacts import actions, checks, rules
from identity_service.contacts.tables import Contact
from identity_service.doors import Door, Now, Session, Shape, Text, View
from identity_service.events import access as events_access
from identity_service.events import rules as event_rules
from identity_service.events.access import InContact
from identity_service.user_ids import MalformedUserId

router = APIRouter(prefix="/v1", route_class=Door, tags=["contacts"])

_CONTACT = (rules.UnknownContact, MissingClerk)
_OPEN = (*_CONTACT, rules.ContactClosed)
_ACCOUNT = (account_rules.UnknownUserId, MalformedUserId)


class NewContact(Shape):
    """A caller, with or without a User ID, at a desk."""

    desk: Annotated[str, Field(max_length=40)]
    user_id: Annotated[str, Field(max_length=40)] | None = None
    note: Text | None = None


class Note(Shape):
    """What was said."""

    note: Annotated[Text, StringConstraints(min_length=1)]


class NewLook(Shape):
    """Whose account is opened, and why; the customer reads it."""

    user_id: Annotated[str, Field(max_length=40)]
    reason: Annotated[Text, StringConstraints(min_length=1, max_length=event_rules.LONGEST_REASON)]


class HandOver(Shape):
    """To which desk, and what it should know."""

    desk: Annotated[str, Field(max_length=40)]
    note: Text | None = None


class Closing(Shape):
    """What came of it."""

    note: Text | None = None


class NewCheck(Shape):
    """The contact in which the caller is checked, and what for; the address is the one on file."""

    contact: Annotated[str, Field(max_length=40)]
    purpose: Literal["identify", "reset", "business", "receipt"] = "identify"


class CheckAnswer(Shape):
    """What the caller read out."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=40)]


class ContactView(View):
    """A contact. `warning`: the caller has been handed on before; do not send him on again. `waited_s` is what he has
    waited in all, but for the wait that began at `waiting_since` and is still going on."""

    number: str
    user_id: str | None
    desk: str
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None
    hand_overs: int
    waiting_since: datetime | None
    waited_s: int
    warning: bool


class ContactEntryView(View):
    """One thing that happened in a contact."""

    at: datetime
    by: str
    desk: str
    what: str
    words: str | None


class WholeContactView(ContactView):
    """A contact with what happened in it, in order; `verified_until`: the caller is verified until then."""

    entries: list[ContactEntryView]
    verified_until: datetime | None


class ContactsView(View):
    """Contacts, newest first."""

    items: list[ContactView]
    next: str | None


class StartedView(View):
    """A check on its way. Read `phrase` to the caller first; follow `message_id`; you never see the code."""

    id: uuid.UUID
    phrase: str
    message_id: uuid.UUID
    expires_at: datetime


class AnswerView(View):
    """Whether it was right, and how many tries are left."""

    result: Literal["match", "no_match"]
    tries_left: int


def view(contact: Contact) -> ContactView:
    """Return a contact as it goes out."""
    return ContactView(**_fields(contact))


def _fields(contact: Contact) -> dict[str, object]:
    names = ("desk", "opened_by", "opened_at", "closed_at", "hand_overs", "waiting_since", "waited_s")
    return {
        **{name: getattr(contact, name) for name in names},
        "number": f"{contact.number[:3]}-{contact.number[3:]}",
        "user_id": None if contact.user_id is None else user_ids.show(contact.user_id),
        "warning": contact.hand_overs >= rules.WARN_AT,
    }


@router.post(
    "/contacts",
    status_code=201,
    dependencies=[access.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.documented(*_CONTACT, *_ACCOUNT, rules.UnknownDesk, *idempotency.REFUSALS, *access.REFUSALS),
)
async def open_contact(body: NewContact, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Open a contact with a caller."""
    user_id = None if body.user_id is None else user_ids.parse(body.user_id)
    return view(await actions.begin(session, user_id, desk=body.desk, words=body.note, by=clerk, now=now))


@router.get(
    "/contacts",
    dependencies=[access.requires("contacts:read")],
    responses=problems.documented(MalformedUserId, *events_access.REFUSALS, *access.REFUSALS),
)
async def list_contacts(
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: InContact = None,
    user_id: Annotated[str | None, Query(max_length=40)] = None,
    desk: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ContactsView:
    """List contacts, newest first: of one customer, or those open at a desk.

    A desk reads a customer's where it has opened the account: X-Clerk-ID, and X-Contact with the contact it did so in.
    """
    if user_id is not None:
        await events_access.check(session, caller, person, user_id, x_contact, now=now)
    ids = None if user_id is None else await merges.every_id(session, user_ids.parse(user_id))
    found = await actions.listing(session, user_ids=ids, desk=desk, limit=limit)
    return ContactsView(items=[view(contact) for contact in found], next=None)


@router.get(
    "/contacts/{number}",
    dependencies=[access.requires("contacts:read")],
    responses=problems.documented(rules.UnknownContact, *access.REFUSALS),
)
async def read_contact(number: str, session: Session, now: Now) -> WholeContactView:
    """Read a contact with everything that happened in it."""
    contact, entries = await actions.whole(session, number)
    match = None
    if contact.user_id is not None:
        match = await checks.verified(session, contact, contact.user_id, now=now)
    until = None if match is None or match.answered_at is None else match.answered_at + rules.HOLDS
    shown = [ContactEntryView(at=e.at, by=e.by, desk=e.desk, what=e.what, words=e.words) for e in entries]
    return WholeContactView(**_fields(contact), entries=shown, verified_until=until)


@router.post(
    "/contacts/{number}/looks",
    status_code=201,
    dependencies=[access.requires("contacts:write")],
    responses=problems.documented(
        *_OPEN, *_ACCOUNT, rules.AnothersContact, event_rules.ReasonMissing, *throttle.REFUSALS, *access.REFUSALS
    ),
)
async def open_account(
    request: Request, number: str, body: NewLook, session: Session, clerk: Clerk, now: Now
) -> ContactView:
    """Open a customer's account in a contact, for a reason; then its history, summary, events and contacts may be read
    with this contact's number in X-Contact. The customer sees the reason."""
    await request.app.state.throttle.hit("staff-open", event_rules.OPENED, clerk)
    return view(await actions.look(session, number, user_ids.parse(body.user_id), body.reason, by=clerk, now=now))


@router.post(
    "/contacts/{number}/notes",
    status_code=201,
    dependencies=[access.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.documented(*_OPEN, *idempotency.REFUSALS, *access.REFUSALS),
)
async def add_note(number: str, body: Note, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Write down what was said."""
    return view(await actions.note(session, number, body.note, by=clerk, now=now))


@router.post(
    "/contacts/{number}/hand-over",
    dependencies=[access.requires("contacts:write")],
    responses=problems.documented(*_OPEN, rules.UnknownDesk, *access.REFUSALS),
)
async def hand_over_contact(number: str, body: HandOver, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Hand a contact to another desk, with everything that is known; `warning` says when it is too often."""
    return view(await actions.hand_over(session, number, body.desk, body.note, by=clerk, now=now))


@router.post(
    "/contacts/{number}/pick-up",
    dependencies=[access.requires("contacts:write")],
    responses=problems.documented(*_OPEN, *access.REFUSALS),
)
async def pick_up_contact(number: str, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Take up a contact that was handed over; the caller waits no longer."""
    return view(await actions.pick_up(session, number, by=clerk, now=now))


@router.post(
    "/contacts/{number}/close",
    dependencies=[access.requires("contacts:write")],
    responses=problems.documented(*_OPEN, *access.REFUSALS),
)
async def close_contact(number: str, body: Closing, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Close a contact."""
    return view(await actions.close(session, number, body.note, by=clerk, now=now))


@router.post(
    "/accounts/{user_id}/caller-checks",
    status_code=201,
    dependencies=[access.requires("callers:check")],
    responses=problems.documented(
        *_OPEN,
        *_ACCOUNT,
        rules.AnothersContact,
        account_rules.NoEmail,
        account_rules.AccountNotActive,
        *throttle.REFUSALS,
        *access.REFUSALS,
    ),
)
async def start_caller_check(
    request: Request, user_id: str, body: NewCheck, session: Session, clerk: Clerk, now: Now
) -> StartedView:
    """Mail a code to the address on file, for the caller to read back; the answer holds two words for you to read."""
    await request.app.state.throttle.hit("caller-check", rules.CHECKS_PER_CLERK, clerk)
    started = await checks.start(session, user_ids.parse(user_id), body.contact, body.purpose, clerk=clerk, now=now)
    return StartedView(
        id=started.check.id, phrase=started.phrase, message_id=started.message_id, expires_at=started.expires_at
    )


@router.post(
    "/accounts/{user_id}/caller-checks/{check_id}/answer",
    dependencies=[access.requires("callers:check")],
    responses=problems.documented(*_ACCOUNT, MissingClerk, rules.UnknownCheck, rules.CheckOver, *access.REFUSALS),
)
async def answer_caller_check(
    request: Request, user_id: str, check_id: uuid.UUID, body: CheckAnswer, clerk: Clerk, now: Now
) -> AnswerView:
    """Tell what the caller read out: match or no match."""
    answer = await checks.answer(
        doors.database_of(request), user_ids.parse(user_id), check_id, body.code, clerk=clerk, now=now
    )
    return AnswerView(result="match" if answer.matched else "no_match", tries_left=answer.tries_left)
