"""Story 2 by a second address: the email to the first one is swallowed, and the customer gets in all the same."""

import pytest
from playwright.async_api import expect

from identity_service.dev.mailbox import Behaviour

ANNA, SECOND, GOOD = "anna@example.org", "second@example.org", "violet teapot argues with gravity"


async def by_code(one, service, letters, address: str) -> None:
    """Sign in by a code from the email."""
    await one.open("/signin")
    await one.page.locator("#email").fill(address)
    await one.press("Send me a code instead")
    await service.deliver()
    await one.type("Code from the email", letters.code(address, "Your sign-in code"))
    await one.press("Sign in")
    assert one.path == "/me"
    service.clock.advance(seconds=1)


async def add_second(one, service, letters, *, scripts: bool) -> None:
    """Add an address at /me, and confirm it by the link of its own email, without scripts by its code."""
    await one.follow("All email addresses")
    await one.type("Email address", SECOND)
    await one.press("Send the email")
    await expect(one.page.locator("main")).to_contain_text("Not confirmed yet")
    await service.deliver()
    subject = "Please confirm another email address"
    service.clock.advance(seconds=1)
    await one.open(letters.link(SECOND, subject))
    if not scripts:
        await one.type("Code from the email", letters.code(SECOND, subject))
    await one.press("Confirm this address")
    await expect(one.page.locator("main")).to_contain_text("This address is confirmed.")
    service.clock.advance(days=4)


@pytest.mark.parametrize("scripts", [False, True])
async def test_the_email_to_the_first_address_never_comes(visit, service, caller, letters, scripts):
    """ADR-09, ADR-05: with scripts and without; the mail server of the first address answers nothing but "later"."""
    await caller.post("/v1/accounts", {"email": ANNA})
    one = await visit(scripts=scripts)
    await by_code(one, service, letters, ANNA)
    await add_second(one, service, letters, scripts=scripts)
    service.mailbox.behaviours.append(Behaviour(phase="rcpt", reply="451 4.7.1 later", to=ANNA))
    stranger = await visit(scripts=scripts)
    await stranger.open("/reset")
    await stranger.type("Email address", ANNA)
    await stranger.press("Send the email")
    await service.deliver()
    await stranger.follow("Another email address of yours")
    await stranger.type("Another email address of yours", SECOND)
    await stranger.press("Send it there")
    await expect(stranger.page.locator("main")).to_contain_text("If that is an email address of the same account")
    await service.deliver()
    await stranger.follow("I have the code")
    await stranger.type("Code from the email", letters.code(SECOND, "Reset your password"))
    await stranger.type("New password", GOOD)
    await stranger.press("Save password")
    assert stranger.path == "/reset/done"
    service.clock.advance(seconds=1)
    await stranger.open("/signin")
    await stranger.type("Email address", SECOND)
    await stranger.type("Password", GOOD)
    await stranger.press("Sign in")
    assert stranger.path == "/me"
    assert not any("Reset" in letter["subject"] for letter in service.mailbox.letters(ANNA))
