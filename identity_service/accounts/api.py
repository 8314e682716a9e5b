"""Accounts for services: read, look up, change, verify. Registering is a verb of `life/`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field, model_validator

from identity_service import doors, email_addresses, problems, throttle, tokens, user_ids
from identity_service.accounts import actions, business, merges, rules
from identity_service.accounts.tables import Account, BusinessTime
from identity_service.clients import access
from identity_service.clients.access import Caller, MissingClerk, Person
from identity_service.consents import actions as consents
from identity_service.consents import rules as consent_rules
from identity_service.database import AsyncSession
from identity_service.doors import Door, Line, Now, Session, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.events import access as events_access
from identity_service.events import actions as events
from identity_service.events import rules as event_rules
from identity_service.events.api import EventsView
from identity_service.events.api import view as event_view
from identity_service.life import verification
from identity_service.passwords import actions as passwords
from identity_service.user_ids import MalformedUserId

Locale = Literal["en", "de"]
SEARCHES = "600/minute"

router = APIRouter(prefix="/v1", route_class=Door, tags=["accounts"])
hot = APIRouter(prefix="/v1", route_class=access.HotDoor, tags=["accounts"])


class CompanyView(View):
    """What a business says of itself. Numbers are checked for form and check digits, never for whether they exist."""

    company_name: str | None
    country: str
    vat_number: str | None
    registration_number: str | None
    contact_person: str | None
    billing_address: str | None


class AccountView(View):
    """What we know of one customer. The address is masked unless the caller has `accounts:read_personal`."""

    user_id: str = Field(examples=["3W08-K7QX-M1C4"])
    kind: Literal["consumer", "business"]
    state: Literal["active", "closed", "merged"]
    email: str | None
    email_state: Literal["none", "unconfirmed", "confirmed", "failing"]
    display_name: str | None
    locale: Locale
    marketing: dict[str, Literal["never", "allowed"]] = Field(description="permission per purpose; silence is never")
    has_password: bool
    customer_since: datetime
    sessions_valid_after: datetime | None = Field(description="sessions you opened before this moment are over")
    business: CompanyView | None = Field(description="the company's details; null for a consumer")
    external_refs: list[str] = Field(description="what your own service calls this customer, merged accounts included")
    moved_to: str | None = Field(description="the User ID that answers for a merged account")
    version: int


class AccountsView(View):
    """Accounts that were looked up."""

    items: list[AccountView]
    next: str | None


class Search(Shape):
    """Exactly one of the two."""

    email: Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})] | None = None
    external_ref: Line | None = None

    @model_validator(mode="after")
    def _one(self) -> "Search":
        if (self.email is None) == (self.external_ref is None):
            raise ValueError("exactly one of email and external_ref is needed")
        return self


class AccountChange(Shape):
    """What may simply be changed. A null display name removes it."""

    display_name: Line | None = None
    locale: Locale | None = None


class Verifications(Shape):
    """User IDs as they were heard or typed, in any readable form."""

    user_ids: Annotated[list[str], Field(min_length=1, max_length=1000)]


class SuggestionView(View):
    """What the caller may have meant; ask, never assume."""

    user_id: str
    reason: str
    position: int | None


class VerificationView(View):
    """What may be known of one ID. Members that do not apply are left out."""

    input: str
    status: Literal["valid", "unknown", "malformed", "moved", "closed"]
    user_id: str = ""
    kind: Literal["consumer", "business"] = "consumer"
    marketing: Literal["never", "allowed", "ask"] = "never"
    moved_to: str = ""
    problem: Literal["too_short", "too_long", "impossible_symbol", "check_failed"] = "check_failed"
    detail: str = ""
    symbol: str = ""
    position: int = 0
    suggestions: list[SuggestionView] = Field(default_factory=list)


class VerificationsView(View):
    """One result per input, in the same order."""

    results: list[VerificationView]


async def view(session: AsyncSession, account: Account, caller: access.Access) -> AccountView:
    """Return an account as this caller may see it."""
    return AccountView(**await fields(session, account, caller))


class Around(NamedTuple):
    """What other tables hold of an account, as far as its view shows it."""

    company: BusinessTime | None
    decisions: Mapping[str, str | None]
    has_password: bool
    references: Sequence[str]


async def fields(session: AsyncSession, account: Account, caller: access.Access) -> dict[str, Any]:
    """Return the members of an account's view; other views add theirs."""
    ids = [account.user_id, *(member for member, _ in await merges.merged_into(session, account.user_id))]
    around = Around(
        await business.current(session, account.user_id) if account.kind == "business" else None,
        {state.purpose: state.decision for state in await consents.state(session, account.user_id)},
        await passwords.exists(session, account.user_id),
        await actions.references(session, ids, caller.client_id),
    )
    return _fields(account, around, caller)


def new_fields(
    session: AsyncSession, account: Account, caller: access.Access, external_ref: str | None
) -> dict[str, Any]:
    """Return the same of an account that this transaction added: around it is nothing yet, so nothing is read."""
    silence = dict.fromkeys(consents.purposes(session))
    return _fields(account, Around(None, silence, False, [external_ref] if external_ref else []), caller)


def _fields(account: Account, around: Around, caller: access.Access) -> dict[str, Any]:
    whole = "accounts:read_personal" in caller.scopes
    return {
        "user_id": user_ids.show(account.user_id),
        "kind": account.kind,
        "state": account.state,
        "email": account.email if whole or account.email is None else email_addresses.mask(account.email),
        "email_state": account.email_state,
        "display_name": account.display_name,
        "locale": account.locale,
        "marketing": {purpose: consent_rules.permission(said) for purpose, said in around.decisions.items()},
        "has_password": around.has_password,
        "customer_since": account.customer_since,
        "sessions_valid_after": account.sessions_valid_after,
        "business": None if around.company is None else business.as_shown(around.company),
        "external_refs": list(around.references),
        "moved_to": None if account.merged_into is None else user_ids.show(account.merged_into),
        "version": account.version,
    }


def etag(account: Account) -> str:
    """Return the entity tag of an account's version (RFC 9110, 8.8.3)."""
    return f'"{account.version}"'


def wanted_version(if_match: str | None) -> int | None:
    """Return the version that `If-Match` names; anything that cannot be ours is stale."""
    if if_match is None or if_match == "*":
        return None
    number = if_match.strip().removeprefix('"').removesuffix('"')
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise rules.StaleVersion
    return int(number)


@router.get(
    "/accounts/{user_id}",
    dependencies=[access.requires("accounts:read")],
    responses=problems.documented(rules.UnknownUserId, MalformedUserId, *access.REFUSALS),
)
async def read_account(user_id: str, session: Session, caller: Caller, response: Response) -> AccountView:
    """Read one account. A merged one answers with `moved_to`; an ID that does not check gets suggestions."""
    account = await actions.find(session, user_ids.parse(user_id))
    response.headers["ETag"] = etag(account)
    return await view(session, account, caller)


@router.patch(
    "/accounts/{user_id}",
    dependencies=[access.requires("accounts:write")],
    responses=problems.documented(rules.UnknownUserId, MalformedUserId, rules.StaleVersion, *access.REFUSALS),
)
async def change_account(
    user_id: str,
    body: AccountChange,
    session: Session,
    caller: Caller,
    now: Now,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=100)] = None,
) -> AccountView:
    """Change display name or locale; with `If-Match`, only if nobody else did since you read it."""
    changes = {
        name: getattr(body, name) for name in body.model_fields_set if name != "locale" or body.locale is not None
    }
    account = await actions.change(
        session, user_ids.parse(user_id), changes, version=wanted_version(if_match), actor=caller.actor, now=now
    )
    response.headers["ETag"] = etag(account)
    return await view(session, account, caller)


@router.post(
    "/accounts/search",
    dependencies=[access.requires("accounts:read")],
    responses=problems.documented(MalformedEmailAddress, MissingClerk, *throttle.REFUSALS, *access.REFUSALS),
)
async def search_accounts(
    request: Request, body: Search, session: Session, caller: Caller, person: Person, settings: doors.Settings, now: Now
) -> AccountsView:
    """Find who answers for an address, or for your own reference. Exact only; addresses stand in no path and no query.

    Where the account was merged, that is the account that it leads to.
    """
    await request.app.state.throttle.hit("account-search", SEARCHES, caller.client_id)
    if caller.desk:
        await request.app.state.throttle.hit("staff-search", event_rules.SEARCHES, person)
        await events_access.searched(request, person, now=now)
    if body.email is not None:
        address = email_addresses.parse(body.email, special_use=settings.development)
        found = await actions.find_by_email(session, address)
    else:
        found = await actions.find_by_reference(session, caller.client_id, body.external_ref or "")
    if found is not None:
        found = await actions.current(session, user_ids.UserId(found.user_id))
    return AccountsView(items=[] if found is None else [await view(session, found, caller)], next=None)


@router.get(
    "/accounts/{user_id}/events",
    dependencies=[access.requires("events:read"), events_access.Opened],
    responses=problems.documented(
        rules.UnknownUserId,
        MalformedUserId,
        tokens.InvalidCursor,
        events.RestoredFeed,
        *events_access.REFUSALS,
        *access.REFUSALS,
    ),
)
async def list_account_events(
    user_id: str,
    session: Session,
    settings: doors.Settings,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> EventsView:
    """Read what happened to one customer, oldest first."""
    ids = await merges.chain(session, user_ids.parse(user_id))
    page = await events.of_account(session, ids, after, limit=limit)
    return EventsView(items=[event_view(event, settings) for event in page.events], next=page.cursor)


@hot.post(
    "/accounts/verifications",
    dependencies=[access.requires("accounts:verify")],
    responses=problems.documented(*access.REFUSALS),
    response_model=VerificationsView,
    openapi_extra={"x-body-limit": doors.BATCH_LIMIT},
)
async def verify_accounts(request: Request, body: Verifications) -> Response:
    """Verify up to 1,000 User IDs: valid, unknown, malformed (with suggestions), moved or closed."""
    results = await verification.verify(doors.database_of(request), body.user_ids)
    return Response(orjson.dumps({"results": results}), media_type="application/json")
