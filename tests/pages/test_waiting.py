"""A change of address that waits is seen, and can be cancelled, by whoever is signed in."""

import pytest

from tests.life.given import link_to, press
from tests.proofs.test_what_ends import by_code

ANNA, NEW, TAKEN = "anna@example.com", "new@example.com", "ben@example.com"
ASKED = "Please confirm your new email address"


@pytest.fixture
async def anna(service, caller):
    for address in (ANNA, TAKEN):
        await caller.post("/v1/accounts", {"email": address})
        browser = await by_code(service, address)
        service.clock.advance(seconds=1)
    browser = await by_code(service, ANNA)
    await browser.open("/me/email")
    return browser


@pytest.mark.parametrize("address", [NEW, TAKEN])
async def test_it_is_shown_whole_whoever_has_the_address(anna, address):
    """ATT-24: nobody reads here which addresses have accounts."""
    page = await anna.send("/me/email", email=address)
    assert page.url.path == "/me/email"
    for path in ("/me/email", "/me"):
        page = await anna.open(path)
        assert f"Waiting for {address} to be confirmed since" in page.text
        assert 'action="/me/email/cancel"' in page.text


async def test_cancelled_neither_link_nor_page_knows_it(service, anna):
    await anna.send("/me/email", email=NEW)
    link = await link_to(service, NEW, ASKED)
    service.clock.advance(seconds=1)
    page = await anna.send("/me/email/cancel")
    assert (page.url.path, "Waiting for" in page.text) == ("/me", False)
    assert (await press(service, link)).page.status_code == 410
    assert "Waiting for" not in (await anna.open("/me")).text
    assert await service.rows("SELECT count(*) FROM account WHERE email = :new", new=NEW) == [(0,)]


async def test_the_own_address_is_no_change(anna):
    page = await anna.send("/me/email", email="Anna@Example.com")
    assert page.status_code == 422
    assert "That&#39;s already your address." in page.text
    assert f"Current email address: {ANNA}" in page.text
