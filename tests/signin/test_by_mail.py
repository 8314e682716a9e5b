"""Signing in by a mailed code: below AAL1, so it can be switched off; the same for every address there is."""

import asyncio
import re

import pytest

from tests.accounts.given import an_account, close
from tests.resets.given import (
    ANNA,
    a_browser,
    a_password,
    alike,
    forget_limits,
    misbehave,
    of_every_state,
    rows_of,
    same,
    told,
)

CODE = re.compile(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", re.M)
WRONG = "00000-00000"


async def asked(service, address=ANNA, source="192.0.2.1"):
    """A browser that asked for a code, its page, and the code."""
    browser = a_browser(service, source)
    await browser.open("/signin")
    page = await browser.send("/signin/code", email=address)
    assert page.status_code == 200, browser.text
    await service.deliver()
    return browser, page.url.path, CODE.search(service.letter(address, "Your sign-in code")["text"])[1]


async def typed(browser, path, code):
    await browser.open(path)
    return await browser.send(path, code=code)


async def test_an_account_of_an_address_alone_signs_in_by_mail_and_the_session_says_so(service, caller):
    """REC-08: the mailbox is proven by it, too."""
    user_id = await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    assert (await typed(browser, path, code.lower().replace("-", " "))).url.path == "/me", browser.text
    assert user_id in browser.text
    assert await service.rows("SELECT method FROM sign_in_session") == [("mail",)]
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["email_state"] == "confirmed"


async def test_a_code_signs_in_once(service, caller):
    """ASVS 6.5.1, ATT-07, ATT-08, ATT-16: from whichever browser, when five come at once. The mailbox was proven
    before, so nothing but the one UPDATE that uses it up stands between them."""
    await a_password(service, caller)
    await forget_limits(service)
    _, path, code = await asked(service)
    browsers = [a_browser(service, f"192.0.2.{n}") for n in range(5)]
    for browser in browsers:
        await browser.open(path)
    answers = await asyncio.gather(*(browser.send(path, code=code) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 4
    assert await service.rows("SELECT count(*) FROM sign_in_session") == [(1,)]


@pytest.mark.parametrize(("seconds", "works"), [(599, True), (601, False)])
async def test_a_code_ends_after_ten_minutes(service, caller, seconds, works):
    """RST-07, ASVS 6.5.5: 9:59 and 10:01."""
    await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    service.clock.advance(seconds=seconds)
    assert ((await typed(browser, path, code)).url.path == "/me") is works


async def test_five_wrong_codes_are_the_most(service, caller):
    """RST-06, ATT-11: on one page; whoever asks again gets a page with attempts of its own."""
    await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    for _ in range(5):
        assert (await typed(browser, path, WRONG)).status_code == 422
    assert (await typed(browser, path, code)).status_code == 410
    assert await service.rows("SELECT count(*) FROM sign_in_session") == [(0,)]
    _, again, new = await asked(service, source="192.0.2.9")
    assert (await typed(browser, again, new)).url.path == "/me"


@pytest.mark.parametrize("times", [1, 7])
async def test_every_address_gets_the_same_answer_rows_and_statements(service, caller, owner, times):
    """ATT-20, ATT-21, ATT-23, REC-06: within the limit of an address and beyond."""
    found = {}
    for number, (state, address) in enumerate((await of_every_state(service, caller, owner)).items()):
        browser = a_browser(service, f"192.0.2.{number}")
        before = await rows_of(service)
        with told(service) as statements:
            for _ in range(times):
                await browser.open("/signin")
                page = await browser.send("/signin/code", email=address)
        after = await rows_of(service)
        headers = {name: value for name, value in page.headers.items() if name != "x-request-id"}
        found[state] = {
            "bytes": alike(page.text),
            "headers": headers,
            "statements": statements,
            "path": page.url.path,
            "browser": browser,
            "added": {name: after[name] - before[name] for name in after if after[name] != before[name]},
        }
    same(found, "bytes", "headers", "statements", "added")
    misbehave(service, phase="rcpt", reply="550 5.1.1 no such user")
    await service.deliver()
    for one in found.values():
        one["bytes"] = alike((await one["browser"].open(one["path"])).text)
    same(found, "bytes")
    for one in found.values():
        one["browser"].page = await one["browser"].open(one["path"])
        with told(service) as one["statements"]:
            one["bytes"] = alike((await one["browser"].send(one["path"], code=WRONG)).text)
    same(found, "bytes", "statements")


async def test_letters_to_known_and_unknown_addresses_are_like_in_build(service, caller):
    """ATT-21."""
    await an_account(caller, email=ANNA)
    await asked(service)
    browser = a_browser(service)
    await browser.open("/signin")
    await browser.send("/signin/code", email="adam@example.org")
    await service.deliver()
    known, unknown = (service.letter(a, "Your sign-in code") for a in (ANNA, "adam@example.org"))
    assert known["headers"].keys() == unknown["headers"].keys()
    assert known["text"].count("https://") == unknown["text"].count("https://") == 1
    assert 0.6 < len(known["html"]) / len(unknown["html"]) < 1.7
    assert CODE.search(unknown["text"]) is None


@pytest.fixture
def off(service):
    """Signing in by mail is switched off from now on."""

    def switch() -> None:
        settings = service.database.settings.model_copy(update={"sign_in_by_mail": False})
        service.database.settings = settings

    return switch


async def test_switched_off_no_road_leads_in_by_mail(service, caller, off):
    """REC-08, ASVS 6.3.6: nothing is mailed, and a code that is out already opens nothing."""
    await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    await browser.open(path)
    form = browser.page
    off()
    assert (await browser.send(path, code=code)).status_code == 403
    before = await rows_of(service)
    browser.page = form
    assert (await browser.send("/signin/code", email=ANNA)).status_code == 403
    after = await rows_of(service)
    assert before["message"] == after["message"]
    assert before["one_time_token"] == after["one_time_token"]
    for page in (
        await browser.open("/signin"),
        await browser.send("/signin", email=ANNA, password="not the right one"),
    ):
        assert "/signin/code" not in page.text
    assert await service.rows("SELECT count(*) FROM sign_in_session") == [(0,)]


async def test_a_closed_account_has_no_code_that_works(service, caller, owner):
    """ATT-64, ATT-19."""
    user_id = await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    await close(owner, user_id)
    assert (await typed(browser, path, code)).status_code == 410
    await forget_limits(service)


async def test_looking_at_the_page_signs_nobody_in(service, caller):
    """ASVS 7.6.2, RST-01: GET and HEAD, with the code in the query as well."""
    await an_account(caller, email=ANNA)
    browser, path, code = await asked(service)
    for method in ("GET", "HEAD", "OPTIONS"):
        for suffix in ("", f"?code={code}"):
            answer = await browser.http.request(method, path + suffix)
            assert "__Host-session" not in answer.headers.get("set-cookie", "")
    assert await service.rows("SELECT count(*) FROM sign_in_session") == [(0,)]


async def test_one_form_takes_one_address_for_a_password_or_a_code(service, caller):
    """Without scripts, too: the second button leads elsewhere, with what a password manager has filled in."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    text = (await browser.open("/signin")).text
    assert text.count('name="email"') == 1
    assert text.index('autocomplete="username webauthn"') < text.index('autocomplete="current-password"')
    assert text.index("Sign in</button>") < text.index('formaction="/signin/code" formnovalidate')
    page = await browser.send("/signin/code", email=ANNA, password="canary of a password manager")
    assert (page.status_code, "canary" in page.text) == (200, False)
    await service.deliver()
    assert CODE.search(service.letter(ANNA, "Your sign-in code")["text"])
