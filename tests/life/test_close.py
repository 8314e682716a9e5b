"""PRV-12: closed is restricted: kept, answered with a plain sentence, and nothing is freed."""

import pytest

from tests.life.given import account, append, call, press, references, set_password, sign_in
from tests.life.given import an_entry as entry

ANNA = "anna@example.com"
GOOD = "violet teapot argues with gravity"


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "17"})).json()["user_id"]


async def close(caller, user_id):
    return await caller.post(f"/v1/accounts/{user_id}/close")


async def test_nobody_signs_in_and_every_session_is_over(service, caller, anna):
    """ATT-19: after close."""
    await set_password(service, ANNA, GOOD)
    browser = await sign_in(service, ANNA, GOOD)
    service.clock.advance(seconds=1)
    assert (await close(caller, anna)).json()["account"]["state"] == "closed"
    await browser.open("/me")
    assert browser.page.url.path == "/signin"
    assert (await sign_in(service, ANNA, GOOD)).page.url.path != "/me"
    checked = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD})
    assert checked.json()["result"] == "no_match"
    assert (await caller.post("/v1/resets", {"user_id": anna})).json()["code"] == "account_closed"


async def test_history_stays_and_goes_on(caller, anna):
    """Stored only: a refund may still come in for what was closed."""
    await append(caller, anna, entry("a1"))
    await close(caller, anna)
    assert (await append(caller, anna, entry("a2", kind="refund", amount="1.00", currency="EUR"))).status_code == 201
    assert set(await references(caller, anna)) == {"a1", "a2"}


async def test_nothing_is_freed(caller, anna):
    """ATT-31: the address and the reference still lead to the closed account."""
    await close(caller, anna)
    again = await caller.post("/v1/accounts", {"email": ANNA})
    assert (again.status_code, again.json()["code"], again.json()["user_id"]) == (409, "account_closed", anna)
    other = (await caller.post("/v1/accounts", {})).json()["user_id"]
    refused = await caller.post(f"/v1/accounts/{other}/email-changes", {"email": ANNA})
    assert refused.json()["code"] == "email_taken"


async def test_no_marketing_any_more(service, caller, anna):
    await close(caller, anna)
    asked = await caller.post("/v1/marketing/permissions", {"purpose": "email", "user_ids": [anna]})
    assert asked.json()["allowed"] == []


async def test_closed_twice_is_told_once(service, caller, anna):
    assert [(await close(caller, anna)).status_code for _ in range(2)] == [200, 200]
    await service.deliver()
    subjects = [letter["subject"] for letter in service.mailbox.letters(ANNA)]
    assert subjects.count("Your account is closed") == 1
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'account.closed'") == [(1,)]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/business", {"company_name": "Firm", "country": "DE"}),
        ("DELETE", "/business", None),
        ("POST", "/email-changes", {"email": "new@example.com"}),
    ],
)
async def test_a_change_is_refused_with_a_plain_sentence(caller, anna, method, path, body):
    await close(caller, anna)
    refused = await call(caller, method, f"/v1/accounts/{anna}{path}", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "account_closed")
    assert refused.json()["detail"].startswith("This account is closed and can't be changed.")
    assert (await account(caller, anna))["kind"] == "consumer"


async def test_what_was_closed_can_be_erased(caller, anna):
    await close(caller, anna)
    assert (await caller.post(f"/v1/accounts/{anna}/erase")).status_code == 200


async def test_a_link_that_was_never_ours_says_so(service):
    assert (await press(service, ("/confirm/nonsense", "v1.nonsense.secret"))).page.status_code == 410
