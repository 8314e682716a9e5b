"""For every fault case: the page in Chromium, the API and the relays' own transcripts tell one and the same.

Each is played twice, for an address with an account and for one without. Both pages must show, live and after a
reload, every row of the message with its time, the sentence the API has for it and the relay's words; and both must
show the same.
"""

import inspect
import re

import pytest
from playwright.async_api import expect

from identity_service.one_time_tokens import tracking
from tests.browser.cases import CASES
from tests.browser.visitor import Visitor
from tests.faults.conftest import Road

KNOWN, UNKNOWN = "anna@example.org", "alfa@example.org"
LINES = """items => items.map(item => [
  item.querySelector("time").textContent, item.querySelector("span").textContent,
  item.querySelector("q") ? item.querySelector("q").textContent : null])"""


@pytest.mark.parametrize("name", CASES)
async def test_page_api_and_transcript_tell_the_same(visit, roads, certificate, anna: str, name: str):
    """RST-15, REL-16, ATT-22."""
    told = [await play(await visit(), await roads(), CASES[name], to, certificate) for to in (KNOWN, UNKNOWN)]
    assert told[0] == told[1]


async def play(one: Visitor, road: Road, case, to: str, certificate) -> str:
    """Play a case for one address; return what its page says, without what differs by nature."""

    async def ask() -> None:
        await one.open("/reset")
        await one.type("Email address", to)
        await one.press("Send the email")
        kind = "reset" if to == KNOWN else "no_account"
        ((road.id,),) = await road.service.rows("SELECT id FROM message WHERE kind = :kind", kind=kind)
        for acts in road.a.script.values():
            for place, act in enumerate(acts):
                acts[place] = act.replace("{to}", to)

    further = {"certificate": certificate} if "certificate" in inspect.signature(case).parameters else {}
    state = await case(road, ask, **further)
    message = await road.message()
    assert message["state"] == state
    await expect(one.page.locator(f"[data-state={state}]")).to_be_visible()
    await expect(one.page.locator(".timeline li")).to_have_count(len(message["timeline"]))
    live = await lines(one)
    await one.page.reload()
    assert await lines(one) == live == [shown(entry, to) for entry in message["timeline"]]
    # The page names the next try by its minute.
    sentence = re.sub(r"(\d\d:\d\d):\d\d UTC", r"\1 UTC", message["sentence"])
    headline = tracking._HEADLINES.get(state)
    assert await one.page.locator(".state").inner_text() == (headline or sentence)
    check_transcript(road, message, to)
    await one.page.get_by_text("Technical details").click()
    reference = await one.page.locator(".reference").inner_text()
    # Who typed the address reads it whole.
    text = (await one.text()).replace(reference, "…").replace(to, "…")
    return re.sub(r"\d\d:\d\d(:\d\d)?", "…", text)


async def lines(one: Visitor) -> list[list[str | None]]:
    return await one.page.locator(".timeline li").evaluate_all(LINES)


def shown(entry: dict, to: str) -> list[str | None]:
    """What the page must show of an entry of the API: nobody's address but a hint of one's own."""
    reply = entry["reply"]
    if reply is not None:
        reply = reply.replace(to, f"{to[0]}…@example.org").replace("postmaster@faulty.example", "…@…")
    return [entry["occurred_at"][11:19], entry["sentence"], reply]


def check_transcript(road: Road, message: dict, to: str) -> None:
    """Every reply with a code stands in a relay's transcript, and a letter that was taken lies at a relay."""
    said = road.a.said + road.b.said
    for entry in message["timeline"]:
        if entry["code"] is not None and entry["attempt"] is not None:
            first, *further = entry["reply"].split("\n")
            assert f"{entry['code']} {first}" in said
            assert all(any(line in spoken for spoken in said) for line in further)
    if message["state"] == "accepted":
        assert to in [recipient for _, recipient, _ in road.a.mails + road.b.mails]
