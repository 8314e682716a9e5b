"""Decision 11: the stories of the desk in a Chromium that runs no script; whoever waits looks again."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.test_desk import ANNA, orders, spoken
from tests.console.given import PASSWORD, enrol, now_code

HEARD = "User ID as heard (? for what was not understood), address, reference, company"
WHY = "Reason, which the customer can read"


@pytest.fixture
async def desk(visit, service):
    """Somebody signs in by the pages, in a browser without scripts."""

    async def sit_down(name: str, role: str = "clerk"):
        clerk = await enrol(service, name, role)
        one = await visit(scripts=False)
        await one.open("/console")
        await one.type("Name", name)
        await one.type("Password", PASSWORD)
        await one.type("One-time code, or a recovery code", now_code(service, clerk.seed))
        await one.press("Sign in")
        assert one.path == "/console"
        return one

    return sit_down


async def find(one, typed: str) -> None:
    await one.open("/console")
    await one.type(HEARD, typed)
    await one.press("Find")


async def verify(one, road) -> None:
    """Have a code mailed, and check the one that the caller reads out."""
    await one.press("Send a code")
    await expect(one.page.locator(".caller")).to_contain_text("The email is waiting to be sent.")
    await road.turn()
    await one.follow("Look again")
    await expect(one.page.locator(".caller")).to_contain_text("Our mail server has the email")
    await one.type("Six digits that the caller reads out", spoken(road))
    await one.press("Check")
    await expect(one.page.locator(".caller")).to_contain_text("Verified at")


async def test_a_caller_without_an_id_gets_one_and_the_next_desk_knows_everything(desk, service):
    ada, bob = await desk("ada"), await desk("bob")
    await ada.type("What it is about", "wants a quote, gives no address: fears advertising")
    await ada.press("Open a contact")
    await expect(ada.page.locator(".promise")).to_contain_text("We'll never send you marketing.")
    await ada.type("Address (optional)", "ben@example.org")
    await ada.press("Issue a User ID")
    user_id = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", await ada.text())[0]
    await service.deliver()
    assert user_id in service.letter("ben@example.org", "Your User ID")["text"]
    await ada.type("What they should know", "router does not start, cable was changed")
    await ada.press("Hand over")
    await find(bob, ada.path.rsplit("/", 1)[1])
    await expect(bob.page.locator("main")).to_contain_text("router does not start, cable was changed")
    await expect(bob.page.locator("main")).to_contain_text("fears advertising")
    await bob.press("Pick up")
    await bob.type(WHY, "router does not start")
    await bob.press("Open the account")
    await expect(bob.page.locator("h1")).to_have_text(user_id)
    await expect(bob.page.locator(".promise")).to_be_visible()


async def test_a_reset_that_is_stuck_is_seen_and_sent_by_the_other_relay_in_the_same_call(
    desk, service, roads, caller, anna
):
    """The clerk sees why it is stuck, verifies the caller, and makes a business of the account with its 23 orders."""
    await orders(caller, anna)
    road = await roads()
    road.a.will("RCPT", "451 4.7.1 greylisted, try again in an hour")
    await caller.post("/v1/resets", {"email": ANNA})
    await road.turn()
    ada = await desk("ada")
    await find(ada, ANNA)
    await ada.type(WHY, "reset mail did not arrive")
    await ada.press("Open")
    letters = ada.page.locator(".letters")
    await expect(letters).to_contain_text("greylisted, try again in an hour")
    await expect(ada.page.locator(".glance")).to_contain_text("23 orders")
    await letters.locator("select").first.select_option("b")
    await ada.press("Send again")
    service.clock.advance(seconds=2)
    await road.turn()
    await ada.follow("Look again")
    await expect(letters.locator("summary").first).to_contain_text("accepted")
    await expect(letters).to_contain_text("b has accepted the email")
    await ada.follow("All messages")
    await expect(ada.page.locator("main")).to_contain_text("greylisted, try again in an hour")
    await ada.page.go_back()
    await verify(ada, road)
    await expect(ada.page.locator(".head")).to_contain_text(ANNA)
    await ada.type("Company", "Berg GmbH")
    await ada.page.get_by_role("combobox", name="Country", exact=True).select_option("DE")
    await ada.press("Convert to business")
    await expect(ada.page.locator(".head")).to_contain_text("business · Berg GmbH")
    await expect(ada.page.locator(".glance")).to_contain_text("23 orders")
    assert (await caller.get(f"/v1/accounts/{anna}")).json()["kind"] == "business"


async def asked(desk, anna):
    """A clerk has asked for the account to be closed, because the mailbox is lost; return the clerk."""
    ada = await desk("ada")
    await find(ada, anna)
    await ada.type(WHY, "wants to close the account")
    await ada.press("Open")
    await ada.page.get_by_text("Request a change").click()
    await ada.page.get_by_role("combobox", name="Change", exact=True).select_option("close")
    await ada.type("Reason, if the customer has lost the mailbox", "has no access to the mailbox")
    await ada.press("Request the change")
    await expect(ada.page.locator(".more")).to_contain_text("waits for a second person to approve it")
    return ada


async def test_a_change_that_a_lead_approved_is_stopped_by_the_mailbox(desk, service, visit, letters, anna):
    """Nobody runs a script: the code of the same email stands for the link."""
    ada, lead = await asked(desk, anna), await desk("bob", "lead")
    await lead.follow("Approvals")
    await expect(lead.page.locator("main")).to_contain_text("has no access to the mailbox")
    await lead.page.locator("summary", has_text="Approve").click()
    await lead.press("Approve (starts in 72 hours)")
    await expect(lead.page.locator("main")).to_contain_text("unless the customer stops it")
    await ada.follow("Look again")
    await expect(ada.page.locator(".more")).to_contain_text("waits until")
    await service.deliver()
    customer = await visit(scripts=False)
    subject = service.mailbox.letters(ANNA)[0]["subject"]
    await customer.open(letters.link(ANNA, subject))
    await customer.type("Code from the email", letters.code(ANNA, subject))
    await customer.page.locator("main form button").first.click()
    await customer.page.wait_for_load_state()
    await ada.follow("Look again")
    await expect(ada.page.locator(".more")).to_contain_text("stopped by the customer")
    assert (await service.rows("SELECT state FROM account WHERE user_id = :u", u=anna.replace("-", ""))) == [
        ("active",)
    ]


async def test_a_change_is_declined_by_a_lead_and_the_clerk_reads_why(desk, service, anna):
    ada, lead = await asked(desk, anna), await desk("bob", "lead")
    await lead.follow("Approvals")
    await lead.page.get_by_role("combobox", name="Why", exact=True).select_option(index=1)
    await lead.press("Decline")
    await expect(lead.page.locator("main")).to_contain_text("Nothing is waiting.")
    await ada.follow("Look again")
    await expect(ada.page.locator(".more")).to_contain_text("by bob")
    assert await service.rows("SELECT stopped_at IS NOT NULL FROM pending_change") == [(True,)]
