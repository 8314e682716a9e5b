"""Nothing ends by accident or in silence: pages of their own, what it means, a last page, and a way back."""

import re

import pytest

from identity_service.portal import rules
from tests.browser import Browser
from tests.conftest import BASE
from tests.console import given as console
from tests.life.given import account, an_entry, append, call, link_to, press, renew, row_id, set_password, sign_in
from tests.proofs.test_what_ends import by_code, told
from tests.resets.given import a_browser, forget_limits

ANNA = "anna@example.com"
GOOD = "violet teapot argues with gravity"
CLOSED = "Your account is closed"


async def signed_in(service, caller) -> tuple[str, Browser]:
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await append(caller, anna, an_entry("ORDER-77"))
    await set_password(service, ANNA, GOOD)
    await forget_limits(service)
    service.clock.advance(minutes=1)
    return anna, await sign_in(service, ANNA, GOOD)


async def closed(service, caller) -> str:
    anna, browser = await signed_in(service, caller)
    await browser.open("/me/close")
    await browser.send("/me/close", user_id=anna)
    assert browser.page.url.path == "/account-closed"
    service.clock.advance(seconds=1)
    return anna


async def test_closing_and_erasing_are_pages_of_their_own_that_say_what_they_mean(service, caller):
    anna, browser = await signed_in(service, caller)
    await browser.open("/me/end")
    assert "<input" not in re.sub(r'<input type="hidden"[^>]*>', "", browser.page.text)
    for page, said, button in (
        ("/me/close", "What stays", "Close my account"),
        ("/me/erase", "You can't undo this, and neither can we.", "Erase everything for ever"),
    ):  # fmt: skip
        await browser.open(page)
        assert said in browser.text
        assert anna in browser.text
        assert browser.page.text.count('<button class="warning">') == 1
        assert f'<button class="warning">{button}' in browser.page.text
    assert "1 order" in browser.text


async def test_a_wrong_user_id_ends_nothing_and_the_page_stays(service, caller):
    anna, browser = await signed_in(service, caller)
    for page in ("/me/close", "/me/erase"):
        await browser.open(page)
        await browser.send(page, user_id="KQ7X-M1C4-3W08")
        assert browser.page.status_code == 422
        assert "Type your own User ID" in browser.text
        assert browser.page.url.path == page
    assert (await account(caller, anna))["state"] == "active"


async def test_a_receipt_that_no_cookie_holds_is_shown_at_once(service, caller, monkeypatch):
    monkeypatch.setattr(rules, "LONGEST_RECEIPT", 100)
    anna, browser = await signed_in(service, caller)
    await browser.open("/me/erase")
    await browser.send("/me/erase", user_id=anna)
    assert re.search(r"<pre>(eyJ[^<]+)</pre>", browser.page.text)
    assert "__Host-receipt" not in browser.http.cookies


async def test_erasing_ends_with_a_page_and_the_receipt(service, caller):
    anna, browser = await signed_in(service, caller)
    await browser.open("/me/erase")
    await browser.send("/me/erase", user_id=anna)
    assert browser.page.url.path == "/erased"
    assert f"everything personal in account {anna}" in browser.text
    await browser.send("/language", language="de", back="/erased")
    assert f"Konto {anna}" in browser.text
    assert (browser.page.url.path, browser.http.cookies["__Host-receipt"].count(".")) == ("/erased", 2)
    receipt = re.search(r"<pre>(eyJ[^<]+)</pre>", browser.page.text)[1]
    assert f'href="data:application/jwt,{receipt}"' in browser.page.text
    await browser.send("/language", language="en", back="/receipt")
    await browser.send("/receipt", receipt=receipt)
    assert "erased" in browser.text, browser.text
    browser.http.cookies.delete("__Host-receipt")
    assert "<pre>" not in (await browser.open("/erased")).text
    assert "We've removed everything personal." in browser.text
    await browser.open("/me")
    assert browser.page.url.path == "/signin"


async def test_the_link_in_the_last_message_opens_a_closed_account_again(service, caller):
    anna = await closed(service, caller)
    link = await link_to(service, ANNA, CLOSED)
    service.clock.advance(days=29)
    page = await press(service, link)
    assert page.page.url.path == "/confirmed/reopen"
    await renew(service, caller)
    assert (await account(caller, anna))["state"] == "active"
    await forget_limits(service)
    again = await sign_in(service, ANNA, GOOD)
    await again.open("/me/history")
    assert "ORDER-77" in again.text
    assert "Your account is open again" in await told(service, ANNA)


async def test_after_thirty_days_a_closed_account_stays_closed(service, caller):
    anna = await closed(service, caller)
    link = await link_to(service, ANNA, CLOSED)
    service.clock.advance(days=31)
    page = await press(service, link) if await opens(service, link) else None
    assert page is None
    await renew(service, caller)
    assert (await account(caller, anna))["state"] == "closed"


async def opens(service, link: tuple[str, str]) -> bool:
    browser = Browser(service.app, BASE)
    await browser.open(link[0])
    return f'<form method="post" action="{link[0]}"' in browser.page.text


async def registers(service) -> tuple[Browser, tuple[str, str], str]:
    """Somebody with the address of a closed account registers on the page and opens the email."""
    stranger = a_browser(service, "192.0.2.7")
    await stranger.open("/")
    await stranger.send("/", email=ANNA)
    fresh = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", stranger.text)[0]
    link = await link_to(service, ANNA, "Please confirm your email address")
    text = service.letter(ANNA, "Please confirm your email address")["text"]
    assert "with this address is closed" in " ".join(text.split())
    page = Browser(service.app, BASE)
    await page.open(link[0])
    return page, link, fresh


async def test_who_comes_back_chooses_the_old_account(service, caller):
    anna = await closed(service, caller)
    page, link, fresh = await registers(service)
    await page.send(link[0], link=link[1], code="")
    assert page.page.status_code == 422
    assert f"{fresh} will then be part of it" in page.text
    assert anna in page.text
    await page.send(link[0], link=link[1], code="", agreed="reopen")
    assert page.page.url.path == "/confirmed/reopened"
    assert "Your account is open again." in page.text
    assert (await account(caller, anna))["state"] == "active"
    assert (await account(caller, fresh))["moved_to"] == anna


async def test_who_comes_back_chooses_the_new_account(service, caller):
    anna = await closed(service, caller)
    page, link, fresh = await registers(service)
    await page.send(link[0], link=link[1], code="", agreed="new")
    assert page.page.url.path == "/confirmed/address"
    old, new = await account(caller, anna), await account(caller, fresh)
    assert (old["state"], old["email"], new["state"], new["email"]) == ("closed", None, "active", ANNA)
    service.clock.advance(minutes=1)
    assert (await by_code(service, ANNA)).page.url.path == "/me"


async def test_after_thirty_days_the_new_account_gets_the_address_without_a_question(service, caller):
    anna = await closed(service, caller)
    service.clock.advance(days=31)
    await renew(service, caller)
    page, link, fresh = await registers(service)
    await page.send(link[0], link=link[1], code="")
    assert page.page.url.path == "/confirmed/address"
    assert (await account(caller, fresh))["email"] == ANNA
    assert (await account(caller, anna))["state"] == "closed"


@pytest.mark.parametrize(("form", "subject"), [
    ("/reset", "Reset your password"), ("/signin/code", "Your sign-in code"),
])  # fmt: skip
async def test_who_asks_for_a_closed_account_is_offered_to_reopen_it(service, caller, form, subject):
    anna = await closed(service, caller)
    browser = a_browser(service, "192.0.2.7")
    await browser.open("/signin")
    await browser.send(form, email=ANNA)
    link = await link_to(service, ANNA, subject)
    assert f"Your account {anna} with this address is closed." in service.letter(ANNA, subject)["text"]
    await press(service, link)
    assert (await account(caller, anna))["state"] == "active"


@pytest.mark.parametrize(("role", "status"), [("clerk", 403), ("lead", 200)])
async def test_a_lead_reopens_at_the_console(service, caller, role, status):
    anna = await closed(service, caller)
    clerk = await console.a_clerk(service, role=role)
    number = await clerk.open_account(anna)
    assert "This account is closed" in clerk.text
    assert ("Reopen (within 30 days)" in clerk.text) is (role == "lead")
    await clerk.send(f"/console/accounts/{anna}/reopen", contact=number)
    assert clerk.page.status_code == status
    assert (await account(caller, anna))["state"] == ("active" if status == 200 else "closed")
    if status == 200:
        assert "Your account is open again" in " ".join(await told(service, ANNA))


async def test_the_events_say_that_it_was_reopened(service, caller):
    anna = await closed(service, caller)
    await press(service, await link_to(service, ANNA, CLOSED))
    rows = await service.rows("SELECT name, actor FROM event WHERE user_id = :one", one=row_id(anna))
    assert ("account.reopened", "customer") in [tuple(row) for row in rows]
    assert (await call(caller, "POST", f"/v1/accounts/{anna}/close")).status_code == 200
