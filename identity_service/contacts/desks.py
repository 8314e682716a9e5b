"""Suggest which desk should serve a customer."""

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.contacts import rules
from identity_service.database.transactions import DatabaseSession
from identity_service.history import actions as history
from identity_service.settings import Settings
from identity_service.values import user_ids


async def suggest_desk_for(
    session: DatabaseSession, user_id: user_ids.UserId, settings: Settings
) -> rules.DeskSuggestion:
    """Return the desk suggestion for a customer, from their account and history.

    Raises:
        accounts.rules.UnknownUserId
    """
    ids = await ownership.user_ids_of(session, user_id)
    account = await accounts.find_account(session, user_ids.UserId(ids[0]))
    summary = await history.summarise(session, ids, since=account.customer_since)
    return rules.suggest_desk(
        kind=account.kind,
        email_domain=None if account.email_key is None else account.email_key.rpartition("@")[2],
        orders=summary.orders,
        totals=summary.amounts,
        many_orders=settings.business_hint_orders,
        large_amount=settings.business_hint_amount,
    )
