"""One link, one code, one ask: fifty at the same moment, at four processes with connections of their own."""

import itertools

import pytest

from tests.accounts.given import an_account
from tests.browser import PAGE, Browser
from tests.conftest import BASE
from tests.resets.given import ANNA, a_reset
from tests.together.given import at_once, several

PASSWORDS = [f"violet teapot number {n} argues" for n in range(50)]


async def browsers(callers, path: str, count: int = 50) -> list[Browser]:
    """As many browsers, spread over the processes, each with the page in front of it."""
    found = []
    for number, caller in zip(range(count), itertools.cycle(callers), strict=False):
        browser = Browser(caller.http._transport.app, BASE, source=f"192.0.2.{number}")
        await browser.open(path)
        found.append(browser)
    return found


async def check_one(service, caller, answers) -> None:
    """Exactly one was taken, and its password is the one that works."""
    assert [answer.status_code for answer in answers].count(410) == 49
    (winner,) = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert answers[winner].url.path == "/reset/done"
    results = {}
    for number in (winner, (winner + 1) % 50, (winner + 25) % 50):
        checked = await caller.post("/v1/password-checks", {"email": ANNA, "password": PASSWORDS[number]})
        results[number] = checked.json()["result"]
    assert results.pop(winner) == "match"
    assert set(results.values()) == {"no_match"}
    assert await service.rows("SELECT count(*) FROM one_time_token WHERE used_at IS NOT NULL") == [(1,)]
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'reset.used'") == [(1,)]
    assert await service.rows("SELECT count(*) FROM message WHERE kind = 'password_changed'") == [(1,)]


async def test_fifty_uses_of_one_link_are_one(service, caller):
    """ATT-08, RST-09, REL-21, ASVS 2.3.4, 15.4.2: fifty different passwords, one success, and that password works."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with several(service, caller) as callers:
        them = await browsers(callers, "/reset/choose")
        sent = [b.send("/reset/choose", link=reset.link, password=p) for b, p in zip(them, PASSWORDS, strict=True)]
        answers = await at_once(sent)
    await check_one(service, caller, answers)


async def test_two_links_of_one_account_at_once_are_one_reset(service, caller):
    """RST-08, RST-09: both live until one is used; then neither."""
    await an_account(caller, email=ANNA)
    one, two = await a_reset(service), await a_reset(service, source="198.51.100.10")
    async with several(service, caller) as callers:
        them = await browsers(callers, "/reset/choose")
        links = itertools.cycle((one.link, two.link))
        sent = [b.send("/reset/choose", link=next(links), password=p) for b, p in zip(them, PASSWORDS, strict=True)]
        answers = await at_once(sent)
    await check_one(service, caller, answers)


async def test_one_code_typed_in_four_processes_works_once(service, caller):
    """ATT-08, ATT-11: of twenty, at most five are compared, and one of those sets the password."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with several(service, caller) as callers:
        them = await browsers(callers, f"{reset.watch}/code", 20)
        sent = [
            b.send(f"{reset.watch}/code", code=reset.code, password=p) for b, p in zip(them, PASSWORDS, strict=False)
        ]
        seen = sorted(answer.status_code for answer in await at_once(sent))
    assert seen.count(200) == 1
    assert seen.count(410) == 19
    ((attempts,),) = await service.rows("SELECT code_attempts FROM tracking_link")
    assert 1 <= attempts <= 5


@pytest.mark.parametrize("address", [ANNA, "nobody@example.org"])
async def test_asks_at_once_are_one_letter(service, caller, address):
    """RST-08, ATT-18: for a known address and for an unknown one; each asker has a handle of his own."""
    await an_account(caller, email=ANNA)
    await service.deliver()
    async with several(service, caller) as callers:
        them = await browsers(callers, "/reset", 20)
        answers = await at_once(b.send("/reset", email=address) for b in them)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.url.path for answer in answers}) == 20
    await service.deliver()
    subjects = [letter["subject"] for letter in service.mailbox.letters(address)]
    assert subjects.count("Reset your password") == 1
    assert await service.rows("SELECT count(*) FROM one_time_token") == [(1,)]
    assert PAGE["Sec-Fetch-Site"] == "same-origin"
