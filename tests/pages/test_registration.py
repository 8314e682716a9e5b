"""Get an ID: a fresh one at once for everybody; an address belongs to who reads its mailbox."""

import re

import pytest

from tests.accounts.given import an_account, sql
from tests.resets.given import (
    ANNA,
    GOOD,
    a_browser,
    a_password,
    a_reset,
    alike,
    choose,
    of_every_state,
    rows_of,
    same,
    sign_in,
    told,
)

ID = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")


async def register(browser, address):
    await browser.open("/")
    return await browser.send("/", email=address)


def without_ids(page: str) -> str:
    """The page without the fresh ID and its spelling."""
    page = re.sub(r'<dl class="spoken">.*?</dl>', "SPOKEN", alike(page), flags=re.S)
    return ID.sub("FRESH", page)


@pytest.mark.parametrize("times", [1, 4, 5])
async def test_the_page_is_the_same_whether_an_address_is_free_taken_or_closed(service, caller, owner, times):
    """ATT-24, ATT-23: page, headers, rows and statements, within the budget of the mailbox and beyond."""
    found = {}
    for number, (state, address) in enumerate((await of_every_state(service, caller, owner)).items()):
        browser = a_browser(service, f"192.0.2.{number}")
        before = await rows_of(service)
        with told(service) as statements:
            for _ in range(times):
                page = await register(browser, address)
        after = await rows_of(service)
        headers = {
            n: v
            for n, v in page.headers.items()
            if n not in ("x-request-id", "retry-after", "ratelimit", "content-length")
        }
        found[state] = {
            "bytes": without_ids(page.text).replace(address, "ADDRESS"),
            "headers": headers,
            "statements": statements,
            "added": {name: after[name] - before[name] for name in after if after[name] != before[name]},
            "status": page.status_code,
        }
    same(found, "status", "bytes", "headers", "statements", "added")
    assert found["unknown"]["status"] == (200 if times < 5 else 429)
    assert found["unknown"]["added"]["account"] == min(times, 4)


async def test_a_taken_address_is_told_in_its_mailbox_alone(service, caller):
    """ATT-24, decision 6: the letter names the ID that is there and offers to join."""
    there = await an_account(caller, email=ANNA)
    browser = a_browser(service)
    page = await register(browser, ANNA)
    fresh = ID.search(browser.text)[0]
    assert fresh != there
    assert there not in page.text
    await service.deliver()
    letter = service.letter(ANNA, "Please confirm your email address")
    assert there in letter["text"]
    path, link = re.search(r"https://id\.example\.com(/confirm/\S+?)#(\S+)", letter["text"]).groups()
    await browser.open(path)
    await browser.send(path, link=link, code="")
    assert fresh in browser.text
    assert (await caller.get(f"/v1/accounts/{fresh}")).json()["state"] == "active"
    await browser.send(path, link=link, code="", agreed="yes")
    moved = (await caller.get(f"/v1/accounts/{fresh}")).json()
    assert (moved["state"], moved["moved_to"]) == ("merged", there)


async def test_whoever_registers_a_strangers_address_has_neither_it_nor_a_password(service, caller):
    """ATT-26, ATT-04: nothing is attached before the mailbox is read, and the victim's first proof is his own."""
    attacker = a_browser(service, "192.0.2.66")
    await register(attacker, ANNA)
    planted = ID.search(attacker.text)[0]
    assert (await caller.get(f"/v1/accounts/{planted}")).json()["email"] is None
    victim = await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await choose(reset.browser, reset.link)
    service.clock.advance(seconds=1)
    browser = a_browser(service)
    await sign_in(browser)
    assert victim in browser.text
    assert planted not in browser.text
    assert (await attacker.open("/me")).url.path == "/signin"


async def test_a_service_cannot_assert_that_a_mailbox_was_read(service, caller):
    """ATT-30, ATT-26, REC-02: registered by a service it stays unconfirmed until its holder answers."""
    for extra in ({"email_verified": True}, {"verified": True}, {"email_state": "confirmed"}, {"password": GOOD}):
        assert (await caller.post("/v1/accounts", {"email": ANNA, **extra})).status_code == 422
    user_id = await an_account(caller, email=ANNA)
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["email_state"] == "unconfirmed"
    reset = await a_reset(service)
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["email_state"] == "unconfirmed"
    await choose(reset.browser, reset.link)
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["email_state"] == "confirmed"


async def test_the_first_proof_makes_what_came_before_worthless(service, caller):
    """ATT-26, ATT-27: a sign-in by mail of the attacker's asking, before the victim's reset, is dead after it."""
    await an_account(caller, email=ANNA)
    earlier = await a_reset(service, source="192.0.2.66")
    reset = await a_reset(service)
    await choose(reset.browser, reset.link)
    assert (await choose(earlier.browser, earlier.link)).status_code == 410
    service.clock.advance(seconds=1)
    assert (await choose(earlier.browser, earlier.link)).status_code == 410


async def test_a_recycled_address_opens_nothing_of_who_had_it(service, caller, owner):
    """ATT-31: freed by one customer and taken by another: the older link is his who asked, and dead with the change."""
    first = await a_password(service, caller)
    reset = await a_reset(service)
    await sql(
        owner,
        "UPDATE account SET email = NULL, email_key = NULL, email_ascii = NULL, email_state = 'none', "
        "tokens_valid_after = :now",
        now=service.clock(),
    )
    second = await an_account(caller, email=ANNA)
    assert second != first
    assert (await choose(reset.browser, reset.link)).status_code == 410
    assert (await caller.get(f"/v1/accounts/{second}")).json()["has_password"] is False
    assert (await sign_in(a_browser(service))).status_code == 422


async def test_an_id_without_an_address_is_there_at_once(service, caller):
    """IDN-01: no email is sent, and the page says that nobody can find it again."""
    browser = a_browser(service)
    await browser.open("/")
    page = await browser.send("/without-email")
    assert (page.status_code, "without it we can't find it again" in browser.text) == (200, True)
    account = (await caller.get(f"/v1/accounts/{ID.search(browser.text)[0]}")).json()
    assert (account["state"], account["email"]) == ("active", None)
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


async def corrected(service, browser, to: str):
    """Follow the link beside the address a second later, and send another one."""
    service.clock.advance(seconds=1)
    await browser.open(re.search(r'href="(/\?typed=[^"]+)">Typed it wrong', browser.page.text)[1])
    kept = re.search(r'name="corrects" value="([^"]+)"', browser.page.text)[1]
    assert "<h1>Change email address</h1>" in browser.page.text
    assert "No email address?" not in browser.text
    return await browser.send("/", email=to, corrects=kept)


async def confirm_by(service, address: str):
    """Follow the newest link that went to an address, and press its button."""
    letter = service.letter(address, "Please confirm your email address")
    path, link = re.search(r"https://id\.example\.com(/confirm/\S+?)#(\S+)", letter["text"]).groups()
    reader = a_browser(service, "192.0.2.50")
    await reader.open(path)
    return await reader.send(path, link=link, code="")


async def test_whoever_corrects_the_address_keeps_the_user_id(service, caller):
    """One ID, not one for each attempt; what went to the wrong mailbox opens nothing any more."""
    browser = a_browser(service)
    await register(browser, "amna@example.org")
    fresh = ID.search(browser.text)[0]
    await corrected(service, browser, "anma@example.org")
    await corrected(service, browser, ANNA)
    assert (ID.search(browser.text)[0], await service.rows("SELECT count(*) FROM account")) == (fresh, [(1,)])
    await service.deliver()
    assert (await confirm_by(service, "amna@example.org")).status_code == 410
    assert (await confirm_by(service, "anma@example.org")).status_code == 410
    assert (await confirm_by(service, ANNA)).status_code == 200
    assert (await caller.get(f"/v1/accounts/{fresh}")).json()["email"] == ANNA


@pytest.mark.parametrize("case", ["confirmed", "used", "an hour later", "another browser", "anew"])
async def test_nobody_is_given_a_user_id_that_is_not_theirs_alone(service, caller, case):
    """A new one is issued, and the first one keeps its link: once confirmed or in use, late, or by somebody else."""
    browser = a_browser(service)
    await register(browser, ANNA)
    fresh = ID.search(browser.text)[0]
    handle = browser.page.url.path.rpartition("/")[2]
    await service.deliver()
    if case == "confirmed":
        assert (await confirm_by(service, ANNA)).status_code == 200
    if case == "used":
        assert (await caller.patch(f"/v1/accounts/{fresh}", {"display_name": "Anna"})).status_code == 200
    if case == "an hour later":
        service.clock.advance(seconds=3601)
    if case == "another browser":
        browser = a_browser(service, "192.0.2.66")
    await browser.open("/")
    await browser.send("/", email="ben@example.org", **({} if case == "anew" else {"corrects": handle}))
    assert ID.search(browser.text)[0] != fresh
    if case != "confirmed":
        assert (await confirm_by(service, ANNA)).status_code == 200
    assert await service.rows("SELECT email FROM account WHERE user_id = :id", id=fresh.replace("-", "")) == [(ANNA,)]


async def test_the_forms_after_a_confirmation_have_the_address(service):
    """For the browser that confirmed it, from the page that says so and from the one with the User ID."""
    browser = a_browser(service)
    await register(browser, ANNA)
    welcome = browser.page.url.path
    await service.deliver()
    letter = service.letter(ANNA, "Please confirm your email address")
    path, link = re.search(r"https://id\.example\.com(/confirm/\S+?)#(\S+)", letter["text"]).groups()
    await browser.open(path)
    done = await browser.send(path, link=link, code="")
    found = re.findall(r'href="([^"]+typed=[^"]+)"', done.text)
    found += re.findall(r'href="(/reset\?typed=[^"]+)"', (await browser.open(welcome)).text)
    assert len(found) == 3
    for where in found:
        assert f'value="{ANNA}"' in (await browser.open(where)).text, where
        assert ANNA not in (await a_browser(service, "192.0.2.66").open(where)).text
