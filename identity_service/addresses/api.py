"""The route that changes an email address."""

from fastapi import APIRouter, Request, Response

from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.accounts.views import VersionChecked, account_view
from identity_service.addresses import actions
from identity_service.addresses.schemas import NewEmail
from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.approvals import views
from identity_service.approvals.schemas import AccountChange, PendingConfirmation
from identity_service.values import email_addresses, user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.web import authentication, dependencies, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["accounts"])


@router.post(
    "/accounts/{user_id}/email-changes",
    status_code=202,
    dependencies=[authentication.requires("accounts:write"), idempotency.Repeatable, VersionChecked],
    responses={
        **problems.error_responses(
            MalformedEmailAddress,
            *account_rules.CHANGE_ERRORS,
            account_rules.EmailTaken,
            approval_rules.ProofRefused,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.PERSON_ERRORS,
        ),
        200: {"model": AccountChange, "description": "Added at once: the account had no address"},
        202: {"model": AccountChange, "description": "Requested: the new mailbox must confirm"},
    },
)
async def change_email(
    request: Request, user_id: str, body: NewEmail, session: Session, caller: Caller, person: Person, now: Now,
    response: Response,
) -> AccountChange:  # fmt: skip
    """Request another address, or add the first one. The new mailbox must confirm; the old one can undo the change."""
    development = dependencies.database_of(request).settings.development
    address = email_addresses.parse_pasted(body.email, special_use=development)
    wanted = user_ids.parse(user_id)
    if caller.desk:
        account = await accounts.find_changeable_account(session, wanted)
        if account.email is None:
            raise approval_rules.ProofRefused(approval_rules.NO_MAILBOX)
        details = {"email": address.shown, "ascii": address.ascii, "key": address.key}
        change = await approvals.request_confirmation(session, wanted, "email", details, actor=person, now=now)
        return await views.pending_change_view(session, change, caller, response)
    account, change_id = await actions.request_or_add_email(session, wanted, address, actor=person, now=now)
    pending = None
    if change_id is None:
        response.status_code = 200
    else:
        pending = PendingConfirmation(id=change_id, verb="email", waits_for="new_mailbox")
    return AccountChange(account=await account_view(session, account, caller), pending=pending)
