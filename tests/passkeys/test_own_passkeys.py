"""A customer's own passkeys: who may add and remove them, how many, and who is told."""

import asyncio

import pytest

from tests.openid.given import a_request, a_shop, answer_of, send, travel
from tests.passkeys.given import (
    BE,
    BS,
    ME,
    UP,
    Authenticator,
    answer,
    begin,
    enrol,
    event_names,
    fits,
    method,
    passkey_ids,
    remove,
    use,
    with_a_password,
    without_address,
)
from tests.resets.given import ANNA, GOOD, a_browser, forget_limits, sign_in
from tests.signin.test_by_mail import asked, typed

UNVERIFIED = UP | BE | BS
GUARDED = [
    ("GET", ME), ("GET", "/me/email"), ("GET", "/me/close"), ("GET", "/me/erase"), ("GET", "/me/everything"),
    ("POST", ME), ("POST", f"{ME}/options"), ("POST", f"{ME}/6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e/remove"),
    ("POST", "/me/email"), ("POST", "/me/export"), ("POST", "/me/close"), ("POST", "/me/erase"),
    ("GET", "/me/addresses"), ("POST", "/me/addresses"),
    *(("POST", f"/me/addresses/6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e/{verb}") for verb in ("main", "remove")),
]  # fmt: skip
ADDED, REMOVED = "A passkey was added to your account", "A passkey was removed from your account"


async def led_away(browser) -> list[tuple[str, str]]:
    """The guarded routes that do not lead this browser to sign in again; a script gets 401 where a page leads away."""
    await browser.open("/me")
    token = browser.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    open_ones = []
    for verb, path in GUARDED:
        form = {"data": {"form_token": token}} if verb == "POST" else {}
        done = await browser.http.request(verb, path, **form, follow_redirects=False)
        if (done.status_code, done.headers.get("location", "").partition("?")[0]) != (303, "/signin"):
            open_ones.append((verb, path))
    return open_ones


async def by_mail(service):
    browser, path, code = await asked(service, ANNA)
    await typed(browser, path, code)
    return browser


@pytest.fixture
async def anna(service, caller):
    """Her User ID and the browser in which she has signed in by password."""
    return await with_a_password(service, caller)


async def told(service, address: str = ANNA) -> list[str]:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(address) if "passkey" in one["subject"]]


async def test_an_old_sign_in_neither_adds_nor_removes(service, anna):
    """PKY-07, PKY-09: after ten minutes the passkey itself signs in again, here and for all that cannot be undone."""
    _, browser = anna
    device = await enrol(browser)
    assert ("GET", ME) in await led_away(browser)
    service.clock.advance(minutes=10, seconds=1)
    assert await led_away(browser) == []
    assert await passkey_ids(service) != []
    assert (await use(browser, device)).status_code == 303
    assert (await browser.open(ME)).url.path == ME


async def test_a_weaker_sign_in_neither_adds_nor_removes(service, anna):
    """PKY-07, PKY-09 (63B 4.1.2.1; Keycloak CVE-2026-3429): once there is a verified passkey, password, mailed code
    and the same passkey without its PIN do nothing that cannot be undone."""
    device = await enrol(anna[1])
    service.clock.advance(seconds=1)
    by_password = a_browser(service)
    await sign_in(by_password)
    without_pin = a_browser(service)
    assert (await use(without_pin, device, flags=UNVERIFIED)).status_code == 303
    for weak in (by_password, without_pin, await by_mail(service)):
        assert await led_away(weak) == []
        assert "a password or code isn" in (await weak.open(f"/signin?next={ME}")).text
    assert (len(await passkey_ids(service)), await event_names(service)) == (1, ["passkey.added"])


async def test_a_mailed_code_is_weaker_than_any_passkey(service, anna):
    """PKY-09: also than one that asks for no PIN; a password is as strong as that."""
    await enrol(anna[1], Authenticator(flags=UNVERIFIED))
    assert await method(service) == "password"
    assert await led_away(await by_mail(service)) == []
    await anna[1].open(ME)
    assert (await remove(anna[1], (await passkey_ids(service))[0])).status_code == 303


async def test_a_mailed_code_adds_none_where_there_is_a_password(service, anna):
    """PKY-07 (63B 4.1.2.1): whoever reads the mailbox for a moment does not stay: the password is asked for, and
    leads back; without a password the code is all there is."""
    browser = await by_mail(service)
    page = await browser.open(ME)
    assert (page.url.path, "Please sign in with your password, or set a new one." in page.text) == ("/signin", True)
    token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
    for path in (ME, f"{ME}/options"):
        done = await browser.http.post(path, data={"form_token": token}, follow_redirects=False)
        assert (done.status_code, done.headers["location"].partition("?")[0]) == (303, "/signin"), path
    assert (await browser.open("/me/close")).url.path == "/me/close", "nothing else is asked more than before"
    assert await passkey_ids(service) == []
    await browser.open(f"/signin?next={ME}")
    assert (await browser.send("/signin", email=ANNA, password=GOOD)).url.path == ME
    await service.rows("DELETE FROM password RETURNING 1")
    await forget_limits(service)
    service.clock.advance(seconds=1)
    await enrol(await by_mail(service))


async def test_there_are_ten_at_most(service, anna):
    """PKY-07: of fifty registrations at once at nine passkeys one is stored; the others say why not."""
    browser, kind = anna[1], {"flags": UNVERIFIED}
    for _ in range(9):
        await forget_limits(service)
        await enrol(browser, Authenticator(**kind))
    begun = [await begin(browser, ME) for _ in range(50)]
    made = [Authenticator(**kind).create(one.options) for one in begun]
    done = await asyncio.gather(*(answer(browser, ME, *one) for one in zip(begun, made, strict=True)))
    codes = [one.status_code for one in done]
    # A machine that is busy enough answers 503 to who waited for a connection for five seconds.
    assert (codes.count(303), set(codes) - {303, 409, 503}) == (1, set())
    assert "You have ten passkeys" in next(one.text for one in done if one.status_code == 409)
    assert len(await passkey_ids(service)) == 10
    assert len(set(await service.rows("SELECT user_handle FROM passkey"))) == 1


async def test_an_account_has_one_handle(service, anna):
    """PKY-05: two tabs that began before there was a passkey; the second one begins again."""
    browser = anna[1]
    first, second = await begin(browser, ME, ME), await begin(browser, ME)
    one, other = Authenticator(flags=UNVERIFIED), Authenticator(flags=UNVERIFIED)
    assert (await answer(browser, ME, first, one.create(first.options))).status_code == 303
    assert (await answer(browser, ME, second, other.create(second.options))).status_code == 422
    await enrol(browser, other)
    assert one.handle == other.handle
    assert len(one.handle) == 64


async def test_options_leave_out_what_is_there(service, anna):
    """PKY-04, PKY-05: a device that has one is not asked for another; the handle says nothing of the User ID."""
    device = await enrol(anna[1])
    options = (await begin(anna[1], ME, ME)).options
    assert [one["id"] for one in options["excludeCredentials"]] == [device.get({"challenge": ""})["id"]]
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert {one["alg"] for one in options["pubKeyCredParams"]} == {-7, -8, -257}
    assert anna[0].replace("-", "").encode() not in device.handle


async def test_every_mailbox_is_told(service, anna):
    """PKY-08: that one was added, and removed, with a link to object that signs nobody in."""
    browser = anna[1]
    await enrol(browser, name="Telephone")
    assert await told(service) == [ADDED]
    await browser.open(ME)
    assert "Telephone" in browser.text
    assert (await remove(browser, (await passkey_ids(service))[0])).status_code == 303
    assert sorted(await told(service)) == [ADDED, REMOVED]
    for subject in (ADDED, REMOVED):
        letter = service.letter(ANNA, subject)["text"]
        assert "https://id.example.com/reset" in letter
        assert "#" not in letter


async def test_what_was_signed_in_ends_with_it(service, anna):
    """PKY-08, OID-19: at the removal other browsers are signed out, and applications' tokens end at once."""
    _, browser = anna
    shop, elsewhere = await a_shop(service), a_browser(service)
    device = await enrol(browser)
    service.clock.advance(seconds=1)
    assert (await use(elsewhere, device)).status_code == 303
    request = a_request(shop, scope="openid offline_access")
    page = await travel(elsewhere, request.path)
    code = answer_of(await send(elsewhere, page.url.path, decision="allow"))["code"]
    tokens = (await shop.redeem(code, request.verifier)).json()
    assert (await shop.userinfo(tokens["access_token"])).status_code == 200
    service.clock.advance(seconds=1)
    await browser.open(ME)
    done = await remove(browser, (await passkey_ids(service))[0])
    assert done.status_code == 303
    assert (await browser.open("/me")).url.path == "/me"
    assert (await elsewhere.open("/me")).url.path == "/signin"
    assert (await shop.userinfo(tokens["access_token"])).status_code == 401
    assert (await shop.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert not await fits(service, device)


async def test_the_last_way_in_stays(service):
    """PKY-09: of an account without an address the last passkey cannot go, one of two can, and not both at once."""
    _, browser, device = await without_address(service)
    await browser.open(ME)
    (only,) = await passkey_ids(service)
    refused = await remove(browser, only)
    assert (refused.status_code, "the only way to sign in" in refused.text) == (409, True)
    await enrol(browser)
    await browser.open(ME)
    done = await asyncio.gather(*(remove(browser, one) for one in await passkey_ids(service)))
    assert [one.status_code for one in done].count(303) == 1
    assert len(await passkey_ids(service)) == 1
    assert device.handle


async def test_a_form_that_is_refused_early_is_answered_in_order(service, anna):
    """PKY-12: also by pages that have not read yet what there is to show."""
    await enrol(anna[1])
    (only,) = await passkey_ids(service)
    for path in (ME, f"{ME}/{only}/remove", "/passkeys/new", "/passkeys/sign-in"):
        done = await anna[1].http.post(path, data={"form_token": "other", "response": "{}"})
        assert done.status_code == 403


async def test_nobody_removes_a_strangers(service, anna):
    """PKY-09: an id of another account is unknown here."""
    await without_address(service, "198.51.100.5")
    await anna[1].open(ME)
    refused = await remove(anna[1], (await passkey_ids(service))[0])
    assert (refused.status_code, len(await passkey_ids(service))) == (404, 1)


@pytest.mark.parametrize("given", ["", "   ", "x" * 300, "\u202eevil\x07\n", "<b>bold</b>"])
async def test_a_name_is_one_line_of_text(service, anna, given):
    """PKY-12: what is typed as a name is shown as text, or is just "Passkey"."""
    await enrol(anna[1], name=given)
    ((label,),) = await service.rows("SELECT label FROM passkey")
    assert 1 <= len(label) <= 60
    assert label.isprintable()
    assert "<b>" not in (await anna[1].open(ME)).text
