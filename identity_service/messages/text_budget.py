"""What texts may cost, counted in the transaction that enqueues one: by number, account, network, series, country.

A text costs money, and whoever sends many to numbers of their own earns some of it. So every text counts in every
budget, whoever caused it (TXT-03), and a series of numbers whose codes nobody uses is paused for a day (TXT-04). One
lock for all: of fifty at the edge of a budget, as many are sent as there was left.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import logs
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import kinds
from identity_service.messages.tables import Attempt, TextCharge, TextPause
from identity_service.settings import Settings
from identity_service.values import phone_numbers

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MILLIONTHS: Final = 1_000_000

LIMITS: Final[Mapping[str, int]] = {
    "number_hour": 3, "number_day": 5, "account_hour": 5, "network_hour": 10, "prefix_hour": 20, "prefix_day": 60,
    "country_day": 500,
}  # fmt: skip
"""How many texts there may be: to one number, for one account, caused by one network, to one series of numbers, to one
country; within an hour, or 24 hours."""
PAUSED_FROM: Final = 20
LEAST_USED: Final = 0.25
PAUSED_FOR: Final = DAY
"""A series of numbers that got so many texts within an hour, of which a smaller share was used, is paused so long."""


class Spent(NamedTuple):
    """What texts of the past 24 hours cost, and what they may, in millionths of the currency."""

    spent: int
    budget: int


async def charge(session: DatabaseSession, row: Mapping[str, Any], *, network: str | None, now: datetime) -> bool:
    """Count a text in every budget; return whether each had one left. Without, nothing is counted."""
    settings, number = session.settings, phone_numbers.of_e164(row["recipient"])
    price = _price(settings, number.region)
    is_silent = kinds.KINDS[row["kind"]].silent
    await session.execute(_LOCK)
    found = {
        "number": row["recipient_hash"], "account": row["user_id"], "country": number.region, "prefix": number.prefix,
        "network": None if network is None else session.keys.address_hash(f"network {network}"),
    }  # fmt: skip
    counted = dict((await session.execute(_COUNT, {**found, "hour": now - HOUR, "day": now - DAY})).mappings().one())
    full = [name for name, limit in LIMITS.items() if counted[name] >= limit]
    budget, paused = _budget(settings), await _is_paused(session, found, counted, now=now)
    if price is None or full or counted["spent"] + price > budget or paused:
        logs.log.warning("text.limited", budgets=full or ["money" if price else "country"], country=number.region)
        return False
    await session.execute(
        insert(TextCharge).values(
            message_id=row["id"], user_id=row["user_id"], network_hash=found["network"], created_at=now,
            # What is never sent counts for the network that asked, and for nobody else.
            number_hash=None if is_silent else found["number"], prefix=None if is_silent else number.prefix,
            country="" if is_silent else number.region, cost=0 if is_silent else price,
        )
    )  # fmt: skip
    if is_silent:
        return True
    _alarm_at_half("money", counted["spent"], counted["spent"] + price, budget, number.region)
    sent = counted["country_day"]
    _alarm_at_half("country", sent, sent + 1, LIMITS["country_day"], number.region)
    return True


async def may_have_been_sent(session: DatabaseSession, message_id: uuid.UUID) -> bool:
    """Return whether a carrier may have a text already: nobody knows of an earlier attempt."""
    earlier = select(Attempt.attempt_no).where(
        Attempt.message_id == message_id, Attempt.outcome.in_(("unknown", "lost"))
    )
    return await session.scalar(earlier.limit(1)) is not None


async def charge_again(session: DatabaseSession, message_id: uuid.UUID, *, now: datetime) -> bool:
    """Count another copy of a text that may have been sent; return whether the day's budget has the money (TXT-11)."""
    await session.execute(_LOCK)
    charged = await session.get(TextCharge, message_id)
    price = None if charged is None else _price(session.settings, charged.country)
    if (
        charged is None
        or price is None
        or (await measure_spent(session, now=now)).spent + price > _budget(session.settings)
    ):
        return False
    more = update(TextCharge).where(TextCharge.message_id == message_id)
    await session.execute(more.values(cost=TextCharge.cost + price))
    return True


async def mark_used(session: DatabaseSession, message_id: uuid.UUID, *, now: datetime) -> None:
    """Record that the code of a text was used."""
    await session.execute(update(TextCharge).where(TextCharge.message_id == message_id).values(used_at=now))


async def measure_spent(session: DatabaseSession, *, now: datetime) -> Spent:
    """Return what texts of the past 24 hours cost, and the budget."""
    spent = await session.scalar(_SPENT, {"day": now - DAY})
    return Spent(int(spent or 0), _budget(session.settings))


async def _is_paused(
    session: DatabaseSession, found: Mapping[str, Any], counted: Mapping[str, Any], *, now: datetime
) -> bool:
    """Return whether the series of numbers is paused; begin a pause if its texts are not used (TXT-04)."""
    mine = select(TextPause.paused_until).where(TextPause.prefix == found["prefix"], TextPause.paused_until > now)
    if await session.scalar(mine) is not None:
        return True
    sent, used = counted["prefix_hour"], counted["prefix_used"]
    if sent < PAUSED_FROM or used >= LEAST_USED * sent:
        return False
    until = now + PAUSED_FOR
    pause = insert(TextPause).values(prefix=found["prefix"], paused_until=until)
    await session.execute(pause.on_conflict_do_update(index_elements=["prefix"], set_={"paused_until": until}))
    logs.log.error("text.prefix_paused", country=found["country"], sent=sent, used=used)
    return True


def _alarm_at_half(what: str, before: int, after: int, limit: int, country: str) -> None:
    if 2 * before < limit <= 2 * after:
        logs.log.error("text.budget_half", budget=what, country=country)


def _price(settings: Settings, region: str) -> int | None:
    price = settings.text_prices.get(region) if settings.carriers else None
    return None if price is None else int(price * MILLIONTHS)


def _budget(settings: Settings) -> int:
    return int(settings.text_day_budget * MILLIONTHS)


_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('text budget', 0))")
_COUNT = text(
    """
    SELECT count(*) FILTER (WHERE number_hash = :number AND created_at > :hour) AS number_hour,
           count(*) FILTER (WHERE number_hash = :number) AS number_day,
           count(*) FILTER (WHERE user_id = CAST(:account AS text) AND created_at > :hour) AS account_hour,
           count(*) FILTER (WHERE network_hash = CAST(:network AS bytea) AND created_at > :hour) AS network_hour,
           count(*) FILTER (WHERE prefix = :prefix AND created_at > :hour) AS prefix_hour,
           count(*) FILTER (WHERE prefix = :prefix) AS prefix_day,
           count(*) FILTER (WHERE prefix = :prefix AND created_at > :hour AND used_at IS NOT NULL) AS prefix_used,
           count(*) FILTER (WHERE country = :country) AS country_day,
           coalesce(sum(cost), 0)::bigint AS spent
    FROM text_charge WHERE created_at > :day
    """
)
_SPENT = text("SELECT coalesce(sum(cost), 0)::bigint FROM text_charge WHERE created_at > :day")
