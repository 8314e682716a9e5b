"""Every way in asks for the app's code, opens nothing before it, and a code works once."""

import asyncio
import re

import pytest
from sqlalchemy import text

from identity_service import app as web
from identity_service.web.forms import FormRoute
from tests.openid.given import a_request, a_shop, answer_of, send, travel
from tests.passkeys.given import SIGN_IN, UP, Authenticator, enrol, use, with_a_password
from tests.passkeys.given import answer as answer_passkey
from tests.passkeys.given import begin as begin_passkey
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, choose, everything, forget_limits
from tests.second_factors.given import (
    COOKIE,
    ME,
    STEP,
    USED_SENTENCE,
    WRONG_SENTENCE,
    begin,
    by_password,
    counts,
    is_in,
    sessions,
    shown,
    sign_in_with_app,
    type_code,
    with_an_app,
    wrong,
)
from tests.signin.test_by_mail import asked, typed

UNVERIFIED = {"flags": UP}


@pytest.fixture
async def anna(service, caller):
    return await with_an_app(service, caller)


async def password(service, anna):
    return await by_password(service)


async def mailed_code(service, anna):
    await forget_limits(service)
    browser, path, code = await asked(service, ANNA)
    await typed(browser, path, code)
    return browser


async def after_a_reset(service, anna):
    await forget_limits(service)
    reset = await a_reset(service, ANNA)
    await choose(reset.browser, reset.link, OTHER)
    service.clock.advance(seconds=1)
    return await by_password(service, password=OTHER)


async def passkey_without_a_pin(service, anna):
    device = await enrol(anna.browser, Authenticator(**UNVERIFIED))
    browser = a_browser(service, "192.0.2.77")
    begun = await begin_passkey(browser, SIGN_IN, "/signin")
    answer = await answer_passkey(browser, SIGN_IN, begun, device.get(begun.options))
    browser.page = await browser.http.get(answer.headers["location"])
    return browser


WAYS = [password, mailed_code, after_a_reset, passkey_without_a_pin]


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_in_asks_for_the_code(service, anna, way):
    """SFA-01, SFA-06, ASVS 6.3.4, 6.4.3: the first step opens no session; a wrong code neither; the right one does,
    and the session says so. A reset does not switch the app off."""
    before = await service.rows("SELECT count(*) FROM sign_in_session")
    browser = await way(service, anna)
    assert (browser.page.url.path, browser.page.status_code) == (STEP, 200), browser.text
    assert "__Host-session" not in browser.http.cookies
    assert await service.rows("SELECT count(*) FROM sign_in_session") == before
    assert not await is_in(browser)
    assert (await type_code(browser, wrong(service, anna.seed)), WRONG_SENTENCE in browser.text) == (422, True)
    assert not await is_in(browser)
    assert await type_code(browser, shown(service, anna.seed)) == 200
    assert browser.page.url.path == "/me"
    methods = {password: "password", mailed_code: "mail", after_a_reset: "password", passkey_without_a_pin: "passkey"}
    assert (await sessions(service))[-1] == (methods[way], "totp")
    assert COOKIE not in browser.http.cookies
    assert await service.rows("SELECT * FROM pending_sign_in") == []


async def test_a_passkey_with_a_pin_is_two_factors_and_not_asked(service, anna):
    """SFA-06, SFA-07, PKY-03."""
    device = await enrol(anna.browser)
    service.clock.advance(seconds=1)
    browser = a_browser(service, "192.0.2.77")
    assert (await use(browser, device)).headers["location"] == "/me"
    assert await is_in(browser)
    assert (await sessions(service))[-1] == ("verified_passkey", None)


async def test_nobody_without_an_app_is_asked(service, caller, anna):
    """SFA-06: the factor is the account's own."""
    _, ben = await with_a_password(service, caller, "ben@example.org")
    assert await is_in(ben)
    assert (await ben.open(STEP)).url.path == "/me"


def pages_of_customers() -> list[tuple[str, str]]:
    """Every page and form of /me, as it is opened."""
    found = []
    for route in (route for router in web.ROUTERS for route in router.routes if isinstance(route, FormRoute)):
        if re.match("/me(/|$)", route.path) or route.path == "/signout":
            path = re.sub(r"\{\w+\}", "6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e", route.path)
            found += [(method, path) for method in sorted(route.methods - {"HEAD"})]
    return found


async def test_a_sign_in_that_waits_opens_nothing(service, anna):
    """SFA-01 (Better Auth GHSA-xg6x-h9c9-2m83, ZITADEL CVE-2025-64103): its cookie, also in the place of a session's,
    opens no page and no form; an application gets no code."""
    browser = await by_password(service)
    assert len(pages_of_customers()) > 20
    token = re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]
    browser.http.cookies.set("__Host-session", browser.http.cookies[COOKIE])
    for verb, path in pages_of_customers():
        form = {"data": {"form_token": token}} if verb == "POST" else {}
        answer = await browser.http.request(verb, path, **form, follow_redirects=False)
        led = answer.status_code == 303 and answer.headers["location"].startswith("/signin")
        assert led or answer.status_code in (401, 403), (verb, path, answer.status_code)
    shop = await a_shop(service)
    page = await travel(browser, a_request(shop).path)
    assert (page.status_code, page.url.path) == (200, "/signin")
    assert await service.rows("SELECT * FROM oauth_grant") == []
    assert browser.page.headers["cache-control"] == "no-store"


async def test_a_sign_in_waits_for_five_minutes(service, anna):
    """SFA-01: 4:59 and 5:01; then the page leads to the beginning, and the code is not used up."""
    browser, other = await by_password(service), await by_password(service, "192.0.2.3")
    service.clock.advance(minutes=4, seconds=59)
    assert (await browser.open(STEP)).url.path == STEP
    page = browser.page
    await other.open(STEP)
    service.clock.advance(seconds=2)
    assert (await browser.open(STEP)).url.path == "/signin"
    other.page = page
    await other.send(STEP, code=shown(service, anna.seed))
    assert not await is_in(other)
    assert await counts(service) == (0, 0)
    await sign_in_with_app(service, anna.seed)
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE pending_sign_in SET expires_at = now() - interval '1 second'"))
    await service.forget()
    assert await service.rows("SELECT * FROM pending_sign_in") == []


@pytest.mark.parametrize("cause", ["signed out everywhere", "another password", "closed"])
async def test_what_ends_sessions_ends_a_sign_in_that_waits(service, caller, anna, cause):
    """SFA-01, OID-19: also between its page and its code."""
    browser = await by_password(service)
    service.clock.advance(seconds=1)
    if cause == "signed out everywhere":
        await anna.browser.open("/me")
        await anna.browser.send("/me/sessions/end")
    elif cause == "another password":
        reset = await a_reset(service, ANNA)
        await choose(reset.browser, reset.link, OTHER)
    else:
        await caller.post(f"/v1/accounts/{anna.user_id}/close")
    service.clock.advance(seconds=1)
    answer = await browser.send(STEP, code=shown(service, anna.seed))
    assert answer.status_code != 200 or answer.url.path == "/signin"
    assert not await is_in(browser)
    assert await counts(service) == (0, 0)


async def test_a_code_works_once(service, anna):
    """SFA-02, ASVS 6.5.1: in fifty browsers at once one gets in (Vikunja CVE-2026-33473)."""
    code = shown(service, anna.seed)
    browsers = [await by_password(service, f"192.0.2.{number}") for number in range(50)]
    answers = await asyncio.gather(*(browser.send(STEP, code=code) for browser in browsers))
    inside = [answer for answer in answers if answer.url.path == "/me"]
    assert len(inside) == 1
    assert [*await sessions(service)].count(("password", "totp")) == 2
    assert {answer.status_code for answer in answers} <= {200, 422, 429, 503}


async def test_a_used_code_is_refused_in_another_browser(service, anna):
    """SFA-02 (Vault CVE-2025-6014): with a sentence of its own; the next one is taken. Also the code of a step before
    the one that was used."""
    code, before = shown(service, anna.seed), shown(service, anna.seed, -1)
    assert await type_code(await by_password(service), code) == 200
    thief = await by_password(service, "192.0.2.99")
    for old in (code, before):
        assert (await type_code(thief, old), USED_SENTENCE in thief.text) == (422, True)
    assert not await is_in(thief)
    service.clock.advance(seconds=30)
    assert await type_code(thief, shown(service, anna.seed)) == 200
    assert await is_in(thief)


async def test_the_code_that_proved_the_app_does_not_sign_in(service, caller):
    """SFA-02: setting up uses its step up, too."""
    _, browser = await with_a_password(service, caller)
    seed = await begin(browser)
    code = shown(service, seed)
    await browser.send(f"{ME}/confirm", code=code)
    service.clock.advance(seconds=1)
    other = await by_password(service)
    assert (await type_code(other, code), USED_SENTENCE in other.text) == (422, True)


@pytest.mark.parametrize(("steps", "works"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_a_clock_may_differ_by_one_step(service, anna, steps, works):
    """SFA-02 (RFC 6238, 5.2): the server's clock counts, with 30 seconds on each side."""
    browser = await by_password(service)
    await type_code(browser, shown(service, anna.seed, steps))
    assert await is_in(browser) is works


@pytest.mark.parametrize("dress", [" {}{} ", "{} {}", "{}-{}", "Code: {}{}"])
async def test_a_code_may_be_pasted(service, anna, dress):
    digits = shown(service, anna.seed)
    browser = await by_password(service)
    assert await type_code(browser, dress.format(digits[:3], digits[3:])) == 200, browser.text


async def test_an_application_goes_on_after_the_second_step(service, anna):
    """SFA-01, SFA-07, OID-06, OID-21: the request waits through both steps, and is told what was proven, and when."""
    shop, browser = await a_shop(service), a_browser(service, "192.0.2.5")
    request = a_request(shop)
    page = await travel(browser, request.path)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    assert page.url.path == STEP
    assert "https://shop.example.org" in page.headers["content-security-policy"]
    assert await service.rows("SELECT * FROM oauth_grant") == []
    service.clock.advance(seconds=40)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), code=shown(service, anna.seed))
    tokens = (await shop.redeem(answer_of(page)["code"], request.verifier)).json()
    claims = shop.claims(tokens["id_token"])
    assert (claims["acr"], claims["amr"]) == ("urn:identity-service:acr:two-factor", ["pwd", "otp", "mfa"])
    assert claims["auth_time"] == int(service.clock().timestamp())


async def test_signing_in_again_keeps_the_old_session_until_the_code_is_right(service, anna):
    """SFA-01, ASVS 7.2.4: half a sign-in ends nothing; the whole one replaces the browser's session."""
    service.clock.advance(minutes=11)
    await anna.browser.open("/me/email")
    await anna.browser.send("/signin", email=ANNA, password=GOOD)
    assert anna.browser.page.url.path == STEP
    assert await is_in(anna.browser)
    await type_code(anna.browser, shown(service, anna.seed))
    assert anna.browser.page.url.path == "/me/email"
    assert await sessions(service) == [("password", "totp")]


async def test_a_dump_holds_no_seed(service, anna, owner):
    """SFA-02, ASVS 13.3.1: nor the cookie of a sign-in that waits; neither does the customer's export."""
    browser = await by_password(service)
    second = await begin(anna.browser)
    dump = await everything(service, owner)
    for secret in (anna.seed, second, browser.http.cookies[COOKIE]):
        for form in (secret, secret.encode().hex()):
            assert form not in dump
    service.clock.advance(minutes=1)
    anna.browser.page = await anna.browser.http.get("/me")
    exported = await anna.browser.send("/me/export")
    assert exported.status_code == 200
    assert "second_factor" in exported.text
    assert anna.seed not in exported.text
    assert "seed" not in exported.text


async def test_a_stolen_known_browser_cookie_proves_nothing(service, anna):
    """SFA-12: nothing stands in for the code."""
    thief = await by_password(service, "192.0.2.99")
    thief.http.cookies.set("__Host-known", anna.browser.http.cookies["__Host-known"])
    await thief.open("/signin")
    await thief.send("/signin", email=ANNA, password=GOOD)
    assert (thief.page.url.path, await is_in(thief)) == (STEP, False)
