"""A walk past every page that a customer can see, in every state that looks different."""

from collections.abc import AsyncIterator

from identity_service import translations
from identity_service.account_access import actions as account_access
from tests.browser.conftest import GOOD, Letters
from tests.browser.visitor import Visitor
from tests.conftest import Service

REFUSED = {401, 404, 410, 422}


async def every_page(one: Visitor, service: Service, letters: Letters, language: str) -> AsyncIterator[str]:
    """Yield the name of each page while it is on the screen; the words pressed are those of the language."""
    one.expected |= REFUSED
    say = translations.catalogue(language).gettext
    for part in (
        _registering,
        _resetting,
        _signing_in,
        _account,
        _ways_in,
        _company,
        _another_address,
        _data,
        _receipts,
        _ending,
    ):
        async for name in part(one, service, letters, say):
            yield name


async def _registering(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/")
    yield "home"
    await one.type(say("Email address"), "ben@localhost")
    await one.press(say("Get my User ID"))
    yield "home refused"
    await one.type(say("Email address"), "ben@example.org")
    await one.press(say("Get my User ID"))
    yield "welcome"
    await one.follow(say("I have the code"))
    yield "confirm by code"
    await one.type(say("Code from the email"), "00000-00000")
    await one.press(say("Confirm this address"))
    yield "confirm refused"
    await service.deliver()
    await one.open(letters.link("ben@example.org", say("Please confirm your email address")))
    await one.page.wait_for_selector("body.has-link")
    yield "confirm by link"
    await one.press(say("Confirm this address"))
    yield "confirmed"


async def _resetting(one, service, letters, say) -> AsyncIterator[str]:
    service.clock.advance(seconds=1)
    await one.open("/reset")
    yield "ask"
    await one.type(say("Email address"), "ben@@example.org")
    await one.page.evaluate("document.querySelector('form').noValidate = true")
    await one.press(say("Send the email"))
    yield "ask refused"
    await one.type(say("Email address"), "ben@example.org")
    await one.press(say("Send the email"))
    watch = one.path
    yield "watch waiting"
    await service.deliver()
    await one.open(f"{watch}?again=1730")
    await one.page.get_by_text(say("Technical details")).click()
    yield "watch taken"
    await one.follow(say("Another email address of yours"))
    yield "other ways"
    await one.type(say("Another email address of yours"), "no address")
    await one.press(say("Send it there"))
    yield "other ways refused"
    await one.type(say("Another email address of yours"), "benjamin@example.org")
    await one.press(say("Send it there"))
    yield "sent elsewhere"
    await one.open(watch)
    await one.follow(say("I have the code"))
    yield "code"
    await one.open(letters.link("ben@example.org", say("Reset your password")))
    await one.page.wait_for_selector("body.has-link")
    yield "choose"
    await one.type(say("New password"), "qwertyuiopqwertyuiop")
    await one.press(say("Save password"))
    yield "choose refused"
    await one.type(say("New password"), GOOD)
    await one.press(say("Save password"))
    yield "password set"


async def _signing_in(one, service, letters, say) -> AsyncIterator[str]:
    service.clock.advance(seconds=1)
    await one.open("/me")
    yield "signin"
    await one.type(say("Email address"), "ben@example.org")
    await one.type(say("Password"), "not this one, I fear")
    await one.press(say("Sign in"))
    yield "signin refused"
    await one.page.locator("#email").fill("ben@example.org")
    await one.press(say("Send me a code instead"))
    yield "signin code"
    await one.type(say("Code from the email"), "00000-00000")
    await one.press(say("Sign in"))
    yield "signin code refused"
    await service.deliver()
    await one.type(say("Code from the email"), letters.code("ben@example.org", say("Your sign-in code")))
    await one.press(say("Sign in"))


async def _account(one, service, letters, say) -> AsyncIterator[str]:
    yield "me"
    await one.follow(say("Add your name"))
    yield "name"
    await one.type(say("Your name"), "x" * 40 + " =?x")
    await one.press(say("Save"))
    yield "name refused"
    await one.type(say("Your name"), "Benjamin Berg-Hartmann von und zu Oberunterach")
    await one.press(say("Save"))
    await one.page.locator("#consents button").first.click()
    await one.page.wait_for_load_state()
    yield "me with a yes"


async def _ways_in(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/me/second-factor")
    yield "second factor"
    await one.open("/me/recovery-code")
    yield "signin for a recovery code"
    await one.type(say("Email address"), "ben@example.org")
    await one.type(say("Password"), GOOD)
    await one.press(say("Sign in"))
    yield "recovery code"
    await one.press(say("Make a recovery code"))
    yield "recovery code shown"
    user_id = (await service.rows("SELECT user_id FROM account WHERE email = 'ben@example.org'"))[0][0]
    code = await one.page.locator("[data-recovery-code]").inner_text()
    await one.open("/me/support")
    yield "support"
    await one.press(say("Yes, I called you: show me a code"))
    yield "support code"
    await one.open("/recover")
    yield "recover"
    await one.type(say("User ID"), user_id)
    await one.type(say("Recovery code"), code[:-1] + ("0" if code[-1] != "0" else "1"))
    await one.press(say("Go on"))
    yield "recover refused"
    await one.type(say("Recovery code"), code)
    await one.press(say("Go on"))
    yield "recover, next code"
    await one.press(say("I have kept the code"))
    yield "recover, choices"
    await one.open("/me")


async def _company(one, service, letters, say) -> AsyncIterator[str]:
    await one.follow(say("Convert to a business account"))
    yield "business"
    await one.type(say("Company"), "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk G. m. b. H.")
    await one.page.get_by_label(say("Country"), exact=True).select_option("AT")
    await one.type(say("VAT number (optional)"), "12")
    await one.press(say("Save"))
    yield "business refused"
    await one.type(say("VAT number (optional)"), "")
    await one.press(say("Save"))
    await _history(one, service)
    await one.open("/me")
    yield "me as a business"
    await one.follow(say("Change company details"))
    yield "company"
    await one.open("/me/history")
    yield "history"


async def _history(one, service) -> None:
    """What other services and a desk add: orders, a ticket, and somebody who looked."""
    user_id = await one.page.locator(".card .id").inner_text()
    shop = await service.caller("history:write", name="shop")
    kinds = (
        ("order", "1299.90"),
        ("refund", "99.90"),
        ("ticket", None),
        ("ticket_closed", None),
        ("delivery", None),
    )
    entries = [
        {"reference": f"2026-{kind}-000{number}", "kind": kind, "occurred_at": "2026-02-03T10:00:00Z",
         **({"amount": amount, "currency": "EUR"} if amount else {})}
        for number, (kind, amount) in enumerate(kinds)
    ]  # fmt: skip
    added = await shop.post(f"/v1/accounts/{user_id}/history", {"entries": entries})
    assert added.is_success, added.text
    why = {"desk": "business", "contact": "K7QX3W", "reason": "Invoice 4711 is missing"}
    await service.database.in_transaction(
        lambda session: account_access.record_access(
            session, user_id.replace("-", ""), actor="staff:1", now=service.clock(), **why
        )
    )


async def _another_address(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/me/addresses")
    yield "addresses"
    await one.type(say("Email address"), "ben@localhost")
    await one.press(say("Send the email"))
    yield "addresses refused"
    await one.type(say("Email address"), "second@example.org")
    await one.press(say("Send the email"))
    yield "address added"
    await one.open("/me/email")
    yield "another address"
    await one.type(say("Email address"), "ben@localhost")
    await one.press(say("Send the email"))
    yield "another address refused"
    await one.type(say("Email address"), "benjamin@example.org")
    await one.press(say("Send the email"))
    yield "another address asked"
    await service.deliver()
    await one.open(letters.link("benjamin@example.org", say("Please confirm your new email address")))
    await one.page.wait_for_selector("body.has-link")
    yield "confirm another address"
    await one.press(say("Use this address"))
    yield "confirmed another address"


async def _data(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/me/everything")
    yield "everything"
    await one.page.locator("summary", has_text=say("History")).click()
    yield "everything, with its history"


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


async def _ending(one, service, letters, say) -> AsyncIterator[str]:
    await one.open("/me/end")
    yield "end"
    await one.follow(say("See what erasing means"))
    yield "erase"
    await one.type(say("Type your User ID to confirm"), "KQ7X-M1C4-3W08")
    await one.press(say("Erase everything for ever"))
    yield "erase refused"
    await one.follow(say("Close my account"))
    yield "close"
    user_id = (await service.rows("SELECT user_id FROM account"))[0][0]
    await one.type(say("Type your User ID to confirm"), user_id)
    await one.press(say("Close my account"))
    yield "ended"
    service.clock.advance(seconds=1)
    await service.deliver()
    await one.open(letters.link("benjamin@example.org", say("Your account is closed")))
    await one.page.wait_for_selector("body.has-link")
    yield "reopen"
    await one.press(say("Reopen the account"))
    yield "reopened"


PARTS = (_registering, _resetting, _signing_in, _account, _company, _another_address, _data, _receipts, _ending)
