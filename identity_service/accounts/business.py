"""Consumer to business and back: one column changes, the company's details are a row of their own, nothing is lost."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import rules
from identity_service.accounts.tables import Account, BusinessTime
from identity_service.database import AsyncSession
from identity_service.events import actions as events
from identity_service.user_ids import UserId


@dataclass(frozen=True, slots=True)
class Company:
    """What a business says of itself; `country` is ISO 3166-1 alpha-2."""

    company_name: str
    country: str
    vat_number: str | None = None
    registration_number: str | None = None
    contact_person: str | None = None
    billing_address: str | None = None


async def become(
    session: AsyncSession, user_id: UserId, company: Company, *, version: int | None, actor: str, now: datetime
) -> Account:
    """Make a consumer a business, at once: same User ID, password, consents, references and history.

    Repeated with the same details it changes nothing; with others it begins a new time under them.

    Raises:
        rules.UnknownUserId, StaleVersion, AccountMoved, AccountNotActive
    """
    account = await accounts.find(session, user_id, lock=True)
    rules.check_convertible(account.state, account.merged_into, account.version, version)
    details = asdict(company)
    open_now = await current(session, user_id)
    if open_now is not None and {name: getattr(open_now, name) for name in details} == details:
        return account
    await _end(session, user_id, now=now)
    await session.execute(insert(BusinessTime), {"user_id": user_id, "began_at": now, **details})
    changed = await accounts.set_kind(session, account, "business")
    data = {"kind": "business", "country": company.country}
    await events.record(session, "account.became_business", user_id=user_id, actor=actor, data=data, now=now)
    return changed


async def leave(session: AsyncSession, user_id: UserId, *, version: int | None, actor: str, now: datetime) -> Account:
    """Make a business a consumer again; the details of the business time stay in its history.

    Raises:
        rules.UnknownUserId, StaleVersion, AccountMoved, AccountNotActive
    """
    account = await accounts.find(session, user_id, lock=True)
    rules.check_convertible(account.state, account.merged_into, account.version, version)
    if account.kind == "consumer":
        return account
    await _end(session, user_id, now=now)
    changed = await accounts.set_kind(session, account, "consumer")
    await events.record(
        session, "account.became_consumer", user_id=user_id, actor=actor, data={"kind": "consumer"}, now=now
    )
    return changed


async def current(session: AsyncSession, user_id: str) -> BusinessTime | None:
    """Return the company's details of a business, None for a consumer."""
    mine = select(BusinessTime).where(BusinessTime.user_id == user_id, BusinessTime.ended_at.is_(None))
    found: BusinessTime | None = await session.scalar(mine)
    return found


async def times(session: AsyncSession, user_ids: list[str]) -> list[BusinessTime]:
    """Return every time a customer was a business, newest first."""
    mine = select(BusinessTime).where(BusinessTime.user_id.in_(user_ids)).order_by(BusinessTime.began_at.desc())
    return list(await session.scalars(mine))


async def find_by_company(session: AsyncSession, name: str, *, limit: int) -> list[BusinessTime]:
    """Return businesses whose name begins like this, in any case."""
    starts = BusinessTime.company_name.istartswith(name, autoescape=True)
    mine = select(BusinessTime).where(starts, BusinessTime.ended_at.is_(None))
    return list(await session.scalars(mine.order_by(BusinessTime.company_name).limit(limit)))


def as_shown(company: BusinessTime) -> dict[str, Any]:
    """Return the details as views show them."""
    names = ("company_name", "country", "vat_number", "registration_number", "contact_person", "billing_address")
    return {name: getattr(company, name) for name in names}


async def _end(session: AsyncSession, user_id: str, *, now: datetime) -> None:
    mine = update(BusinessTime).where(BusinessTime.user_id == user_id, BusinessTime.ended_at.is_(None))
    # The one before may have read its clock a moment later than we did ours: no time ends before it began.
    await session.execute(mine.values(ended_at=func.greatest(BusinessTime.began_at, now)))
