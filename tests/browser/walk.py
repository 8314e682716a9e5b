"""A walk past every page that a customer can see, in every state that looks different."""

from collections.abc import AsyncIterator

from identity_service import languages
from tests.browser.conftest import GOOD, Letters
from tests.browser.visitor import Visitor
from tests.conftest import Service

REFUSED = {401, 404, 410, 422}


async def every_page(one: Visitor, service: Service, letters: Letters, language: str) -> AsyncIterator[str]:
    """Yield the name of each page while it is on the screen; the words pressed are those of the language."""
    one.expected |= REFUSED
    say = languages.catalogue(language).gettext
    for part in (_registering, _resetting, _signing_in, _account, _receipts):
        async for name in part(one, service, letters, say):
            yield name


async def _registering(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/")
    yield "home"
    await one.type(say("E-mail address"), "ben@localhost")
    await one.press(say("Get my User ID"))
    yield "home refused"
    await one.type(say("E-mail address"), "ben@example.org")
    await one.press(say("Get my User ID"))
    yield "welcome"
    await one.follow(say("I have the code"))
    yield "confirm by code"
    await one.type(say("Code from the letter"), "00000-00000")
    await one.press(say("Confirm"))
    yield "confirm refused"
    await service.deliver()
    await one.open(letters.link("ben@example.org", say("Please confirm your address")))
    await one.page.wait_for_selector("body.has-link")
    yield "confirm by link"
    await one.press(say("Confirm"))
    yield "confirmed"


async def _resetting(one, service, letters, say) -> AsyncIterator[str]:
    service.clock.advance(seconds=1)
    await one.open("/reset")
    yield "ask"
    await one.type(say("E-mail address"), "ben@@example.org")
    await one.page.evaluate("document.querySelector('form').noValidate = true")
    await one.press(say("Send the letter"))
    yield "ask refused"
    await one.type(say("E-mail address"), "ben@example.org")
    await one.press(say("Send the letter"))
    watch = one.path
    yield "watch waiting"
    await service.deliver()
    await one.open(f"{watch}?again=1730")
    yield "watch taken"
    await one.follow(say("I have the code"))
    yield "code"
    await one.open(letters.link("ben@example.org", say("Your new password")))
    await one.page.wait_for_selector("body.has-link")
    yield "choose"
    await one.type(say("New password"), "qwertyuiopqwertyuiop")
    await one.press(say("Set the password"))
    yield "choose refused"
    await one.type(say("New password"), GOOD)
    await one.press(say("Set the password"))
    yield "password set"


async def _signing_in(one, service, letters, say) -> AsyncIterator[str]:
    service.clock.advance(seconds=1)
    await one.open("/me")
    yield "signin"
    await one.type(say("E-mail address"), "ben@example.org")
    await one.type(say("Password"), "not this one, I fear")
    await one.press(say("Sign in"))
    yield "signin refused"
    await one.page.locator("#email-code").fill("ben@example.org")
    await one.press(say("Mail me a code"))
    yield "signin code"
    await one.type(say("Code from the letter"), "00000-00000")
    await one.press(say("Sign in"))
    yield "signin code refused"
    await service.deliver()
    await one.type(say("Code from the letter"), letters.code("ben@example.org", say("Your code to sign in")))
    await one.press(say("Sign in"))


async def _account(one, service, letters, say) -> AsyncIterator[str]:
    yield "me"
    await one.page.locator("#consents button").first.click()
    await one.page.wait_for_load_state()
    yield "me with a yes"


async def _receipts(one, service, letters, say) -> AsyncIterator[str]:
    answer = await one.context.request.get("/me/receipt")
    await one.open("/receipt")
    yield "receipt"
    await one.type(say("Receipt"), "nothing")
    await one.press(say("Check it"))
    yield "receipt refused"
    await one.type(say("Receipt"), await answer.text())
    await one.press(say("Check it"))
    yield "receipt checked"
    await one.open("/nothing-here")
    yield "problem"
