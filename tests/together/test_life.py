"""REL-23: an account's life from many sides at once: a serial order explains every answer, and no history is lost."""

import asyncio
import itertools

import pytest

from identity_service.accounts import actions as accounts
from identity_service.values.user_ids import UserId
from tests.life.given import (
    COMPANY,
    append,
    audited,
    call,
    convert,
    every_row,
    link_to,
    press,
    references,
    row_id,
    two_accounts,
)
from tests.life.given import an_entry as entry
from tests.together.given import at_once, codes, several

ANNA, FIRM = "anna@example.com", "firm@example.com"
ASKED = "Do you want to merge your two accounts?"


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]


async def test_of_two_who_convert_the_same_version_one_does(service, caller, anna):
    """API-04: two clerks, one 200, one 412; one company, one notice."""
    bodies = [{**COMPANY, "company_name": name} for name in ("One", "Two")]
    async with several(service, caller, 2) as callers:
        answers = await at_once(
            convert(one, anna, body, **{"If-Match": '"1"'}) for one, body in zip(callers, bodies, strict=True)
        )
    assert codes(answers) == {200: 1, (412, "stale_version"): 1}
    (won,) = [answer.json()["account"]["business"]["company_name"] for answer in answers if answer.status_code == 200]
    assert await service.rows("SELECT company_name FROM business_period") == [(won,)]
    assert await service.rows("SELECT count(*) FROM message WHERE kind = 'business_undo'") == [(1,)]


async def test_a_locked_account_is_read_anew(service, caller, anna):
    """API-04: what the session read before it had the lock may be old, also where somebody still holds that object."""
    async with service.database.transaction() as session:
        before = await accounts.find_account(session, UserId(row_id(anna)))
        assert (await convert(caller, anna)).status_code == 200
        locked = await accounts.find_account(session, UserId(row_id(anna)), lock=True)
        assert (before is locked, locked.kind, locked.version) == (True, "business", 2)


async def test_the_same_conversion_from_sixteen_sides_is_one(service, caller, anna):
    async with several(service, caller) as callers:
        answers = await at_once(convert(one, anna) for one in callers * 4)
    assert codes(answers) == {200: 16}
    assert await service.rows("SELECT count(*) FROM business_period") == [(1,)]
    assert await service.rows("SELECT count(*) FROM message WHERE kind = 'business_undo'") == [(1,)]


async def test_conversions_and_history_from_sixteen_sides_lose_nothing(service, caller, anna):
    """Eight go to and fro, eight write; afterwards there is one open time at the most, and every entry."""
    async with several(service, caller) as callers:
        calls = []
        for number, one in zip(range(16), itertools.cycle(callers), strict=False):
            calls.append(append(one, anna, *(entry(f"r{number}-{n}", amount="1.00", currency="EUR") for n in range(5))))
            company = {**COMPANY, "company_name": f"Firm {number}"}
            method, body = ("PUT", company) if number % 2 else ("DELETE", None)
            calls.append(call(one, method, f"/v1/accounts/{anna}/business", body))
        answers = await at_once(calls)
    assert set(codes(answers)) == {200, 201}
    assert len(await references(caller, anna)) == 80
    assert (await caller.get(f"/v1/accounts/{anna}/summary")).json()["amounts"] == {"EUR": "80.00"}
    ((opened,),) = await service.rows("SELECT count(*) FROM business_period WHERE ended_at IS NULL")
    ((kind,),) = await service.rows("SELECT kind FROM account")
    assert opened == (1 if kind == "business" else 0)
    await audited(service)


async def test_one_reference_from_sixteen_sides_is_one_entry(service, caller, anna):
    """Decision 8: overlapping batches, in another order each; no deadlock."""
    async with several(service, caller) as callers:
        turns = [entry(f"r{n}") for n in range(40)]
        batches = [turns[n:] + turns[:n] for n in range(0, 32, 2)]
        answers = await at_once(append(one, anna, *batch) for one, batch in zip(callers * 4, batches, strict=True))
    assert set(codes(answers)) <= {200, 201}
    statuses = [result["status"] for answer in answers for result in answer.json()["results"]]
    assert (statuses.count("added"), statuses.count("there")) == (40, 600)
    assert len(await references(caller, anna)) == 40


async def test_a_merge_while_history_arrives_on_both_sides(service, caller):
    """IDN-07: every entry is kept under the ID it was sent to, and read at the one that answers."""
    anna, firm = await two_accounts(caller)
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    links = [await link_to(service, one, ASKED) for one in (ANNA, FIRM)]
    service.clock.advance(seconds=1)
    async with several(service, caller) as callers:
        writes = [
            append(one, user_id, entry(f"{name}{n}"))
            for n, one in enumerate(callers * 8)
            for name, user_id in (("a", anna), ("f", firm))
        ]
        presses = [press(service, link) for link in links]
        *answers, _, _ = await asyncio.gather(*writes[:32], *writes[32:], *presses)
    assert codes(answers) == {201: 64}
    assert (await caller.get(f"/v1/accounts/{firm}")).json()["moved_to"] == anna
    for either in (anna, firm):
        assert len(await references(caller, either)) == 64
    kept = await service.rows("SELECT user_id, count(*) FROM history_entry GROUP BY user_id")
    assert {tuple(row) for row in kept} == {(row_id(anna), 32), (row_id(firm), 32)}
    await audited(service)


async def test_both_mailboxes_at_once_make_one_merge(service, caller):
    """ATT-08: the second yes sees the first, whoever is faster."""
    anna, firm = await two_accounts(caller)
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    links = [await link_to(service, one, ASKED) for one in (ANNA, FIRM)]
    service.clock.advance(seconds=1)
    await asyncio.gather(*(press(service, link) for link in links * 3))
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'account.merged'") == [(1,)]
    assert (await caller.get(f"/v1/accounts/{firm}")).json()["moved_to"] == anna


async def test_merges_the_two_ways_round_at_once_make_no_circle(service, caller):
    pairs = [
        [(await caller.post("/v1/accounts", {"external_ref": f"{n}{ref}"})).json()["user_id"] for ref in "ab"]
        for n in range(4)
    ]
    async with several(service, caller) as callers:
        calls = []
        for (one, two), client in zip(pairs, callers, strict=True):
            calls.append(client.post(f"/v1/accounts/{one}/merge", {"duplicate": two}))
            calls.append(client.post(f"/v1/accounts/{two}/merge", {"duplicate": one}))
        answers = await at_once(calls)
    counted = codes(answers)
    # The second one finds the account merged, before or after it has its lock.
    assert counted.pop(200) == 4
    assert sum(counted.values()) == 4
    assert set(counted) <= {(409, "cannot_merge"), (409, "account_moved")}
    assert await service.rows("SELECT state, count(*) FROM account GROUP BY state ORDER BY state") == [
        ("active", 4), ("merged", 4)
    ]  # fmt: skip


@pytest.mark.parametrize("round_", range(3))
async def test_nothing_comes_in_behind_an_erasure(service, caller, anna, round_):
    """PRV-10: history that waits for the erasing to end finds nobody; what came before is emptied."""
    async with several(service, caller) as callers:
        before = [
            append(one, anna, entry(f"b{n}", details={"n": "kanarienvogel"})) for n, one in enumerate(callers * 3)
        ]
        gone = callers[0].post(f"/v1/accounts/{anna}/erase")
        behind = [
            append(one, anna, entry(f"c{n}", details={"n": "kanarienvogel"})) for n, one in enumerate(callers * 3)
        ]
        answers = await at_once([*before, gone, *behind])
    assert set(codes(answers)) <= {200, 201, (410, "account_erased")}
    rows = await every_row(service)
    assert [row for name in rows for row in rows[name] if "kanarienvogel" in row] == []


async def test_erase_and_everything_else_at_once_end_in_a_serial_order(service, caller):
    """REL-23: business, merge, undo, another address, close and erase of one chain; no deadlock, no half of it."""
    anna, firm = await two_accounts(caller)
    third = (await caller.post("/v1/accounts", {"external_ref": "19"})).json()["user_id"]
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": third})
    link = await link_to(service, ANNA, ASKED)
    service.clock.advance(seconds=1)
    await press(service, link)
    async with several(service, caller) as callers:
        calls = []
        for one in callers:
            calls += [
                convert(one, anna),
                one.post(f"/v1/accounts/{third}/merge/undo"),
                one.post(f"/v1/accounts/{anna}/erase"),
                one.post(f"/v1/accounts/{anna}/email-changes", {"email": "new@example.com"}),
                one.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm}),
                append(one, third, entry("t1")),
                one.post(f"/v1/accounts/{anna}/close"),
            ]
        answers = await at_once(calls)
    assert all(answer.status_code < 500 for answer in answers), codes(answers)
    assert [answer.status_code for answer in answers[2::7]].count(200) == 1
    states = dict(await service.rows("SELECT user_id, state FROM account"))
    assert states[row_id(anna)] == "erased"
    assert states[row_id(firm)] == "active"
    assert states[row_id(third)] in ("erased", "active")
    await audited(service)


async def test_two_who_confirm_one_address_at_once(service, caller, anna):
    """Two accounts were promised the same mailbox; its holder presses both letters: one account has it."""
    ben = (await caller.post("/v1/accounts", {"email": "ben@example.com"})).json()["user_id"]
    links = []
    for user_id in (anna, ben):
        await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": "new@example.com"})
        links.append(await link_to(service, "new@example.com", "confirm your new email address"))
    service.clock.advance(seconds=1)
    pages = await asyncio.gather(*(press(service, link) for link in links))
    assert sorted(browser.page.status_code for browser in pages) == [200, 409]
    assert await service.rows("SELECT count(*) FROM account WHERE email = 'new@example.com'") == [(1,)]
