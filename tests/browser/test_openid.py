"""Customers of a shop sign in with us in a real Chromium: every way there, and every way out.

A visit fails by itself where the content security policy blocks something: Chromium holds the redirects behind a form
to `form-action`, so a sign-in could end on a dead page (OID-29).
"""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from tests.browser.conftest import GOOD
from tests.browser.shops import ShopSite
from tests.faults.conftest import certificate  # noqa: F401 (a fixture)
from tests.openid.given import Shop, a_customer
from tests.resets.given import ANNA, OTHER


@pytest.fixture
async def garden(certificate) -> AsyncIterator[ShopSite]:  # noqa: F811
    site = await ShopSite.open(certificate)
    yield site
    site.server.close()


@pytest.fixture
async def customer(service, caller) -> str:
    return await a_customer(service, caller)


@pytest.fixture
def come(visit, garden):
    """Somebody who trusts the shop's certificate."""

    async def come(**options):
        one = await visit(ignore_https_errors=True, **options)
        one.known.add(garden.host)
        return one

    return come


async def go(one, garden: ShopSite) -> None:
    await one.open(garden.address)
    await one.follow("Go")


async def type_password(one, password: str = GOOD) -> None:
    """Fill in the sign-in page in front of us."""
    await one.page.locator("#email").fill(ANNA)
    await one.type("Password", password)
    await one.page.locator("main").get_by_role("button", name="Sign in", exact=True).click()


async def expect_checkout(one, garden: ShopSite) -> dict[str, str]:
    await expect(one.page).to_have_title("Checkout")
    return garden.came[-1]


async def redeem(garden: ShopSite, shop: Shop, came: dict[str, str], verifier: str) -> dict:
    answer = await shop.redeem(came["code"], verifier, redirect_uri=f"{garden.address}/checkout")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_a_password_leads_to_the_checkout(come, service, site, garden, customer, phone):
    """OID-28, OID-29: also after a wrong one, and again without any page while signed in."""
    shop = await garden.register(service)
    request = garden.send_to(site, shop)
    anna = await come(phone=phone)
    anna.expected = {422}
    await go(anna, garden)
    assert "You're signing in to go on to Garden Tools." in await anna.text()
    assert await anna.barriers() == []
    assert await anna.overhang() <= 0
    await type_password(anna, OTHER)
    await expect(anna.page.get_by_role("alert")).to_be_visible()
    await type_password(anna)
    came = await expect_checkout(anna, garden)
    assert (came["state"], came["iss"]) == ("xyz", site)
    tokens = await redeem(garden, shop, came, request.verifier)
    assert shop.claims(tokens["id_token"])["sub"] == customer
    await go(anna, garden)
    assert (await expect_checkout(anna, garden))["code"] != came["code"]


async def test_a_mailed_code_leads_to_the_checkout(come, service, site, garden, customer, letters):
    """OID-28."""
    request = garden.send_to(site, shop := await garden.register(service))
    anna = await come()
    await go(anna, garden)
    await anna.page.locator("#email").fill(ANNA)
    await anna.press("Send me a code instead")
    assert "You're signing in to go on to Garden Tools." in await anna.text()
    await service.deliver()
    await anna.type("Code from the email", letters.code(ANNA, "Your sign-in code"))
    await anna.page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
    tokens = await redeem(garden, shop, await expect_checkout(anna, garden), request.verifier)
    assert shop.claims(tokens["id_token"])["amr"] == ["otp"]


async def test_a_forgotten_password_and_a_letter_opened_elsewhere_lead_to_the_checkout(
    come, visit, service, site, garden, customer, letters
):
    """OID-28: the letter is read on a telephone; who comes back to the first browser still ends in the checkout."""
    garden.send_to(site, await garden.register(service))
    anna, telephone = await come(), await visit(phone=True)
    await go(anna, garden)
    await anna.page.locator("main").get_by_role("link", name="I've forgotten my password").click()
    await anna.type("Email address", ANNA)
    await anna.press("Send the email")
    await service.deliver()
    await telephone.open(letters.link(ANNA, "Reset your password"))
    await telephone.type("New password", OTHER)
    await telephone.press("Save password")
    await telephone.follow("Sign in with the new password")
    await type_password(telephone, OTHER)
    await telephone.page.wait_for_url("**/me")
    await anna.page.get_by_role("navigation").get_by_role("link", name="Sign in", exact=True).click()
    await type_password(anna, OTHER)
    await expect_checkout(anna, garden)


async def test_a_shop_asks_for_a_new_sign_in_once(come, service, site, garden, customer, letters):
    """OID-22, OID-28: `prompt=login` shows the page to who is signed in; a password forgotten there leads back, too."""
    shop = await garden.register(service)
    anna = await come()
    await anna.open("/signin")
    await type_password(anna)
    await anna.page.wait_for_url("**/me")
    service.clock.advance(seconds=1)
    request = garden.send_to(site, shop, prompt="login")
    await go(anna, garden)
    await anna.page.locator("main").get_by_role("link", name="I've forgotten my password").click()
    await anna.type("Email address", ANNA)
    await anna.press("Send the email")
    await service.deliver()
    await anna.open("about:blank")
    await anna.open(letters.link(ANNA, "Reset your password"))
    await anna.type("New password", OTHER)
    await anna.press("Save password")
    await anna.follow("Sign in with the new password")
    assert "You're signing in to go on to Garden Tools." in await anna.text()
    await type_password(anna, OTHER)
    await redeem(garden, shop, await expect_checkout(anna, garden), request.verifier)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
async def test_a_form_brings_the_answer_to_the_checkout(come, service, site, garden, customer, scripts):
    """OID-05, OID-29: with a script by itself, without one by a button."""
    shop = await garden.register(service, response_mode="form_post")
    request = garden.send_to(site, shop, state='a"<b> é&c')
    anna = await come(scripts=scripts)
    await go(anna, garden)
    await type_password(anna)
    if not scripts:
        await anna.press("Continue to Garden Tools")
    came = await expect_checkout(anna, garden)
    assert came["state"] == 'a"<b> é&c'
    await redeem(garden, shop, came, request.verifier)


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_an_application_of_others_asks_on_a_page(come, service, site, garden, customer, phone):
    """OID-30, OID-31: a no is told, a yes is asked once, and ending access at `/me` ends both."""
    shop = await garden.register(service, first_party=False)
    request = garden.send_to(site, shop)
    anna = await come(phone=phone)
    await go(anna, garden)
    await type_password(anna)
    await anna.page.wait_for_url("**/oauth/authorize/*")
    assert f"Garden Tools ({garden.host}) asks for:" in await anna.text()
    assert await anna.barriers() == []
    assert await anna.overhang() <= 0
    await anna.press("Don't allow")
    assert (await expect_checkout(anna, garden))["error"] == "access_denied"
    await go(anna, garden)
    await anna.press("Allow and continue")
    tokens = await redeem(garden, shop, await expect_checkout(anna, garden), request.verifier)
    await go(anna, garden)
    await expect_checkout(anna, garden)
    await anna.open("/me")
    await anna.press("End access of Garden Tools")
    assert "Websites and apps" not in await anna.text()
    assert (await shop.userinfo(tokens["access_token"])).status_code == 401
    await go(anna, garden)
    await expect(anna.page.get_by_role("button", name="Allow and continue")).to_be_visible()


async def test_a_shop_signs_out_at_once_or_after_a_question(come, service, site, garden, customer):
    """OID-35, OID-36: the shop's own ID token needs no question; without one the page asks, and leads back."""
    shop = await garden.register(service)
    request = garden.send_to(site, shop)
    anna = await come()
    await go(anna, garden)
    await type_password(anna)
    tokens = await redeem(garden, shop, await expect_checkout(anna, garden), request.verifier)
    garden.sign_out_at(site, id_token_hint=tokens["id_token"], state="bye")
    await go(anna, garden)
    await anna.page.wait_for_url(f"{garden.address}/?state=bye")
    assert (await shop.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    await anna.open("/signin")
    await type_password(anna)
    await anna.page.wait_for_url("**/me")
    garden.sign_out_at(site, client_id=shop.client_id)
    await go(anna, garden)
    assert "Garden Tools asks to sign you out." in await anna.text()
    assert await anna.barriers() == []
    await anna.page.locator("main").get_by_role("button", name="Sign out").click()
    await expect(anna.page).to_have_title("Garden Tools")
    await anna.open("/me")
    assert anna.path == "/signin"
