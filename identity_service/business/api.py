"""Routes that convert a consumer to a business and back."""

from fastapi import APIRouter, Response

from identity_service.account_access.dependencies import InContact
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.accounts.views import VersionChecked, account_view, etag
from identity_service.approvals import actions as approvals
from identity_service.approvals import views
from identity_service.approvals.schemas import AccountChange
from identity_service.business import actions, rules
from identity_service.business.schemas import BusinessConversion, ConversionPreview, NewCompany
from identity_service.contacts import checks
from identity_service.contacts import rules as contact_rules
from identity_service.values import company_numbers, user_ids
from identity_service.web import authentication, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

_COMPANY_ERRORS = (
    rules.UnknownCountry,
    rules.MalformedCompanyName,
    company_numbers.WrongVatNumber,
    company_numbers.WrongRegistrationNumber,
)

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["business"])


@router.put(
    "/accounts/{user_id}/business",
    dependencies=[authentication.requires("accounts:convert"), idempotency.Repeatable, VersionChecked],
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS,
            *_COMPANY_ERRORS,
            contact_rules.NotVerified,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.PERSON_ERRORS,
        ),
        202: {"model": AccountChange, "description": "Requested by a desk: the customer's mailbox must confirm"},
    },
)
async def become_business(
    user_id: str, body: BusinessConversion, session: Session, caller: Caller, person: Person, now: Now,
    response: Response, x_contact: InContact = None,
) -> AccountChange:  # fmt: skip
    """Make a consumer a business, at once and under the same User ID; all history stays."""
    wanted = user_ids.parse(user_id)
    details = body.model_dump(exclude={"proof"})
    company = rules.checked_company(details)
    if body.proof is not None:
        account = await accounts.find_changeable_account(session, wanted)
        await checks.require_verification(
            session, body.proof.caller_check, account.user_id, purpose="business", contact=x_contact, now=now
        )
    elif caller.desk:
        change = await approvals.request_confirmation(session, wanted, "business", details, actor=person, now=now)
        return await views.pending_change_view(session, change, caller, response)
    account = await actions.become_business(session, wanted, company, actor=person, now=now)
    response.headers["ETag"] = etag(account)
    return AccountChange(account=await account_view(session, account, caller), pending=None)


@router.post(
    "/accounts/{user_id}/business/preview",
    dependencies=[authentication.requires("accounts:convert")],
    responses=problems.error_responses(
        *account_rules.ACCOUNT_ERRORS,
        account_rules.AccountMoved,
        account_rules.AccountClosed,
        *_COMPANY_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def preview_conversion(user_id: str, body: NewCompany, session: Session) -> ConversionPreview:
    """Return what becoming this business would change, and what would stay; nothing changes."""
    company = rules.checked_company(body.model_dump())
    return ConversionPreview(**await actions.preview_conversion(session, user_ids.parse(user_id), company))


@router.delete(
    "/accounts/{user_id}/business",
    dependencies=[authentication.requires("accounts:convert"), idempotency.Repeatable, VersionChecked],
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS, *idempotency.IDEMPOTENCY_ERRORS, *authentication.PERSON_ERRORS
        ),
        202: {"model": AccountChange, "description": "Requested by a desk: the customer's mailbox must confirm"},
    },
)
async def become_consumer(
    user_id: str,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    response: Response,
) -> AccountChange:
    """Make a business a consumer again; the business period is kept."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        change = await approvals.request_confirmation(session, wanted, "consumer", {}, actor=person, now=now)
        return await views.pending_change_view(session, change, caller, response)
    account = await actions.become_consumer(session, wanted, actor=person, now=now)
    response.headers["ETag"] = etag(account)
    return AccountChange(account=await account_view(session, account, caller), pending=None)
