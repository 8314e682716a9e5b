"""The pictures of the README, taken from the running service on a phone-sized screen: `make pictures`.

The clock stands at a fixed moment, so that a new picture differs from the old one in the User ID, the reference and
what was changed on the page.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import expect

FOLDER = Path(__file__).parent.parent.parent / "docs" / "images"
MOMENT = datetime(2026, 11, 25, 12, 3, 4, tzinfo=UTC)


@pytest.fixture
def clock(clock):
    clock.now = MOMENT
    return clock


async def test_take_the_card(visit):
    one = await visit(phone=True)
    await one.open("/")
    await one.type("Email address", "anna@example.org")
    await one.press("Get my User ID")
    await keep(one, ".card", until=".promise", name="card")


async def test_take_the_watch_page(visit, roads):
    road = await roads()
    road.a.will("connect", "421 4.3.2 too busy, come back later")
    road.use(road.relay("mail-1", road.a), road.relay("mail-2", road.b))
    one = await visit(phone=True)
    await one.open("/reset")
    await one.type("Email address", "anna@example.org")
    await one.press("Send the email")
    road.service.clock.advance(seconds=2)
    await road.turn()
    await expect(one.page.locator("[data-state=accepted]")).to_be_visible()
    await keep(one, "h1", until=".letter", name="watch")


async def keep(one, first: str, *, until: str, name: str) -> None:
    """Keep the strip of the page from one element to the end of another, with some air around it."""
    top = await one.page.locator(first).first.bounding_box()
    end = await one.page.locator(until).first.bounding_box()
    FOLDER.mkdir(parents=True, exist_ok=True)
    strip = {"x": 0, "y": top["y"] - 16, "width": 360, "height": end["y"] + end["height"] - top["y"] + 32}
    await one.page.screenshot(path=FOLDER / f"{name}.png", clip=strip, full_page=True, animations="disabled")
