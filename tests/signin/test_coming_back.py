"""Whoever has to sign in reads why, and comes back to the page that was wanted."""

import re

import pytest
from fastapi.routing import iter_route_contexts

from identity_service.sign_in import rules
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_password, a_reset, choose, sign_in
from tests.signin.test_by_mail import CODE

AGAIN = "To do this, you need to have signed in within the last ten minutes."


@pytest.fixture
async def anna(service, caller):
    await a_password(service, caller)
    browser = a_browser(service)
    await sign_in(browser)
    return browser


async def test_every_page_of_the_account_is_one_to_come_back_to(service):
    pages = {route.path for route in iter_route_contexts(service.app.routes) if "GET" in (route.methods or ())}
    assert {path for path in pages if re.fullmatch("/me/[a-z-]+", path)} == rules.RETURNS


@pytest.mark.parametrize("path", ["/me/email", "/me/close", "/me/erase", "/me/everything"])
async def test_an_old_sign_in_leads_to_a_new_one_and_back(service, anna, path):
    service.clock.advance(minutes=11)
    page = await anna.open(path)
    assert (page.url.path, AGAIN in page.text) == ("/signin", True)
    await anna.send("/language", language="de", back="/signin")
    assert "zehn Minuten" in anna.text
    assert (await anna.send("/signin", email=ANNA, password="not mine at all")).status_code == 422
    assert (await anna.send("/signin", email=ANNA, password=GOOD)).url.path == path
    assert "__Host-return" not in anna.http.cookies
    assert (await anna.open("/signin")).url.path == "/me"


async def test_a_form_of_an_old_sign_in_leads_there_too(service, anna):
    await anna.open("/me")
    service.clock.advance(minutes=11)
    page = await anna.send("/me/export")
    assert (page.url.path, page.history[0].status_code, AGAIN in page.text) == ("/signin", 303, True)
    assert (await anna.send("/signin", email=ANNA, password=GOOD)).url.path == "/me"
    assert (await anna.send("/me/export")).headers["content-type"] == "application/json"


async def test_who_is_signed_out_comes_back_by_the_mailed_code(service, caller):
    await a_password(service, caller)
    browser = a_browser(service)
    page = await browser.open("/me/history")
    assert (page.url.path, "Please sign in first." in page.text) == ("/signin", True)
    await browser.send("/signin/code", email=ANNA)
    await service.deliver()
    code = CODE.search(service.letter(ANNA, "Your sign-in code")["text"])[0]
    page = await browser.send(browser.page.url.path, code=code)
    assert page.url.path == "/me/history"


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/me/nothing", "/console", "/me/../x"])
async def test_nothing_else_is_come_back_to(service, caller, elsewhere):
    await a_password(service, caller)
    browser = a_browser(service)
    await browser.http.get("/signin", params={"next": elsewhere})
    assert (await sign_in(browser)).url.path == "/me"


async def test_the_page_says_why_somebody_is_signed_out(service, anna):
    service.clock.advance(seconds=1)
    reset = await a_reset(service, source="203.0.113.1")
    await choose(reset.browser, reset.link, OTHER)
    assert "because your password or email address has changed" in (await anna.open("/me")).text
    await anna.send("/signin", email=ANNA, password=OTHER)
    service.clock.advance(hours=3)
    assert "because you hadn&#39;t done anything for a while" in (await anna.open("/me")).text
    await anna.send("/signin", email=ANNA, password=OTHER)
    page = await anna.send("/signout")
    assert "You&#39;ve signed out." in page.text


async def test_a_sent_form_without_a_session_has_a_link(service, anna):
    await anna.open("/me")
    service.clock.advance(hours=3)
    page = await anna.send("/me/sessions/end")
    assert (page.status_code, '<a class="button" href="/signin">' in page.text) == (401, True)


async def test_a_wrong_password_offers_both_ways_out(service, caller):
    await a_password(service, caller)
    browser = a_browser(service)
    page = await sign_in(browser, password="not mine at all")
    assert '<a class="button second" href="/reset">Set a new password</a>' in page.text
    assert (await browser.send("/signin/code", email=ANNA)).url.path.startswith("/signin/")
    assert f'<input type="hidden" name="email" value="{ANNA}">' in page.text
