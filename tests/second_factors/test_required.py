"""IDENTITY_SECOND_FACTOR_REQUIRED: who has no second factor sets one up before anything else."""

import re

import pytest

from tests.openid.given import a_request, a_shop, answer_of, send, travel
from tests.passkeys.given import use, with_a_password, without_address
from tests.resets.given import ANNA, GOOD, a_browser, forget_limits
from tests.second_factors.given import ME, STEP, begin, by_password, is_in, seed_on, shown, type_code
from tests.second_factors.test_sign_in import pages_of_customers

FIRST = "Please set up an authenticator app first."
OPEN = {"/me/support/state", ME, f"{ME}/set-up", f"{ME}/confirm", "/signout"}


@pytest.fixture
async def anna(service, caller):
    """Her User ID and the browser in which she has signed in by password, before the setting was turned on."""
    found = await with_a_password(service, caller)
    service.database.settings = service.database.settings.model_copy(update={"second_factor_required": "customers"})
    return found


async def test_who_has_none_is_led_to_set_one_up_and_then_back(service, anna):
    """ASVS 6.3.3, SFA-06: after the sign-in, in a session of before as well; afterwards the page that was wanted."""
    browser = await by_password(service)
    assert browser.page.url.path == ME
    assert FIRST in browser.text
    assert not await is_in(anna[1])
    wanted = await browser.open("/me/email")
    assert (wanted.url.path, FIRST in browser.text) == (ME, True)
    await browser.send(f"{ME}/set-up")
    assert (await browser.open("/me/email")).url.path == ME
    await browser.send(f"{ME}/set-up")
    seed = seed_on(browser)
    done = await browser.send(f"{ME}/confirm", code=shown(service, seed))
    assert done.url.path == "/me/email"
    assert await is_in(browser)
    service.clock.advance(minutes=1)
    again = await by_password(service)
    assert again.page.url.path == STEP
    assert await type_code(again, shown(service, seed)) == 200
    assert await is_in(again)


async def test_no_page_of_the_account_opens_before(service, anna):
    """ASVS 6.3.3: every page and form leads there, but those that set the app up and sign out."""
    browser = await by_password(service)
    token = re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]
    opened = set()
    for verb, path in pages_of_customers():
        if path == "/signout":
            continue
        form = {"data": {"form_token": token}} if verb == "POST" else {}
        answer = await browser.http.request(verb, path, **form, follow_redirects=False)
        if not answer.headers.get("location", "").startswith(ME):
            opened.add(path)
    assert opened <= OPEN, opened
    assert await service.rows("SELECT email FROM account") == [(ANNA,)]
    await browser.open(ME)
    assert (await browser.send("/signout")).url.path == "/signin"


async def test_an_app_cannot_be_removed_for_good(service, anna):
    """ASVS 6.3.3: whoever removes it sets another one up at the next sign-in."""
    browser = await by_password(service)
    seed = await begin(browser)
    await browser.send(f"{ME}/confirm", code=shown(service, seed))
    service.clock.advance(seconds=1)
    await browser.open(ME)
    await browser.send(f"{ME}/remove")
    service.clock.advance(seconds=1)
    other = await by_password(service, "192.0.2.4")
    assert (other.page.url.path, FIRST in other.text) == (ME, True)


async def test_a_passkey_with_a_pin_is_enough(service, anna):
    """ASVS 6.3.3, PKY-03: it is two factors; one without is not."""
    _, browser, device = await without_address(service)
    assert await is_in(browser)
    other = a_browser(service, "192.0.2.4")
    await use(other, device)
    assert await is_in(other)
    await forget_limits(service)
    await use(other, device, flags=1 | 8 | 16)
    assert not await is_in(other)


async def test_an_application_gets_no_code_before(service, anna):
    """ASVS 6.3.3, SFA-01, OID-24: the request waits while an app is set up, and goes on; without a page it is told."""
    shop, browser = await a_shop(service), a_browser(service, "192.0.2.5")
    request = a_request(shop)
    page = await travel(browser, request.path)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    assert (page.url.path, FIRST in browser.text) == (ME, True)
    silent = answer_of(await travel(browser, a_request(shop, prompt="none").path))
    assert silent["error"] == "interaction_required"
    assert await service.rows("SELECT * FROM oauth_grant") == []
    browser.page = page
    await send(browser, f"{ME}/set-up")
    assert "https://shop.example.org" in browser.page.headers["content-security-policy"]
    service.clock.advance(seconds=20)
    page = await send(browser, f"{ME}/confirm", code=shown(service, seed_on(browser)))
    tokens = (await shop.redeem(answer_of(page)["code"], request.verifier)).json()
    claims = shop.claims(tokens["id_token"])
    assert claims["acr"] == "urn:identity-service:acr:two-factor"
    assert claims["auth_time"] == int(service.clock().timestamp()) - 20
