"""Consents for services: read, propose, withdraw, the receipt, and who may be marketed to."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, model_validator

from identity_service import email_addresses, problems, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts import rules as account_rules
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.consents import actions, receipts, rules
from identity_service.consents.rules import UnknownPurpose, UnknownWording
from identity_service.database import AsyncSession
from identity_service.doors import Door, Line, Now, Session, Settings, Shape, View
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.mail import transparency
from identity_service.user_ids import MalformedUserId

SLICE = 100
PERMISSIONS_LIMIT = 512 * 1024

router = APIRouter(prefix="/v1", route_class=Door, tags=["consents"])
open_router = APIRouter(prefix="/.well-known", route_class=Door, tags=["consents"])


class ConsentView(View):
    """Where one purpose stands. `proposed_at`: a letter asks the mailbox; until it answers, nothing is allowed."""

    purpose: str
    permission: rules.Permission
    decision: Literal["granted", "withdrawn"] | None
    since: datetime | None
    proposed_at: datetime | None


class ConsentEntryView(View):
    """One entry of the ledger."""

    id: int
    purpose: str
    decision: rules.Decision
    wording: str | None
    language: str | None
    channel: str
    actor: str
    at: datetime


class ConsentsView(View):
    """Every purpose, everything that was ever said, newest first, and how often marketing systems asked in a year."""

    user_id: str
    items: list[ConsentView]
    history: list[ConsentEntryView]
    asked: int
    allowed: int
    next: str | None


class ConsentChange(Shape):
    """`granted: false` withdraws at once. `granted: true` proposes: it needs the wording that was read or shown."""

    granted: bool
    wording: Annotated[str, Field(max_length=80, examples=["email-2026-11"])] | None = None
    channel: Literal["page", "app", "phone", "paper", "desk"] = "app"
    evidence: Annotated[Line, Field(description="what you noted down; erasing the customer removes it")] | None = None

    @model_validator(mode="after")
    def _worded(self) -> "ConsentChange":
        if self.granted and self.wording is None:
            raise ValueError("a grant needs the wording that was agreed to")
        return self


class PermissionQuestion(Shape):
    """A purpose, and exactly one of User IDs and addresses, at most 10,000."""

    purpose: Annotated[str, Field(max_length=40)]
    user_ids: Annotated[list[str], Field(max_length=rules.ASKED_AT_MOST)] | None = None
    emails: Annotated[list[str], Field(max_length=rules.ASKED_AT_MOST)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "PermissionQuestion":
        if (self.user_ids is None) == (self.emails is None):
            raise ValueError("exactly one of user_ids and emails is needed")
        return self


class AddressView(View):
    """The address of a customer who allows this."""

    user_id: str
    email: str


class PermissionsView(View):
    """Those of your list who may be contacted; everybody else may not. `statement` is a JWS: keep it as your proof."""

    purpose: str
    allowed: list[str]
    checked_at: datetime
    statement: str
    addresses: list[AddressView] | None


@router.get(
    "/accounts/{user_id}/consents",
    dependencies=[access.requires("consents:read")],
    responses=problems.documented(account_rules.UnknownUserId, MalformedUserId, *access.REFUSALS),
)
async def list_consents(user_id: str, session: Session, now: Now) -> ConsentsView:
    """Read what a customer has allowed, and everything he ever said about it."""
    account = await accounts.current(session, user_ids.parse(user_id))
    return await view(session, account.user_id, now=now)


@router.put(
    "/accounts/{user_id}/consents/{purpose}",
    dependencies=[access.requires("consents:write")],
    responses={
        **problems.documented(
            account_rules.UnknownUserId, account_rules.NoEmail, MalformedUserId, UnknownPurpose, UnknownWording,
            *access.REFUSALS,
        ),
        202: {"model": ConsentView, "description": "Proposed: a letter asks the mailbox's holder"},
    },
)  # fmt: skip
async def change_consent(
    user_id: str, purpose: str, body: ConsentChange, session: Session, caller: Caller, response: Response, now: Now
) -> ConsentView:
    """Withdraw at once, or propose a grant, which counts when the mailbox's holder confirms it."""
    wanted = user_ids.parse(user_id)
    if body.granted:
        response.status_code = 202
        account = await actions.propose(
            session, wanted, purpose, body.wording or "", channel=body.channel, evidence=body.evidence,
            actor=caller.actor, now=now,
        )  # fmt: skip
    else:
        account = await actions.withdraw(session, wanted, purpose, channel=body.channel, actor=caller.actor, now=now)
    states = await actions.state(session, account.user_id)
    return _consent(next(state for state in states if state.purpose == purpose))


@router.get(
    "/accounts/{user_id}/consents/receipt",
    dependencies=[access.requires("consents:read")],
    responses={
        **problems.documented(account_rules.UnknownUserId, MalformedUserId, *access.REFUSALS),
        200: {"content": {receipts.MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "A signed receipt"},
    },
    response_class=Response,
)
async def read_receipt(user_id: str, session: Session, now: Now) -> Response:
    """Return the signed receipt of a customer's consent as it stands now."""
    account = await accounts.current(session, user_ids.parse(user_id))
    return Response(await receipts.issue(session, account, now=now), media_type=receipts.MEDIA_TYPE)


@router.post(
    "/marketing/permissions",
    dependencies=[access.requires("marketing:check")],
    responses=problems.documented(UnknownPurpose, *access.REFUSALS),
    openapi_extra={"x-body-limit": PERMISSIONS_LIMIT},
)
async def check_permissions(
    body: PermissionQuestion, session: Session, caller: Caller, settings: Settings, now: Now
) -> PermissionsView:
    """Ask whom of up to 10,000 customers you may contact for a purpose. Whoever is not in the answer must not be."""
    by_id = await (
        _by_id(body.user_ids) if body.user_ids is not None else _by_address(session, body.emails or [], settings)
    )
    with_addresses = "marketing:addresses" in caller.scopes
    asked = sorted(set(by_id.values()))
    answers = await actions.permissions(
        session, body.purpose, asked, client_id=caller.client_id, addresses=with_addresses, now=now
    )
    yes = set(answers.allowed)
    allowed = [given for given, user_id in by_id.items() if user_id in yes]
    statement = await receipts.statement(
        session, body.purpose, asked, answers.allowed, client_id=caller.client_id, now=now
    )
    addresses = [AddressView(user_id=user_ids.show(i), email=email) for i, email in answers.addresses.items()]
    return PermissionsView(
        purpose=body.purpose, allowed=allowed, checked_at=now, statement=statement,
        addresses=addresses if with_addresses else None,
    )  # fmt: skip


class MailDay(View):
    """How many letters of each class were written on one day; marketing is 0 by construction."""

    day: str
    security: int
    account: int
    privacy: int
    marketing: int


class SealHead(View):
    """The newest published checkpoint."""

    position: int
    seal: str


class TransparencyView(View):
    """Letters per day and class; `statement` is a JWS over the same."""

    days: list[MailDay]
    head: SealHead | None
    counted_at: datetime
    statement: str


@open_router.get("/mail-transparency", responses=problems.documented())
async def read_mail_transparency(session: Session, now: Now) -> TransparencyView:
    """Read how many letters of which class left on each of the last 90 days; signed, and open to everybody."""
    return TransparencyView(**await transparency.count(session, now=now))


async def view(session: AsyncSession, user_id: str, *, now: datetime) -> ConsentsView:
    """Return everything about an account's consents; what was said under merged User IDs included."""
    ids = [user_id, *(member for member, _ in await merges.merged_into(session, user_id))]
    asked = await actions.asked(session, ids, since=actions.this_year(now))
    entries = await actions.ledger(session, ids)
    return ConsentsView(
        user_id=user_ids.show(user_id),
        items=[_consent(state) for state in await actions.state(session, user_id)],
        history=[
            ConsentEntryView(
                id=e.id, purpose=e.purpose, decision=e.decision, wording=e.wording_id, language=e.language,
                channel=e.channel, actor=e.actor, at=e.at,
            )
            for e in entries
        ],
        asked=asked.times,
        allowed=asked.allowed,
        next=None,
    )  # fmt: skip


def _consent(state: actions.State) -> ConsentView:
    return ConsentView(
        purpose=state.purpose, permission=rules.permission(state.decision), decision=state.decision,
        since=state.since, proposed_at=state.proposed_at,
    )  # fmt: skip


async def _by_id(given: list[str]) -> dict[str, str]:
    """Return the well-formed User IDs by how they were given; parsed in slices, so that nobody else waits."""
    found = {}
    for start in range(0, len(given), SLICE):
        for text in given[start : start + SLICE]:
            try:
                found[text] = str(user_ids.parse(text))
            except MalformedUserId:
                continue
        await asyncio.sleep(0)
    return found


async def _by_address(session: AsyncSession, given: list[str], settings: Settings) -> dict[str, str]:
    keys = {}
    for start in range(0, len(given), SLICE):
        for text in given[start : start + SLICE]:
            try:
                keys[text] = email_addresses.parse(text, special_use=settings.development).key
            except MalformedEmailAddress:
                continue
        await asyncio.sleep(0)
    known = await actions.ids_of_addresses(session, list(keys.values()))
    return {text: known[key] for text, key in keys.items() if key in known}
