"""What somebody typed is not lost because a session, a cookie or the database ended before they pressed the button."""

import html
import re

import pytest
from sqlalchemy import text

from tests.browser import Browser
from tests.conftest import BASE
from tests.console import given
from tests.resets.given import ANNA, GOOD, a_browser, a_password, sign_in

NOTE = 'He says: "the parcel never came" & <was> angry.\nAsk the depot.'


def kept(browser: Browser) -> dict[str, str]:
    """The fields that the page shows filled in, without the hidden token."""
    found = re.findall(r'<textarea id="[^"]*" name="([^"]+)"[^>]*>(.*?)</textarea>', browser.page.text, re.S)
    found += re.findall(r'<input id="[^"]*" name="([^"]+)"[^>]* value="([^"]*)"', browser.page.text)
    return {name: html.unescape(value) for name, value in found}


async def test_a_note_outlives_the_session_of_a_clerk(service):
    """Case 9 (K04): the note is shown again; after signing in, in another tab, the same page sends it."""
    clerk = await given.a_clerk(service)
    opened = await clerk.do("/console/contacts", desk="consumer", user_id="", note="")
    contact = opened.url.path
    async with service.database.transaction() as session:
        await session.execute(text("DELETE FROM staff_session"))
    refused = await clerk.do(f"{contact}/notes", note=NOTE)
    assert (refused.status_code, kept(clerk)) == (401, {"note": NOTE})
    assert 'href="/console/signin" target="_blank"' in refused.text
    service.clock.advance(seconds=40)
    await given.sign_in(service, clerk)
    clerk.page = refused
    assert (await clerk.send(f"{contact}/notes", note=NOTE)).url.path == contact
    assert NOTE.replace("\n", " ") in clerk.text


async def test_a_customers_company_outlives_the_session(service, caller):
    await a_password(service, caller)
    one = a_browser(service)
    await sign_in(one)
    await one.open("/me/business")
    async with service.database.transaction() as session:
        await session.execute(text("DELETE FROM sign_in_session"))
    company = {"company_name": "Berg & Söhne", "country": "DE", "vat_number": "", "contact_person": "Anna"}
    refused = await one.send("/me/business", **company)
    assert (refused.status_code, kept(one)) == (401, company)
    page = one.page
    await sign_in(one)
    one.page = page
    assert (await one.send("/me/business", **company)).url.path == "/me"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/", {"email": ANNA}),
        ("/reset", {"email": ANNA}),
        ("/signin/code", {"email": ANNA}),
        ("/receipt", {"receipt": "a.b.c"}),
    ],
)
async def test_a_form_whose_cookie_ended_comes_back_filled_in(service, path, fields):
    one = a_browser(service)
    await one.open("/signin" if path == "/signin/code" else path)
    one.http.cookies.clear()
    refused = await one.send(path, **fields)
    assert refused.status_code == 403
    assert fields.items() <= kept(one).items()
    assert (await one.send(path, **fields)).status_code in (200, 422)


async def test_passwords_and_codes_do_not_come_back(service, caller):
    await a_password(service, caller)
    one = a_browser(service)
    await one.open("/signin")
    one.http.cookies.clear()
    refused = await one.send("/signin", email=ANNA, password=GOOD)
    assert (refused.status_code, kept(one)) == (403, {"email": ANNA})
    assert GOOD not in refused.text


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", None])
async def test_a_form_that_another_site_may_have_sent_does_not_come_back(service, site):
    """Otherwise a stranger's page could fill in a form of ours, and wait for one press."""
    one = a_browser(service)
    await one.open("/")
    one.http.cookies.clear()
    del one.http.headers["Sec-Fetch-Site"]
    if site is not None:
        one.http.headers["Sec-Fetch-Site"] = site
    refused = await one.send("/", email="stranger@example.com")
    assert refused.status_code == 403
    assert "stranger@example.com" not in refused.text


async def test_a_form_outlives_an_outage(service, monkeypatch):
    one = Browser(service.app, BASE)
    await one.open("/")

    async def away(*_, **__):
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(type(service.app.state.throttle), "hit", away)
        refused = await one.send("/", email=ANNA)
    assert (refused.status_code, kept(one)) == (503, {"email": ANNA})
    assert (await one.send("/", email=ANNA)).url.path.startswith("/welcome/")
