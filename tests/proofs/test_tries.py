"""A code is counted before it is compared: five per tracking page, and 200 per address and hour, whatever is tried."""

import asyncio

from tests.accounts.given import an_account
from tests.resets.given import ANNA, a_browser, a_reset, alike, ask, choose, forget_limits, same, told, type_code

WRONG = "00000-00000"


async def test_five_wrong_codes_are_the_most_from_wherever_they_come(service, caller):
    """RST-06, REC-01, ATT-11: from six networks; then the right one is refused too, and the link goes on working."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    for number in range(5):
        answer = await type_code(a_browser(service, f"192.0.2.{number}"), reset.watch, WRONG)
        assert answer.status_code == 422
    refused = await type_code(a_browser(service, "203.0.113.1"), reset.watch, reset.code)
    assert refused.status_code == 410
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_attempts_at_one_page_leave_those_of_another(service, caller):
    """ATT-11, R08: whoever asked for a message can use up the attempts of the own page, not those of its owner."""
    await an_account(caller, email=ANNA)
    first = await a_reset(service)
    for _ in range(5):
        await type_code(first.browser, first.watch, WRONG)
    second = await a_reset(service, source="192.0.2.9")
    await forget_limits(service)
    assert (await type_code(first.browser, first.watch, first.code)).status_code == 410
    assert (await type_code(second.browser, second.watch, second.code)).url.path == "/reset/done"


async def test_parallel_tries_are_counted_each(service, caller):
    """ATT-11, ATT-58: twenty at once are compared five times at most."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    browsers = [a_browser(service, f"192.0.2.{number}") for number in range(20)]
    for browser in browsers:
        await browser.open(f"{reset.watch}/code")
    answers = await asyncio.gather(
        *(b.send(f"{reset.watch}/code", code=WRONG, password="violet teapot argues with gravity") for b in browsers)
    )
    seen = sorted(answer.status_code for answer in answers)
    assert seen.count(422) == 5
    assert set(seen) == {410, 422}
    assert await service.rows("SELECT code_attempts FROM tracking_link") == [(5,)]


async def test_other_spellings_of_the_route_do_not_count_apart(service, caller):
    """ATT-58: case, doubled slash, other methods: there is no such route; with a trailing slash it is the same page."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await reset.browser.open(f"{reset.watch}/code")
    for path in (
        f"{reset.watch}/CODE",
        f"/{reset.watch}/code",
        f"{reset.watch}//code",
        f"{reset.watch}/code;x",
    ):
        page = reset.browser.page
        answer = await reset.browser.send(path, code=reset.code, password="violet teapot argues with gravity")
        assert answer.status_code in (404, 405), path
        reset.browser.page = page
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await reset.browser.http.request(method, f"{reset.watch}/code")).status_code == 405
    page = reset.browser.page
    for path in (f"{reset.watch}/code", f"{reset.watch}/code/") * 3:
        reset.browser.page = page
        answer = await reset.browser.send(path, code=WRONG, password="violet teapot argues with gravity")
    assert answer.status_code == 410
    assert await service.rows("SELECT code_attempts FROM tracking_link") == [(5,)]


async def test_a_code_for_an_unknown_address_costs_and_reads_the_same(service, caller):
    """RST-14: statements, bytes and headers, until the tries are used up and beyond."""
    await an_account(caller, email=ANNA)
    found = {}
    for number, (name, address) in enumerate({"known": ANNA, "unknown": "adam@example.org"}.items()):
        browser = a_browser(service, f"192.0.2.{number}")
        watch = await ask(browser, address)
        await service.deliver()
        await browser.open(f"{watch}/code")
        form = browser.page
        seen = {"bytes": [], "statements": [], "status": []}
        for _ in range(7):
            browser.page = form
            with told(service) as statements:
                answer = await browser.send(f"{watch}/code", code=WRONG, password="violet teapot argues with gravity")
            seen["bytes"].append(alike(answer.text))
            seen["statements"].append(statements)
            seen["status"].append(answer.status_code)
        found[name] = seen
    same(found, "status", "bytes", "statements")
    assert found["known"]["status"] == [422] * 5 + [410] * 2


async def test_a_code_at_another_asks_handle_is_refused_and_at_its_own_works_anywhere(service, caller):
    """RST-05, ASVS 6.6.2: bound to the tracking handle, not to a cookie."""
    await an_account(caller, email=ANNA)
    await an_account(caller, email="berta@example.org")
    mine, other = await a_reset(service), await a_reset(service, "berta@example.org", "192.0.2.4")
    assert (await type_code(mine.browser, mine.watch, other.code)).status_code == 422
    assert (await type_code(other.browser, other.watch, mine.code)).status_code == 422
    elsewhere = a_browser(service, "203.0.113.9")
    assert (await type_code(elsewhere, mine.watch, mine.code)).url.path == "/reset/done"
    assert (await type_code(elsewhere, mine.watch, mine.code)).status_code == 410


async def test_a_joined_asks_code_is_the_letters(service, caller):
    """RST-08: each follower types the one code at his own handle; once."""
    await an_account(caller, email=ANNA)
    other = a_browser(service, "192.0.2.5")
    watch = await ask(other)
    reset = await a_reset(service)
    assert watch != reset.watch
    assert (await type_code(other, watch, reset.code)).url.path == "/reset/done"
    assert (await type_code(reset.browser, reset.watch, reset.code)).status_code == 410


async def test_a_handle_ends_after_seven_days_and_reads_like_none(service, caller):
    """RST-15: unknown and ended: the same 404."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    service.clock.advance(days=7, seconds=-1)
    assert (await reset.browser.open(reset.watch)).status_code == 200
    service.clock.advance(seconds=1)
    ended = await reset.browser.open(reset.watch)
    never = f"/reset/{'A' * 24}"
    unknown = await reset.browser.open(never)
    assert ended.status_code == unknown.status_code == 404
    assert ended.text.replace(reset.watch, never) == unknown.text
