"""Who of a desk may read what is told of a customer: somebody who has opened the account in a contact, for a reason.

A service reads for a customer whom it has signed in, and is not asked.
"""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request

from identity_service import logs, user_ids
from identity_service.clients.access import Caller, MissingClerk, Person
from identity_service.database import AsyncSession
from identity_service.doors import Now, Session
from identity_service.errors import Problem
from identity_service.events import looks, rules

REFUSALS: tuple[type[Problem], ...] = (MissingClerk, rules.NotOpened)
"""What a door that asks for a look may answer."""

InContact = Annotated[
    str | None, Header(alias="X-Contact", max_length=40, description="a desk: the contact in which the account is open")
]


async def check(
    session: AsyncSession, caller: Caller, person: str, user_id: str, contact: str | None, *, now: datetime
) -> None:
    """Refuse a desk that has not opened this account in this contact (PHN-13).

    Raises:
        rules.NotOpened; user_ids.MalformedUserId
    """
    if caller.desk:
        mine, number = user_ids.parse(user_id), user_ids.read_symbols((contact or "")[:40])
        if not await looks.has_looked(session, mine, actor=person, contact=number, now=now):
            raise rules.NotOpened


async def searched(request: Request, actor: str, *, now: datetime) -> None:
    """Count a search of a desk's, and raise the alarm where it is due (PHN-12)."""
    state = request.app.state
    if await looks.searched(state.throttle, state.database, actor=actor, now=now):
        logs.log.warning("desk.searched_much", actor=actor)
        state.metrics.desk_alarm()


async def _opened(
    user_id: str, session: Session, caller: Caller, person: Person, now: Now, x_contact: InContact = None
) -> None:
    await check(session, caller, person, user_id, x_contact, now=now)


Opened = Depends(_opened)
"""For `dependencies=[…]` of a road with a User ID in its path: a desk has opened this account."""
