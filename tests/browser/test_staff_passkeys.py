"""Passkeys of staff in a real Chromium with its virtual authenticator: by keyboard alone, and a lead who needs one."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from tests.browser.test_passkeys import Authenticator, somebody  # noqa: F401 (a fixture)
from tests.browser.visitor import Visitor
from tests.console.given import PASSWORD, enrol, now_code


async def sign_in(one: Visitor, service, clerk) -> None:
    await one.open("/console/signin")
    await one.type("Name", clerk.name)
    await one.type("Password", PASSWORD)
    await one.type("One-time code, or a recovery code", now_code(service, clerk.seed))
    await one.page.get_by_role("button", name="Sign in", exact=True).click()
    await one.page.wait_for_url(re.compile(r"/console(/passkeys)?$"))


async def test_a_clerk_adds_uses_and_removes_a_passkey_by_keyboard(somebody: Callable, service):  # noqa: F811
    """PKY-03, SFA-11: from the link in the navigation on, no mouse; axe finds no barrier on any of the pages."""
    clerk = await enrol(service, "ada")
    ada, device = await somebody()
    await sign_in(ada, service, clerk)
    await ada.page.get_by_role("link", name="Passkeys").focus()
    await ada.keys("Enter")
    await ada.page.wait_for_url("**/console/passkeys")
    assert await ada.barriers() == []
    await ada.page.get_by_label("Name, to recognise it by").focus()
    await ada.page.keyboard.type("Desk 4")
    await ada.keys("Tab", "Enter")
    await expect(ada.page.locator("#saved")).to_contain_text("Your passkey is added.")
    assert await ada.barriers() == []
    (kept,) = await device.credentials()
    assert "ada" not in kept["userHandle"]
    await ada.press("Sign out")
    assert await ada.barriers() == []
    await ada.page.get_by_role("button", name="Sign in with a passkey").focus()
    await ada.keys("Enter")
    await ada.page.wait_for_url("**/console")
    assert [row.data["by"] for row in await service.rows(
        "SELECT data FROM event WHERE name = 'staff.signed_in' ORDER BY id"
    )] == ["code", "passkey", "passkey"]  # fmt: skip
    await ada.open("/console/passkeys")
    await ada.page.get_by_role("button", name="Remove Desk 4").focus()
    await ada.keys("Enter")
    await expect(ada.page.locator("#saved")).to_contain_text("The passkey is removed.")


async def test_a_device_that_asks_for_nothing_is_refused(somebody: Callable, service):  # noqa: F811
    """PKY-03: the browser itself makes none without a PIN or fingerprint; the page says that it got none."""
    clerk = await enrol(service, "ada")
    ada, _ = await somebody(isUserVerified=False, hasUserVerification=False)
    await sign_in(ada, service, clerk)
    await ada.open("/console/passkeys")
    await ada.page.get_by_role("button", name="Add a passkey").click()
    await expect(ada.page.get_by_text("Your browser didn't give us a passkey.")).to_be_visible()


async def test_the_console_suggests_passkeys_by_itself(somebody: Callable, service):  # noqa: F811
    """Autofill (conditional mediation)."""
    clerk = await enrol(service, "ada")
    ada, _ = await somebody(suggests=True)
    await sign_in(ada, service, clerk)
    await ada.open("/console/passkeys")
    await ada.page.get_by_role("button", name="Add a passkey").click()
    await expect(ada.page.locator("#saved")).to_be_visible()
    await ada.press("Sign out")
    await ada.page.wait_for_url("**/console")


async def test_a_lead_who_needs_one_comes_in_and_renews_a_colleague(somebody: Callable, service):  # noqa: F811
    """PKY-15, SFA-11: led to the page until there is one; the link of the renewed enrolment is on the page, once."""
    service.database.settings = service.database.settings.model_copy(update={"leads_need_passkey": True})
    await enrol(service, "ada")
    clerk = await enrol(service, "bob", "lead")
    bob, _ = await somebody()
    await sign_in(bob, service, clerk)
    assert bob.path == "/console/passkeys"
    await bob.follow("Find")
    assert bob.path == "/console/passkeys"
    await bob.page.get_by_role("button", name="Add a passkey").click()
    await expect(bob.page.locator("#saved")).to_be_visible()
    await bob.follow("Staff")
    assert await bob.barriers() == []
    await bob.press("Renew ada")
    await expect(bob.page.get_by_role("status")).to_contain_text("/console/enrol#")
    assert await bob.barriers() == []
    service.clock.advance(seconds=40)
    bob.expected = {403}
    await bob.press("Sign out")
    await bob.type("Name", "bob")
    await bob.type("Password", PASSWORD)
    await bob.type("One-time code, or a recovery code", now_code(service, clerk.seed))
    await bob.page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(bob.page.get_by_role("alert")).to_contain_text("Sign in with your passkey.")
    await bob.page.get_by_role("button", name="Sign in with a passkey").click()
    await bob.page.wait_for_url("**/console")


@pytest.mark.parametrize("path", ["/console/passkeys", "/console/staff"])
async def test_without_scripts_the_pages_say_what_is_missing(visit: Callable, service, path):
    clerk = await enrol(service, "bob", "lead")
    bob = await visit(scripts=False)
    await sign_in(bob, service, clerk)
    await bob.open(path)
    if path == "/console/passkeys":
        assert "This browser can't add passkeys, or scripts are turned off." in await bob.text()
    assert await bob.page.get_by_role("button", name="Add a passkey").count() == 0
    assert await bob.overhang() == 0
