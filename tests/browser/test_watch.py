"""The letter's way on the screen: live, without scripts, and word for word what the mail servers said."""

import asyncio
import re

from playwright.async_api import expect

from tests.faults.relay import HANG


async def ask(one, to: str = "anna@example.org") -> None:
    await one.open("/reset")
    await one.type("Email address", to)
    await one.press("Send the email")


async def test_one_relay_refuses_and_the_other_takes_it_live(visit, roads, service, anna: str):
    """The page says each step when it happens, and ends with the reply of the relay that took the letter."""
    road = await roads()
    road.a.will("RCPT", "554 5.7.1 relay access denied")
    one = await visit(phone=True)
    await ask(one)
    address = one.page.url
    await one.page.get_by_text("Technical details").click()
    lines = one.page.locator(".timeline li:visible")
    await expect(lines).to_have_count(1)
    running = asyncio.create_task(road.sender.run())
    await expect(lines).to_have_count(3)
    road.sender.stop()
    await running
    await expect(lines.nth(1)).to_contain_text("a blocked the email under its own rules.")
    await expect(lines.nth(1)).to_have_class("bad")
    await expect(lines.nth(1).locator("q")).to_have_text("5.7.1 relay access denied")
    await expect(lines.nth(2)).to_contain_text("b has accepted the email.")
    await expect(lines.nth(2).locator("q")).to_have_text("2.0.0 ok: queued as 4F2A")
    await expect(one.page.locator(".state")).to_have_text("We've sent the email.")
    assert one.page.url == address
    assert await one.overhang() <= 0


async def test_a_waiting_letter_is_sent_by_another_route(visit, roads, service, anna: str):
    """The button goes with the state, live: it is there while the letter waits, and gone when it was taken."""
    road = await roads()
    one = await visit()
    await ask(one)
    button = one.page.get_by_role("button", name="Send it again another way")
    await expect(button).to_be_visible()
    road.a.will("connect", HANG)
    await button.click()
    await road.turn()
    await expect(one.page.locator("[data-state=accepted]")).to_be_visible()
    await expect(button).to_be_hidden()
    assert road.a.connections == 0
    assert len(road.b.mails) == 1


async def test_the_page_renews_itself_without_scripts(visit, service, anna: str):
    one = await visit(scripts=False)
    await ask(one)
    assert "The email is waiting to be sent." in await one.text()
    await service.deliver()
    await expect(one.page.locator("[data-state=accepted]")).to_be_visible()
    await expect(one.page.locator(".timeline li").last).to_contain_text("first has accepted the email.")


async def test_a_stranger_sees_neither_opened_nor_used(visit, service, letters, anna: str):
    """RST-15: two people ask, one with an account; when she has used her link, their pages still tell the same."""
    pages = []
    for to in ("anna@example.org", "alfa@example.org"):
        one = await visit()
        await ask(one, to)
        pages.append(one)
    await service.deliver()
    herself = await visit()
    await herself.open(letters.link("anna@example.org", "Reset your password"))
    await herself.type("New password", "violet teapot argues with gravity")
    await herself.press("Save password")
    assert herself.path == "/reset/done"
    told = []
    for one in pages:
        await one.page.reload()
        await one.page.get_by_text("Technical details").click()
        reference = await one.page.locator(".reference").inner_text()
        said = re.sub(r"queued as \w+|a\w+@example", "…", (await one.text()).replace(reference, "…"))
        told.append(said)
    assert told[0] == told[1]
