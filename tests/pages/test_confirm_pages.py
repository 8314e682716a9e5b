"""Whoever confirms sees what: the page shows the thing itself, says it on the button, and tells when it is over."""

import re

import pytest

from tests.browser import Browser
from tests.conftest import BASE
from tests.consents.given import a_customer
from tests.contacts.given import a_tool
from tests.life.given import COMPANY, call, convert, link_to, press, two_accounts
from tests.proofs.test_what_ends import by_code
from tests.resets.given import a_browser, a_password, a_reset, choose

ANNA, FIRM, NEW = "anna@example.com", "firm@example.com", "anna.new@example.com"


async def opened(service, link: tuple[str, str]) -> Browser:
    browser = Browser(service.app, BASE)
    await browser.open(link[0])
    return browser


def forms(page: Browser) -> list[str]:
    """Where the page's forms lead; the one that chooses the language stands on every page."""
    return [path for path in re.findall(r'<form [^>]*action="([^"]*)"', page.page.text) if path != "/language"]


def button(page: Browser) -> str:
    return re.findall(r"<button>([^<]+)</button></form>", page.page.text)[-1]


async def test_an_address_shows_itself_and_the_user_id(service):
    stranger = a_browser(service)
    await stranger.open("/")
    await stranger.send("/", email=ANNA)
    page = await opened(service, await link_to(service, ANNA, ""))
    assert ANNA in page.text
    assert re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", page.text)
    assert button(page) == "Confirm this address"


async def test_a_change_of_address_shows_both(service, caller):
    await caller.post("/v1/accounts", {"email": ANNA})
    browser = await by_code(service, ANNA)
    await browser.open("/me/email")
    await browser.send("/me/email", email=NEW)
    page = await opened(service, await link_to(service, NEW, "Please confirm your new email address"))
    assert "a…@example.com" in page.text
    assert NEW in page.text
    assert ANNA not in page.text
    assert button(page) == "Use this address"
    service.clock.advance(seconds=1)
    await press(service, await link_to(service, NEW, "Please confirm your new email address"))
    page = await opened(service, await link_to(service, NEW, "Please confirm your new email address"))
    assert "This has already been done" in page.text
    assert NEW not in page.text, "a spent link names no address (ATT-59)"
    page = await opened(service, await link_to(service, ANNA, "Your email address was changed"))
    assert ANNA in page.text
    assert "a…@example.com" in page.text
    assert button(page) == "Undo the change"


async def test_a_merge_shows_both_user_ids_and_that_half_of_it_is_done(service, caller):
    anna, firm = await two_accounts(caller)
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    link = await link_to(service, ANNA, "Do you want to merge")
    page = await opened(service, link)
    assert anna in page.text
    assert firm in page.text
    assert button(page) == "Agree"
    service.clock.advance(seconds=1)
    page = await press(service, link)
    assert page.page.url.path == "/confirmed/merge_waits"
    assert "When the other mailbox has agreed too, both User IDs will lead to one account." in page.text
    link = await link_to(service, FIRM, "Do you want to merge")
    page = await opened(service, link)
    assert f"User ID that stays {anna} The other User ID {firm}" in page.text
    page = await press(service, link)
    assert page.page.url.path == "/confirmed/merge"
    assert "your two accounts are now one" in page.text


async def test_a_consent_shows_its_wording_in_full(service, caller):
    customer = await a_customer(caller, service)
    yes = {"granted": True, "wording": "email-2026-11", "channel": "app"}
    await call(caller, "PUT", f"/v1/accounts/{customer.user_id}/consents/email", yes)
    page = await opened(service, await link_to(service, customer.email, ""))
    wording = (await caller.get("/v1/wordings/email-2026-11")).json()["text"]
    assert wording in page.text
    assert "marketing by email" in page.text


@pytest.mark.parametrize(("verb", "body", "shown", "after"), [
    ("email-changes", {"email": NEW}, "emails about it will go to a…@example.com", "/confirmed/change_email"),
    ("business", COMPANY, f"it will become the business account of {COMPANY['company_name']}", "/confirmed/change"),
])  # fmt: skip
async def test_what_a_desk_prepared_is_shown(service, caller, verb, body, shown, after):
    anna, firm = await two_accounts(caller)
    tool = await a_tool(service)
    number = await tool.contact(anna)
    for one in (anna, firm):
        await tool.open_account(one, number)
    method = "PUT" if verb == "business" else "POST"
    asked = await tool.caller.http.request(
        method, f"/v1/accounts/{anna}/{verb}", json=body, headers={**tool.caller.headers, **tool.named(number)}
    )
    assert asked.status_code == 202, asked.text
    link = await link_to(service, ANNA, "Approve a change to your account")
    page = await opened(service, link)
    assert shown in page.text
    assert button(page) == "Approve this change"
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.url.path == after


async def test_a_used_link_says_that_it_is_done(service, caller):
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await convert(caller, anna)
    link = await link_to(service, ANNA, "You have a business account now")
    await press(service, link)
    service.clock.advance(minutes=5)
    page = await opened(service, link)
    assert page.text.count("This has already been done") == 2, "the title says it, too"
    assert forms(page) == []


async def test_a_link_that_has_ended_says_so_when_it_is_opened(service):
    stranger = a_browser(service)
    await stranger.open("/")
    await stranger.send("/", email=ANNA)
    link = await link_to(service, ANNA, "")
    service.clock.advance(days=3)
    page = await opened(service, link)
    assert "This link no longer works" in page.text
    assert forms(page) == []


async def test_a_reset_link_that_cannot_work_says_so_before_a_password_is_invented(service, caller):
    await a_password(service, caller, ANNA)
    service.clock.advance(minutes=1)
    reset = await a_reset(service, ANNA)
    path = re.search(r"https://id\.example\.com(/reset/choose/\S+?)#", reset.letter["text"])[1]
    page = Browser(service.app, BASE)
    await page.open(path)
    assert 'name="password"' in page.page.text
    await choose(reset.browser, reset.link)
    service.clock.advance(minutes=5)
    await page.open(path)
    assert 'name="password"' not in page.page.text
    assert 'href="/reset"' in page.page.text


async def test_a_handle_of_nobody_gets_the_general_page(service):
    page = Browser(service.app, BASE)
    answer = await page.open("/confirm/" + "a" * 22)
    assert answer.status_code == 200
    assert "Confirm what we asked you in the email." in page.text
