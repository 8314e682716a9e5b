"""A correction is an entry of its own that supersedes one; a removal marks it. Nothing is rewritten, all is read."""

import pytest

from tests.life.given import an_entry, append, call, row_id

OLD, NEW = {"amount": "100.00", "currency": "EUR"}, {"amount": "90.00", "currency": "EUR"}


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {})).json()["user_id"]


@pytest.fixture
async def order(caller, anna):
    """The stored entry of an order of 100 EUR."""
    return (await append(caller, anna, an_entry("O-1", **OLD))).json()["results"][0]["entry"]


async def correct(caller, anna, entry_id, reference="O-1", **given):
    answer = await append(caller, anna, an_entry(reference, corrects=entry_id, **given))
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["results"][0]


async def remove(caller, anna, entry_id):
    return await call(caller, "DELETE", f"/v1/accounts/{anna}/history/{entry_id}")


async def summary(caller, anna):
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    return found["entries"], found["orders"], found["amounts"]


async def listed(caller, anna, **query):
    items = (await caller.get(f"/v1/accounts/{anna}/history", params=query)).json()["items"]
    return [(item["amount"], item["superseded_at"] is None, item["removed_at"] is None) for item in items]


async def test_a_correction_counts_and_the_former_entry_is_kept(service, caller, anna, order):
    corrected = await correct(caller, anna, order["id"], **NEW)
    assert (corrected["status"], corrected["entry"]["amount"]) == ("corrected", "90.00")
    assert corrected["entry"]["corrects"] == order["id"]
    assert await summary(caller, anna) == (1, 1, {"EUR": "90.00"})
    assert await listed(caller, anna) == [("90.00", True, True)]
    assert sorted(await listed(caller, anna, superseded="true")) == [("100.00", False, True), ("90.00", True, True)]
    ((user_id, actor, data),) = await service.rows(
        "SELECT user_id, actor, data FROM event WHERE name = 'history.corrected'"
    )
    assert (user_id, actor) == (row_id(anna), f"client:{caller.client_id}")
    assert data == {"source": caller.source, "entry": corrected["entry"]["id"], "corrects": order["id"]}


async def test_the_way_from_a_conflict_to_the_correction(caller, anna, order):
    """What an outbox does that kept no ids: the conflict names the entry."""
    (conflict,) = (await append(caller, anna, an_entry("O-1", **NEW))).json()["results"]
    corrected = await correct(caller, anna, conflict["entry"]["id"], **NEW)
    assert corrected["status"] == "corrected"


async def test_repeats_change_nothing_whichever_version_they_bring(service, caller, anna, order):
    """The first delivery may come again after its correction, and the correction, too."""
    await correct(caller, anna, order["id"], **NEW)
    assert (await correct(caller, anna, order["id"], **NEW))["status"] == "there"
    late = (await append(caller, anna, an_entry("O-1", **OLD))).json()["results"][0]
    assert (late["status"], late["entry"]["amount"]) == ("there", "90.00")
    assert await summary(caller, anna) == (1, 1, {"EUR": "90.00"})
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'history.corrected'") == [(1,)]


async def test_a_correction_of_what_was_corrected_is_a_conflict(caller, anna, order):
    newest = (await correct(caller, anna, order["id"], **NEW))["entry"]
    other = await correct(caller, anna, order["id"], amount="80.00", currency="EUR")
    assert (other["status"], other["code"], other["entry"]["id"]) == ("conflict", "entry_corrected", newest["id"])
    back = await correct(caller, anna, newest["id"], **OLD)
    assert (back["status"], back["entry"]["amount"]) == ("corrected", "100.00")
    assert await summary(caller, anna) == (1, 1, {"EUR": "100.00"})


async def test_the_summary_follows_in_every_member(caller, anna):
    first = (await append(caller, anna, an_entry("t1", kind="ticket", occurred_at="2016-01-01T00:00:00Z"))).json()
    entry_id = first["results"][0]["entry"]["id"]
    await correct(caller, anna, entry_id, "t1", occurred_at="2020-01-01T00:00:00Z", **NEW)
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    assert found["customer_since"].startswith("2020")
    assert found["last_order_at"].startswith("2020")
    assert (found["open_tickets"], found["orders"]) == (0, 1)


async def test_a_removed_entry_counts_no_more_and_is_kept(service, caller, anna, order):
    for _ in range(2):
        answer = await remove(caller, anna, order["id"])
        assert (answer.status_code, answer.json()["amount"]) == (200, "100.00")
        assert answer.json()["removed_at"] is not None
    assert await summary(caller, anna) == (0, 0, {})
    assert await listed(caller, anna) == []
    assert await listed(caller, anna, superseded="true") == [("100.00", True, False)]
    assert await service.rows("SELECT data FROM event WHERE name = 'history.removed'") == [
        ({"source": caller.source, "entry": order["id"]},)
    ]


async def test_a_late_repeat_of_a_removed_entry_does_not_bring_it_back(caller, anna, order):
    await remove(caller, anna, order["id"])
    late = (await append(caller, anna, an_entry("O-1", **OLD))).json()["results"][0]
    assert (late["status"], late["entry"]["removed_at"] is None) == ("there", False)
    assert await summary(caller, anna) == (0, 0, {})
    again = await correct(caller, anna, order["id"], **OLD)
    assert again["status"] == "corrected"
    assert await summary(caller, anna) == (1, 1, {"EUR": "100.00"})


async def test_only_the_newest_version_can_be_removed(caller, anna, order):
    newest = (await correct(caller, anna, order["id"], **NEW))["entry"]
    refused = await remove(caller, anna, order["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "entry_corrected")
    assert refused.json()["entry"] == newest["id"]
    assert (await remove(caller, anna, newest["id"])).status_code == 200


async def test_nobody_corrects_or_removes_what_is_not_theirs(service, caller, anna, order):
    """Another source's entry, another customer's, another reference's, one that never was: all the same answer."""
    other = await service.caller("history:write")
    ben = (await caller.post("/v1/accounts", {})).json()["user_id"]
    for who, user_id, reference, entry_id in (
        (other, anna, "O-1", order["id"]), (caller, ben, "O-1", order["id"]), (caller, anna, "O-2", order["id"]),
        (caller, anna, "O-1", "00000000-0000-4000-8000-000000000000"),
    ):  # fmt: skip
        result = await correct(who, user_id, entry_id, reference, **NEW)
        assert (result["status"], result["code"], result["entry"]) == ("refused", "unknown_entry", None)
    for who, user_id in ((other, anna), (caller, ben)):
        assert (await remove(who, user_id, order["id"])).json()["code"] == "unknown_entry"
    assert await summary(caller, anna) == (1, 1, {"EUR": "100.00"})


async def test_two_workers_of_one_source_correct_each_others_entries(service, caller, anna):
    shop, worker = [await service.caller("history:write", source="shop") for _ in range(2)]
    made = (await append(shop, anna, an_entry("O-1", **OLD))).json()["results"][0]["entry"]
    assert (await correct(worker, anna, made["id"], **NEW))["status"] == "corrected"


async def test_a_correction_is_judged_like_any_entry(caller, anna, order):
    for wrong, code in (
        ({"amount": "1.005", "currency": "EUR"}, "malformed_amount"), ({"kind": "Order"}, "invalid_shape"),
        ({"corrects": "O-1"}, "invalid_shape"), ({"corrects": 7}, "invalid_shape"),
    ):  # fmt: skip
        answer = await append(caller, anna, {**an_entry("O-1", corrects=order["id"]), **wrong})
        assert [(one["status"], one["code"]) for one in answer.json()["results"]] == [("refused", code)]


async def test_what_was_superseded_is_exported_and_erased_with_the_customer(service, caller, anna, order):
    await correct(caller, anna, order["id"], details={"note": "Anna's own"}, **NEW)
    exported = (await caller.get(f"/v1/accounts/{anna}/export")).json()["tables"]["history_entry"]
    assert len(exported) == 2
    assert (await caller.post(f"/v1/accounts/{anna}/erase")).status_code == 200
    rows = await service.rows("SELECT reference, link, details FROM history_entry")
    assert {row.reference[:7] for row in rows} == {"erased:"}
    assert [row.details for row in rows] == [{}, {}]
