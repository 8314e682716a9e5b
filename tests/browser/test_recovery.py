"""Story 1 whole, and story 2 by a recovery code and a passkey, in a real Chromium and without scripts."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import expect

from identity_service.dev.mailbox import Behaviour
from tests.browser.test_desk import desk  # noqa: F401 (a fixture)
from tests.browser.test_passkeys import Authenticator, sign_in_with_passkey
from tests.browser.visitor import Visitor
from tests.openid.given import a_customer
from tests.resets.given import ANNA

NEW = "seven quiet harbours hum"


async def shown(one: Visitor, what: str) -> str:
    return await one.page.locator(what).first.inner_text()


def read_qr(picture: Path) -> str:
    """What any phone reads there."""
    program = shutil.which("zbarimg")
    if program is None:
        pytest.skip("zbarimg is not installed (the package `zbar-tools` of Debian).")
    done = subprocess.run(
        [program, "--raw", "-q", str(picture)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


async def with_passkeys(visit: Callable, **options) -> tuple[Visitor, Authenticator]:
    one = await visit(**options)
    await one.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    return one, await Authenticator.attach(one)


async def test_a_caller_without_any_address_proves_themselves_and_comes_back_on_another_day(
    visit, service, desk, tmp_path  # noqa: F811
):  # fmt: skip
    """Story 1, REC-20, REC-28, SUP-01, SUP-06: a User ID and a code on paper; verified at the desk; a passkey by the
    QR code of the card; signed in on another day. Nobody was ever asked for an address."""
    ben = await visit()
    await ben.open("/")
    await ben.press("Get a User ID without email")
    user_id = await shown(ben, ".card .id")
    await ben.press("Get a recovery code")
    code = await shown(ben, "[data-recovery-code]")
    picture = tmp_path / "code.png"
    await ben.page.locator("img.qr").screenshot(path=picture)
    link = read_qr(picture)
    assert link.endswith(f"/recover#{user_id}.{code}")
    assert await ben.barriers() == []
    began = service.clock()
    ada = await desk("ada")
    await ada.type("User ID as heard (? for what was not understood), address, reference, company", user_id)
    await ada.keys("Enter")
    await ada.type("Reason, which the customer can read", "wants to know where the parcel is")
    await ada.press("Open")
    await ada.press("Support code")
    await expect(ada.page.locator(".caller")).to_contain_text("/me/support")
    await ben.press("Show a support code")
    await ben.press("Yes, I called you: show me a code")
    words, spoken = await shown(ben, ".phrase"), await shown(ben, ".card .id")
    assert await ben.barriers() == []
    await expect(ada.page.locator(".phrase")).to_have_text(words)
    await ada.type("Eight characters that the caller reads out", spoken.lower())
    await ada.press("Check")
    await expect(ada.page.locator(".caller")).to_contain_text("by support code")
    assert await ada.barriers() == []
    assert (service.clock() - began).total_seconds() < 120
    await expect(ben.page.locator("main")).to_contain_text("verified you by a support code")
    service.clock.advance(days=1)
    home, _ = await with_passkeys(visit)
    await home.open(link)
    await expect(home.page.get_by_label("User ID")).to_have_value(user_id)
    assert home.page.url.endswith("/recover")
    await home.press("Go on")
    await home.press("I have kept the code")
    await home.page.get_by_role("button", name="Add a passkey").click()
    await home.page.wait_for_url("**/me")
    await home.press("Sign out")
    service.clock.advance(days=30)
    await sign_in_with_passkey(home)
    assert user_id in await home.text()
    assert await service.rows("SELECT email FROM account") == [(None,)]


async def lost_email(service, caller) -> tuple[str, str]:
    """Anna, with a recovery code, whose mailbox swallows everything from now on: her User ID and the code."""
    from tests.recovery.test_recover import anna_with_a_code

    user_id, _, code = await anna_with_a_code(service, caller)
    service.mailbox.behaviours.append(Behaviour(phase="rcpt", reply="451 4.7.1 later", to=ANNA))
    return user_id, code


@pytest.mark.parametrize("scripts", [False, True])
async def test_a_lost_email_and_a_recovery_code(visit, service, caller, scripts):
    """Story 2: from the page of the reset that does not come to a new password."""
    user_id, code = await lost_email(service, caller)
    anna = await visit(scripts=scripts, phone=True)
    await anna.open("/reset")
    await anna.type("Email address", ANNA)
    await anna.press("Send the email")
    await service.deliver()
    await anna.follow("Use your recovery code")
    await anna.type("User ID", user_id)
    await anna.type("Recovery code", code)
    await anna.press("Go on")
    assert await anna.overhang() <= 0
    await anna.press("I have kept the code")
    await anna.type("New password", NEW)
    await anna.press("Save password")
    assert anna.path == "/reset/done"
    service.clock.advance(seconds=1)
    await anna.follow("Sign in with the new password")
    await anna.type("Email address", ANNA)
    await anna.type("Password", NEW)
    await anna.press("Sign in")
    assert anna.path == "/me"


async def test_a_lost_email_and_a_passkey(visit, service, caller):
    """Story 2: the passkey makes the reset unnecessary."""
    await a_customer(service, caller)
    anna, _ = await with_passkeys(visit)
    await anna.open("/signin")
    await anna.type("Email address", ANNA)
    await anna.type("Password", "violet teapot argues with gravity")
    await anna.press("Sign in")
    await anna.follow("Add or remove passkeys")
    await anna.page.get_by_role("button", name="Add a passkey").click()
    await expect(anna.page.locator("#saved")).to_contain_text("Your passkey is added.")
    await anna.press("Sign out")
    service.mailbox.behaviours.append(Behaviour(phase="rcpt", reply="451 4.7.1 later", to=ANNA))
    await anna.open("/reset")
    await anna.type("Email address", ANNA)
    await anna.press("Send the email")
    await anna.page.get_by_role("link", name="Sign in with a passkey").click()
    await anna.page.get_by_role("button", name="Sign in with a passkey").click()
    await anna.page.wait_for_url("**/me")


async def test_the_clerk_s_page_turns_when_the_customer_types_the_number(visit, service, caller, desk):  # noqa: F811
    """SUP-07, SUP-08: words on both screens, digits from one to the other; "not me" takes it back at once."""
    user_id = await a_customer(service, caller)
    anna = await visit()
    await anna.open("/signin")
    await anna.type("Email address", ANNA)
    await anna.type("Password", "violet teapot argues with gravity")
    await anna.press("Sign in")
    ada = await desk("ada")
    await ada.type("User ID as heard (? for what was not understood), address, reference, company", user_id)
    await ada.keys("Enter")
    await ada.type("Reason, which the customer can read", "calls about a parcel")
    await ada.press("Open")
    await ada.press("On screen")
    words = await shown(ada, ".phrase")
    digits = re.search(r"read these digits out: (\d{3})", await ada.text())[1]
    await anna.follow("A clerk is on the phone with you and asks whether it's you.")
    await expect(anna.page.locator(".phrase").first).to_have_text(words)
    assert await anna.barriers() == []
    await anna.type("The three digits that the clerk reads out", digits)
    await anna.press("Yes, that's me")
    await expect(anna.page.locator("#saved")).to_contain_text("The clerk can see now")
    await expect(ada.page.locator(".caller")).to_contain_text("by an answer on their screen")
    await anna.press("This wasn't me")
    await expect(ada.page.locator(".caller")).to_contain_text("The customer said that a call wasn't theirs.")
