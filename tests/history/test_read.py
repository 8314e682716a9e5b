"""History is read newest first, page by page, and summed up at a glance."""

import pytest

from tests.life.given import an_entry as entry
from tests.life.given import append, call, convert


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {})).json()["user_id"]


async def pages(caller, user_id, limit, **query):
    """Every reference, page by page."""
    found, after = [], {}
    while True:
        options = {**query, **after, "limit": limit}
        page = (await caller.get(f"/v1/accounts/{user_id}/history", params=options)).json()
        assert len(page["items"]) <= limit
        found += [item["reference"] for item in page["items"]]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
async def test_every_entry_comes_once_and_the_newest_first(caller, anna, limit):
    """Also those of one moment, which only their ids tell apart."""
    days = [1, 2, 2, 2, 3, 4, 4]
    await append(caller, anna, *(entry(f"r{n}", occurred_at=f"2026-01-0{d}T00:00:00Z") for n, d in enumerate(days)))
    found = await pages(caller, anna, limit)
    assert len(found) == len(set(found)) == 7
    assert [days[int(name[1:])] for name in found] == sorted(days, reverse=True)


async def test_it_is_read_by_kind_and_by_source(service, caller, anna):
    shop, billing = [await service.caller("history:write", source=name) for name in ("shop", "billing")]
    await append(shop, anna, entry("o1"), entry("t1", kind="ticket"))
    await append(billing, anna, entry("o2"))
    assert await pages(caller, anna, 1, kind="ticket") == ["t1"]
    assert await pages(caller, anna, 1, source="billing") == ["o2"]
    assert await pages(caller, anna, 1, kind="order", source="shop") == ["o1"]
    assert await pages(caller, anna, 1, kind="nothing") == []


async def test_another_customers_cursor_is_refused(caller, anna):
    """ATT-50: a cursor belongs to the history that it was made for."""
    ben = (await caller.post("/v1/accounts", {})).json()["user_id"]
    await append(caller, anna, entry("a1"), entry("a2"))
    cursor = (await caller.get(f"/v1/accounts/{anna}/history?limit=1")).json()["next"]
    for given in (cursor, cursor[:-1], "nonsense"):
        refused = await caller.get(f"/v1/accounts/{ben}/history", params={"after": given})
        assert (refused.status_code, refused.json()["code"]) == (refused.status_code, "invalid_cursor")


async def test_the_summary_is_what_a_desk_sees_at_a_glance(caller, anna):
    await append(
        caller, anna,
        entry("o1", amount="100.00", currency="EUR", occurred_at="2016-05-01T00:00:00Z"),
        entry("o2", amount="50.50", currency="EUR", occurred_at="2026-02-01T00:00:00Z"),
        entry("o3", amount="700", currency="JPY"),
        entry("r1", kind="refund", amount="50.50", currency="EUR", occurred_at="2026-03-01T00:00:00Z"),
        entry("n1", kind="note", amount="9.99", currency="EUR"),
        entry("t1", kind="ticket"), entry("t2", kind="ticket"), entry("t3", kind="ticket_closed"),
    )  # fmt: skip
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    assert (found["entries"], found["orders"], found["open_tickets"]) == (8, 3, 1)
    assert found["amounts"] == {"EUR": "100.00", "JPY": "700"}
    assert found["customer_since"].startswith("2016-05-01")
    assert found["last_order_at"].startswith("2026-02-01")


async def test_nothing_sums_up_to_nothing(caller, anna):
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    assert (found["entries"], found["orders"], found["open_tickets"], found["amounts"]) == (0, 0, 0, {})
    assert (found["last_order_at"], found["kind"], found["earlier_kinds"]) == (None, "consumer", [])


async def test_the_kind_and_what_it_was_before(caller, anna):
    await convert(caller, anna)
    assert (await caller.get(f"/v1/accounts/{anna}/summary")).json()["earlier_kinds"] == ["consumer"]
    await call(caller, "DELETE", f"/v1/accounts/{anna}/business")
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    assert (found["kind"], found["earlier_kinds"]) == ("consumer", ["business", "consumer"])


async def test_more_tickets_closed_than_opened_are_none_open(caller, anna):
    await append(caller, anna, entry("t1", kind="ticket_closed"))
    assert (await caller.get(f"/v1/accounts/{anna}/summary")).json()["open_tickets"] == 0
