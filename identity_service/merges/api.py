"""Routes that merge two accounts and undo a merge."""

from fastapi import APIRouter, Response

from identity_service.account_access import dependencies as access_dependencies
from identity_service.accounts import actions as accounts
from identity_service.accounts import references
from identity_service.accounts import rules as account_rules
from identity_service.accounts.schemas import AccountView, WrittenAccount
from identity_service.accounts.views import VersionChecked, account_view
from identity_service.approvals import actions as approvals
from identity_service.approvals import views
from identity_service.approvals.schemas import AccountChange, PendingConfirmation
from identity_service.database.transactions import DatabaseSession
from identity_service.merges import actions, rules, undo
from identity_service.merges.schemas import MergeAccounts, MergeDifference, MergePreview
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import authentication, idempotency, problems
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["merges"])


@router.post(
    "/accounts/{user_id}/merge",
    status_code=202,
    dependencies=[authentication.requires("accounts:merge"), idempotency.Repeatable, VersionChecked],
    responses={
        **problems.error_responses(
            *account_rules.CHANGE_ERRORS,
            rules.CannotMerge,
            rules.MailboxMissing,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.PERSON_ERRORS,
        ),
        200: {"model": AccountChange, "description": "Merged at once: neither account has a mailbox"},
        202: {"model": AccountChange, "description": "Requested: the mailboxes must confirm"},
    },
)
async def merge_accounts(
    user_id: str, body: MergeAccounts, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> AccountChange:
    """Ask both mailboxes to confirm a merge. Once merged, the User ID in the body resolves to the one in the path.

    An account without a mailbox can be merged only by a service whose own external references have named both accounts
    for a week, or since they were registered. While a request for the same merge can still be confirmed, it is answered
    again and asks nobody.
    """
    survivor, duplicate = await _mergeable(session, user_id, body)
    vouched = not caller.desk and await references.names_all(session, caller.source, [survivor, duplicate], now=now)
    request = await actions.request_merge(session, survivor, duplicate, vouched=vouched, actor=person, now=now)
    account = await accounts.find_account(session, survivor)
    pending: PendingConfirmation | None = PendingConfirmation(id=request.id, verb="merge", waits_for="both_mailboxes")
    if request.merged_at is not None:
        response.status_code, pending = 200, None
    return AccountChange(account=await account_view(session, account, caller), pending=pending)


@router.post(
    "/accounts/{user_id}/merge/preview",
    dependencies=[authentication.requires("accounts:merge", "accounts:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        *account_rules.ACCOUNT_ERRORS,
        account_rules.AccountMoved,
        account_rules.AccountClosed,
        rules.CannotMerge,
        *access_dependencies.ACCESS_ERRORS,
        *authentication.AUTH_ERRORS,
    ),
)
async def preview_merge(
    user_id: str,
    body: MergeAccounts,
    session: Session,
    caller: Caller,
    person: Person,
    now: Now,
    x_contact: access_dependencies.InContact = None,
) -> MergePreview:
    """Return each point of a merge with its outcome; nothing changes. A desk must have opened both accounts."""
    await access_dependencies.check_access(session, caller, person, body.duplicate, x_contact, now=now)
    points = await actions.preview_merge(session, *await _mergeable(session, user_id, body))
    return MergePreview(points=[MergeDifference(**point) for point in points])


async def _mergeable(session: DatabaseSession, user_id: str, body: MergeAccounts) -> tuple[UserId, UserId]:
    """Return the survivor and the duplicate, of which neither is merged or closed."""
    survivor, duplicate = user_ids.parse(user_id), user_ids.parse(body.duplicate)
    for wanted in (survivor, duplicate):
        await accounts.check_changeable(session, await accounts.find_account(session, wanted))
    return survivor, duplicate


@router.post(
    "/accounts/{user_id}/merge/undo",
    dependencies=[authentication.requires("accounts:merge"), idempotency.Repeatable, VersionChecked],
    response_model=AccountView | WrittenAccount | AccountChange,
    responses={
        **problems.error_responses(
            *account_rules.ACCOUNT_ERRORS,
            account_rules.AccountMoved,
            account_rules.AccountClosed,
            account_rules.NoEmail,
            account_rules.StaleVersion,
            rules.NothingToUndo,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.PERSON_ERRORS,
        ),
        200: {"model": AccountView | WrittenAccount, "description": "The account that is separate again"},
        202: {
            "model": AccountChange,
            "description": "Requested by a desk: the mailbox of the surviving account must confirm",
        },
    },
)
async def undo_merge(
    user_id: str, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> AccountView | WrittenAccount | AccountChange:
    """Undo the merge of this User ID within 30 days; consents withdrawn meanwhile stay withdrawn for both accounts."""
    wanted = user_ids.parse(user_id)
    if caller.desk:
        survivor = await undo.find_undoable_merge(session, wanted, now=now)
        change = await approvals.request_confirmation(
            session, survivor, "merge", {"undo": wanted}, actor=person, now=now
        )
        return await views.pending_change_view(session, change, caller, response)
    restored = await undo.undo_merge(session, wanted, actor=person, now=now)
    return await account_view(session, restored, caller)
