"""Who may read a message: services within their scopes; a desk after it opened the account. Readings are recorded."""

import uuid
from datetime import datetime

from identity_service.account_access import actions as account_access
from identity_service.account_access import rules as access_rules
from identity_service.accounts import ownership
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions, views
from identity_service.values import user_ids
from identity_service.web.authentication import Client


async def check_desk(
    session: DatabaseSession, caller: Client, person: str, user_id: str | None, contact: str | None, *, now: datetime
) -> None:
    """Refuse a desk a message of an account that it has not opened in this contact, under whichever of its User IDs.

    Raises:
        account_access.rules.AccountNotOpened: also for a message that belongs to no account.
    """
    if caller.desk:
        ids = [] if user_id is None else await ownership.user_ids_or_self(session, user_ids.UserId(user_id))
        number = user_ids.read_symbols((contact or "")[:40])
        for one in ids:
            if await account_access.has_access(session, one, actor=person, contact=number, now=now):
                return
        raise access_rules.AccountNotOpened


async def open_message(
    session: DatabaseSession, message_id: uuid.UUID, caller: Client, person: str, contact: str | None, *, now: datetime
) -> actions.MessageTimeline:
    """Return a message that this caller may read, and record the reading if it shows whole addresses.

    Raises:
        rules.UnknownMessage; account_access.rules.AccountNotOpened
    """
    loaded = await actions.load_timeline(session, message_id)
    await check_desk(session, caller, person, loaded.message.user_id, contact, now=now)
    if views.sees_addresses(caller):
        await actions.record_reading(session, {loaded.message.user_id}, actor=person, now=now)
    return loaded
