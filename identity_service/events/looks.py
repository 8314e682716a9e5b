"""Who at a desk opened whose account, and why; and who searches more than his calls explain.

The customer reads all of it (PHN-14). A reason is free text: it stands beside its event, where erasing reaches it, and
only a salted hash of it is sealed (AUD-01, AUD-05).
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, text

from identity_service.database import AsyncSession, Database
from identity_service.events import actions, rules
from identity_service.events.tables import Event, Look
from identity_service.throttle import Throttle

SALT = 16


async def look(
    session: AsyncSession, user_id: str, *, actor: str, desk: str, contact: str, reason: str, now: datetime
) -> None:
    """Note that somebody opens an account in a contact, and why.

    Raises:
        rules.ReasonMissing
    """
    words, salt = reason.strip()[: rules.LONGEST_REASON], secrets.token_bytes(SALT)
    if not words:
        raise rules.ReasonMissing
    sealed = hashlib.sha256(salt + words.encode()).hexdigest()
    data = {"desk": desk, "contact": contact, "reason_hash": sealed}
    event_id = await actions.record(session, "desk.looked", user_id=user_id, actor=actor, data=data, now=now)
    row = {"event_id": event_id, "user_id": user_id, "actor": actor, "contact": contact, "reason": words, "salt": salt}
    await session.execute(insert(Look), {**row, "at": now})


async def has_looked(session: AsyncSession, user_id: str, *, actor: str, contact: str, now: datetime) -> bool:
    """Tell whether this person has opened this account in this contact of late, and so has given a reason (PHN-13)."""
    mine = select(Look.event_id).where(Look.contact == contact, Look.actor == actor, Look.user_id == user_id)
    return await session.scalar(mine.where(Look.at > now - rules.LOOK_HOLDS).limit(1)) is not None


async def of_customer(session: AsyncSession, user_ids: Sequence[str], *, limit: int = 20) -> Sequence[Row[Any]]:
    """Return who looked at a customer's account, newest first: at, desk, reason (PHN-14)."""
    told = select(Event.at, Event.data["desk"].astext.label("desk"), Look.reason)
    mine = told.outerjoin(Look, Look.event_id == Event.id).where(
        Event.user_id.in_(user_ids), Event.name == "desk.looked"
    )
    return (await session.execute(mine.order_by(Event.id.desc()).limit(limit))).all()


async def searched(throttle: Throttle, database: Database, *, actor: str, now: datetime) -> bool:
    """Count a search of a desk's; return whether to raise the alarm, once an hour for each person (PHN-12).

    That is when there were many within the hour, and few led to an account that was opened for a reason.
    """
    if not await throttle.wait("desk-searches", rules.SEARCHES_UNSUSPICIOUS, actor):
        return False

    async def tell(session: AsyncSession) -> bool:
        hour = select(func.count()).where(Look.actor == actor, Look.at > now - timedelta(hours=1))
        opened = await session.scalar(hour) or 0
        if opened >= rules.OPENED_UNSUSPICIOUS or await throttle.wait("desk-alarm", "1/hour", actor):
            return False
        await actions.record(session, "desk.searched_much", actor=actor, data={"opened": opened}, now=now)
        return True

    return await database.short(tell)


async def first_altered(session: AsyncSession) -> int | None:
    """Return the event of the first look whose row is not what was sealed, for the audit."""
    found: int | None = await session.scalar(_ALTERED)
    return found


_ALTERED = text(
    """
    SELECT l.event_id FROM look l JOIN event e ON e.id = l.event_id
    WHERE e.name <> 'desk.looked' OR e.user_id <> l.user_id OR e.actor <> l.actor OR e.at <> l.at
        OR e.data->>'contact' <> l.contact
        OR e.data->>'reason_hash' <> encode(sha256(l.salt || convert_to(l.reason, 'UTF8')), 'hex')
    ORDER BY l.event_id LIMIT 1
    """
)
