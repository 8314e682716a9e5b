"""Doors for what changes an account for good: business, merge, address, close, export, erase, and which desk may serve.

A service's client acts for a customer it has signed in. A desk tool only starts: it gets 202, and the customer's
mailbox confirms (decision 12).
"""

import dataclasses
import uuid
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field, StringConstraints

from identity_service import doors, email_addresses, idempotency, problems, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import business, merges, numbers
from identity_service.accounts import rules as account_rules
from identity_service.accounts.api import AccountView, etag, view, wanted_version
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.contacts import checks
from identity_service.contacts import rules as contact_rules
from identity_service.database import AsyncSession
from identity_service.doors import Door, Line, Now, Session, Settings, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.events.access import InContact
from identity_service.history import actions as history
from identity_service.life import addresses, conversions, endings, guarded, merging, rules
from identity_service.life.api import NewEmail
from identity_service.life.tables import PendingChange
from identity_service.user_ids import MalformedUserId

router = APIRouter(prefix="/v1", route_class=Door, tags=["life"])

_ACCOUNT = (account_rules.UnknownUserId, MalformedUserId)
_CHANGING = (*_ACCOUNT, account_rules.AccountMoved, account_rules.AccountNotActive, account_rules.NoEmail)
_NUMBERS = (numbers.UnknownCountry, numbers.WrongVatNumber, numbers.WrongRegistrationNumber)
Preview = Annotated[bool, Query(description="only say what would change")]
IfMatch = Annotated[str | None, Header(max_length=40)]
_NO_MAILBOX = "There is no mailbox that could confirm this; it needs an approval in the console."


class Company(Shape):
    """The company. VAT and registration number are checked for form and check digits."""

    company_name: Line
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = Field(examples=["DE"])
    vat_number: Line | None = None
    registration_number: Line | None = None
    contact_person: Line | None = None
    billing_address: Line | None = None


class Proof(Shape):
    """What a desk shows for a guarded verb: the id of a caller check that matched in an open contact, at most 15
    minutes ago. An approval is given by a second person in the console and by no header."""

    caller_check: Annotated[uuid.UUID, Field(strict=False)]


class CompanyWithProof(Company):
    """The company, and for a desk its proof; without one the customer's mailbox is asked."""

    proof: Proof | None = None


class Duplicate(Shape):
    """The other account: from then on its User ID leads to this one."""

    duplicate: Annotated[str, Field(max_length=40)]


class PendingView(View):
    """A change that waits for somebody to confirm it."""

    id: uuid.UUID
    verb: str
    waits_for: str


class ChangedView(View):
    """The account as it is now, and, where nothing has changed yet, what is waited for."""

    account: AccountView
    pending: PendingView | None


class ConversionPreview(View):
    """What becoming this business would change, and what it would not."""

    changes: list[str]
    stays: list[str]


class MergePoint(View):
    """One point of a merge: both sides, and what comes out."""

    what: str
    survivor: str
    duplicate: str
    outcome: str


class MergePreview(View):
    """Every point where two accounts differ, and the outcome."""

    points: list[MergePoint]


class DeskView(View):
    """Which desk is best for a customer, which may serve, and why; a consumer is never sent away."""

    desk: rules.Desk
    may_serve: list[rules.Desk]
    reasons: list[str]
    offer_conversion: bool


class ErasedView(View):
    """A signed statement of what was removed (JWS, `erasure-receipt+jwt`)."""

    user_id: str
    receipt: str


@router.put(
    "/accounts/{user_id}/business",
    dependencies=[access.requires("accounts:convert")],
    response_model=ChangedView | ConversionPreview,
    responses={
        **problems.documented(
            *_CHANGING, *_NUMBERS, account_rules.StaleVersion, contact_rules.NotVerified, *access.REFUSALS
        ),
        202: {"model": ChangedView, "description": "Asked by a desk: the customer's mailbox confirms"},
    },
)
async def become_business(
    user_id: str, body: CompanyWithProof, session: Session, caller: Caller, now: Now, response: Response,
    preview: Preview = False, if_match: IfMatch = None, x_contact: InContact = None,
) -> ChangedView | ConversionPreview:  # fmt: skip
    """Make a consumer a business, at once and under the same User ID; everything that ever happened stays."""
    wanted = user_ids.parse(user_id)
    details = body.model_dump(exclude={"proof"})
    company = conversions.company(details)
    if preview:
        return ConversionPreview(**conversions.preview(await accounts.find(session, wanted), company))
    if body.proof is not None:
        answering = await accounts.current(session, wanted)
        await checks.require(
            session, body.proof.caller_check, answering.user_id, purpose="business", contact=x_contact, now=now
        )
    elif caller.desk:
        change = await guarded.ask(
            session, wanted, "business", details, version=wanted_version(if_match), actor=caller.actor, now=now
        )
        return await _waiting(session, change, caller, response)
    account = await conversions.become_business(
        session, wanted, company, version=wanted_version(if_match), actor=caller.actor, now=now
    )
    response.headers["ETag"] = etag(account)
    return ChangedView(account=await view(session, account, caller), pending=None)


@router.delete(
    "/accounts/{user_id}/business",
    dependencies=[access.requires("accounts:convert")],
    responses={
        **problems.documented(*_CHANGING, account_rules.StaleVersion, *access.REFUSALS),
        202: {"model": ChangedView, "description": "Asked by a desk: the customer's mailbox confirms"},
    },
)
async def become_consumer(
    user_id: str, session: Session, caller: Caller, now: Now, response: Response, if_match: IfMatch = None
) -> ChangedView:
    """Make a business a consumer again; the company's details stay in its history."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await guarded.ask(
            session, wanted, "consumer", {}, version=wanted_version(if_match), actor=caller.actor, now=now
        )
        return await _waiting(session, change, caller, response)
    account = await business.leave(session, wanted, version=wanted_version(if_match), actor=caller.actor, now=now)
    response.headers["ETag"] = etag(account)
    return ChangedView(account=await view(session, account, caller), pending=None)


@router.get(
    "/accounts/{user_id}/desk",
    dependencies=[access.requires("accounts:read")],
    responses=problems.documented(*_ACCOUNT, *access.REFUSALS),
)
async def read_desk(user_id: str, session: Session, settings: Settings) -> DeskView:
    """Read which desk should serve a customer, with the reasons, and whether to offer becoming a business."""
    return DeskView(**dataclasses.asdict(await place(session, user_ids.parse(user_id), settings)))


@router.post(
    "/accounts/{user_id}/merge",
    status_code=202,
    dependencies=[access.requires("accounts:merge")],
    response_model=ChangedView | MergePreview,
    responses={
        **problems.documented(*_CHANGING, rules.CannotMerge, *access.REFUSALS),
        200: {"model": MergePreview, "description": "With `preview=true`: every point and its outcome"},
    },
)
async def merge_accounts(
    user_id: str, body: Duplicate, session: Session, caller: Caller, now: Now, response: Response,
    preview: Preview = False,
) -> ChangedView | MergePreview:  # fmt: skip
    """Ask both mailboxes whether two accounts may become one; from then on the other User ID leads to this one."""
    survivor, duplicate = user_ids.parse(user_id), user_ids.parse(body.duplicate)
    if preview:
        response.status_code = 200
        return MergePreview(points=[MergePoint(**p) for p in await merging.preview(session, survivor, duplicate)])
    if caller.desk and not await merging.has_mailbox(session, survivor, duplicate):
        raise rules.ProofRefused(_NO_MAILBOX)
    request = await merging.ask(session, survivor, duplicate, actor=caller.actor, now=now)
    account = await accounts.find(session, survivor)
    waits = None if request.merged_at else PendingView(id=request.id, verb="merge", waits_for="both mailboxes")
    return ChangedView(account=await view(session, account, caller), pending=waits)


@router.post(
    "/accounts/{user_id}/merge/undo",
    dependencies=[access.requires("accounts:merge")],
    response_model=AccountView | ChangedView,
    responses={
        **problems.documented(
            *_ACCOUNT, account_rules.AccountNotActive, account_rules.NoEmail, rules.NothingToUndo, *access.REFUSALS
        ),
        202: {"model": ChangedView, "description": "Asked by a desk: the mailbox of the account that answers confirms"},
    },
)
async def undo_merge(
    user_id: str, session: Session, caller: Caller, now: Now, response: Response
) -> AccountView | ChangedView:
    """Undo the merge that moved this User ID, within 30 days; both accounts are again what they were."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        survivor = await merging.undoable(session, wanted, now=now)
        change = await guarded.ask(session, survivor, "merge", {"undo": wanted}, actor=caller.actor, now=now)
        return await _waiting(session, change, caller, response)
    restored = await merging.undo(session, wanted, actor=caller.actor, now=now)
    return await view(session, restored, caller)


@router.post(
    "/accounts/{user_id}/email-changes",
    status_code=202,
    dependencies=[access.requires("accounts:write"), idempotency.Repeatable],
    responses=problems.documented(
        MalformedEmailAddress,
        *_CHANGING,
        account_rules.EmailTaken,
        rules.ProofRefused,
        *idempotency.REFUSALS,
        *access.REFUSALS,
    ),
)
async def change_email(
    request: Request, user_id: str, body: NewEmail, session: Session, caller: Caller, now: Now, response: Response
) -> ChangedView:
    """Name another address, or the first one; it counts when its mailbox has confirmed, and the old one can undo it."""
    development = doors.database_of(request).settings.development
    address = email_addresses.parse(body.email, special_use=development)
    wanted = user_ids.parse(user_id)
    if caller.desk:
        account = await accounts.current(session, wanted)
        if account.email is None:
            raise rules.ProofRefused(_NO_MAILBOX)
        wanted = user_ids.UserId(account.user_id)
        details = {"email": address.shown, "ascii": address.ascii, "key": address.key}
        change = await guarded.ask(session, wanted, "email", details, actor=caller.actor, now=now)
        return await _waiting(session, change, caller, response)
    account, change_id = await addresses.ask_or_add(session, wanted, address, actor=caller.actor, now=now)
    waits = None if change_id is None else PendingView(id=change_id, verb="email", waits_for="the new mailbox")
    return ChangedView(account=await view(session, account, caller), pending=waits)


@router.post(
    "/accounts/{user_id}/close",
    dependencies=[access.requires("accounts:erase")],
    responses={
        **problems.documented(*_CHANGING, *access.REFUSALS),
        202: {"model": ChangedView, "description": "Asked by a desk: the customer's mailbox confirms"},
    },
)
async def close_account(user_id: str, session: Session, caller: Caller, now: Now, response: Response) -> ChangedView:
    """Close an account: nobody signs in any more; its history stays, and nothing is freed."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await guarded.ask(session, wanted, "close", {}, actor=caller.actor, now=now)
        return await _waiting(session, change, caller, response)
    account = await endings.close(session, wanted, actor=caller.actor, now=now)
    return ChangedView(account=await view(session, account, caller), pending=None)


@router.get(
    "/accounts/{user_id}/export",
    dependencies=[access.requires("accounts:read_personal")],
    response_model=None,
    responses={
        **problems.documented(*_ACCOUNT, rules.ProofRefused, *access.REFUSALS),
        200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "Everything held"},
    },
)
async def export_account(user_id: str, session: Session, caller: Caller, now: Now) -> dict[str, Any]:
    """Hand out everything that is held about a customer, for a service he has signed in at; a desk never gets it."""
    if caller.desk:
        raise rules.ProofRefused("The customer fetches this himself, signed in; a desk never gets it.")
    return await endings.export(session, user_ids.parse(user_id), actor=caller.actor, now=now)


@router.post(
    "/accounts/{user_id}/erase",
    dependencies=[access.requires("accounts:erase")],
    response_model=ErasedView | ChangedView,
    responses={
        **problems.documented(*_CHANGING, *access.REFUSALS),
        202: {"model": ChangedView, "description": "Asked by a desk: the customer's mailbox confirms"},
    },
)
async def erase_account(
    user_id: str, session: Session, caller: Caller, now: Now, response: Response
) -> ErasedView | ChangedView:
    """Remove what is personal, everywhere, and answer with a signed receipt; the User ID is never issued again."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await guarded.ask(session, wanted, "erase", {}, actor=caller.actor, now=now)
        return await _waiting(session, change, caller, response)
    receipt = await endings.erase(session, wanted, actor=caller.actor, now=now)
    return ErasedView(user_id=user_ids.show(wanted), receipt=receipt)


async def place(session: AsyncSession, user_id: user_ids.UserId, settings: Settings) -> rules.Placed:
    """Return which desk should serve a customer."""
    ids = await merges.chain(session, user_id)
    account = await accounts.find(session, user_ids.UserId(ids[0]))
    summary = await history.summary(session, ids, since=account.customer_since)
    return rules.place(
        kind=account.kind,
        email_domain=None if account.email_key is None else account.email_key.rpartition("@")[2],
        orders=summary.orders,
        largest_total=max(summary.amounts.values(), default=Decimal(0)),
        many_orders=settings.business_orders,
        large_amount=settings.business_amount,
    )


async def _waiting(
    session: AsyncSession, change: PendingChange, caller: access.Access, response: Response
) -> ChangedView:
    response.status_code = 202
    account = await accounts.find(session, user_ids.UserId(change.user_id))
    waits = PendingView(id=change.id, verb=change.verb, waits_for="the customer's mailbox")
    return ChangedView(account=await view(session, account, caller), pending=waits)
