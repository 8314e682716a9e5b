"""An authenticator app in a real Chromium, with and without scripts, at a desk and on a phone."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import Error, expect

from tests.browser.conftest import GOOD
from tests.browser.visitor import Visitor
from tests.openid.given import a_customer
from tests.resets.given import ANNA
from tests.second_factors.given import shown, with_an_app, wrong

CODE = "Code from your authenticator app"


async def first_step(one: Visitor) -> None:
    await one.open("/signin")
    await one.page.locator("#email").fill(ANNA)
    await one.type("Password", GOOD)
    await one.page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
    await one.page.wait_for_load_state()


async def check(one: Visitor) -> None:
    """No barrier, and nothing beside the screen; axe-core is a script itself."""
    if one.has_scripts:
        assert (await one.barriers(), await one.overhang()) == ([], 0)


async def seed_shown(one: Visitor) -> str:
    """Read the key as a person types it over, beside a QR code that is there."""
    picture = one.page.get_by_alt_text("QR code of the key")
    await expect(picture).to_be_visible()
    return (await one.page.locator("main .reference").inner_text()).replace(" ", "")


@pytest.mark.parametrize(("scripts", "phone"), [(True, False), (False, True)], ids=["scripts", "phone without scripts"])
async def test_a_customer_sets_up_uses_and_removes_an_app(visit: Callable, service, caller, scripts, phone):
    """SFA-01, 05, 06: with the keyboard, no barrier on the way, told by email each time; Back shows no key."""
    await a_customer(service, caller)
    anna = await visit(scripts=scripts, phone=phone)
    anna.expected, anna.has_scripts = {422}, scripts
    await first_step(anna)
    await anna.follow("Set up an app")
    await check(anna)
    await anna.press("Set up an app")
    seed = await seed_shown(anna)
    await check(anna)
    await anna.type(CODE, wrong(service, seed))
    await anna.page.keyboard.press("Enter")
    await expect(anna.page.get_by_role("alert")).to_contain_text("This code isn't right.")
    await check(anna)
    await anna.type(CODE, shown(service, seed))
    await anna.page.keyboard.press("Enter")
    await expect(anna.page.locator("#saved")).to_contain_text("Your app is set up.")
    await check(anna)
    await service.deliver()
    assert "/reset" in service.letter(ANNA, "An authenticator app was added to your account")["text"]
    # The page that showed the key was the answer to a form, and is stored nowhere.
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        await anna.page.go_back()
    await anna.page.wait_for_url("chrome-error://**")
    await anna.open("/me")
    await anna.press("Sign out")
    service.clock.advance(minutes=1)
    await first_step(anna)
    assert anna.path == "/signin/second-factor"
    await check(anna)
    await anna.type(CODE, wrong(service, seed))
    await anna.page.keyboard.press("Enter")
    await expect(anna.page.get_by_role("alert")).to_contain_text("This code isn't right.")
    await check(anna)
    await anna.type(CODE, shown(service, seed))
    await anna.page.keyboard.press("Enter")
    await anna.page.wait_for_url("**/me")
    assert "password + authenticator app" in await anna.text()
    await anna.follow("Change the authenticator app")
    await check(anna)
    await anna.press("Remove the app")
    await expect(anna.page.locator("#saved")).to_contain_text("The app is removed.")
    await service.deliver()
    assert service.letter(ANNA, "The authenticator app was removed from your account")


async def test_who_must_have_an_app_is_led_to_it(visit: Callable, service, caller):
    """ASVS 6.3.3: from the sign-in to the setting up, and then to the account."""
    await a_customer(service, caller)
    usual = service.database.settings
    service.database.settings = usual.model_copy(update={"second_factor_required": "customers"})
    anna = await visit()
    await first_step(anna)
    assert anna.path == "/me/second-factor"
    assert "Please set up an authenticator app first." in await anna.text()
    assert await anna.barriers() == []
    await anna.press("Set up an app")
    await anna.type(CODE, shown(service, await seed_shown(anna)))
    await anna.press("Use this app")
    await expect(anna.page.locator("#saved")).to_contain_text("Your app is set up.")
    await anna.follow("My account")
    assert anna.path == "/me"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "without scripts"])
async def test_who_has_lost_the_app_asks_and_a_mailbox_stops_it(visit: Callable, service, caller, scripts):
    """SFA-08: the pages on the way; the link of the email keeps the app."""
    await with_an_app(service, caller)
    anna = await visit(scripts=scripts)
    anna.has_scripts = scripts
    await first_step(anna)
    await anna.follow("I can't use my app any more")
    await check(anna)
    await anna.press("Remove the app in 72 hours")
    await expect(anna.page.get_by_role("status")).to_contain_text("We'll remove the app on")
    await check(anna)
    await service.deliver()
    letter = service.letter(ANNA, "Your authenticator app will be removed.")["text"]
    link = re.search(r"http\S+/confirm/\S+", letter)[0]
    reader = await visit()
    await reader.open(link)
    await reader.press("Keep the app")
    assert "The authenticator app stays." in await reader.text()
    assert await service.rows("SELECT removal_asked_at FROM second_factor") == [(None,)]
