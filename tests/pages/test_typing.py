"""A typing error is asked about before it costs a day: on every page that takes an address to write to."""

import re

import pytest

from tests.proofs.test_what_ends import by_code
from tests.resets.given import a_browser

TYPED, MEANT = "anna@gmial.com", "anna@gmail.com"
PAGES = [("/", "/"), ("/reset", "/reset"), ("/signin", "/signin/code"), ("/me/email", "/me/email")]


async def opened(service, caller, page: str):
    if page != "/me/email":
        browser = a_browser(service)
    else:
        await caller.post("/v1/accounts", {"email": "anna@example.com"})
        browser = await by_code(service, "anna@example.com")
    await browser.open(page)
    return browser


async def recipients(service) -> list[str]:
    rows = await service.rows("SELECT recipient FROM message WHERE recipient LIKE '%@gm%' ORDER BY created_at")
    return [row[0] for row in rows]


@pytest.mark.parametrize(("page", "form"), PAGES)
async def test_a_likely_typing_error_is_asked_about_and_nothing_is_sent(service, caller, page, form):
    browser = await opened(service, caller, page)
    await browser.send(form, email=TYPED)
    assert browser.page.status_code == 422
    assert f"Did you mean {MEANT}?" in browser.text
    assert f'value="{TYPED}"' in browser.page.text
    assert f'<button name="meant" value="{MEANT}">' in browser.page.text
    assert await recipients(service) == []


@pytest.mark.parametrize(("page", "form"), PAGES)
@pytest.mark.parametrize(("pressed", "to"), [({"meant": MEANT}, MEANT), ({"as_typed": "yes"}, TYPED)])
async def test_either_answer_goes_on(service, caller, page, form, pressed, to):
    browser = await opened(service, caller, page)
    await browser.send(form, email=TYPED)
    await browser.send(form, email=TYPED, asked=TYPED, **pressed)
    assert browser.page.status_code == 200, browser.text
    assert await recipients(service) == [to]


@pytest.mark.parametrize(("page", "form"), PAGES)
@pytest.mark.parametrize("pressed", [{"meant": MEANT}, {"as_typed": "yes"}])
async def test_an_answer_about_one_address_says_nothing_of_another(service, caller, page, form, pressed):
    browser = await opened(service, caller, page)
    await browser.send(form, email=TYPED)
    typed = browser.page.text.split(f'action="{form}"')[1]
    assert re.search(r"<button[^>]*>", typed)[0] == '<button class="default" tabindex="-1" aria-hidden="true">'
    await browser.send(form, email="berta@gmx.net", asked=TYPED, **pressed)
    assert browser.page.status_code == 200, browser.text
    assert await recipients(service) == ["berta@gmx.net"]


@pytest.mark.parametrize("address", [MEANT, "anna@example.org", "anna@ymail.com"])
async def test_an_ordinary_address_is_asked_nothing(service, address):
    browser = a_browser(service)
    await browser.open("/reset")
    await browser.send("/reset", email=address)
    assert browser.page.status_code == 200
