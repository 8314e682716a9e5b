"""The link and the code: what opening does (nothing), what spends them (one POST, once), and when they are dead."""

import asyncio
import re

import pytest

from tests.accounts.given import an_account, sql
from tests.browser import PAGE
from tests.resets.given import (
    ANNA,
    GOOD,
    OTHER,
    a_browser,
    a_password,
    a_reset,
    ask,
    choose,
    code_in,
    everything,
    link_in,
    sign_in,
    type_code,
)

PREFETCH = {**PAGE, "Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch", "X-Moz": "prefetch"}


async def dead(answer, browser) -> None:
    assert answer.status_code == 410
    assert re.search("doesn't work|Your password is set|after the # is missing", browser.text)


async def test_looking_a_thousand_times_changes_no_row_and_the_link_works(service, caller, owner):
    """RST-01, ATT-09, ASVS 3.5.3, 7.6.2: GET, HEAD, OPTIONS, prefetch; no session is set by looking."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    before = await everything(service, owner)
    http = reset.browser.http
    for number in range(1000):
        method = ("GET", "HEAD", "OPTIONS")[number % 3]
        path = ("/reset/choose", reset.watch, f"{reset.watch}/code", "/reset")[number % 4]
        answer = await http.request(method, path, headers=PREFETCH if number % 5 else PAGE)
        assert answer.status_code < 500
        assert "__Host-session" not in answer.headers.get("set-cookie", "")
    assert await everything(service, owner) == before
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_a_robot_that_presses_every_button_spends_nothing(service, caller):
    """RST-02: it sends each form as it finds it; a password that nobody typed is none."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    robot = a_browser(service, "192.0.2.50")
    for page in ("/reset/choose", reset.watch, f"{reset.watch}/code"):
        await robot.open(page)
        for action, fields in (
            ("/reset/choose", {"link": reset.link, "password": ""}),
            ("/reset/opened", {"link": reset.link}),
            (f"{reset.watch}/code", {"code": "", "password": ""}),
        ):
            await robot.open("/reset/choose")
            await robot.send(action, **fields)
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_the_page_of_the_link_is_the_same_for_everybody(service, caller):
    """RST-01, RST-03: it knows no secret; a small script of ours moves the fragment into the form."""
    one, two = a_browser(service), a_browser(service, "192.0.2.1")
    pages = [(await browser.open("/reset/choose")).text for browser in (one, two)]
    token = 'name="form_token" value="'
    assert pages[0].split(token)[0] == pages[1].split(token)[0]
    assert '<input type="hidden" name="link" value="">' in pages[0]
    script = await one.http.get("/static/link.js")
    assert len(script.content) <= 1024
    assert "history.replaceState" in script.text


async def test_the_link_works_once_and_then_reads_like_any_that_is_dead(service, caller):
    """RST-09, RST-14, ATT-07, ATT-17: expired, unknown, malformed: the same bytes; who has a used one is told when."""
    await an_account(caller, email=ANNA)
    used = await a_reset(service)
    await choose(used.browser, used.link)
    service.clock.advance(seconds=1)
    expired = await a_reset(service)
    service.clock.advance(minutes=31)
    unknown = f"v1.{'A' * 22}.{'B' * 43}"
    browser, pages = a_browser(service, "192.0.2.8"), set()
    await dead(await choose(browser, used.link), browser)
    assert "The password you saved first (" in browser.text
    wrong = [
        expired.link,
        unknown,
        "v1",
        "v2" + used.link[2:],
        used.link[:-1],
        used.link + "A",
        "é.ü.ß",
        "9" * 12_000,
        used.link.replace(".", ".."),
        "v1.." + used.link.split(".")[2],
    ]
    for link in wrong:
        answer = await choose(browser, link)
        await dead(answer, browser)
        pages.add(answer.text)
    assert len(pages) == 1
    # A link without its secret names no account, so its page may say what is missing.
    assert (await choose(browser, "")).status_code == 410
    assert "The part of the link after the # is missing" in browser.text


EDGES = [
    # handed over after, used after (from the ask), link works, code works
    (0, 1799, True, False),
    (0, 1801, False, False),
    (0, 599, True, True),
    (0, 601, True, False),
    (89 * 60, 89 * 60 + 1799, True, False),
    (89 * 60, 7199, False, False),
    (89 * 60, 89 * 60 + 599, True, True),
]


@pytest.mark.parametrize(("handed", "used", "link_works", "code_works"), EDGES)
async def test_link_and_code_end_at_their_second(service, caller, handed, used, link_works, code_works):
    """RST-07, REC-01, ASVS 6.5.5: thirty and ten minutes from hand-over."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    watch = await ask(browser)
    service.clock.advance(seconds=handed)
    await service.deliver()
    letter = service.letter(ANNA, "Reset your password")
    service.clock.advance(seconds=used - handed)
    by_code = await type_code(browser, watch, code_in(letter))
    assert (by_code.url.path == "/reset/done") is code_works, browser.text
    if not code_works:
        assert (await choose(browser, link_in(letter))).status_code == (200 if link_works else 410)


async def test_no_link_outlives_two_hours_from_its_ask(service, caller, owner):
    """RST-07: whenever it was handed over."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    service.clock.advance(seconds=7199)
    await sql(owner, "UPDATE message SET accepted_at = :late WHERE kind = 'reset'", late=service.clock.now)
    assert (await choose(reset.browser, reset.link, "short")).status_code == 422
    service.clock.advance(seconds=1)
    await dead(await choose(reset.browser, reset.link), reset.browser)


STATES = [("sending", True), ("deferred", True), ("unconfirmed", True), ("cancelled", False)]
PUT = """
    UPDATE message SET state = '{state}', accepted_at = NULL, possibly_sent = true,
    lease_token = CASE '{state}' WHEN 'sending' THEN gen_random_uuid() END,
    lease_until = CASE '{state}' WHEN 'sending' THEN now() END,
    next_attempt_at = CASE '{state}' WHEN 'deferred' THEN now() END WHERE kind = 'reset'
"""


@pytest.mark.parametrize(("state", "works"), STATES)
async def test_a_link_is_good_before_the_250_is_recorded(service, caller, owner, state, works):
    """RST-07: who has the letter may use it, unless it was called back."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await sql(owner, "ALTER TABLE message DISABLE TRIGGER ALL")
    try:
        await sql(owner, PUT.format(state=state))
        answer = await choose(reset.browser, reset.link)
        assert (answer.url.path == "/reset/done") is works, reset.browser.text
    finally:
        await sql(owner, "ALTER TABLE message ENABLE TRIGGER ALL")


async def test_a_new_ask_kills_no_link_and_a_used_one_kills_them_all(service, caller):
    """RST-08, RST-09, ATT-18: both work until one is used, then neither, nor any code."""
    await an_account(caller, email=ANNA)
    first = await a_reset(service)
    second = await a_reset(service, source="192.0.2.2")
    assert first.link != second.link
    assert (await choose(first.browser, first.link, "short")).status_code == 422
    assert (await choose(second.browser, second.link)).url.path == "/reset/done"
    await dead(await choose(first.browser, first.link, OTHER), first.browser)
    await dead(await type_code(first.browser, first.watch, first.code, OTHER), first.browser)


@pytest.mark.parametrize(
    "weak", ["", "short", "password password", "a" * 257, "anna@example.org", "qwertyuiopasdfghjkl"]
)
async def test_a_weak_password_spends_neither_link_nor_code_nor_a_try(service, caller, weak):
    """RST-13: the reason is said, and then it works."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    for _ in range(6):
        refused = await type_code(reset.browser, reset.watch, reset.code, weak)
        assert refused.status_code == 422
        assert (await choose(reset.browser, reset.link, weak)).status_code == 422
    assert not re.search(r'<input id="password"[^>]* value=', refused.text)
    assert await service.rows("SELECT code_attempts FROM one_time_token") == [(0,)]
    assert (await type_code(reset.browser, reset.watch, reset.code)).url.path == "/reset/done"


async def test_the_customers_own_name_is_refused_on_both_roads(service, caller):
    """PWD-04: and behind a wrong code nothing is said of it."""
    await an_account(caller, email=ANNA, display_name="Annegret Kaltenbrunner")
    reset = await a_reset(service)
    named = "Kaltenbrunner 2026!"
    for answer in (
        await choose(reset.browser, reset.link, named),
        await type_code(reset.browser, reset.watch, reset.code, named),
    ):
        assert answer.status_code == 422
        assert "made from your name or email address" in answer.text
    wrong = await type_code(reset.browser, reset.watch, "00000-00000", named)
    assert "That code isn't right" in reset.browser.text, wrong.text


async def test_the_account_comes_from_the_reset_alone(service, caller):
    """ATT-06: own link with the victim's address, ID or handle in the form: refused, nobody's password is set.

    What stands in the address of the page is ignored, as everything that newsletters and scanners append."""
    victim = await an_account(caller, email="vera@example.org")
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    for field in ("email", "user_id", "account", "handle", "reset_id", "return_url"):
        await reset.browser.open("/reset/choose")
        answer = await reset.browser.send("/reset/choose", link=reset.link, password=GOOD, **{field: victim})
        assert answer.status_code == 422
    opened = await reset.browser.http.get("/reset/choose?user_id=" + victim)
    assert (opened.status_code, victim in opened.text) == (200, False)
    assert await service.rows("SELECT count(*) FROM password") == [(0,)]


async def test_a_link_opened_in_somebody_elses_session_is_the_letters(service, caller):
    """ATT-09: A's link in B's browser sets A's password."""
    await a_password(service, caller, "berta@example.org", OTHER)
    user_id = await an_account(caller, email=ANNA)
    berta = a_browser(service, "192.0.2.3")
    await sign_in(berta, "berta@example.org", OTHER)
    reset = await a_reset(service)
    assert (await choose(berta, reset.link)).url.path == "/reset/done"
    checked = await caller.post("/v1/password-checks", {"user_id": user_id, "password": GOOD})
    assert checked.json()["result"] == "match"


async def test_fifty_uses_in_one_process_are_one(service, caller):
    """ATT-08: the other kind, of four processes, stands with what comes together."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    browsers = [a_browser(service, f"192.0.2.{n}") for n in range(10)]
    for browser in browsers:
        await browser.open("/reset/choose")
    answers = await asyncio.gather(*(b.send("/reset/choose", link=reset.link, password=GOOD) for b in browsers))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 9


async def test_a_link_that_came_without_its_secret_takes_the_code(service, caller):
    """Case 14: mail programs cut the fragment off; and a reset that a desk asked for has no other page for its code."""
    user_id = await an_account(caller, email=ANNA)
    assert (await caller.post("/v1/resets", {"user_id": user_id})).status_code == 202
    await service.deliver()
    letter = service.letter(ANNA, "Reset your password")
    path = re.search(r"https://id\.example\.com(/reset/choose/\S+?)#", letter["text"])[1]
    code = code_in(letter)
    browser = a_browser(service, "192.0.2.7")
    for link, typed, status, words in (
        ("", "", 410, "The part of the link after the # is missing"),
        ("", "00000-00000", 422, "For: anna@example.org"),
        ("", "00000-00000", 422, "That code isn't right"),
        ("%23" + link_in(letter)[:20], "", 410, "This link or code doesn't work"),
        ("", f" {code.lower()} ", 200, "Your password is set"),
    ):
        await browser.open(path)
        answer = await browser.send(path, link=link, code=typed, password=GOOD)
        assert (answer.status_code, words in browser.text) == (status, True), (typed, browser.text)
        if status == 422:
            assert 'value="00000-00000" aria-invalid="true"' in answer.text
    await browser.open(path)
    assert "This link was used to set your password: " in browser.text
    await browser.open("/signin")
    await browser.send(path, link="", code=code, password=OTHER)
    assert "The one you just typed was not saved." in browser.text
    assert 'name="password"' not in browser.page.text
    stranger = a_browser(service, "192.0.2.8")
    await stranger.open("/reset/choose/unknown")
    assert "This link doesn't work" in stranger.text
    assert 'name="password"' not in stranger.page.text
    assert (await stranger.send("/reset/choose/unknown", link="", code=code, password=GOOD)).status_code == 410


async def test_codes_behind_a_mailed_handle_are_limited(service, caller):
    """RST-06: five attempts, which nobody who has not read the message can use up; the link still works."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    path = f"/reset/choose/{reset.link.split('.')[1]}"
    browser = a_browser(service, "192.0.2.7")
    statuses = []
    for code in (*["00000-00000"] * 5, reset.code):
        await browser.open(path)
        statuses.append((await browser.send(path, link="", code=code, password=GOOD)).status_code)
    assert statuses == [422] * 5 + [410]
    await browser.open(path)
    assert (await browser.send(path, link=reset.link, code="", password=GOOD)).url.path == "/reset/done"
