"""What texts may cost: every budget at its edge, fifty at once, the alarm at half, and a series that nobody uses."""

import asyncio
from decimal import Decimal

import pytest

from identity_service.messages import actions as messages
from identity_service.messages import text_budget
from identity_service.values.phone_numbers import PhoneNumber
from tests.accounts.given import an_account
from tests.texts.given import a_number


async def put(texts, number: PhoneNumber, *, network: str | None = None, user_id: str | None = None) -> str:
    """Enqueue a text; return the state in which it begins."""
    message_id = await texts.database.in_transaction(
        lambda s: messages.enqueue(
            s, "number_check", to=number, user_id=user_id, locale="en", network=network,
            cause="phone_number.added", actor="customer", now=texts.service.clock(),
        )
    )  # fmt: skip
    ((state,),) = await texts.service.rows("SELECT state FROM message WHERE id = :id", id=message_id)
    return state


def spread(count: int) -> list[PhoneNumber]:
    """Numbers of which no two are of one series."""
    return [PhoneNumber(f"+4915{place:03d}123456", "DE") for place in range(100, 100 + count)]


async def test_one_number_gets_three_an_hour_and_five_a_day(texts):
    """TXT-03"""
    number = a_number(1)
    assert [await put(texts, number) for _ in range(4)] == ["queued"] * 3 + ["limited"]
    texts.service.clock.advance(hours=1, seconds=1)
    assert [await put(texts, number) for _ in range(3)] == ["queued"] * 2 + ["limited"]
    texts.service.clock.advance(hours=23)
    assert await put(texts, number) == "queued"


async def test_one_account_gets_five_an_hour(texts, caller):
    """TXT-03: whatever the numbers are."""
    user_id = (await an_account(caller)).replace("-", "")
    states = [await put(texts, number, user_id=user_id) for number in spread(6)]
    assert states == ["queued"] * 5 + ["limited"]


async def test_one_network_causes_ten_an_hour(texts):
    """TXT-03"""
    numbers = spread(12)
    assert [await put(texts, one, network="198.51.100.7") for one in numbers[:11]] == ["queued"] * 10 + ["limited"]
    assert await put(texts, numbers[11], network="203.0.113.9") == "queued"


async def test_a_series_of_numbers_gets_twenty_an_hour(texts):
    """TXT-03: nine numbers of one series, and one of another."""
    states = [await put(texts, a_number(place)) for place in range(21)]
    assert states == ["queued"] * 20 + ["limited"]
    assert await put(texts, spread(1)[0]) == "queued"


async def test_a_series_of_numbers_gets_sixty_a_day(texts):
    """TXT-03: also where every code is used."""
    states = []
    for hour in range(4):
        states += [await put(texts, a_number(100 * hour + place)) for place in range(20)]
        await texts.service.database.in_transaction(_use_all)
        texts.service.clock.advance(hours=1, seconds=1)
    assert states == ["queued"] * 60 + ["limited"] * 20


async def _use_all(session):
    await session.execute(text_budget.update(text_budget.TextCharge).values(used_at=text_budget.TextCharge.created_at))


async def test_one_country_gets_five_hundred_a_day(texts, monkeypatch):
    """TXT-03: counted together; another country is not touched."""
    monkeypatch.setitem(text_budget.LIMITS, "country_day", 7)
    assert [await put(texts, one) for one in spread(8)] == ["queued"] * 7 + ["limited"]
    assert await put(texts, PhoneNumber("+12025550123", "US")) == "queued"
    assert {**text_budget.LIMITS, "country_day": 500} == {
        "number_hour": 3, "number_day": 5, "account_hour": 5, "network_hour": 10, "prefix_hour": 20, "prefix_day": 60,
        "country_day": 500,
    }  # fmt: skip


@pytest.mark.parametrize("budget", ["0.40", "0.47"])
async def test_fifty_at_once_at_the_edge_of_the_money(texts, budget):
    """TXT-03: five texts of 0.08 and no more, however they come."""
    texts.database.settings.__dict__["text_day_budget"] = Decimal(budget)
    states = await asyncio.gather(*(put(texts, one) for one in spread(50)))
    assert sorted(states) == ["limited"] * 45 + ["queued"] * 5
    ((spent,),) = await texts.service.rows("SELECT sum(cost) FROM text_charge")
    assert spent == 400_000


async def test_fifty_at_once_to_one_number(texts):
    """TXT-03"""
    states = await asyncio.gather(*(put(texts, a_number(1)) for _ in range(50)))
    assert states.count("queued") == 3


async def test_a_country_that_is_no_longer_in_the_list_gets_nothing(texts):
    """TXT-01: nor does anybody once the carriers are gone."""
    assert await put(texts, PhoneNumber("+33612345678", "FR")) == "limited"
    texts.database.settings.__dict__["carriers"] = ()
    assert await put(texts, a_number(1)) == "limited"


async def test_the_alarm_comes_once_at_half(texts, log):
    """TXT-03: of the day's money, and of a country."""
    texts.database.settings.__dict__["text_day_budget"] = Decimal("0.80")
    for number in spread(10):
        await put(texts, number)
    halves = [line for line in log.lines if line["event"] == "text.budget_half"]
    assert [(line["budget"], line["country"]) for line in halves] == [("money", "DE")]
    spent = await texts.database.in_transaction(lambda s: text_budget.measure_spent(s, now=texts.service.clock()))
    assert spent == (800_000, 800_000)
    metrics = (await texts.service.http.get("/metrics")).text
    assert "identity_text_spent 0.8\n" in metrics
    assert "identity_text_budget 0.8\n" in metrics


async def test_a_series_that_nobody_uses_is_paused_for_a_day(texts, log):
    """TXT-04: twenty in an hour and fewer than a quarter used."""
    for place in range(20):
        await put(texts, a_number(place))
    async with texts.database.transaction() as session:
        for row in (await session.execute(text_budget.text("SELECT message_id FROM text_charge LIMIT 4"))).all():
            await text_budget.mark_used(session, row[0], now=texts.service.clock())
    texts.service.clock.advance(minutes=59)
    assert await put(texts, a_number(30)) == "limited"
    ((until,),) = await texts.service.rows("SELECT paused_until FROM text_pause")
    assert until is not None
    texts.service.clock.advance(hours=23)
    assert await put(texts, a_number(31)) == "limited"
    texts.service.clock.advance(hours=1, seconds=1)
    assert await put(texts, a_number(32)) == "queued"
    assert [line["country"] for line in log.lines if line["event"] == "text.prefix_paused"] == ["DE"]


async def test_a_series_that_is_used_is_not_paused(texts):
    """TXT-04: five of twenty are a quarter."""
    for place in range(20):
        await put(texts, a_number(place))
    async with texts.database.transaction() as session:
        for row in (await session.execute(text_budget.text("SELECT message_id FROM text_charge LIMIT 5"))).all():
            await text_budget.mark_used(session, row[0], now=texts.service.clock())
    texts.service.clock.advance(minutes=59)
    assert await put(texts, a_number(30)) == "limited"
    assert await texts.service.rows("SELECT 1 FROM text_pause") == []
    texts.service.clock.advance(minutes=2)
    assert await put(texts, a_number(31)) == "queued"
