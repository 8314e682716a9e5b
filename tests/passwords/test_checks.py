"""A password is checked: counted first, hashed in no transaction, and the same for everybody who has none."""

import unicodedata
from datetime import datetime

import argon2
import pytest

from tests.accounts.given import an_account, sql
from tests.resets.given import (
    ANNA,
    GOOD,
    OTHER,
    a_browser,
    a_password,
    a_reset,
    alike,
    choose,
    of_every_state,
    same,
    sign_in,
    told,
)
from tests.together.given import at_once


async def check(caller, password=GOOD, **who):
    answer = await caller.post("/v1/password-checks", {**(who or {"email": ANNA}), "password": password})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    del told["checked_at"]
    return told


async def test_a_service_is_told_match_no_match_or_wait(service, caller):
    """PWD-13: by address or User ID."""
    user_id = await a_password(service, caller)
    assert await check(caller) == {"result": "match", "user_id": user_id, "retry_after": None}
    assert (await check(caller, user_id=user_id.lower().replace("-", " ")))["result"] == "match"
    assert await check(caller, OTHER) == {"result": "no_match", "user_id": None, "retry_after": None}


async def test_the_answer_tells_when_it_was_checked(service, caller):
    """The service's clock and no other decides what `sessions_valid_after` ends."""
    await a_password(service, caller)
    answer = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD})
    assert datetime.fromisoformat(answer.json()["checked_at"]) == service.clock()


async def test_a_guesser_at_the_form_of_a_service_shuts_nobody_else_out(service, caller):
    """PWD-08: the address of whoever typed is counted where the service gives it; the others go on."""
    await a_password(service, caller)

    async def typed_from(network: str) -> int:
        body = {"email": ANNA, "password": GOOD, "network": network}
        return (await caller.post("/v1/password-checks", body)).status_code

    assert {await typed_from("2001:db8::1") for _ in range(60)} == {200}
    assert await typed_from("2001:db8::2") == 429
    assert await typed_from("198.51.100.99:443") == 200
    assert await typed_from("somewhere") == 422


async def test_everybody_without_a_fitting_password_costs_and_reads_the_same(service, caller, owner, asked):
    """PWD-13, ATT-20: unknown, closed, merged, without a password, wrong: answer, headers, statements, one argon2."""
    addresses = await of_every_state(service, caller, owner)
    found = {}
    for state, address in addresses.items():
        before = len(asked.verified)
        with told(service) as statements:
            answer = await caller.post("/v1/password-checks", {"email": address, "password": OTHER})
        headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
        found[state] = {
            "body": answer.text,
            "headers": headers,
            "statements": statements,
            "argon2": len(asked.verified) - before,
        }
    same(found, "body", "headers", "statements", "argon2")
    assert found["known"]["argon2"] == 1
    kinds = {str(argon2.extract_parameters(phc)) for phc, _ in asked.verified}
    assert len(kinds) == 1


async def test_the_sign_in_page_says_the_same_to_all(service, caller, owner, asked):
    """PWD-13, ATT-20, ATT-23: through the tries that are free and beyond, with the same Retry-After."""
    addresses = await of_every_state(service, caller, owner)
    found = {}
    for number, (state, address) in enumerate(addresses.items()):
        browser = a_browser(service, f"192.0.2.{number}")
        seen = {"bytes": [], "headers": [], "statements": []}
        for _ in range(12):
            await browser.open("/signin")
            with told(service) as statements:
                answer = await browser.send("/signin", email=address, password=OTHER)
            seen["bytes"].append(alike(answer.text).replace(address, "ADDRESS"))
            seen["headers"].append({name: value for name, value in answer.headers.items() if name != "x-request-id"})
            seen["statements"].append(statements)
        seen["status"] = answer.status_code
        found[state] = seen
    same(found, "status", "bytes", "headers", "statements")
    assert found["unknown"]["status"] == 429
    assert found["unknown"]["headers"][-1]["retry-after"] == "31"


async def test_ten_tries_are_free_and_then_even_the_right_one_waits(service, caller, asked):
    """PWD-06, ASVS 6.3.1: inside the delay nothing is evaluated; after it the right one signs in and clears."""
    await a_password(service, caller)
    for _ in range(10):
        assert (await check(caller, OTHER))["result"] == "no_match"
    before = len(asked.verified)
    assert await check(caller) == {"result": "wait", "user_id": None, "retry_after": 31}
    assert len(asked.verified) == before
    service.clock.advance(seconds=30)
    assert (await check(caller, OTHER))["result"] == "no_match"
    assert (await check(caller))["retry_after"] == 61
    service.clock.advance(seconds=60)
    assert (await check(caller))["result"] == "match"
    assert await service.rows("SELECT count(*) FROM password_attempt") == [(0,)]


async def test_after_a_hundred_failures_a_password_is_dead_until_a_reset(service, caller, owner):
    """PWD-06, LOG-02, ASVS 6.3.1 (63B 3.2.2): the right one does not help any more, a reset does."""
    await a_password(service, caller)
    await check(caller, OTHER)
    await sql(owner, "UPDATE password_attempt SET failures = 98, blocked_until = NULL")
    await check(caller, OTHER)
    assert await service.rows("SELECT locked_at FROM password") == [(None,)]
    service.clock.advance(hours=1)
    caller = await service.caller(name="another")
    await check(caller, OTHER)
    service.clock.advance(hours=1, seconds=1)
    caller = await service.caller(name="a third")
    assert (await check(caller))["result"] == "no_match"
    names = [name for (name,) in await service.rows("SELECT name FROM event WHERE name = 'password.locked'")]
    assert names == ["password.locked"]
    reset = await a_reset(service)
    await choose(reset.browser, reset.link, OTHER)
    assert (await check(caller, OTHER))["result"] == "match"


async def test_two_hundred_parallel_tries_ask_argon2_ten_times(service, caller, asked):
    """PWD-07, ATT-58, ASVS 6.3.1: counted and committed before the check."""
    await a_password(service, caller)
    asked.verified.clear()
    tries = [caller.post("/v1/password-checks", {"email": ANNA, "password": f"{OTHER} {n}"}) for n in range(200)]
    answers = await at_once(tries)
    assert {answer.status_code for answer in answers} == {200}
    assert len(asked.verified) <= 10
    results = [answer.json()["result"] for answer in answers]
    assert results.count("no_match") <= 10
    assert await service.rows("SELECT failures FROM password_attempt") == [(10,)]


async def test_page_and_service_and_spellings_share_one_counter(service, caller):
    """ATT-58, PWD-06: whichever door, however the address is written, by address or User ID."""
    user_id = await a_password(service, caller)
    browser = a_browser(service)
    for address in ("anna@example.org", "ANNA@example.org", " Anna@EXAMPLE.org "):
        await sign_in(browser, address, OTHER)
        await check(caller, OTHER, email=address.strip())
        await check(caller, OTHER, user_id=user_id)
    assert await service.rows("SELECT failures FROM password_attempt") == [(9,)]


async def test_success_clears_its_own_counter_and_never_the_networks(service, caller):
    """PWD-08: signing in to one's own account between tries changes neither the victim's nor the network's count."""
    await a_password(service, caller)
    await a_password(service, caller, "eve@example.org", OTHER)
    eve = a_browser(service, "192.0.2.66")
    network = "SELECT count FROM rate_limit_counter WHERE key LIKE '%signin-network%'"
    for number in range(3):
        await sign_in(eve, ANNA, "not the password at all")
        await sign_in(eve, "eve@example.org", OTHER)
        counts = {count for (count,) in await service.rows(network)}
        assert counts == {2 * (number + 1)}
    assert await service.rows("SELECT failures FROM password_attempt") == [(3,)]


@pytest.mark.parametrize(
    ("sources", "headers"),
    [
        (("192.0.2.1", "192.0.2.1"), {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.8"}),
        (("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"), {}),
    ],
)
async def test_a_network_is_what_the_peer_is_not_what_he_says(service, caller, sources, headers):
    """PWD-08, ATT-39, ASVS 4.1.3: a spoofed header is the same bucket, and so is a /64."""
    for source in sources:
        browser = a_browser(service, source)
        browser.http.headers.update(headers)
        await sign_in(browser, ANNA, OTHER)
    counts = await service.rows("SELECT count FROM rate_limit_counter WHERE key LIKE '%signin-network%'")
    assert {count for (count,) in counts} == {2}


async def test_a_hash_of_other_parameters_is_renewed_at_the_next_right_one(service, caller, owner):
    """PWD-09, ASVS 11.2.2: a wrong one renews nothing."""
    await a_password(service, caller)
    old = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1, hash_len=32).hash(GOOD)
    await sql(owner, "UPDATE password SET phc = :old", old=old)
    await check(caller, OTHER)
    assert await service.rows("SELECT phc FROM password") == [(old,)]
    assert (await check(caller))["result"] == "match"
    ((new,),) = await service.rows("SELECT phc FROM password")
    assert argon2.extract_parameters(new) != argon2.extract_parameters(old)
    assert (await check(caller))["result"] == "match"
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'password.rehashed'") == [(1,)]


@pytest.mark.parametrize("size", [70_000, 1_000_000, 10_000_000])
async def test_a_password_that_is_too_long_costs_no_argon2(service, caller, asked, size):
    """PWD-11, ATT-57: refused at the door, at each of them."""
    browser = a_browser(service)
    await browser.open("/signin")
    page = browser.page
    answers = [await caller.post("/v1/password-checks", {"email": ANNA, "password": "x" * size})]
    for action, fields in (
        ("/signin", {"email": ANNA}),
        ("/reset/choose", {"link": "v1.a.b"}),
        ("/reset/strength", {}),
    ):
        browser.page = page
        answers.append(await browser.send(action, **fields, password="x" * size))
    assert {answer.status_code for answer in answers} == {413}
    assert (asked.verified, asked.hashed) == ([], 0)


async def test_a_password_longer_than_any_is_one_that_does_not_fit(service, caller, asked):
    """PWD-02, PWD-11: counted and costing as every wrong one, and never cut to what would fit."""
    await a_password(service, caller)
    for password in (GOOD + "x" * 300, GOOD + " " * 250):
        assert (await check(caller, password))["result"] == "no_match"
    assert {password for _, password in asked.verified} == {""}
    assert (await caller.post("/v1/password-checks", {"email": ANNA, "password": "x" * 2001})).status_code == 422


@pytest.mark.parametrize("password", ["", " ", "null", "None", "\0" * 15, "0", "$argon2id$"])
async def test_no_password_is_none(service, caller, password):
    """PWD-14, ATT-04, ASVS 6.4.1: an account of an address alone is opened by nothing; a first password is a reset."""
    user_id = await an_account(caller, email=ANNA)
    assert await service.rows("SELECT count(*) FROM password") == [(0,)]
    assert (await check(caller, password))["result"] == "no_match"
    assert (await check(caller, password, user_id=user_id))["result"] == "no_match"
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["has_password"] is False


@pytest.mark.parametrize(
    "password",
    [
        "cafe\u0301 au lait for the herons",
        "  blanks at both of its ends  ",
        "🦊🐻🐼🦁🐯🐨🐮🐷🐸🐵🐔🐧🐦🐤🦆",
        "\u05e9\u05dc\u05d5\u05dd violet teapot argues",
        "tab\tand violet teapot gravity",
    ],
)
async def test_what_was_typed_signs_in(service, caller, password):
    """PWD-03, ASVS 6.2.8, 6.2.9: composed or not, blanks kept, emoji, right to left; after ten years too (PWD-05)."""
    await a_password(service, caller, password=password)
    browser = a_browser(service)
    assert (await sign_in(browser, password=unicodedata.normalize("NFC", password))).url.path == "/me"
    assert (await sign_in(browser, password=unicodedata.normalize("NFD", password))).url.path == "/me"
    for changed in (password.strip() if password != password.strip() else password + " ", password.upper() + "!"):
        assert (await sign_in(browser, password=changed)).status_code == 422
    service.clock.advance(days=3653)
    assert (await sign_in(browser, password=password)).url.path == "/me"


async def test_the_tables_know_no_hint_question_or_expiry(service):
    """PWD-05, ASVS 6.2.10, 6.4.2."""
    columns = await service.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'password' ORDER BY 1"
    )
    assert [name for (name,) in columns] == [
        "compromised_at", "imported_at", "locked_at", "mailbox_confirmed_at", "phc", "proven_by", "set_at", "user_id",
    ]  # fmt: skip


@pytest.mark.parametrize("page", ["/reset/choose", "/signin", "code"])
async def test_managers_paste_and_looking_are_allowed(service, caller, page):
    """PWD-16, ASVS 6.2.6, 6.2.7: nothing stands in the way of a password manager."""
    if page == "code":
        page = (await a_reset(service, ANNA)).watch + "/code" if await an_account(caller, email=ANNA) else page
    text = (await a_browser(service).open(page)).text
    wanted = "current-password" if page == "/signin" else "new-password"
    assert f'type="password" autocomplete="{wanted}"' in text
    assert 'autocomplete="off"' not in text
    assert "onpaste" not in text
    for script in ("password.js", "link.js"):
        assert "paste" not in (await a_browser(service).http.get(f"/static/{script}")).text
