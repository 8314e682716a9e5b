"""Routes of contacts and caller checks, with which desk tools can do what the console can."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from identity_service.account_access import dependencies as access_dependencies
from identity_service.account_access import rules as access_rules
from identity_service.account_access.dependencies import InContact
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.contacts import actions, checks, limits, rules
from identity_service.contacts.schemas import (
    CallerCheckAnswer,
    CallerCheckResult,
    CallerCheckStarted,
    CallerCheckState,
    CallerMethodView,
    ContactClosing,
    ContactEntryView,
    ContactHandOver,
    ContactList,
    ContactView,
    ContactWithEntriesView,
    NewAccountAccess,
    NewCallerCheck,
    NewContact,
    NewContactNote,
    VerifiedByView,
)
from identity_service.contacts.tables import Contact
from identity_service.events import rules as event_rules
from identity_service.values import contact_numbers, secret_codes, user_ids
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import authentication, dependencies, idempotency, pagination, problems, rate_limits
from identity_service.web.authentication import Caller, Clerk, MissingClerk, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["contacts"])

_CONTACT = (rules.UnknownContact, MissingClerk)
_OPEN = (*_CONTACT, rules.ContactClosed)
_ACCOUNT = account_rules.ACCOUNT_ERRORS


def contact_view(contact: Contact) -> ContactView:
    """Return a contact in the format of the API."""
    return ContactView(**_fields(contact))


def _fields(contact: Contact) -> dict[str, object]:
    names = ("desk", "opened_by", "opened_at", "closed_at", "hand_overs", "waiting_since", "waited_s")
    return {
        **{name: getattr(contact, name) for name in names},
        "number": contact_numbers.show(contact.number),
        "user_id": None if contact.user_id is None else user_ids.show(contact.user_id),
        "warning": contact.hand_overs >= rules.WARN_AT,
    }


@router.post(
    "/contacts",
    status_code=201,
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(
        *_CONTACT, *_ACCOUNT, rules.UnknownDesk, *idempotency.IDEMPOTENCY_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def open_contact(body: NewContact, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Open a contact with a caller, with or without a User ID."""
    user_id = None if body.user_id is None else user_ids.parse(body.user_id)
    return contact_view(
        await actions.open_contact(session, user_id, desk=body.desk, note=body.note, actor=clerk, now=now)
    )


@router.get(
    "/contacts",
    dependencies=[authentication.requires("contacts:read")],
    responses=problems.error_responses(
        MalformedUserId, pagination.InvalidCursor, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def list_contacts(
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: InContact = None,
    user_id: Annotated[str | None, Query(max_length=40)] = None,
    desk: Annotated[str | None, Query(max_length=40)] = None,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ContactList:
    """List contacts, newest first: those of one customer, or those open at a desk.

    To read a customer's, a desk must have opened the account: name the person in X-Clerk-ID, the contact in X-Contact.
    """
    if user_id is not None:
        await access_dependencies.check_access(session, caller, person, user_id, x_contact, now=now)
    ids = None if user_id is None else await ownership.user_ids_or_self(session, user_ids.parse(user_id))
    key, name, before = session.keys.internal(), f"contacts of {user_id} at {desk}", None
    if after is not None:
        opened_at, contact_id = pagination.read_cursor(key, name, after)
        before = (datetime.fromisoformat(opened_at), uuid.UUID(contact_id))
    found = await actions.list_contacts(session, user_ids=ids, desk=desk, before=before, limit=limit + 1)
    more = None
    if len(found) > limit:
        last = found[limit - 1]
        more = pagination.make_cursor(key, name, last.opened_at.isoformat(), str(last.id))
    return ContactList(items=[contact_view(contact) for contact in found[:limit]], next=more)


@router.get(
    "/contacts/{number}",
    dependencies=[authentication.requires("contacts:read")],
    responses=problems.error_responses(rules.UnknownContact, *authentication.AUTH_ERRORS),
)
async def read_contact(number: str, session: Session, now: Now) -> ContactWithEntriesView:
    """Read a contact with its newest 200 entries."""
    contact, entries = await actions.load_contact(session, number)
    match = None
    if contact.user_id is not None:
        match = await checks.find_verification(session, contact, contact.user_id, now=now)
    until = None if match is None or match.answered_at is None else match.answered_at + rules.HOLDS
    verified_by = None if match is None else VerifiedByView(
        method=match.method, session_method=match.session_method, session_since=match.session_since
    )  # fmt: skip
    methods = [
        CallerMethodView(method=one.method, why_not=None if one.why_not is None else one.why_not.code())
        for one in await limits.list_methods(session, contact, now=now)
    ]
    shown = [
        ContactEntryView(occurred_at=e.occurred_at, actor=e.actor, desk=e.desk, kind=e.kind, note=e.note)
        for e in entries
    ]
    return ContactWithEntriesView(
        **_fields(contact), entries=shown, verified_until=until, verified_by=verified_by, caller_methods=methods,
        warnings=await limits.list_warnings(session, contact.user_id, now=now),
    )  # fmt: skip


@router.post(
    "/contacts/{number}/account-access",
    status_code=201,
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(
        *_OPEN,
        *_ACCOUNT,
        rules.ContactOfOtherCustomer,
        access_rules.ReasonMissing,
        *rate_limits.RATE_LIMIT_ERRORS,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def record_account_access(
    request: Request, number: str, body: NewAccountAccess, session: Session, clerk: Clerk, now: Now
) -> ContactView:
    """Open a customer's account in a contact, for a reason. You may then read its history, summary, events and contacts
    with this contact's number in X-Contact. The customer can read the reason."""
    await request.app.state.throttle.hit("staff-open", event_rules.OPENED, clerk)
    return contact_view(
        await actions.open_account(session, number, user_ids.parse(body.user_id), body.reason, actor=clerk, now=now)
    )


@router.post(
    "/contacts/{number}/notes",
    status_code=201,
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(*_OPEN, *idempotency.IDEMPOTENCY_ERRORS, *authentication.AUTH_ERRORS),
)
async def add_note(number: str, body: NewContactNote, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Add a note to a contact."""
    return contact_view(await actions.add_note(session, number, body.note, actor=clerk, now=now))


@router.post(
    "/contacts/{number}/hand-over",
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(
        *_OPEN,
        rules.UnknownDesk,
        rules.AlreadyAtDesk,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def hand_over_contact(
    number: str, body: ContactHandOver, session: Session, clerk: Clerk, now: Now
) -> ContactView:
    """Hand a contact over to another desk; `warning` in the answer means that it was handed over too often."""
    return contact_view(await actions.hand_over(session, number, body.desk, body.note, actor=clerk, now=now))


@router.post(
    "/contacts/{number}/pick-up",
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(*_OPEN, *idempotency.IDEMPOTENCY_ERRORS, *authentication.AUTH_ERRORS),
)
async def pick_up_contact(number: str, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Pick up a contact that was handed over; this ends the caller's wait."""
    return contact_view(await actions.pick_up(session, number, actor=clerk, now=now))


@router.post(
    "/contacts/{number}/close",
    dependencies=[authentication.requires("contacts:write"), idempotency.Repeatable],
    responses=problems.error_responses(*_OPEN, *idempotency.IDEMPOTENCY_ERRORS, *authentication.AUTH_ERRORS),
)
async def close_contact(number: str, body: ContactClosing, session: Session, clerk: Clerk, now: Now) -> ContactView:
    """Close a contact, with an optional note."""
    return contact_view(await actions.close_contact(session, number, body.note, actor=clerk, now=now))


@router.post(
    "/accounts/{user_id}/caller-checks",
    status_code=201,
    dependencies=[authentication.requires("callers:check"), idempotency.Repeatable],
    responses=problems.error_responses(
        *_OPEN,
        *_ACCOUNT,
        rules.ContactOfOtherCustomer,
        account_rules.NoEmail,
        account_rules.AccountMoved,
        account_rules.AccountClosed,
        rules.ChecksDenied,
        rules.CallerMethodRefused,
        rules.WeakerMethod,
        rules.AskPaused,
        rules.NoNumber,
        *rate_limits.RATE_LIMIT_ERRORS,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def start_caller_check(
    request: Request, user_id: str, body: NewCallerCheck, session: Session, clerk: Clerk, now: Now
) -> CallerCheckStarted:
    """Start a check: email a code to the address on file, wait for the customer's support code, or ask on their screen.
    Read the `phrase` of the answer to the caller first."""
    await request.app.state.throttle.hit("caller-check", rules.CHECKS_PER_CLERK, clerk)
    started = await checks.start_check(
        session, user_ids.parse(user_id), body.contact, body.purpose, method=body.method, clerk=clerk, now=now
    )
    return CallerCheckStarted(
        id=started.check.id, method=body.method, phrase=started.phrase, digits=started.digits,
        message_id=started.message_id, expires_at=started.expires_at,
    )  # fmt: skip


@router.get(
    "/accounts/{user_id}/caller-checks/{check_id}",
    dependencies=[authentication.requires("callers:check")],
    responses=problems.error_responses(*_ACCOUNT, MissingClerk, rules.UnknownCheck, *authentication.AUTH_ERRORS),
)
async def read_caller_check(
    user_id: str, check_id: uuid.UUID, session: Session, clerk: Clerk, now: Now
) -> CallerCheckState:
    """Read a check that you started: the words to say, and whether the customer has answered."""
    check = await checks.find_own_check(session, user_ids.parse(user_id), check_id, clerk=clerk)
    return CallerCheckState(
        id=check.id, method=check.method, phrase=await checks.phrase(session, check, now=now), matched=check.matched,
        denied=check.denied_at is not None, tries_left=max(0, rules.TRIES - check.tries),
        answered_at=check.answered_at,
    )  # fmt: skip


@router.post(
    "/accounts/{user_id}/caller-checks/{check_id}/answer",
    dependencies=[authentication.requires("callers:check"), idempotency.Repeatable],
    responses=problems.error_responses(
        *_ACCOUNT,
        MissingClerk,
        rules.UnknownCheck,
        rules.CheckEnded,
        rules.AnsweredOnScreen,
        secret_codes.RecoveryCodeSpoken,
        *rate_limits.RATE_LIMIT_ERRORS,
        *idempotency.IDEMPOTENCY_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def answer_caller_check(
    request: Request,
    user_id: str,
    check_id: uuid.UUID,
    body: CallerCheckAnswer,
    session: Session,
    caller: Caller,
    clerk: Clerk,
    now: Now,
) -> CallerCheckResult:
    """Submit the code that the caller read out; the result is match or no match."""
    wanted, throttle = user_ids.parse(user_id), request.app.state.throttle
    await limits.count_answer(session, throttle, check_id, body.code, clerk=clerk, client=caller.client_id)
    database = dependencies.database_of(request)
    left = await checks.count_try(database, wanted, check_id, clerk=clerk, now=now)
    answer = await checks.conclude_check(session, check_id, body.code, left=left, clerk=clerk, now=now)
    return CallerCheckResult(result="match" if answer.matched else "no_match", tries_left=answer.tries_left)
