"""Setting an app up, replacing and removing it; who is told, and what ends."""

import asyncio
from html import unescape

import pyotp
import pytest

from identity_service.second_factors import totp
from tests.accounts.given import an_account
from tests.openid.given import a_request, a_shop, answer_of, send, travel
from tests.passkeys.given import with_a_password
from tests.passkeys.test_own_passkeys import GUARDED, by_mail, led_away
from tests.resets.given import ANNA, forget_limits
from tests.resets.given import sign_in as first_step
from tests.second_factors.given import (
    ADDED,
    ME,
    REMOVED,
    STEP,
    WRONG_SENTENCE,
    begin,
    by_password,
    is_in,
    seed_on,
    sessions,
    set_up,
    shown,
    sign_in_with_app,
    told,
    type_code,
    with_an_app,
    wrong,
)

FORMS = [("GET", ME), ("POST", f"{ME}/set-up"), ("POST", f"{ME}/confirm"), ("POST", f"{ME}/remove")]


@pytest.fixture
async def anna(service, caller):
    """Her User ID and the browser in which she has signed in by password."""
    return await with_a_password(service, caller)


async def led_to_sign_in(browser, forms=tuple(FORMS)) -> list[bool]:
    await browser.open("/me")
    token = browser.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    found = []
    for verb, path in forms:
        form = {"data": {"form_token": token}} if verb == "POST" else {}
        answer = await browser.http.request(verb, path, **form, follow_redirects=False)
        found.append(answer.headers.get("location", "").startswith("/signin"))
    return found


async def test_an_app_counts_from_its_first_right_code_on(service, anna):
    """SFA-05: until then nothing changes, a wrong code neither; then the session has both proofs."""
    _, browser = anna
    seed = await begin(browser)
    assert len(seed) == 32
    assert await is_in(await by_password(service))
    await browser.open(ME)
    await browser.send(f"{ME}/set-up")
    again = seed_on(browser)
    refused = await browser.send(f"{ME}/confirm", code=wrong(service, again))
    assert (refused.status_code, WRONG_SENTENCE in browser.text, again in refused.text) == (422, True, False)
    late = await browser.send(f"{ME}/confirm", code=shown(service, seed))
    assert late.status_code == 422
    service.clock.advance(seconds=1)
    done = await browser.send(f"{ME}/confirm", code=shown(service, again))
    assert (done.url.path, "Your app is set up." in browser.text) == (ME, True)
    assert await sessions(service) == [("password", "totp")]
    assert "Authenticator app on" in (await browser.open("/me")).text.replace("</dt><dd>", " ")


async def test_the_seed_is_shown_once(service, anna):
    """SFA-05: as text and as QR code, by the button alone, in an answer that nothing stores; by no address, not after
    a wrong code, not in the log."""
    _, browser = anna
    seed = await begin(browser)
    page = browser.page
    uri = pyotp.TOTP(seed).provisioning_uri(name=ANNA, issuer_name=service.database.settings.mail_from_name)
    assert totp.qr_code(uri) in unescape(page.text)
    assert page.headers["cache-control"] == "no-store"
    assert (page.request.method, seed in str(page.url)) == ("POST", False)
    for path in (ME, f"{ME}/set-up", f"{ME}/confirm", "/me", "/me/everything"):
        shown_again = (await browser.http.get(path)).text
        assert seed not in shown_again
        assert " ".join(seed[n : n + 4] for n in range(0, 32, 4)) not in shown_again
    browser.page = page
    await browser.send(f"{ME}/confirm", code=wrong(service, seed))
    assert seed[:4] not in browser.page.text.partition("</head>")[2]


@pytest.mark.parametrize(("seconds", "works"), [(599, True), (601, False)])
async def test_setting_up_has_ten_minutes(service, anna, seconds, works):
    """SFA-05: 9:59 and 10:01, and the worker forgets the seed."""
    _, browser = anna
    seed = await begin(browser)
    page = browser.page
    service.clock.advance(seconds=seconds)
    await forget_limits(service)
    if seconds > 600:
        await first_step(browser)
        await browser.open(ME)
    else:
        browser.page = page
    done = await browser.send(f"{ME}/confirm", code=shown(service, seed))
    assert (done.status_code == 200) is works, browser.text
    assert await service.rows("SELECT count(*) FROM second_factor") == [(int(works),)]


async def test_two_codes_at_once_set_up_one_app(service, anna):
    """SFA-05: of ten confirmations at once one counts."""
    _, browser = anna
    code = shown(service, await begin(browser))
    token = browser.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    form = {"data": {"form_token": token, "code": code}, "follow_redirects": False}
    answers = await asyncio.gather(*(browser.http.post(f"{ME}/confirm", **form) for _ in range(10)))
    saved = [one for one in answers if one.headers.get("location", "").startswith(f"{ME}?saved")]
    assert len(saved) == 1
    names = "SELECT count(*) FROM event WHERE name = 'second_factor.added'"
    assert await service.rows(names) == [(1,)]


async def test_the_old_app_works_until_the_new_one_is_proven(service, caller):
    """SFA-05: and from then on no more; a removed one neither."""
    anna = await with_an_app(service, caller)
    seed = await begin(anna.browser)
    await sign_in_with_app(service, anna.seed)
    await anna.browser.open(ME)
    done = await anna.browser.send(f"{ME}/confirm", code=shown(service, seed))
    assert done.url.path == ME
    service.clock.advance(minutes=1)
    other = await by_password(service)
    assert await type_code(other, shown(service, anna.seed)) == 422
    await sign_in_with_app(service, seed)
    data = "SELECT data ->> 'replaced' FROM event WHERE name = 'second_factor.added' ORDER BY id"
    assert await service.rows(data) == [("false",), ("true",)]


async def test_an_old_or_weak_sign_in_changes_nothing(service, caller, anna):
    """SFA-05, SFA-07 (Keycloak CVE-2026-3429): after ten minutes; and with an app, a session that has not shown it, as
    one of before, or of a mailed code with it where there is a password."""
    _, browser = anna
    service.clock.advance(minutes=10, seconds=1)
    assert await led_to_sign_in(browser) == [True] * 4
    await forget_limits(service)
    await first_step(browser)
    await forget_limits(service)
    seed = await set_up(service, browser)
    by_code = await by_mail(service)
    await type_code(by_code, shown(service, seed))
    assert (await sessions(service))[-1] == ("mail", "totp")
    assert await led_to_sign_in(by_code) == [True] * 4
    assert await led_away(by_code) == []
    assert "with your password or passkey and the code" in (await by_code.open(f"/signin?next={ME}")).text
    service.clock.advance(minutes=1)
    strong = await sign_in_with_app(service, seed)
    assert await led_to_sign_in(strong) == [False] * 4
    assert len(GUARDED) > 10


async def test_a_mailbox_and_an_app_suffice_where_there_is_no_password(service, caller):
    """SFA-07: what is asked for is never more than the account has."""
    await an_account(caller, email=ANNA)
    browser = await by_mail(service)
    seed = await set_up(service, browser)
    again = await by_mail(service)
    assert await led_to_sign_in(again, [("GET", ME)]) == [True]
    await type_code(again, shown(service, seed))
    assert await led_to_sign_in(again, [("GET", ME)]) == [False]


async def test_removing_takes_the_app_and_ends_the_rest(service, caller):
    """SFA-05, SFA-08, OID-19, ASVS 7.4.3: other browsers, what applications have, and a sign-in that waits for a code
    end; here it goes on; the password alone signs in from then on."""
    anna = await with_an_app(service, caller)
    elsewhere = await sign_in_with_app(service, anna.seed)
    shop = await a_shop(service)
    request = a_request(shop, scope="openid offline_access")
    page = await travel(elsewhere, request.path)
    code = answer_of(await send(elsewhere, page.url.path, decision="allow"))["code"]
    tokens = (await shop.redeem(code, request.verifier)).json()
    waiting = await by_password(service)
    service.clock.advance(seconds=1)
    await anna.browser.open(ME)
    await anna.browser.send(f"{ME}/remove")
    assert "The app is removed." in anna.browser.text
    assert (await is_in(anna.browser), await is_in(elsewhere)) == (True, False)
    assert (await shop.userinfo(tokens["access_token"])).status_code == 401
    assert (await shop.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    await waiting.send(STEP, code=shown(service, anna.seed))
    assert not await is_in(waiting)
    service.clock.advance(seconds=1)
    assert await is_in(await by_password(service))
    refused = await anna.browser.http.post(
        f"{ME}/remove", data={"form_token": (await token_of(anna.browser))}, follow_redirects=False
    )
    assert refused.status_code == 404


async def token_of(browser) -> str:
    await browser.open(ME)
    return browser.page.text.partition('name="form_token" value="')[2].partition('"')[0]


async def test_every_mailbox_is_told(service, caller):
    """SFA-05, ASVS 6.3.7: of setting up, replacing and removing, with a link that signs nobody in."""
    anna = await with_an_app(service, caller)
    assert await told(service, ADDED) == 1
    await set_up(service, anna.browser)
    assert await told(service, ADDED) == 2
    await anna.browser.open(ME)
    await anna.browser.send(f"{ME}/remove")
    assert await told(service, REMOVED) == 1
    for subject in (ADDED, REMOVED):
        letter = service.letter(ANNA, subject)["text"]
        assert "https://id.example.com/reset" in letter
        assert "#" not in letter


async def test_nobody_reaches_a_strangers(service, caller):
    """SFA-05: the page knows its own account alone."""
    await with_an_app(service, caller)
    _, ben = await with_a_password(service, caller, "ben@example.org")
    await ben.open(ME)
    assert "Remove the app" not in ben.text
    assert (await ben.send(f"{ME}/remove")).status_code == 404
    assert await service.rows("SELECT count(*) FROM second_factor") == [(1,)]
