"""Staff access to customer accounts: the log that the customer reads, and an alarm for unusual searching."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, text

from identity_service.account_access import rules
from identity_service.account_access.tables import AccountAccess
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions
from identity_service.events.tables import Event
from identity_service.values import secret_codes
from identity_service.web.rate_limits import RateLimiter

_SALT_BYTES = 16


async def record_access(
    session: DatabaseSession, user_id: str, *, actor: str, desk: str, contact: str, reason: str, now: datetime
) -> None:
    """Record that staff opened an account in a contact, and why.

    Raises:
        rules.ReasonMissing: the reason is blank.
        values.secret_codes.RecoveryCodeSpoken: it has a recovery code in it; it is not kept (REC-29).
    """
    secret_codes.refuse_recovery_code(reason)
    reason, salt = reason.strip()[: rules.LONGEST_REASON], secrets.token_bytes(_SALT_BYTES)
    if not reason:
        raise rules.ReasonMissing
    reason_hash = hashlib.sha256(salt + reason.encode()).hexdigest()
    data = {"desk": desk, "contact": contact, "reason_hash": reason_hash}
    event_id = await actions.record_event(
        session, "account.opened_by_staff", user_id=user_id, actor=actor, data=data, now=now
    )
    row = {"event_id": event_id, "user_id": user_id, "actor": actor, "contact": contact, "reason": reason, "salt": salt}
    await session.execute(insert(AccountAccess), {**row, "occurred_at": now})


async def has_access(session: DatabaseSession, user_id: str, *, actor: str, contact: str, now: datetime) -> bool:
    """Return whether this person opened this account, with a reason, in this contact within `ACCESS_LASTS` (PHN-13)."""
    mine = select(AccountAccess.event_id).where(
        AccountAccess.contact == contact, AccountAccess.actor == actor, AccountAccess.user_id == user_id
    )
    return await session.scalar(mine.where(AccountAccess.occurred_at > now - rules.ACCESS_LASTS).limit(1)) is not None


async def list_access(session: DatabaseSession, user_ids: Sequence[str], *, limit: int = 20) -> Sequence[Row[Any]]:
    """Return the staff accesses to a customer's account, newest first: occurred_at, desk, reason (PHN-14)."""
    recorded = select(Event.occurred_at, Event.data["desk"].astext.label("desk"), AccountAccess.reason)
    mine = recorded.outerjoin(AccountAccess, AccountAccess.event_id == Event.id).where(
        Event.user_id.in_(user_ids), Event.name == "account.opened_by_staff"
    )
    return (await session.execute(mine.order_by(Event.id.desc()).limit(limit))).all()


async def count_search(limiter: RateLimiter, database: Database, *, actor: str, now: datetime) -> bool:
    """Count a search by one person at a desk; return whether to raise the alarm, at most once an hour (PHN-12).

    The alarm is raised when the person searched often within the hour and opened few accounts.
    """
    if not await limiter.wait("desk-searches", rules.SEARCHES_UNSUSPICIOUS, actor):
        return False

    async def record_alarm(session: DatabaseSession) -> bool:
        hour = select(func.count()).where(
            AccountAccess.actor == actor, AccountAccess.occurred_at > now - timedelta(hours=1)
        )
        opened = await session.scalar(hour) or 0
        if opened >= rules.OPENED_UNSUSPICIOUS or await limiter.wait("desk-alarm", "1/hour", actor):
            return False
        await actions.record_event(session, "staff.search_alarm", actor=actor, data={"opened": opened}, now=now)
        return True

    return await database.in_transaction(record_alarm)


async def first_altered(session: DatabaseSession) -> int | None:
    """Return the event id of the first access whose row does not match its event, for the audit; None if all match."""
    found: int | None = await session.scalar(_ALTERED)
    return found


_ALTERED = text(
    """
    SELECT a.event_id FROM account_access a JOIN event e ON e.id = a.event_id
    WHERE e.name <> 'account.opened_by_staff' OR e.user_id <> a.user_id OR e.actor <> a.actor
        OR e.occurred_at <> a.occurred_at OR replace(e.data->>'contact', '-', '') <> a.contact
        OR e.data->>'reason_hash' <> encode(sha256(a.salt || convert_to(a.reason, 'UTF8')), 'hex')
    ORDER BY a.event_id LIMIT 1
    """
)
