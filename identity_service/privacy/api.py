"""Routes that close, export and erase an account."""

from typing import Any

from fastapi import APIRouter, Response

from identity_service.accounts import rules as account_rules
from identity_service.accounts.views import VersionChecked, account_view
from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.approvals import views
from identity_service.approvals.schemas import AccountChange
from identity_service.privacy import actions, closing
from identity_service.privacy.schemas import ErasureResult
from identity_service.values import user_ids
from identity_service.web import authentication, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["privacy"])


@router.post(
    "/accounts/{user_id}/close",
    dependencies=[authentication.requires("accounts:erase"), idempotency.Repeatable, VersionChecked],
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS, *idempotency.IDEMPOTENCY_ERRORS, *authentication.PERSON_ERRORS
        ),
        202: {"model": AccountChange, "description": "Requested by a desk: the customer's mailbox must confirm"},
    },
)
async def close_account(
    user_id: str, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> AccountChange:
    """Close an account: sign-in ends; its history stays, and its address is not freed."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await approvals.request_confirmation(session, wanted, "close", {}, actor=person, now=now)
        return await views.pending_change_view(session, change, caller, response)
    account = await closing.close_account(session, wanted, actor=person, now=now)
    return AccountChange(account=await account_view(session, account, caller), pending=None)


@router.get(
    "/accounts/{user_id}/export",
    dependencies=[authentication.requires("accounts:read_personal")],
    response_model=None,
    responses={
        **problems.error_responses(
            *account_rules.ACCOUNT_ERRORS, approval_rules.ProofRefused, *authentication.PERSON_ERRORS
        ),
        200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "All stored data"},
    },
)
async def export_account(user_id: str, session: Session, caller: Caller, person: Person, now: Now) -> dict[str, Any]:
    """Export everything stored about a customer, for a service at which they have signed in; never for a desk."""
    if caller.desk:
        raise approval_rules.ProofRefused("A desk cannot export an account; the customer can, signed in at /me.")
    return await actions.export_account(session, user_ids.parse(user_id), actor=person, now=now)


@router.post(
    "/accounts/{user_id}/erase",
    dependencies=[authentication.requires("accounts:erase"), idempotency.Repeatable, VersionChecked],
    response_model=ErasureResult | AccountChange,
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS, *idempotency.IDEMPOTENCY_ERRORS, *authentication.PERSON_ERRORS
        ),
        200: {"model": ErasureResult, "description": "Erased"},
        202: {"model": AccountChange, "description": "Requested by a desk: the customer's mailbox must confirm"},
    },
)
async def erase_account(
    user_id: str, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> ErasureResult | AccountChange:
    """Erase the personal data of a customer and return a signed receipt; the User ID is never issued again."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await approvals.request_confirmation(session, wanted, "erase", {}, actor=person, now=now)
        return await views.pending_change_view(session, change, caller, response)
    receipt = await actions.erase_account(session, wanted, actor=person, now=now)
    return ErasureResult(user_id=user_ids.show(wanted), receipt=receipt)
