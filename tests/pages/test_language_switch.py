"""Whoever changes the language stays where they are: a handle or token in the address, and what was typed, is kept."""

import re
from html import unescape

import pytest

from tests.browser import Browser
from tests.conftest import BASE


def form_of(browser: Browser) -> dict[str, str]:
    """Return the fields of the form that chooses the language; {} if there is none."""
    form = re.search(r'<form method="post" action="/language" class="languages".*?</form>', browser.page.text, re.S)
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]) if form else []
    return {name: unescape(value) for name, value in fields if name != "form_token"}


async def switch(browser: Browser, language: str) -> None:
    """Press a language on the page in front of us."""
    await browser.send("/language", language=language, **form_of(browser))


def address(browser: Browser) -> str:
    return str(browser.page.url).removeprefix(BASE)


async def mistyped(service) -> tuple[Browser, str]:
    """Return somebody before the form that corrects the address of the User ID they just got, and its address."""
    browser = Browser(service.app, BASE)
    await browser.open("/")
    await browser.send("/", email="ana@example.com")
    where = re.findall(r'href="(/\?typed=[\w-]+)"', browser.page.text)[0]
    await browser.open(where)
    return browser, where


async def test_the_page_that_corrects_an_address_keeps_its_handle(service):
    """Without it, the address would be a second User ID's."""
    browser, where = await mistyped(service)
    assert 'value="ana@example.com"' in browser.page.text
    await switch(browser, "fr")
    assert address(browser) == where
    assert '<html lang="fr" dir="ltr">' in browser.page.text
    assert 'value="ana@example.com"' in browser.page.text
    corrects = re.search(r'name="corrects" value="([^"]+)"', browser.page.text)[1]
    await browser.send("/", corrects=corrects, email="anna@example.com")
    assert len(await service.rows("SELECT user_id FROM account")) == 1


async def test_the_refused_correction_keeps_its_handle_and_what_was_typed(service):
    browser, where = await mistyped(service)
    corrects = where.partition("=")[2]
    await browser.send("/", corrects=corrects, email="anna@@example.com")
    assert browser.page.status_code == 422
    await switch(browser, "de")
    assert address(browser) == where
    assert f'name="corrects" value="{corrects}"' in browser.page.text
    assert 'value="anna@@example.com"' in browser.page.text


@pytest.mark.parametrize("path", [
    "/", "/reset", "/signin", "/receipt", "/signin?next=/me/export", "/signin?signed_out=yes",
    "/reset?typed=/confirmed/address",
    "/confirm/AAAAAAAAAAAAAAAAAAAAAA", "/reset/AAAAAAAAAAAAAAAAAAAAAA", "/reset/choose/AAAAAAAAAAAAAAAAAAAAAA",
    "/welcome/AAAAAAAAAAAAAAAAAAAAAA", "/nothing-here", "/confirmed/address",
])  # fmt: skip
async def test_a_page_leads_back_to_itself(service, path):
    """Also one that says that what its handle named has ended."""
    browser = Browser(service.app, BASE)
    await browser.open(path)
    before = browser.page.status_code
    await switch(browser, "de")
    assert address(browser) == path
    assert browser.page.status_code == before
    assert '<html lang="de" dir="ltr">' in browser.page.text


@pytest.mark.parametrize("query", ["next=//evil.example", "next=https://evil.example", "next=%2F%09%2Fevil", "a=b%20c"])
async def test_what_a_stranger_put_into_the_query_is_not_named_again(service, query):
    browser = Browser(service.app, BASE)
    await browser.open(f"/signin?{query}")
    assert form_of(browser)["back"] == "/signin"


async def test_a_refused_sign_in_on_the_way_to_an_application_goes_on_there(service):
    """The stored request is in the query of the form."""
    browser, wanted = Browser(service.app, BASE), "/oauth/authorize/" + "A" * 22
    for where, fields in (
        (f"/signin?next={wanted}", {"email": "anna@example.com", "password": "not this one, I fear"}),
        (f"/signin/code?next={wanted}", {"email": "anna@@example.com"}),
    ):
        await browser.open(f"/signin?next={wanted}")
        await browser.send(where, **fields)
        assert browser.page.status_code in (401, 422)
        await switch(browser, "de")
        assert address(browser) in (f"/signin?next={wanted}", "/signin")
        assert form_of(browser)["back"] == address(browser)


async def test_a_page_that_only_a_form_leads_to_leads_to_the_first(service):
    browser = Browser(service.app, BASE)
    await browser.open("/")
    await browser.send("/language", language="tlh", back="/reset")
    assert form_of(browser)["back"] == "/"


@pytest.mark.parametrize("back", [
    "//evil.example", "//evil.example?a", "/\\evil.example", "https://evil.example", "/a?b\r\nSet-Cookie: a=b",
    "/a?b#c", "/a?<script>", "?a", "", "/a?" + "x" * 4001,
])  # fmt: skip
async def test_a_forged_form_leads_nowhere_else(service, back):
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/language", language="fr", back=back)
    assert address(browser) == "/"
