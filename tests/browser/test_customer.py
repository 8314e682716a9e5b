"""The whole second story in a real Chromium: by keyboard, on a phone, and without scripts."""

import asyncio
import re
import time

import pytest
from playwright.async_api import expect

from tests.browser.conftest import GOOD

OTHER = "seven lamps below the harbour"


async def test_a_user_id_is_there_after_a_few_keys_and_within_ten_seconds(visit):
    """From page load to ID by keyboard alone: past the navigation, five steps to the field, the address, Enter."""
    ben = await visit()
    await ben.open("/")
    began, steps = time.monotonic(), 2
    await ben.keys("Tab", "Enter")
    while await ben.page.evaluate("document.activeElement.id") != "email":
        await ben.keys("Tab")
        steps += 1
    await ben.page.keyboard.type("ben@example.org")
    await ben.keys("Enter")
    await ben.page.wait_for_url("**/welcome/*")
    took = time.monotonic() - began
    shown = await ben.page.locator(".card .id").inner_text()
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", shown)
    assert steps <= 5
    assert took < 10
    assert "We'll never send you marketing." in await ben.text()


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_the_whole_road(visit, service, letters, phone: bool):
    """ASVS 6.2.2: register, set a first password, forget it, get another, sign in, sign out everywhere."""
    ben = await visit(phone=phone)
    await ben.open("/")
    await ben.type("Email address", "ben@example.org")
    await ben.press("Get my User ID")
    user_id = await ben.page.locator(".card .id").inner_text()
    await service.deliver()
    await ben.open(letters.link("ben@example.org", "confirm your email address"))
    await ben.press("Confirm this address")
    assert ben.path == "/confirmed/address"
    for password in (GOOD, OTHER):
        service.clock.advance(minutes=1)
        await reset(ben, service, letters, password)
    service.clock.advance(seconds=1)
    ben.expected = {422}
    await sign_in(ben, GOOD)
    assert "The email address or password isn't right" in await ben.text()
    await sign_in(ben, OTHER)
    assert ben.path == "/me"
    assert user_id in await ben.text()
    assert await ben.overhang() <= 0
    await ben.press("Sign out everywhere")
    assert ben.path == "/signin"
    await ben.open("/me")
    assert ben.path == "/signin"


async def reset(ben, service, letters, password: str) -> None:
    await ben.open("/reset")
    await ben.type("Email address", "ben@example.org")
    await ben.press("Send the email")
    await service.deliver()
    await expect(ben.page.locator("[data-state=accepted]")).to_be_visible()
    link = letters.link("ben@example.org", "Reset your password")
    await ben.open("about:blank")
    await ben.open(link)
    await ben.type("New password", password)
    await ben.press("Save password")
    assert ben.path == "/reset/done"


async def sign_in(ben, password: str) -> None:
    await ben.open("/signin")
    await ben.type("Email address", "ben@example.org")
    await ben.type("Password", password)
    await ben.press("Sign in")


async def test_the_same_without_scripts(visit, service, letters, anna: str):
    """RST-03, ASVS 3.7.5: no script, no fragment: the code is typed where one asked."""
    one = await visit(scripts=False)
    await one.open("/reset")
    await one.type("Email address", "anna@example.org")
    await one.press("Send the email")
    assert "The email is waiting to be sent." in await one.text()
    await service.deliver()
    await expect(one.page.locator("[data-state=accepted]")).to_be_visible()
    await one.follow("I have the code")
    await one.type("Code from the email", letters.code("anna@example.org", "Reset your password").lower())
    await one.type("New password", GOOD)
    await one.press("Save password")
    assert one.path == "/reset/done"
    service.clock.advance(seconds=1)
    await one.follow("Sign in with the new password")
    await one.type("Email address", "anna@example.org")
    await one.type("Password", GOOD)
    await one.press("Sign in")
    assert anna in await one.text()
    await one.press("Sign out everywhere")
    assert one.path == "/signin"


async def test_a_link_without_scripts_leads_to_the_code(visit, service, letters, anna: str):
    """RST-03: the page cannot read the link and says where the code goes."""
    one = await visit(scripts=False)
    await one.open("/reset/choose#v1.anything.at-all")
    assert "I have the code" in await one.text()


async def test_a_weak_password_does_not_cost_the_link(visit, service, letters, anna: str):
    """RST-13: refused, the reason said, and the same page takes a better one."""
    one = await visit()
    one.expected = {422}
    await one.open("/reset")
    await one.type("Email address", "anna@example.org")
    await one.press("Send the email")
    await service.deliver()
    await one.open(letters.link("anna@example.org", "Reset your password"))
    await one.type("New password", "qwertyuiopqwertyuiop")
    await one.press("Save password")
    assert "This password is too common" in await one.text()
    assert "#v1." not in one.page.url
    await one.type("New password", GOOD)
    await one.press("Save password")
    assert one.path == "/reset/done"
    assert "v1." not in one.page.url


async def test_a_link_pasted_over_the_open_page_is_taken(visit, service, letters, anna: str):
    """The address changes by its fragment alone, so the page is not loaded anew."""
    one = await visit()
    await one.open("/reset")
    await one.type("Email address", "anna@example.org")
    await one.press("Send the email")
    await service.deliver()
    await one.open("/reset/choose")
    await one.page.evaluate(f"location = '{letters.link('anna@example.org', 'Reset your password')}'")
    await one.page.wait_for_url("**/reset/choose")
    await one.type("New password", GOOD)
    await one.press("Save password")
    assert one.path == "/reset/done"


async def test_strength_is_said_while_typing(visit):
    one = await visit()
    await one.open("/reset/choose")
    hint = one.page.locator("#hint")
    await one.page.locator("#password").press_sequentially("short")
    await expect(hint).to_have_text(
        "Your password is too short. Use at least 15 characters. Four or five random words work well."
    )
    await one.type("New password", GOOD)
    await expect(hint).to_have_text("This is a good password.")
    await one.page.get_by_label("Show the password").check()
    assert await one.page.locator("#password").get_attribute("type") == "text"


async def test_a_mailed_code_signs_in(visit, service, letters, anna: str):
    """REC-08."""
    one = await visit(phone=True)
    await one.open("/signin")
    await one.page.locator("#email").fill("anna@example.org")
    await one.press("Send me a code instead")
    await service.deliver()
    await expect(one.page.locator("[data-state=accepted]")).to_be_visible()
    await one.type("Code from the email", letters.code("anna@example.org", "Your sign-in code"))
    await one.press("Sign in")
    assert one.path == "/me"
    assert "emailed code" in await one.text()


async def test_me_says_yes_withdraws_and_the_receipt_is_checked(visit, service, letters, anna: str):
    """The receipt on the customer's own screen, and what the public page says of it before and after."""
    one = await visit()
    await sign_in_by_code(one, service, letters)
    consents = one.page.locator("#consents")
    await consents.get_by_role("button", name="Yes, I agree").first.click()
    await expect(consents.get_by_role("row").first.locator(".good")).to_have_text("yes")
    async with one.page.expect_download() as downloading:
        await consents.get_by_role("link", name="Get a signed receipt").click()
    download = await downloading.value
    assert download.suggested_filename == f"receipt-{anna}.jwt"
    receipt = await asyncio.to_thread((await download.path()).read_text)
    stranger = await visit()
    await check(stranger, receipt)
    assert "nothing in it has been changed" in await stranger.text()
    assert "yes, as the customer told us" in await stranger.text()
    await consents.get_by_role("button", name="Withdraw").click()
    await expect(consents.get_by_role("button", name="Withdraw")).to_have_count(0)
    await check(stranger, receipt)
    assert "A newer receipt replaces this one." in await stranger.text()
    await stranger.open("/receipt")
    saved = {"name": "receipt.jwt", "mimeType": "application/jwt", "buffer": f"{receipt}\n".encode()}
    await stranger.page.locator("input[type=file]").set_input_files(saved)
    await expect(stranger.page.locator("#receipt")).to_have_value(receipt)
    await stranger.press("Check it")
    assert "nothing in it has been changed" in await stranger.text()
    stranger.expected = {422}
    await check(stranger, receipt[:-6] + "AAAAAA")
    assert "changed after it was signed" in await stranger.text()


async def check(stranger, receipt: str) -> None:
    await stranger.open("/receipt")
    await stranger.type("Receipt", receipt)
    await stranger.press("Check it")


async def sign_in_by_code(one, service, letters) -> None:
    await one.open("/signin")
    await one.page.locator("#email").fill("anna@example.org")
    await one.press("Send me a code instead")
    await service.deliver()
    await one.type("Code from the email", letters.code("anna@example.org", "Your sign-in code"))
    await one.press("Sign in")
    assert one.path == "/me"
