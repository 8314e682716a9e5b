"""Passkeys in a real Chromium with its virtual authenticator: somebody without an address, and a customer with one."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from tests.browser.conftest import GOOD
from tests.browser.test_openid import certificate, garden, redeem  # noqa: F401 (two fixtures)
from tests.browser.visitor import Visitor
from tests.openid.given import a_customer
from tests.resets.given import ANNA


class Authenticator:
    """A device of Chromium's own, which answers by itself or is told not to."""

    def __init__(self, cdp, number: str) -> None:
        self.cdp, self.number = cdp, number

    @classmethod
    async def attach(cls, visitor: Visitor, **given) -> "Authenticator":
        cdp = await visitor.context.new_cdp_session(visitor.page)
        await cdp.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True, **given,
        }  # fmt: skip
        made = await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return cls(cdp, made["authenticatorId"])

    async def credentials(self) -> list[dict]:
        told = await self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.number})
        return told["credentials"]

    async def verify(self, value: bool) -> None:
        await self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.number, "isUserVerified": value})

    async def copy_to(self, other: "Authenticator") -> None:
        """Put the same keys into another device, with the counter that they have now."""
        for one in await self.credentials():
            await other.cdp.send("WebAuthn.addCredential", {"authenticatorId": other.number, "credential": one})


@pytest.fixture
async def somebody(visit: Callable) -> Callable:
    async def come(*, suggests: bool = False, trusts: bool = False, **given) -> tuple[Visitor, Authenticator]:
        one = await visit(ignore_https_errors=trusts)
        if not suggests:
            # The virtual device answers at once: a page that suggests passkeys would be left before a button is seen.
            await one.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
        return one, await Authenticator.attach(one, **given)

    return come


async def sign_in_with_passkey(one: Visitor) -> None:
    await one.open("/signin")
    await one.page.get_by_role("button", name="Sign in with a passkey").click()
    await one.page.wait_for_url("**/me")


async def test_somebody_without_an_address_comes_back_with_a_passkey(somebody: Callable, service):
    """PKY-05, story 1: an account of a User ID and a passkey is complete; nobody was ever asked for an address."""
    ben, device = await somebody()
    await ben.open("/")
    await ben.press("Get a User ID without email")
    user_id = await ben.page.locator(".card .id").inner_text()
    assert await ben.barriers() == []
    await ben.page.get_by_role("button", name="Add a passkey").click()
    await ben.page.wait_for_url("**/me")
    assert user_id in await ben.text()
    assert "passkey" in await ben.text()
    (kept,) = await device.credentials()
    assert user_id.replace("-", "") not in kept["userHandle"]
    await ben.press("Sign out")
    service.clock.advance(minutes=1)
    await sign_in_with_passkey(ben)
    assert user_id in await ben.text()
    # The only way in cannot go.
    ben.expected = {409}
    await ben.follow("Add or remove passkeys")
    await ben.page.get_by_role("button", name=re.compile("^Remove ")).click()
    await expect(ben.page.get_by_role("alert")).to_contain_text("the only way to sign in")
    assert await service.rows("SELECT email FROM account") == [(None,)]


async def test_a_customer_adds_uses_and_removes_passkeys(somebody: Callable, service, caller):
    """PKY-01, 06, 07, 08, 09, 14: told by email each time; a password does no longer what a passkey is needed for."""
    await a_customer(service, caller)
    anna, _ = await somebody()
    await sign_in_by_password(anna)
    await anna.follow("Add or remove passkeys")
    assert await anna.barriers() == []
    await anna.type("Name, to recognise it by", "My telephone")
    await anna.page.get_by_role("button", name="Add a passkey").click()
    await expect(anna.page.locator("#saved")).to_contain_text("Your passkey is added.")
    assert "My telephone" in await anna.text()
    assert await anna.barriers() == []
    await service.deliver()
    assert "/reset" in service.letter(ANNA, "A passkey was added to your account")["text"]
    await anna.press("Sign out")
    service.clock.advance(minutes=1)
    await sign_in_by_password(anna)
    await anna.open("/me/passkeys")
    assert anna.path == "/signin"
    assert "a password or code isn't enough" in await anna.text()
    await anna.page.get_by_role("button", name="Sign in with a passkey").click()
    await anna.page.wait_for_url("**/me/passkeys")
    await anna.page.get_by_role("button", name="Remove My telephone").click()
    await expect(anna.page.locator("#saved")).to_contain_text("The passkey is removed.")
    await service.deliver()
    assert service.letter(ANNA, "A passkey was removed from your account")
    anna.expected = {422}
    await anna.press("Sign out")
    await anna.open("/signin")
    await anna.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(anna.page.get_by_role("alert")).to_contain_text("We couldn't sign you in with this passkey.")


async def test_a_customer_leaves_passkeys_alone_by_keyboard(somebody: Callable, service, caller):
    """PKY-10, 14, 15: the copy that is shown, the ways that close, the list of a reset; axe finds no barrier."""
    await a_customer(service, caller)
    anna, device = await somebody()
    await sign_in_by_password(anna)
    for name in ("One", "Two"):
        service.clock.advance(seconds=1)
        await anna.open("/me/passkeys")
        if name == "Two":
            # A second key of the same virtual device.
            await anna.page.evaluate(
                "() => { const make = navigator.credentials.create.bind(navigator.credentials);"
                "navigator.credentials.create = (given) => { given.publicKey.excludeCredentials = [];"
                "given.publicKey.authenticatorSelection.residentKey = 'discouraged';"
                "given.publicKey.authenticatorSelection.requireResidentKey = false; return make(given) } }"
            )
        await anna.type("Name, to recognise it by", name)
        await anna.page.get_by_role("button", name="Add a passkey").click()
        await expect(anna.page.locator("#saved")).to_contain_text("Your passkey is added.")
    assert "each added more than seven days ago" in await anna.text()
    service.clock.advance(days=8)
    await anna.context.clear_cookies()
    await service.rows("UPDATE passkey SET sign_count = 1000 RETURNING 1")
    await sign_in_with_passkey(anna)
    await anna.open("/me/passkeys")
    await expect(anna.page.get_by_text("may be a copy of it")).to_have_count(1)
    assert await anna.barriers() == []
    await anna.page.get_by_role("button", name="Turn other ways off").focus()
    await anna.keys("Enter")
    await expect(anna.page.locator("#saved")).to_contain_text("From now on only your passkeys sign you in.")
    assert await anna.barriers() == []
    await anna.page.get_by_role("button", name="Allow other ways again").focus()
    await anna.keys("Enter")
    await expect(anna.page.locator("#saved")).to_contain_text("You can sign in with an emailed code again")
    await service.deliver()
    for subject in ("Only your passkeys", "There are other ways", "may have been copied"):
        assert service.letter(ANNA, subject)
    await choose_at_a_reset(anna, service)
    assert len(await device.credentials()) == 2


async def choose_at_a_reset(anna: Visitor, service) -> None:
    """Set a new password by the link of its email, and keep one of two passkeys, with the keyboard."""
    service.clock.advance(seconds=1)
    await anna.open("/reset")
    await anna.page.locator("#email").fill(ANNA)
    await anna.press("Send the email")
    await service.deliver()
    link = re.search(r"/reset/choose/\S+", service.letter(ANNA, "Reset your password")["text"])[0]
    await anna.open(link)
    await anna.type("New password", f"{GOOD} again")
    await anna.press("Save password")
    await expect(anna.page.get_by_role("heading", name="Which passkeys are yours?")).to_be_visible()
    assert await anna.barriers() == []
    boxes = anna.page.get_by_role("checkbox")
    await expect(boxes).to_have_count(2)
    await expect(boxes.first).to_be_checked()
    await boxes.last.focus()
    await anna.keys("Space", "Tab", "Enter")
    await anna.page.wait_for_url("**/reset/done*")
    assert [row.label for row in await service.rows("SELECT label FROM passkey")] == ["One"]


async def sign_in_by_password(one: Visitor) -> None:
    await one.open("/signin")
    await one.page.locator("#email").fill(ANNA)
    await one.type("Password", GOOD)
    await one.page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
    await one.page.wait_for_url("**/me")


async def test_the_page_suggests_passkeys_by_itself(somebody: Callable, service, caller):
    """Autofill (conditional mediation): who has a passkey need not press anything of ours."""
    await a_customer(service, caller)
    anna, _ = await somebody(suggests=True)
    await sign_in_by_password(anna)
    await anna.open("/me/passkeys")
    await anna.page.get_by_role("button", name="Add a passkey").click()
    await expect(anna.page.locator("#saved")).to_be_visible()
    await anna.press("Sign out")
    await anna.page.wait_for_url("**/me")


async def test_without_scripts_the_page_says_what_is_missing(visit: Callable, service, caller):
    await a_customer(service, caller)
    anna = await visit(scripts=False)
    await sign_in_by_password(anna)
    await anna.open("/me/passkeys")
    assert "This browser can't add passkeys, or scripts are turned off." in await anna.text()
    assert await anna.page.get_by_role("button", name="Add a passkey").count() == 0
    await anna.press("Sign out")
    assert await anna.page.get_by_role("button", name="Sign in with a passkey").count() == 0


async def test_a_device_that_says_no_is_no_dead_end(somebody: Callable):
    """The browser gives nothing: the page says so, and everything on it works."""
    ben, _ = await somebody(isUserVerified=False, hasUserVerification=False, hasResidentKey=False)
    ben.expected = {404}
    await ben.open("/signin")
    await ben.page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new Error()) }")
    await ben.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(ben.page.get_by_text("Your browser didn't give us a passkey.")).to_be_visible()
    await ben.type("Password", "typed anyway")


async def test_a_first_address_is_added_when_its_mailbox_confirms_it(somebody: Callable, service, letters):
    """PKY-05: the passkey stays, because nobody else could have added it; the address counts from its proof on."""
    ben, _ = await somebody()
    await ben.open("/")
    await ben.press("Get a User ID without email")
    await ben.page.get_by_role("button", name="Add a passkey").click()
    await ben.page.wait_for_url("**/me")
    await ben.follow("Add an email address")
    assert await ben.barriers() == []
    await ben.type("Email address", "ben@example.org")
    await ben.press("Send the email")
    assert await service.rows("SELECT email FROM account") == [(None,)]
    await service.deliver()
    await ben.open(letters.link("ben@example.org", "Please confirm your new email address"))
    await ben.press("Use this address")
    assert await service.rows("SELECT email, email_state FROM account") == [("ben@example.org", "confirmed")]
    assert await service.rows("SELECT count(*) FROM passkey") == [(1,)]


async def test_somebody_without_an_address_signs_in_at_a_shop(somebody: Callable, service, site, garden):  # noqa: F811
    """PKY-03, OID-21: the second story's end without a mailbox: back in the checkout, by User ID and passkey."""
    ben, _ = await somebody(trusts=True)
    ben.known.add(garden.host)
    shop = await garden.register(service)
    request = garden.send_to(site, shop)
    await ben.open("/")
    await ben.press("Get a User ID without email")
    user_id = await ben.page.locator(".card .id").inner_text()
    await ben.page.get_by_role("button", name="Add a passkey").click()
    await ben.page.wait_for_url("**/me")
    await ben.press("Sign out")
    await ben.open(garden.address)
    await ben.follow("Go")
    assert "You're signing in to go on to Garden Tools." in await ben.text()
    await ben.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(ben.page).to_have_title("Checkout")
    tokens = await redeem(garden, shop, garden.came[-1], request.verifier)
    said = shop.claims(tokens["id_token"])
    assert (said["sub"], said["acr"]) == (user_id, "urn:identity-service:acr:two-factor")
    assert said["amr"] == ["pop", "user", "mfa"]
    assert "email" not in (await shop.userinfo(tokens["access_token"])).json()
