"""Two accounts become one when both mailboxes say so, nothing is moved, and within 30 days they are two again."""

import pytest

from identity_service.merges import actions as merges
from tests.browser import Browser
from tests.conftest import BASE
from tests.life.given import (
    a_business,
    account,
    append,
    audited,
    call,
    confirm,
    consent,
    days_later,
    every_row,
    link_to,
    merge,
    press,
    references,
    row_id,
    set_password,
    sign_in,
    two_accounts,
)
from tests.life.given import an_entry as entry

GOOD = "violet teapot argues with gravity"
ASKED = "Do you want to merge your two accounts?"
BOTH = ("anna@example.com", "firm@example.com")


@pytest.fixture
async def two(caller):
    return await two_accounts(caller)


async def undo(caller, user_id):
    return await caller.post(f"/v1/accounts/{user_id}/merge/undo")


async def test_nothing_is_merged_until_both_mailboxes_have_agreed(service, caller, two):
    """ATT-03: one yes is half of it, whichever comes first."""
    anna, firm = two
    asked = await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    assert (asked.status_code, asked.json()["pending"]["waits_for"]) == (202, "both_mailboxes")
    assert (await account(caller, firm))["state"] == "active"
    await confirm(service, BOTH[1], ASKED)
    assert (await account(caller, firm))["state"] == "active"
    await confirm(service, BOTH[0], ASKED)
    moved = await account(caller, firm)
    assert (moved["state"], moved["moved_to"]) == ("merged", anna)


async def test_one_mailbox_cannot_agree_twice_for_both(service, caller, two):
    anna, firm = two
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    link = await link_to(service, BOTH[0], ASKED)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.url.path == "/confirmed/merge_waits"
    assert (await press(service, link)).page.status_code == 410
    assert (await account(caller, firm))["state"] == "active"


async def test_history_is_read_as_one_and_keeps_the_id_it_came_to(service, caller, two):
    """IDN-07: a merged ID answers for ever; what comes to it later is refused with the ID to write to."""
    anna, firm = two
    await append(caller, anna, entry("a1", occurred_at="2026-01-01T00:00:00Z"))
    await append(caller, firm, entry("f1", occurred_at="2026-01-02T00:00:00Z"))
    await merge(service, caller, anna, firm, *BOTH)
    late = await append(caller, firm, entry("f2", occurred_at="2026-01-03T00:00:00Z"))
    assert (late.status_code, late.json()["code"], late.json()["moved_to"]) == (409, "account_moved", anna)
    await append(caller, anna, entry("f2", occurred_at="2026-01-03T00:00:00Z"))
    for either in two:
        assert await references(caller, either) == ["f2", "f1", "a1"]
        summary = (await caller.get(f"/v1/accounts/{either}/summary")).json()
        assert (summary["user_id"], summary["orders"]) == (anna, 3)


async def test_what_happened_to_both_is_read_as_one(service, caller, two):
    anna, firm = two
    await merge(service, caller, anna, firm, *BOTH)
    await service.seal()
    for either in two:
        items = (await caller.get(f"/v1/accounts/{either}/events")).json()["items"]
        assert {item["subject"] for item in items} == set(two)


async def test_references_and_addresses_of_both_find_the_one(service, caller, two):
    anna, firm = two
    await merge(service, caller, anna, firm, *BOTH)
    for wanted in ({"external_ref": "17"}, {"external_ref": "18"}, {"email": BOTH[0]}, {"email": BOTH[1]}):
        (found,) = (await caller.post("/v1/accounts/search", wanted)).json()["items"]
        assert (found["user_id"], found["external_refs"]) == (anna, ["17", "18"])


async def test_a_merged_address_is_not_free(service, caller, two):
    anna, firm = two
    await merge(service, caller, anna, firm, *BOTH)
    again = await caller.post("/v1/accounts", {"email": BOTH[1]})
    assert (again.status_code, again.json()["user_id"]) == (200, anna)


async def test_sign_in_by_either_address_or_id_leads_to_the_survivor(service, caller, two):
    """The survivor's password counts, and the other's lies still until the merge is undone."""
    anna, firm = two
    await set_password(service, BOTH[0], GOOD)
    await set_password(service, BOTH[1], GOOD + " twice")
    await merge(service, caller, anna, firm, *BOTH)
    for address in BOTH:
        browser = await sign_in(service, address, GOOD)
        assert (browser.page.url.path, anna in browser.text) == ("/me", True), browser.text
    for wanted in ({"email": BOTH[1]}, {"user_id": firm}):
        checked = (await caller.post("/v1/password-checks", {**wanted, "password": GOOD})).json()
        assert (checked["result"], checked["user_id"]) == ("match", anna)
    refused = await caller.post("/v1/password-checks", {"email": BOTH[1], "password": GOOD + " twice"})
    assert refused.json()["result"] == "no_match"
    await undo(caller, firm)
    assert (await sign_in(service, BOTH[1], GOOD + " twice")).page.url.path == "/me"


async def test_a_reset_by_either_address_is_the_survivors(service, caller, two):
    anna, firm = two
    await merge(service, caller, anna, firm, *BOTH)
    await set_password(service, BOTH[1], GOOD)
    assert (await account(caller, anna))["has_password"] is True
    assert (await account(caller, firm))["has_password"] is False
    assert anna in (await sign_in(service, BOTH[0], GOOD)).text


async def test_a_reset_works_where_only_the_merged_account_has_a_mailbox(service, caller):
    """The survivor was registered on the phone, without an address."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "17"})).json()["user_id"]
    anna = (await caller.post("/v1/accounts", {"email": BOTH[0], "external_ref": "18"})).json()["user_id"]
    await merge(service, caller, phone, anna, BOTH[0])
    await set_password(service, BOTH[0], GOOD)
    assert phone in (await sign_in(service, BOTH[0], GOOD)).text
    await service.deliver()
    assert service.letter(BOTH[0], "password")["subject"] != "Reset your password"


async def test_the_stricter_consent_wins_and_comes_back(service, caller, two):
    """Silence is stricter than a yes; undone, each has its own word again."""
    anna, firm = two
    await consent(service, caller, anna, BOTH[0])
    await merge(service, caller, anna, firm, *BOTH)
    assert (await account(caller, anna))["marketing"]["email"] == "never"
    await undo(caller, firm)
    assert (await account(caller, anna))["marketing"]["email"] == "allowed"
    assert (await account(caller, firm))["marketing"]["email"] == "never"
    await audited(service)


@pytest.mark.parametrize("said_to", ["the one that answers", "the one that was merged"])
async def test_a_no_to_both_stays_a_no_of_both(service, caller, two, said_to):
    """NOM-06, PRV-04: withdrawn while they were one, an older yes of either does not count afterwards."""
    anna, firm = two
    await consent(service, caller, anna, BOTH[0])
    await consent(service, caller, firm, BOTH[1])
    await merge(service, caller, anna, firm, *BOTH)
    assert (await account(caller, anna))["marketing"]["email"] == "allowed"
    whom = anna if said_to == "the one that answers" else firm
    refused = await call(caller, "PUT", f"/v1/accounts/{whom}/consents/email", {"granted": False})
    assert refused.status_code == 200, refused.text
    await undo(caller, firm)
    assert [(await account(caller, one))["marketing"]["email"] for one in two] == ["never", "never"]
    told = await service.rows("SELECT channel, decision FROM consent_entry ORDER BY id DESC LIMIT 1")
    assert told == [("merge", "withdrawn")]
    await audited(service)


async def test_a_no_that_was_taken_back_is_not_carried_over(service, caller, two):
    anna, firm = two
    await consent(service, caller, firm, BOTH[1])
    await merge(service, caller, anna, firm, *BOTH)
    await call(caller, "PUT", f"/v1/accounts/{anna}/consents/email", {"granted": False})
    await consent(service, caller, anna, BOTH[0])
    await undo(caller, firm)
    assert (await account(caller, firm))["marketing"]["email"] == "allowed"


async def test_an_undo_in_the_middle_of_a_chain_reaches_its_head(service, caller, two):
    """Silent into a yes into a yes: only the silent one made it no, so without it the head is allowed again."""
    anna, firm = two
    third = (await caller.post("/v1/accounts", {"email": "third@example.com"})).json()["user_id"]
    await consent(service, caller, anna, BOTH[0])
    await consent(service, caller, firm, BOTH[1])
    await merge(service, caller, firm, third, BOTH[1], "third@example.com")
    await merge(service, caller, anna, firm, *BOTH)
    assert (await account(caller, anna))["marketing"]["email"] == "never"
    await undo(caller, third)
    assert (await account(caller, anna))["marketing"]["email"] == "allowed"


async def test_undo_restores_both_row_by_row(service, caller, two):
    """IDN-07: but for the version, the moments before which nothing is valid, and what is only ever added to."""
    anna, firm = two
    await set_password(service, BOTH[1], GOOD)
    await consent(service, caller, anna, BOTH[0])
    await consent(service, caller, firm, BOTH[1], "phone")
    await call(caller, "PUT", f"/v1/accounts/{firm}/business", {"company_name": "Firm", "country": "FR"})
    await append(caller, firm, entry("f1", amount="12.50", currency="EUR"))
    before, accounts = await every_row(service), await two_rows(service)
    await merge(service, caller, anna, firm, *BOTH)
    assert await two_rows(service) != accounts
    assert (await undo(caller, firm)).status_code == 200
    after = await every_row(service)
    grows = {"account", "event", "sealed_event", "message", "attempt", "one_time_token", "merge_request", "relay_state"}
    assert {n for n in before if sorted(before[n]) != sorted(after[n])} <= grows | {"rate_limit_counter", "client"}
    assert await two_rows(service) == accounts


async def two_rows(service):
    """Accounts, all but the version and the moments before which sessions and one-time tokens are not valid."""
    kept = "to_jsonb(a) - '{version,tokens_valid_after,sessions_valid_after}'::text[]"
    return await service.rows(f"SELECT {kept} FROM account a ORDER BY user_id")


async def test_after_thirty_days_it_stays(service, caller, two):
    anna, firm = two
    await merge(service, caller, anna, firm, *BOTH)
    await days_later(service, caller, days=30, seconds=1)
    late = await undo(caller, firm)
    assert (late.status_code, late.json()["code"]) == (404, "nothing_to_undo")
    assert (await account(caller, firm))["moved_to"] == anna


async def test_on_the_thirtieth_day_it_can_be_undone(service, caller, two):
    _, firm = two
    await merge(service, caller, *two, *BOTH)
    await days_later(service, caller, days=30)
    assert (await undo(caller, firm)).json()["state"] == "active"


async def test_what_was_never_merged_cannot_be_undone(caller, two):
    for one in two:
        assert (await undo(caller, one)).json()["code"] == "nothing_to_undo"


async def refusal(caller, survivor, duplicate, query=""):
    answer = await caller.post(f"/v1/accounts/{survivor}/merge{query}", {"duplicate": duplicate})
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("query", ["", "/preview"])
async def test_what_cannot_become_one_is_refused(service, caller, two, query):
    """Itself, a merged one, a circle, a closed one, an erased one, one that never was: asked or previewed."""
    anna, firm = two
    other = (await caller.post("/v1/accounts", {"email": "other@example.com"})).json()["user_id"]
    assert await refusal(caller, anna, anna, query) == (409, "cannot_merge")
    await merge(service, caller, anna, firm, *BOTH)
    for one, another in ((firm, anna), (other, firm), (firm, other)):
        assert await refusal(caller, one, another, query) == (409, "account_moved")
    await caller.post(f"/v1/accounts/{other}/close")
    assert await refusal(caller, anna, other, query) == (409, "account_closed")
    assert await refusal(caller, other, anna, query) == (409, "account_closed")
    await caller.post(f"/v1/accounts/{other}/erase")
    assert await refusal(caller, anna, other, query) == (410, "account_erased")
    assert await refusal(caller, anna, "nonsense", query) == (422, "malformed_user_id")


async def test_what_was_closed_meanwhile_is_not_merged_by_the_second_yes(service, caller, two):
    anna, firm = two
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    await confirm(service, BOTH[0], ASKED)
    link = await link_to(service, BOTH[1], ASKED)
    await caller.post(f"/v1/accounts/{anna}/close")
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 409
    assert (await account(caller, firm))["state"] == "active"


async def test_two_requests_the_other_way_round_make_no_circle(service, caller, two):
    """IDN-07: both were allowed when they were asked; only the first that is agreed to can still be done."""
    anna, firm = two
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    first = [await link_to(service, one, ASKED) for one in BOTH]
    await caller.post(f"/v1/accounts/{firm}/merge", {"duplicate": anna})
    second = [await link_to(service, one, ASKED) for one in BOTH]
    service.clock.advance(seconds=1)
    pages = [(await press(service, link)).page.status_code for link in (*first, *second)]
    assert pages == [200, 200, 409, 409]
    assert (await account(caller, anna))["state"] == "active"


async def test_a_letter_to_join_two_makes_no_circle_either(service, caller):
    """IDN-07: asked on the public page to join the fresh ID to the old one, while a service merges the old into it."""
    old = (await caller.post("/v1/accounts", {"email": BOTH[0]})).json()["user_id"]
    browser = Browser(service.app, BASE)
    await browser.open("/")
    await browser.send("/", email=BOTH[0])
    fresh = (await service.rows("SELECT user_id FROM account WHERE user_id <> :old", old=row_id(old)))[0][0]
    letter = await link_to(service, BOTH[0], "")
    await service.database.in_transaction(
        lambda s: merges.request_merge(s, fresh, row_id(old), vouched=True, actor="staff:ada", now=service.clock())
    )
    await confirm(service, BOTH[0], ASKED)
    service.clock.advance(seconds=1)
    assert (await press(service, letter)).page.url.path == "/confirmed/address_known"
    assert (await account(caller, fresh))["state"] == "active"
    assert row_id((await account(caller, old))["moved_to"]) == fresh
    assert (await caller.get(f"/v1/accounts/{old}/summary")).status_code == 200


async def test_the_preview_tells_every_point_and_changes_nothing(service, caller, two):
    anna, _ = two
    firm = await a_business(caller, email="bau@example.com")
    await consent(service, caller, anna, BOTH[0])
    before = await every_row(service)
    told = await caller.post(f"/v1/accounts/{anna}/merge/preview", {"duplicate": firm})
    points = {
        point["what"]: (point["survivor"], point["duplicate"], point["outcome"]) for point in told.json()["points"]
    }
    assert told.status_code == 200
    assert points["kind"] == ("consumer", "business", "consumer")
    assert points["password"] == ("none", "none", "none")
    assert points["consent: email"] == ("allowed", "never", "never")
    assert (points["User ID"][:2]) == (anna, firm)
    after = await every_row(service)
    assert after == before
