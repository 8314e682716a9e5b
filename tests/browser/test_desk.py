"""The two stories of the desk, told to a good end in a real Chromium, with the pictures that the README keeps."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from identity_service.messages import heartbeat
from tests.console.given import PASSWORD, enrol, now_code

FOLDER = Path(__file__).parent.parent.parent / "docs" / "images"
SCREEN = {"width": 1280, "height": 800}
ANNA = "anna@example.org"


@pytest.fixture
async def desk(visit, service):
    """A desk in the support centre: somebody signs in by the pages and looks at a screen of 1280 × 800."""

    async def sit_down(name: str, role: str = "clerk"):
        clerk = await enrol(service, name, role)
        one = await visit()
        await one.page.set_viewport_size(SCREEN)
        await one.open("/console")
        await one.type("Name", name)
        await one.type("Password", PASSWORD)
        await one.type("One-time code, or a recovery code", now_code(service, clerk.seed))
        await one.press("Sign in")
        assert one.path == "/console"
        return one

    return sit_down


async def fits(one) -> None:
    """The page is on one screen: nothing to scroll, neither down nor aside."""
    assert await one.page.evaluate("document.documentElement.scrollHeight") <= SCREEN["height"]
    assert await one.overhang() <= 0


async def test_a_caller_without_an_id_gets_one_and_the_next_desk_knows_everything(desk, service):
    """The first story: he hears the promise, gives an address, has his ID in the same call, and starts from zero at no
    desk."""
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
    number = ada.path.rsplit("/", 1)[1]
    await bob.type("User ID as heard (? for what was not understood), address, reference, company", number)
    await bob.keys("Enter")
    await expect(bob.page.locator("main")).to_contain_text("router does not start, cable was changed")
    await expect(bob.page.locator("main")).to_contain_text("fears advertising")
    await bob.press("Pick up")
    await bob.type("Reason, which the customer can read", "router does not start")
    await bob.press("Open the account")
    await expect(bob.page.locator("h1")).to_have_text(user_id)
    await expect(bob.page.locator(".promise")).to_be_visible()
    assert await bob.barriers() == []
    await fits(bob)


async def test_a_reset_that_is_stuck_is_sent_by_the_other_relay_in_the_same_call(desk, service, roads, caller, anna):
    """The second story: the clerk sees why, sends it by the other, watches it being taken, and converts the account
    with 23 orders still there."""
    await orders(caller, anna)
    road = await roads()
    road.a.will("RCPT", "451 4.7.1 greylisted, try again in an hour")
    await caller.post("/v1/resets", {"email": ANNA})
    await road.turn()
    ada = await desk("ada")
    await ada.type("User ID as heard (? for what was not understood), address, reference, company", anna)
    await ada.keys("Enter")
    await ada.type("Reason, which the customer can read", "reset mail did not arrive")
    await ada.press("Open")
    letters = ada.page.locator(".letters")
    await expect(letters).to_contain_text("greylisted, try again in an hour")
    await expect(ada.page.locator(".glance")).to_contain_text("23 orders")
    await letters.locator("select").first.select_option("b")
    await letters.get_by_role("button", name="Send again").first.click()
    service.clock.advance(seconds=2)
    await road.turn()
    # Nobody presses anything: the page tells it by itself.
    await expect(letters.locator("summary").first).to_contain_text("accepted")
    await expect(letters).to_contain_text("b has accepted the email")
    await ada.press("Send a code")
    await road.turn()
    code = spoken(road)
    await ada.type("Six digits that the caller reads out", code)
    await ada.press("Check")
    await expect(ada.page.locator(".caller")).to_contain_text("Verified at")
    await expect(ada.page.locator(".head")).to_contain_text(ANNA)
    await fits(ada)
    FOLDER.mkdir(parents=True, exist_ok=True)
    await ada.page.screenshot(path=FOLDER / "desk.png", animations="disabled")
    await ada.type("Company", "Berg GmbH")
    await ada.page.get_by_role("combobox", name="Country", exact=True).select_option("DE")
    await ada.press("Convert to business")
    await expect(ada.page.locator(".head")).to_contain_text("business · Berg GmbH")
    await expect(ada.page.locator(".glance")).to_contain_text("23 orders")
    assert (await caller.get(f"/v1/accounts/{anna}")).json()["kind"] == "business"
    assert len(await service.rows("SELECT 1 FROM contact")) == 1
    assert await ada.barriers() == []
    await fits(ada)


async def test_the_operations_page_shows_how_everything_is_and_renews_itself(desk, service, roads, caller, anna):
    road = await roads()
    for n in range(6):
        await caller.post("/v1/accounts", {"email": f"c{n}@{'example.net' if n % 2 else 'example.org'}"})
        service.clock.advance(seconds=61)
        if n < 4:
            await road.turn()
    lead = await desk("bob", "lead")
    await lead.follow("Operations")
    await expect(lead.page.locator("main")).to_contain_text("nobody is sending")
    started_at = service.clock()
    await road.database.in_transaction(lambda session: heartbeat.beat(session, road.sender, started_at))
    # What a worker says of itself stands on the page without anybody's doing.
    await expect(lead.page.locator("main")).not_to_contain_text("nobody is sending")
    await expect(lead.page.locator("main")).to_contain_text("Healthy.")
    await expect(lead.page.locator("main")).to_contain_text("example.net")
    assert await lead.barriers() == []
    assert await lead.overhang() <= 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    await lead.page.screenshot(path=FOLDER / "operations.png", animations="disabled")
    shown = await lead.page.locator("h1 [data-live=time]").inner_text()
    service.clock.advance(seconds=5)
    await expect(lead.page.locator("h1 [data-live=time]")).not_to_have_text(shown)


async def test_what_somebody_types_and_opens_stays_while_the_page_renews_itself(desk, service, anna):
    """The parts that live are renewed; a form half filled in, and details that were opened, are left alone."""
    ada = await desk("ada")
    await ada.type("User ID as heard (? for what was not understood), address, reference, company", anna)
    await ada.keys("Enter")
    await ada.type("Reason, which the customer can read", "wants to close the account")
    await ada.press("Open")
    await ada.page.get_by_text("Request a change").click()
    await ada.type("Reason, if the customer has lost the mailbox", "half a sente")
    talking = ada.page.locator("time[data-seconds]").first
    shown = await talking.inner_text()
    await ada.page.evaluate("document.querySelector('[data-live=letters]').dataset.old = 'yes'")
    await service.deliver()
    async with ada.page.expect_response(lambda answer: "/console/accounts/" in answer.url):
        pass
    await expect(ada.page.get_by_label("Reason, if the customer has lost the mailbox")).to_have_value("half a sente")
    await expect(talking).not_to_have_text(shown)
    await fits(ada)


async def orders(caller, user_id: str) -> None:
    entries = [
        {"reference": f"o{n}", "kind": "order", "occurred_at": f"{2009 + n % 16}-03-01T10:00:00Z", "amount": "618.70",
         "currency": "EUR"} for n in range(23)
    ]  # fmt: skip
    added = await caller.post(f"/v1/accounts/{user_id}/history", {"entries": entries})
    assert added.status_code == 201, added.text


def spoken(road) -> str:
    """What the caller reads out of the letter that relay a or b has taken."""
    raw = next(raw for relay in (road.a, road.b) for _, _, raw in relay.mails if b"call" in raw)
    return re.search(rb"(\d{3}) (\d{3})", raw.partition(b"\r\n\r\n")[2])[0].decode()
