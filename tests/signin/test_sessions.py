"""Sessions: rows behind a random cookie, ended by every way there is, at once and in every process."""

import itertools
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from fastapi.routing import iter_route_contexts

from identity_service.sign_in import actions as sign_in_actions
from identity_service.sign_in import rules as sign_in_rules
from tests.accounts.given import close, erase, sql
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_password, a_reset, choose, everything, sign_in

COOKIE = "__Host-session"
ME = "SELECT id FROM sign_in_session WHERE ended_at IS NULL ORDER BY created_at"


def cookie_of(browser) -> str:
    return browser.http.cookies[COOKIE]


async def is_in(browser) -> bool:
    return (await browser.open("/me")).url.path == "/me"


async def two(service, caller):
    """Anna in two browsers."""
    await a_password(service, caller)
    browsers = a_browser(service, "192.0.2.1"), a_browser(service, "192.0.2.2")
    for browser in browsers:
        await sign_in(browser)
        service.clock.advance(seconds=1)
    return browsers


async def test_the_cookie_is_for_this_host_alone_and_stands_in_no_table(service, caller, owner):
    """SES-01, SES-02, ASVS 3.3.1, 3.3.2, 3.3.3, 3.3.4, 3.3.5, 7.2.3: 256 random bits, found by their SHA-256."""
    await a_password(service, caller)
    browser = a_browser(service)
    signed = await sign_in(browser)
    header, known = signed.history[0].headers.get_list("set-cookie")
    rest = "HttpOnly; Max-Age={}; Path=/; SameSite=lax; Secure"
    assert re.fullmatch(f"__Host-session=[A-Za-z0-9_-]{{43}}; {rest.format(43200)}", header)
    assert re.fullmatch(
        rf"__Host-known=[A-Za-z0-9_-]{{16}}\.\d{{10}}\.[A-Za-z0-9_-]{{43}}; {rest.format(31536000)}", known
    )
    dump = await everything(service, owner)
    assert cookie_of(browser) not in dump
    assert cookie_of(browser).encode().hex() not in dump
    ((hashed,),) = await service.rows("SELECT encode(cookie_hash, 'hex') FROM sign_in_session")
    thief = a_browser(service)
    for stolen in (hashed, str((await service.rows(ME))[0][0]), ANNA):
        thief.http.cookies.set(COOKIE, stolen)
        assert not await is_in(thief)


async def test_cookies_have_neither_order_nor_time(service, caller):
    """SES-05, ATT-62: of a thousand sessions one after the other, half are larger than the one before."""
    user_id = (await a_password(service, caller)).replace("-", "")

    async def begin(session):
        new = {"browser": "x", "replaces": None, "now": service.clock()}
        return [
            (await sign_in_actions.begin_session(session, user_id, "mail", None, **new)).cookie for _ in range(1000)
        ]

    made = await service.database.in_transaction(begin)
    assert len(set(made)) == 1000
    larger = sum(one < two for one, two in itertools.pairwise(made))
    # Half of 999 within eight standard deviations.
    assert 370 < larger < 630
    assert {len(one) for one in made} == {43}
    ids = [row[0] for row in await service.rows("SELECT id FROM sign_in_session ORDER BY ctid")]
    assert 370 < sum(one < two for one, two in itertools.pairwise(ids)) < 630


async def sign_out(service, owner, browser):
    await browser.open("/me")
    done = await browser.send("/signout")
    assert done.history[0].headers["clear-site-data"] == '"cache", "storage"'


async def end_in_me(service, owner, browser):
    page = await browser.open("/me")
    mine = re.search(r'action="(/me/sessions/[0-9a-f-]{36}/end)"', page.text)
    ids = [str(row[0]) for row in await service.rows(ME)]
    await browser.send(mine[1] if mine else f"/me/sessions/{ids[-1]}/end")
    for one in ids:
        await browser.open("/me")
        if browser.page.url.path != "/me":
            return
        await browser.send(f"/me/sessions/{one}/end")


async def everywhere(service, owner, browser):
    await browser.open("/me")
    await browser.send("/me/sessions/end")


async def closing(service, owner, browser):
    await close(owner, (await service.rows("SELECT user_id FROM account"))[0][0])


async def erasing(service, owner, browser):
    await erase(owner, (await service.rows("SELECT user_id FROM account"))[0][0])


async def resetting(service, owner, browser):
    reset = await a_reset(service, source="203.0.113.1")
    assert (await choose(reset.browser, reset.link, OTHER)).url.path == "/reset/done"


async def idling(service, owner, browser):
    service.clock.advance(hours=2, seconds=1)


async def time_out(service, owner, browser):
    for _ in range(7):
        service.clock.advance(minutes=100)
        await browser.open("/me")
    service.clock.advance(minutes=20)


async def staff_end(service, owner, browser):
    await sql(owner, "UPDATE account SET sessions_valid_after = :now", now=service.clock())


async def proven(service, owner, browser):
    await sql(owner, "UPDATE account SET tokens_valid_after = :now", now=service.clock())


WAYS = [sign_out, end_in_me, everywhere, closing, erasing, resetting, idling, time_out, staff_end, proven]


@pytest.mark.parametrize("way", WAYS)
async def test_an_ended_session_is_over_at_once_in_every_process(service, other, caller, owner, way):
    """SES-04, ATT-27, ATT-64, ASVS 7.3.1, 7.3.2, 7.4.1, 7.4.2, 7.4.3: the replayed cookie opens nothing."""
    await a_password(service, caller)
    browser, replay = a_browser(service), a_browser(other, "192.0.2.99")
    await sign_in(browser)
    service.clock.advance(seconds=1)
    replay.http.cookies.set(COOKIE, cookie_of(browser), domain="id.example.com", path="/")
    assert await is_in(replay)
    before = replay.page
    await way(service, owner, browser)
    assert not await is_in(replay)
    replay.page = before
    refused = await replay.send("/me/sessions/end")
    assert refused.status_code == 401
    assert (await replay.http.get("/me/receipt", follow_redirects=False)).status_code == 303


async def test_signing_out_is_at_hand_on_every_page_behind_the_account(service, caller):
    """ASVS 7.4.4: whatever page is open, one press ends the session."""
    await a_password(service, caller)
    browser = a_browser(service)
    paths = {route.path for route in iter_route_contexts(service.app.routes) if "GET" in (route.methods or ())}
    seen = set()
    for path in sorted(path for path in paths if re.fullmatch("/me(/[a-z]+)?", path or "")):
        await sign_in(browser)
        page = await browser.open(path)
        if page.headers["content-type"].startswith("text/html"):
            assert 'action="/signout"' in page.text, path
            assert (await browser.send("/signout")).url.path == "/signin", path
            assert not await is_in(browser)
            seen.add(path)
    assert {"/me", "/me/business", "/me/email", "/me/end", "/me/everything", "/me/history"} <= seen


async def test_a_session_lives_as_long_as_it_is_used_and_twelve_hours_at_most(service, caller):
    """SES-04, ASVS 7.3.1, 7.3.2: to the second."""
    await a_password(service, caller)
    browser = a_browser(service)
    await sign_in(browser)
    for _ in range(6):
        service.clock.advance(hours=1, minutes=59)
        assert await is_in(browser)
    service.clock.advance(minutes=5, seconds=59)
    assert await is_in(browser)
    service.clock.advance(seconds=1)
    assert not await is_in(browser)


async def test_signing_in_makes_a_new_session_and_ends_the_one_before(service, caller):
    """ASVS 7.2.4: no planted cookie is taken over, and the old one is dead."""
    await a_password(service, caller)
    browser = a_browser(service)
    planted = secrets.token_urlsafe(32)
    browser.http.cookies.set(COOKIE, planted, domain="id.example.com", path="/")
    await sign_in(browser)
    first = cookie_of(browser)
    assert first != planted
    await sign_in(browser)
    assert cookie_of(browser) != first
    assert await is_in(browser)
    thief = a_browser(service, "192.0.2.6")
    for old in (planted, first):
        thief.http.cookies.set(COOKIE, old, domain="id.example.com", path="/")
        assert not await is_in(thief)
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'sign_in.ended'") == [(1,)]


@pytest.mark.parametrize("altered", ["", "x", "A" * 43, "A" * 5000, "\x01", '"', "admin", "0", "../../etc", "é"])
async def test_an_altered_cookie_is_none(service, caller, altered):
    """ASVS 7.2.1, 7.2.2: and no error of ours."""
    await a_password(service, caller)
    browser = a_browser(service)
    headers = {"Cookie": f"{COOKIE}={altered}".encode("latin-1")}
    seen = await browser.http.get("/me", headers=headers, follow_redirects=False)
    assert (seen.status_code, seen.headers["location"]) == (303, "/signin")


async def test_me_lists_and_ends_ones_own_sessions_only(service, caller):
    """ASVS 7.5.2, 8.2.2, ATT-50: another customer's session is not there, and goes on."""
    one, two_ = await two(service, caller)
    await a_password(service, caller, "berta@example.org", OTHER)
    berta = a_browser(service, "192.0.2.3")
    await sign_in(berta, "berta@example.org", OTHER)
    page = (await one.open("/me")).text
    (listed,) = re.findall(r'action="/me/sessions/([0-9a-f-]{36})/end"', page)
    ((foreign,),) = await service.rows(
        "SELECT s.id::text FROM sign_in_session s JOIN account a USING (user_id) WHERE a.email = 'berta@example.org'"
    )
    assert foreign not in page
    for missing in (foreign, str(uuid.uuid4())):
        await one.open("/me")
        assert (await one.send(f"/me/sessions/{missing}/end")).status_code == 404
    assert await is_in(berta)
    await one.open("/me")
    await one.send(f"/me/sessions/{listed}/end")
    assert not await is_in(two_)
    assert await is_in(one)


async def test_ending_them_all_tells_the_services(service, caller):
    """SES-04: `sessions_valid_after` and an event; both browsers are out."""
    one, two_ = await two(service, caller)
    await everywhere(service, None, one)
    assert not await is_in(one)
    assert not await is_in(two_)
    ((user_id,),) = await service.rows("SELECT user_id FROM account")
    account = (await caller.get(f"/v1/accounts/{user_id}")).json()
    assert datetime.fromisoformat(account["sessions_valid_after"]) == service.clock()
    names = [name for (name,) in await service.rows("SELECT name FROM event WHERE name = 'account.sessions_ended'")]
    assert len(names) == 2


@pytest.mark.parametrize(("minutes", "is_fresh"), [(0, True), (10, True), (10.1, False)])
async def test_what_cannot_be_undone_needs_a_fresh_sign_in(minutes, is_fresh):
    """ASVS 7.5.1, 7.5.3."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    customer = sign_in_actions.SignedIn(
        None,
        SimpleNamespace(
            proven_at=now - timedelta(minutes=minutes), created_at=now, method="verified_passkey", second_factor=None
        ),
    )
    if is_fresh:
        await sign_in_actions.check_fresh(None, customer, now=now)
    else:
        with pytest.raises(sign_in_rules.ReauthenticationRequired):
            await sign_in_actions.check_fresh(None, customer, now=now)


async def test_a_browser_is_named_by_no_more_than_its_kind(service, caller):
    """LOG-03, ASVS 7.5.2: no version, no model, nothing that was put there."""
    await a_password(service, caller)
    browser = a_browser(service)
    browser.http.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) <script>canary</script> Firefox/999"
    await sign_in(browser, password=GOOD)
    assert await service.rows("SELECT browser FROM sign_in_session") == [("Firefox · Linux",)]
