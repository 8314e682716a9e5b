"""A desk reads a customer's records only after it opened the account in a contact, with a reason.

A service reads for a customer whom it has signed in, and is not checked.
"""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request

from identity_service import logs
from identity_service.account_access import actions, rules
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.values import user_ids
from identity_service.web.authentication import Caller, MissingClerk, Person
from identity_service.web.dependencies import Now, Session

ACCESS_ERRORS: tuple[type[Problem], ...] = (MissingClerk, rules.AccountNotOpened)
"""The errors of a route that requires account access."""

InContact = Annotated[
    str | None, Header(alias="X-Contact", max_length=40, description="desk: contact in which the account was opened")
]


async def check_access(
    session: DatabaseSession, caller: Caller, person: str, user_id: str, contact: str | None, *, now: datetime
) -> None:
    """Refuse a desk that has not opened this account in this contact (PHN-13).

    Raises:
        rules.AccountNotOpened; user_ids.MalformedUserId
    """
    if caller.desk:
        parsed, number = user_ids.parse(user_id), user_ids.read_symbols((contact or "")[:40])
        if not await actions.has_access(session, parsed, actor=person, contact=number, now=now):
            raise rules.AccountNotOpened


async def count_search(request: Request, actor: str, *, now: datetime) -> None:
    """Count a search by one person at a desk, and log the alarm if `actions.count_search` raises it (PHN-12)."""
    state = request.app.state
    if await actions.count_search(state.throttle, state.database, actor=actor, now=now):
        logs.log.warning("staff.search_alarm", actor=actor)
        state.metrics.desk_alarm()


async def _opened(
    user_id: str, session: Session, caller: Caller, person: Person, now: Now, x_contact: InContact = None
) -> None:
    await check_access(session, caller, person, user_id, x_contact, now=now)


AccountOpened = Depends(_opened)
"""For `dependencies=[…]` of a route with a User ID in its path: a desk must have opened this account."""
