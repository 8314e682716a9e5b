"""A desk tool with every scope changes nothing by itself: it asks, and the customer's mailbox does it (decision 12)."""

import pytest

from tests.life.given import (
    COMPANY,
    a_business,
    account,
    call,
    confirm,
    every_row,
    link_to,
    merge,
    press,
    two_accounts,
)

ANNA, FIRM = "anna@example.com", "firm@example.com"
CLERK = {"X-Clerk-ID": "clerk-7"}
PREPARED = "Approve a change to your account"
GUARDED = {
    "business": ("PUT", "/business", COMPANY),
    "consumer": ("DELETE", "/business", None),
    "close": ("POST", "/close", None),
    "erase": ("POST", "/erase", None),
    "email": ("POST", "/email-changes", {"email": "new@example.com"}),
}


@pytest.fixture
async def desk(service):
    return await service.caller(name="desk tool", desk=True, clerk="clerk-7")


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": ANNA, "display_name": "Anna"})).json()["user_id"]


async def ask(client, verb, user_id, **headers):
    method, path, body = GUARDED[verb]
    return await call(client, method, f"/v1/accounts/{user_id}{path}", body, **headers)


async def state_of(service):
    """Accounts, companies, references and history: what a guarded verb would change."""
    rows = await every_row(service)
    return {name: sorted(rows[name]) for name in ("account", "business_period", "external_reference", "history_entry")}


@pytest.mark.parametrize("verb", GUARDED)
async def test_a_desk_only_starts_and_nothing_changes(service, caller, desk, anna, verb):
    """PHN-10: every scope, and the header that names a person, prove nothing."""
    if verb == "consumer":
        anna = await a_business(caller, email="bau@example.com")
    before = await state_of(service)
    asked = await ask(desk, verb, anna, **CLERK)
    assert (asked.status_code, asked.json()["pending"]["verb"]) == (202, verb)
    assert asked.json()["pending"]["waits_for"] == "mailbox"
    await service.deliver()
    assert await state_of(service) == before


@pytest.mark.parametrize("verb", ["business", "close", "erase"])
async def test_a_service_acts_at_once(service, caller, anna, verb):
    """PHN-10: for a customer whom it has signed in, within its scopes."""
    answer = await ask(caller, verb, anna)
    assert answer.status_code == 200
    changed = await service.rows("SELECT kind, state FROM account")
    assert changed == [
        {"business": ("business", "active"), "close": ("consumer", "closed"), "erase": ("consumer", "erased")}[verb]
    ]


async def after(service, user_id):
    (row,) = await service.rows(
        "SELECT kind, state, email FROM account WHERE user_id = :id", id=user_id.replace("-", "")
    )
    return tuple(row)


@pytest.mark.parametrize(
    ("verb", "then"),
    [
        ("business", ("business", "active", ANNA)),
        ("consumer", ("consumer", "active", ANNA)),
        ("close", ("consumer", "closed", ANNA)),
        ("erase", ("consumer", "erased", None)),
        ("email", ("consumer", "active", ANNA)),
    ],
)
async def test_the_mailbox_does_it_once(service, caller, desk, anna, verb, then):
    """PHN-10: by the link; a second press finds it used."""
    if verb == "consumer":
        await ask(caller, "business", anna)
    await ask(desk, verb, anna, **CLERK)
    link = await link_to(service, ANNA, PREPARED)
    service.clock.advance(seconds=1)
    done = "/confirmed/change_email" if verb == "email" else "/confirmed/change"
    assert (await press(service, link)).page.url.path == done
    assert await after(service, anna) == then
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await after(service, anna) == then


async def test_another_address_needs_both_mailboxes(service, caller, desk, anna):
    """The old one agrees to what the desk has prepared, and the new one confirms that it is there."""
    await ask(desk, "email", anna)
    await confirm(service, ANNA, PREPARED)
    assert (await account(caller, anna))["email"] == ANNA
    await confirm(service, "new@example.com", "Please confirm your new email address")
    assert (await account(caller, anna))["email"] == "new@example.com"


@pytest.mark.parametrize("verb", GUARDED)
async def test_without_a_mailbox_a_desk_gets_nowhere(service, caller, desk, verb):
    """PHN-10: what nobody can confirm is refused; two people at the console would have to do it."""
    user_id = (await caller.post("/v1/accounts", {})).json()["user_id"]
    before = await state_of(service)
    refused = await ask(desk, verb, user_id, **CLERK)
    wanted = (403, "proof_refused") if verb == "email" else (409, "no_email")
    assert (refused.status_code, refused.json()["code"]) == wanted
    assert await state_of(service) == before


async def test_two_clerk_ids_are_no_two_people(service, desk, anna):
    """PHN-10: the same desk under two names has only asked twice."""
    for clerk in ("clerk-7", "clerk-8"):
        assert (await ask(desk, "business", anna, **{"X-Clerk-ID": clerk})).status_code == 202
    assert await service.rows("SELECT kind FROM account") == [("consumer",)]
    assert await service.rows("SELECT count(*) FROM pending_change WHERE approved_by IS NOT NULL") == [(0,)]


async def test_no_route_lets_a_client_approve(service):
    """PHN-10: approving is done in the console alone."""
    paths = [path for path in service.app.openapi()["paths"] if "approv" in path]
    assert all("post" not in service.app.openapi()["paths"][path] for path in paths)


async def test_a_desk_never_gets_an_export(desk, anna):
    """PHN-10: whatever a desk held in its hands would be read out to the next caller."""
    refused = await desk.get(f"/v1/accounts/{anna}/export")
    assert (refused.status_code, refused.json()["code"]) == (403, "proof_refused")


async def test_a_desk_may_preview(service, desk, anna):
    told = await call(desk, "POST", f"/v1/accounts/{anna}/business/preview", COMPANY)
    assert (told.status_code, told.json()["changes"][0]) == (200, "kind: consumer becomes business")
    assert await service.rows("SELECT count(*) FROM pending_change") == [(0,)]


async def test_a_desk_is_told_at_once_what_can_never_be(service, caller, desk, anna):
    """A wrong number, a stale version, a merged or closed account: no letter goes out for it."""
    wrong = await call(desk, "PUT", f"/v1/accounts/{anna}/business", {**COMPANY, "vat_number": "DE136695975"})
    assert wrong.json()["code"] == "wrong_vat_number"
    stale = await ask(desk, "business", anna, **{"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    firm = (await caller.post("/v1/accounts", {"email": FIRM})).json()["user_id"]
    await merge(service, caller, anna, firm, ANNA, FIRM)
    for verb in ("business", "close", "erase"):
        assert (await ask(desk, verb, firm)).json()["code"] == "account_moved"
    await caller.post(f"/v1/accounts/{anna}/close")
    assert (await ask(desk, "business", anna)).json()["code"] == "account_closed"
    assert await service.rows("SELECT count(*) FROM pending_change") == [(0,)]


async def test_a_desk_merges_only_by_the_mailboxes(service, caller, desk):
    """PHN-10: a desk only starts it; of two accounts without any mailbox it cannot even do that."""
    anna, firm = await two_accounts(caller)
    await desk.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    for mailbox in (ANNA, FIRM):
        assert (await account(caller, firm))["state"] == "active"
        await confirm(service, mailbox, "Do you want to merge your two accounts?")
    assert (await account(caller, firm))["state"] == "merged"
    one, two = [(await caller.post("/v1/accounts", {"external_ref": ref})).json()["user_id"] for ref in ("one", "two")]
    refused = await desk.post(f"/v1/accounts/{one}/merge", {"duplicate": two})
    assert (refused.status_code, refused.json()["code"]) == (403, "mailbox_missing")
    assert (await account(caller, two))["state"] == "active"
    assert (await caller.post(f"/v1/accounts/{one}/merge", {"duplicate": two})).json()["pending"] is None
    assert (await account(caller, two))["moved_to"] == one


async def test_a_desk_undoes_a_merge_only_by_the_mailbox(service, caller, desk):
    """PHN-10: undoing is a change like another; the account that answers for both is asked."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    asked = await desk.post(f"/v1/accounts/{firm}/merge/undo")
    assert (asked.status_code, asked.json()["account"]["user_id"]) == (202, anna)
    assert (await account(caller, firm))["state"] == "merged"
    await service.deliver()
    assert f"the merge with your account {firm} will be undone" in service.letter(ANNA, PREPARED)["text"]
    await confirm(service, ANNA, PREPARED)
    assert (await account(caller, firm))["state"] == "active"
    assert (await desk.post(f"/v1/accounts/{firm}/merge/undo")).json()["code"] == "nothing_to_undo"


async def test_what_has_become_impossible_is_refused_when_confirmed(service, caller, desk, anna):
    """ATT-19: closed meanwhile, so everything proven is dead."""
    await ask(desk, "business", anna)
    link = await link_to(service, ANNA, PREPARED)
    service.clock.advance(seconds=1)
    await ask(caller, "close", anna)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT kind FROM account") == [("consumer",)]


async def test_a_day_later_the_letter_does_nothing(service, desk, anna):
    await ask(desk, "erase", anna)
    link = await link_to(service, ANNA, PREPARED)
    service.clock.advance(hours=24, seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT state FROM account") == [("active",)]


async def test_a_change_that_a_desk_repeats_under_one_key_asks_once(service, desk, anna):
    """PUT and DELETE honour the key as POST does; without it the first request of the customer would end."""
    headers = {"Idempotency-Key": "k1"}
    answers = [await call(desk, "PUT", f"/v1/accounts/{anna}/business", COMPANY, **headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["pending"]["id"] for answer in answers}) == 1
    assert await service.rows("SELECT count(*) FROM pending_change") == [(1,)]
    assert [(await call(desk, "DELETE", f"/v1/accounts/{anna}/business", **headers)).status_code for _ in range(2)] == [
        202
    ] * 2
    assert await service.rows("SELECT count(*) FROM pending_change") == [(2,)]
