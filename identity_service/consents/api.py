"""Routes for services: read, propose and withdraw consent, the receipt, and permission questions."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Response

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.views import VersionChecked
from identity_service.consents import actions, permissions, receipts
from identity_service.consents.rules import UnknownPurpose, UnknownWording
from identity_service.consents.schemas import (
    AddressPermission,
    ConsentChange,
    ConsentEntryView,
    ConsentList,
    ConsentView,
    PermissionQuestion,
    PermissionStatement,
)
from identity_service.database.transactions import DatabaseSession
from identity_service.values import email_addresses
from identity_service.values import user_ids as values_user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import authentication, problems, routing
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.routing import StrictRoute

_SLICE = 100

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["consents"])


@router.get(
    "/accounts/{user_id}/consents",
    dependencies=[authentication.requires("consents:read")],
    responses=problems.error_responses(*account_rules.ACCOUNT_ERRORS, *authentication.AUTH_ERRORS),
)
async def list_consents(user_id: str, session: Session, now: Now) -> ConsentList:
    """Read what a customer has allowed, and every ledger entry."""
    account = await accounts.find_active_account(session, values_user_ids.parse(user_id))
    return await consents_view(session, account.user_id, now=now)


@router.put(
    "/accounts/{user_id}/consents/{purpose}",
    dependencies=[authentication.requires("consents:write"), VersionChecked],
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS, UnknownPurpose, UnknownWording,
            *authentication.PERSON_ERRORS,
        ),
        202: {"model": ConsentView, "description": "Proposed: an email asks the mailbox's holder"},
    },
)  # fmt: skip
async def change_consent(
    user_id: str, purpose: str, body: ConsentChange, session: Session, person: Person, response: Response, now: Now
) -> ConsentView:
    """Withdraw at once, or propose a grant, which counts when the mailbox's holder confirms it."""
    wanted = values_user_ids.parse(user_id)
    if body.granted:
        response.status_code = 202
        account = await actions.propose_consent(
            session, wanted, purpose, body.wording or "", channel=body.channel, evidence=body.evidence,
            actor=person, now=now,
        )  # fmt: skip
    else:
        account = await actions.withdraw_consent(session, wanted, purpose, channel=body.channel, actor=person, now=now)
    states = await actions.list_states(session, account.user_id)
    return _consent(next(state for state in states if state.purpose == purpose))


@router.get(
    "/accounts/{user_id}/consents/receipt",
    dependencies=[authentication.requires("consents:read")],
    responses={
        **problems.error_responses(*account_rules.ACCOUNT_ERRORS, *authentication.AUTH_ERRORS),
        200: {"content": {receipts.MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "A signed receipt"},
    },
    response_class=Response,
)
async def read_receipt(user_id: str, session: Session, now: Now) -> Response:
    """Return the signed receipt of a customer's current consent."""
    account = await accounts.find_active_account(session, values_user_ids.parse(user_id))
    return Response(await receipts.issue_receipt(session, account, now=now), media_type=receipts.MEDIA_TYPE)


@router.post(
    "/marketing/permissions",
    dependencies=[authentication.requires("marketing:check")],
    responses=problems.error_responses(UnknownPurpose, *authentication.AUTH_ERRORS),
    openapi_extra={"x-body-limit": routing.BATCH_LIMIT},
)
async def check_permissions(
    body: PermissionQuestion, session: Session, caller: Caller, settings: Settings, now: Now
) -> PermissionStatement:
    """Ask which of up to 10,000 customers you may contact for a purpose. Do not contact those missing in the answer."""
    asked = body.user_ids if body.user_ids is not None else body.emails or []
    by_id = await (_by_id(asked) if body.user_ids is not None else _by_address(session, asked, settings))
    with_addresses = "marketing:addresses" in caller.scopes
    answers = await permissions.check_permissions(
        session,
        body.purpose,
        sorted(set(by_id.values())),
        client_id=caller.client_id,
        addresses=with_addresses,
        now=now,
    )
    allowed = _spelled_as_asked(by_id, answers.allowed)
    salt = receipts.new_salt()
    statement = receipts.permission_statement(
        session, body.purpose, asked, allowed, salt=salt, client_id=caller.client_id, now=now
    )
    addresses = [
        AddressPermission(user_id=values_user_ids.show(i), email=email) for i, email in answers.addresses.items()
    ]
    return PermissionStatement(
        purpose=body.purpose, allowed=allowed, checked_at=now, statement=statement, salt=salt,
        addresses=addresses if with_addresses else None,
    )  # fmt: skip


async def consents_view(session: DatabaseSession, user_id: str, *, now: datetime) -> ConsentList:
    """Return state, ledger and questions of an account's consents, merged User IDs included."""
    ids = [user_id, *(member for member, _ in await ownership.merged_into(session, user_id))]
    asked = await permissions.list_questions(session, ids, since=permissions.start_of_year(now))
    entries = await actions.read_ledger(session, ids)
    return ConsentList(
        user_id=values_user_ids.show(user_id),
        items=[_consent(state) for state in await actions.list_states(session, user_id)],
        history=[
            ConsentEntryView(
                id=e.id, purpose=e.purpose, decision=e.decision, wording=e.wording_id, language=e.language,
                channel=e.channel, actor=e.actor, occurred_at=e.occurred_at,
            )
            for e in entries
        ],
        asked=asked.times,
        allowed=asked.allowed,
        next=None,
    )  # fmt: skip


def _consent(state: actions.PurposeState) -> ConsentView:
    return ConsentView(
        purpose=state.purpose, permission=account_rules.marketing_permission(state.decision), decision=state.decision,
        since=state.since, proposed_at=state.proposed_at,
    )  # fmt: skip


def _spelled_as_asked(by_id: dict[str, str], allowed: Sequence[str]) -> list[str]:
    """Return one entry of the question for each allowed User ID: the first, if several spellings name the same."""
    first: dict[str, str] = {}
    for given, user_id in by_id.items():
        first.setdefault(user_id, given)
    wanted = set(allowed)
    return [given for user_id, given in first.items() if user_id in wanted]


async def _by_id(given: list[str]) -> dict[str, str]:
    """Map each text to its User ID, without malformed ones; parsed in slices, so as not to block the event loop."""
    found = {}
    for start in range(0, len(given), _SLICE):
        for text in given[start : start + _SLICE]:
            try:
                found[text] = str(values_user_ids.parse(text))
            except MalformedUserId:
                continue
        await asyncio.sleep(0)
    return found


async def _by_address(session: DatabaseSession, given: list[str], settings: Settings) -> dict[str, str]:
    keys = {}
    for start in range(0, len(given), _SLICE):
        for text in given[start : start + _SLICE]:
            try:
                keys[text] = email_addresses.parse_pasted(text, special_use=settings.development).key
            except MalformedEmailAddress:
                continue
        await asyncio.sleep(0)
    known = await accounts.user_ids_of_addresses(session, list(keys.values()))
    return {text: known[key] for text, key in keys.items() if key in known}
