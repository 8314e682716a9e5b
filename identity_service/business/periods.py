"""The business periods of an account; a stored period is never rewritten, only ended."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from identity_service.accounts import actions
from identity_service.accounts.tables import Account
from identity_service.business.rules import Company
from identity_service.business.tables import BusinessPeriod
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.values.user_ids import UserId


async def begin_period(
    session: DatabaseSession,
    user_id: UserId,
    company: Company,
    *,
    actor: str,
    now: datetime,
) -> Account:
    """Make an account a business; User ID, password, consents, references and history stay.

    Repeating it with the same details changes nothing; other details end the period and begin a new one.

    Raises:
        rules.UnknownUserId, AccountMoved, AccountClosed
    """
    account = await actions.find_changeable_account(session, user_id)
    details = asdict(company)
    open_now = await current_period(session, user_id)
    if open_now is not None and {name: getattr(open_now, name) for name in details} == details:
        return account
    await _end(session, user_id, now=now)
    await session.execute(insert(BusinessPeriod), {"user_id": user_id, "began_at": now, **details})
    changed = await actions.set_kind(session, account, "business")
    data = {"kind": "business", "country": company.country}
    await events.record_event(session, "account.became_business", user_id=user_id, actor=actor, data=data, now=now)
    return changed


async def end_period(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Make a business a consumer again; the ended period is kept. A consumer is left unchanged.

    Raises:
        rules.UnknownUserId, AccountMoved, AccountClosed
    """
    account = await actions.find_changeable_account(session, user_id)
    if account.kind == "consumer":
        return account
    await _end(session, user_id, now=now)
    changed = await actions.set_kind(session, account, "consumer")
    await events.record_event(
        session, "account.became_consumer", user_id=user_id, actor=actor, data={"kind": "consumer"}, now=now
    )
    return changed


async def current_period(session: DatabaseSession, user_id: str) -> BusinessPeriod | None:
    """Return the open period with the company's details; `None` for a consumer."""
    mine = select(BusinessPeriod).where(BusinessPeriod.user_id == user_id, BusinessPeriod.ended_at.is_(None))
    found: BusinessPeriod | None = await session.scalar(mine)
    return found


async def business_since(session: DatabaseSession, user_id: str) -> datetime | None:
    """Return since when an account is a business without a break; `None` for a consumer. New details are no break."""
    since = None
    for period in await list_periods(session, [user_id]):
        if period.ended_at != since:
            break
        since = period.began_at
    return since


async def list_periods(session: DatabaseSession, user_ids: list[str]) -> list[BusinessPeriod]:
    """Return every business period under these User IDs, newest first."""
    mine = (
        select(BusinessPeriod)
        .where(BusinessPeriod.user_id.in_(user_ids))
        .order_by(BusinessPeriod.began_at.desc(), BusinessPeriod.id.desc())
    )
    return list(await session.scalars(mine))


async def find_by_company(session: DatabaseSession, name: str, *, limit: int) -> list[BusinessPeriod]:
    """Return open periods whose company name starts with `name`, ignoring case, by name."""
    starts = BusinessPeriod.company_name.istartswith(name, autoescape=True)
    mine = select(BusinessPeriod).where(starts, BusinessPeriod.ended_at.is_(None))
    return list(await session.scalars(mine.order_by(BusinessPeriod.company_name).limit(limit)))


def company_fields(company: BusinessPeriod) -> dict[str, Any]:
    """Return the six company fields by name."""
    names = ("company_name", "country", "vat_number", "registration_number", "contact_person", "billing_address")
    return {name: getattr(company, name) for name in names}


async def _end(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    mine = update(BusinessPeriod).where(BusinessPeriod.user_id == user_id, BusinessPeriod.ended_at.is_(None))
    # Clock skew: another process may have begun the period after our `now`; a period must not end before it began.
    await session.execute(mine.values(ended_at=func.greatest(BusinessPeriod.began_at, now)))
