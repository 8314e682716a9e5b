"""The 202 answer that routes of guarded changes share."""

from fastapi import Response

from identity_service.accounts import actions as accounts
from identity_service.accounts.views import account_view
from identity_service.approvals.schemas import AccountChange, PendingConfirmation
from identity_service.approvals.tables import PendingChange
from identity_service.database.transactions import DatabaseSession
from identity_service.values import user_ids
from identity_service.web import authentication


async def pending_change_view(
    session: DatabaseSession, change: PendingChange, caller: authentication.Client, response: Response
) -> AccountChange:
    """Set status 202; return the current account and the change that waits for the customer's mailbox."""
    response.status_code = 202
    account = await accounts.find_account(session, user_ids.UserId(change.user_id))
    pending = PendingConfirmation(id=change.id, verb=change.verb, waits_for="mailbox")
    return AccountChange(account=await account_view(session, account, caller), pending=pending)
