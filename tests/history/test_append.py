"""Other services add to a customer's history: one entry per source and reference, each judged by itself."""

from datetime import timedelta

import pytest

from identity_service.values import user_ids
from tests.life.given import account, append, references, row_id
from tests.life.given import an_entry as entry

LARGEST = str(2**53)


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": "anna@example.com"})).json()["user_id"]


async def results(caller, user_id, *entries, **given):
    answer = await append(caller, user_id, *entries, **given)
    assert answer.status_code in (200, 201), answer.text
    return [(result["status"], result["code"]) for result in answer.json()["results"]]


async def test_a_repeat_is_answered_and_not_doubled(service, caller, anna):
    """Decision 8: the first entry comes back; the same moment and amount may be written in another way."""
    first = await append(caller, anna, entry("a1", amount="12.50", currency="EUR"))
    again = await append(
        caller, anna, entry("a1", amount="12.5", currency="EUR", occurred_at="2026-01-02T04:04:05+01:00")
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["results"][0]["status"] == "there"
    assert again.json()["results"][0]["entry"] == first.json()["results"][0]["entry"]
    assert await service.rows("SELECT count(*) FROM history_entry") == [(1,)]
    added = {"source": caller.source, "entries": 1, "entry_ids": [first.json()["results"][0]["entry"]["id"]]}
    assert await service.rows("SELECT data FROM event WHERE name = 'history.appended'") == [(added,)]


async def test_twice_in_one_batch_is_once(caller, anna):
    assert await results(caller, anna, entry("a1"), entry("a1"), entry("a2")) == [
        ("added", None), ("there", None), ("added", None)
    ]  # fmt: skip


async def test_each_source_has_references_of_its_own(service, caller, anna):
    billing = await service.caller("history:write", source="billing")
    assert await results(caller, anna, entry("a1")) == [("added", None)]
    assert await results(billing, anna, entry("a1")) == [("added", None)]


async def test_two_workers_of_one_source_count_an_order_once(service, caller, anna):
    shop, worker = [await service.caller("history:write", name=name, source="shop") for name in ("shop", "worker")]
    assert await results(shop, anna, entry("O-1", amount="100.00", currency="EUR")) == [("added", None)]
    assert await results(worker, anna, entry("O-1", amount="100.00", currency="EUR")) == [("there", None)]
    found = (await caller.get(f"/v1/accounts/{anna}/summary")).json()
    assert (found["orders"], found["amounts"]) == (1, {"EUR": "100.00"})


@pytest.mark.parametrize("name", ["billing", "console", "nobody", "cli_1"])
async def test_nobody_writes_in_another_sources_name(service, caller, anna, name):
    """ATT-50: not what happened, and no reference that its next entry would need; its own name may be said aloud."""
    await service.caller("history:write", source="billing")
    refused = await append(caller, anna, entry("a1"), source=name)
    assert (refused.status_code, refused.json()["code"]) == (403, "source_not_yours")
    assert caller.source in refused.json()["detail"]
    assert await results(caller, anna, entry("a1"), source=caller.source) == [("added", None)]
    assert await results(caller, anna, entry("a1")) == [("there", None)]


async def test_another_customers_reference_is_refused_and_not_shown(caller, anna):
    """ATT-50: answering "there" would hand out what happened to somebody else, and lose what happened to this one."""
    await append(caller, anna, entry("a1", details={"note": "Anna's own"}))
    ben = (await caller.post("/v1/accounts", {})).json()["user_id"]
    answer = await append(caller, ben, entry("a1"), entry("b1"))
    first, second = answer.json()["results"]
    assert (first["status"], first["code"], first["entry"]) == ("refused", "reference_taken", None)
    assert second["status"] == "added"
    assert "Anna" not in answer.text
    assert await references(caller, ben) == ["b1"]


DIFFERENT = {
    "amount": {"amount": "90.00"}, "currency": {"currency": "CHF"}, "kind": {"kind": "refund"},
    "moment": {"occurred_at": "2026-01-02T03:04:06Z"}, "link": {"link": "https://shop.example/1"},
    "details": {"details": {"lines": 2}}, "without amount": {"amount": None, "currency": None},
}  # fmt: skip


@pytest.mark.parametrize("different", DIFFERENT.values(), ids=DIFFERENT)
async def test_the_same_reference_with_another_content_is_a_conflict_that_shows_both(service, caller, anna, different):
    """B12: answered "there", the second amount would be lost without a sign."""
    sent = entry("a1", amount="100.00", currency="EUR")
    await append(caller, anna, sent)
    answer = await append(caller, anna, {**sent, **different}, entry("a2"))
    conflict, added = answer.json()["results"]
    assert (answer.status_code, conflict["status"], conflict["code"]) == (201, "conflict", "reference_conflict")
    assert (conflict["entry"]["amount"], conflict["given"]) == ("100.00", {**sent, **different})
    assert conflict["entry"]["id"]
    assert added["status"] == "added"
    assert await service.rows("SELECT amount FROM history_entry WHERE reference = 'a1'") == [(100,)]


async def test_two_contents_in_one_batch_are_a_conflict(caller, anna):
    two = [entry("a1", amount=amount, currency="EUR") for amount in ("1.00", "2.00", "1.00")]
    assert await results(caller, anna, *two) == [
        ("added", None), ("conflict", "reference_conflict"), ("there", None)
    ]  # fmt: skip


async def test_after_a_merge_a_repeat_under_the_other_id_is_a_repeat(caller):
    one, two = [(await caller.post("/v1/accounts", {"external_ref": ref})).json()["user_id"] for ref in ("one", "two")]
    await append(caller, two, entry("a1"))
    await caller.post(f"/v1/accounts/{one}/merge", {"duplicate": two})
    assert (await account(caller, two))["moved_to"] == one
    assert await results(caller, one, entry("a1")) == [("there", None)]


async def test_one_bad_entry_is_refused_alone(caller, anna):
    """A batch never fails as a whole for one of its entries, and answers in order."""
    bad = entry("a2", amount="1.005", currency="EUR")
    assert await results(caller, anna, entry("a1"), bad, entry("a3")) == [
        ("added", None), ("refused", "malformed_amount"), ("added", None)
    ]  # fmt: skip
    assert set(await references(caller, anna)) == {"a1", "a3"}


AMOUNTS = {
    "more decimals": ("1.005", "EUR", "2 decimals"), "yen have none": ("1.5", "JPY", "0 decimals"),
    "beyond 2^53": (f"{2**53}.01", "EUR", "too large"), "far beyond": ("9" * 17, "EUR", "too large"),
    "negative beyond": (f"-{2**53 + 1}", "EUR", "too large"), "no such currency": ("1.00", "XQZ", "no such currency"),
    "alone": ("1.00", None, "go together"), "missing": (None, "EUR", "go together"), "comma": ("1,50", "EUR", "digits"),
    "exponent": ("1e3", "EUR", "digits"), "not a number": ("NaN", "EUR", "digits"), "plus": ("+1", "EUR", "digits"),
    "blank": (" 1", "EUR", "digits"), "other digits": ("١", "EUR", "digits"), "nothing": ("", "EUR", "digits"),
    "new line": ("1\n", "EUR", "digits"), "CLDR knows none": ("1.555", "RSD", "2 decimals"),
    "too small": ("0.00001", "XAU", "4 decimals"), "code of no list": ("1.00", "EUO", "no such currency"),
}  # fmt: skip


@pytest.mark.parametrize(("amount", "currency", "sentence"), AMOUNTS.values(), ids=AMOUNTS)
async def test_an_amount_that_cannot_be_is_refused_with_the_reason(caller, anna, amount, currency, sentence):
    answer = await append(caller, anna, entry("a1", amount=amount, currency=currency))
    (result,) = answer.json()["results"]
    assert (answer.status_code, result["status"], result["code"]) == (200, "refused", "malformed_amount")
    assert sentence in result["detail"]
    assert await references(caller, anna) == []


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("12.5", "EUR", "12.50"), ("0", "EUR", "0.00"), ("-3.10", "EUR", "-3.10"), ("100", "JPY", "100"),
        ("1.234", "KWD", "1.234"), (LARGEST, "EUR", f"{LARGEST}.00"), (f"-{LARGEST}", "EUR", f"-{LARGEST}.00"),
    ],
)  # fmt: skip
async def test_an_amount_is_exact(caller, anna, amount, currency, shown):
    (result,) = (await append(caller, anna, entry("a1", amount=amount, currency=currency))).json()["results"]
    assert (result["entry"]["amount"], result["entry"]["currency"]) == (shown, currency)
    assert (await caller.get(f"/v1/accounts/{anna}/history")).json()["items"][0]["amount"] == shown


SHAPES = {
    "no zone": {"occurred_at": "2026-01-02T03:04:05"}, "no time": {"occurred_at": "yesterday"},
    "before year 1": {"occurred_at": "0001-01-01T00:00:00+14:00"},
    "after year 9999": {"occurred_at": "9999-12-31T23:59:59-14:00"}, "number": {"occurred_at": 1767323045},
    "number as text": {"occurred_at": "1767323045"},
    "http": {"link": "http://shop.example/1"}, "script": {"link": "javascript:alert(1)"},
    "line in link": {"link": "https://shop.example/\n1"}, "nul in link": {"link": "https://shop.example/\0"},
    "blank in link": {"link": "https://shop.example/a b"}, "long link": {"link": "https://" + "a" * 500},
    "kind": {"kind": "Order"}, "long kind": {"kind": "a" * 41}, "no reference": {"reference": ""},
    "line in reference": {"reference": "a\nb"}, "nul in value": {"details": {"a": "\0"}},
    "nul in name": {"details": {"\0": "a"}}, "large number": {"details": {"a": 2**70}}, "deep": {"details": {"a": {}}},
    "fraction": {"details": {"a": 1.5}}, "many": {"details": {f"k{n}": 1 for n in range(21)}},
    "amount as number": {"amount": 12.5, "currency": "EUR"}, "id": {"id": "x"}, "user_id": {"user_id": "x"},
}  # fmt: skip


@pytest.mark.parametrize("wrong", SHAPES.values(), ids=SHAPES)
async def test_an_entry_that_cannot_be_is_refused_alone(caller, anna, wrong):
    """B12: a poisoned entry stops no outbox; the result says which one it was, and what is wrong with it."""
    answer = await append(caller, anna, entry("a0"), {**entry("a1"), **wrong}, entry("a2"))
    first, refused, last = answer.json()["results"]
    assert (answer.status_code, first["status"], last["status"]) == (201, "added", "added")
    assert (refused["status"], refused["code"], refused["entry"]) == ("refused", "invalid_shape", None)
    assert refused["reference"] == {**entry("a1"), **wrong}["reference"][:200]
    assert f"/{next(iter(wrong))}" in refused["detail"]
    assert set(await references(caller, anna)) == {"a0", "a2"}


@pytest.mark.parametrize("wrong", [None, 7, "a1", [], {}, {"reference": 7}, [entry("a1")]], ids=str)
async def test_what_is_no_entry_at_all_is_refused_alone(caller, anna, wrong):
    answer = await append(caller, anna, wrong, entry("a2"))
    refused, added = answer.json()["results"]
    assert (refused["status"], refused["code"], refused["reference"]) == ("refused", "invalid_shape", None)
    assert added["status"] == "added"


@pytest.mark.parametrize("minutes", [11, 60 * 24 * 365 * 10])
async def test_nothing_happens_in_the_future(service, caller, anna, minutes):
    """An order of 2036 would be the last order for ten years; two hosts' clocks may differ a little."""
    at, soon = (service.clock() + timedelta(minutes=n) for n in (minutes, 9))
    given = [entry("a1", occurred_at=at.isoformat()), entry("a2", occurred_at=soon.isoformat())]
    assert await results(caller, anna, *given) == [("refused", "occurs_in_future"), ("added", None)]


async def test_large_details_are_refused_alone(caller, anna):
    wide = entry("a1", details={"note": "x" * 2000})
    assert await results(caller, anna, wide, entry("a2")) == [("refused", "details_too_large"), ("added", None)]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_one_to_a_thousand(caller, anna, count):
    refused = await append(caller, anna, *(entry(f"a{n}") for n in range(count)))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_a_thousand_go_in_at_once(service, caller, anna):
    answer = await append(caller, anna, *(entry(f"a{n}") for n in range(1000)))
    assert {result["status"] for result in answer.json()["results"]} == {"added"}
    assert await service.rows("SELECT count(*) FROM history_entry") == [(1000,)]


async def test_an_unknown_customer_has_no_history(caller):
    never = user_ids.show(user_ids.issue())
    for answer in (await append(caller, never, entry("a1")), await caller.get(f"/v1/accounts/{never}/history")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_user_id")


async def test_reading_and_writing_have_scopes_of_their_own(service, caller, anna):
    reader = await service.caller("history:read", name="reader")
    writer = await service.caller("history:write", name="writer")
    assert (await append(reader, anna, entry("a1"))).json()["code"] == "missing_scope"
    assert (await writer.get(f"/v1/accounts/{anna}/history")).json()["code"] == "missing_scope"
    assert (await writer.get(f"/v1/accounts/{anna}/summary")).json()["code"] == "missing_scope"
    assert (await append(writer, anna, entry("a1"))).status_code == 201


async def test_an_entry_is_kept_under_the_id_it_was_sent_to(service, caller, anna):
    await append(caller, anna.lower().replace("-", ""), entry("a1"))
    assert await service.rows("SELECT user_id FROM history_entry") == [(row_id(anna),)]
