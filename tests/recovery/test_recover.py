"""What a recovery session may do: one of four things, with a second proof where the account has one."""

import asyncio
import re
from urllib.parse import urlencode

import pytest

from tests.accounts.given import merge
from tests.openid.given import a_request, a_shop, travel
from tests.passkeys.given import (
    Authenticator,
    answer,
    begin,
    enrol,
    event_names,
    fits,
    method,
    token_of,
    with_a_password,
    without_address,
)
from tests.recovery.given import CHOOSE, REFUSED, enter, kept, post, shown_code, try_code, with_a_code
from tests.resets.given import ANNA, GOOD, a_browser, a_reset, choose, forget_limits, sign_in
from tests.second_factors.given import shown, with_an_app, wrong

NEW = "seven quiet harbours hum"
ACTIONS = ("/recover/password", "/recover/passkey", "/recover/address", "/recover/support")


async def own_code(browser) -> str:
    await browser.open("/me/recovery-code")
    await browser.send("/me/recovery-code")
    return shown_code(browser)


async def anna_with_a_code(service, caller):
    """A customer with a password and a code: User ID, browser, code."""
    user_id, browser = await with_a_password(service, caller)
    code = await own_code(browser)
    service.clock.advance(seconds=1)
    return user_id, browser, code


async def recovering(service, user_id, code):
    browser = await enter(service, user_id, code)
    assert browser.page.url.path == CHOOSE, browser.text
    await kept(browser)
    return browser


async def test_a_code_sets_a_password_and_ends_every_session(service, caller):
    """REC-24, REC-26: as a reset does; it signs nobody in."""
    user_id, before, code = await anna_with_a_code(service, caller)
    browser = await recovering(service, user_id, code)
    done = await browser.send("/recover/password", password=NEW)
    assert done.url.path == "/reset/done", browser.text
    await before.open("/me")
    assert before.page.url.path == "/signin"
    service.clock.advance(seconds=1)
    assert (await sign_in(a_browser(service), password=NEW)).url.path == "/me"
    await service.deliver()
    assert service.letter(ANNA, "Your password was changed")
    assert service.letter(ANNA, "Your recovery code was used")
    await browser.open(CHOOSE)
    assert browser.page.url.path == "/recover"


async def test_a_weak_password_or_the_code_itself_is_refused_and_costs_nothing(service, caller):
    """REC-30: a recovery code is no password, in whatever groups it is written."""
    user_id, _, code = await anna_with_a_code(service, caller)
    browser = await enter(service, user_id, code)
    new = await kept(browser)
    for password, said in (
        ("short", "too short"),
        (new, "This is a recovery code"),
        (f"my {new} code", "recovery code"),
    ):
        await browser.open(CHOOSE)
        refused = await post(browser, "/recover/password", password=password)
        assert refused.status_code == 422
        assert said in refused.text
    await browser.open(CHOOSE)
    assert (await browser.send("/recover/password", password=NEW)).url.path == "/reset/done"


async def test_somebody_without_an_address_adds_a_passkey_and_is_signed_in(service):
    """REC-24, story 1."""
    user_id, code, _ = await with_a_code(service)
    browser = await recovering(service, user_id, code)
    assert 'action="/recover/password"' not in browser.page.text
    device = Authenticator()
    begun = await begin(browser, "/recover/passkey")
    done = await answer(browser, "/recover/passkey", begun, device.create(begun.options))
    assert (done.status_code, done.headers["location"]) == (303, "/me"), done.text
    assert await method(service) == "verified_passkey"
    service.clock.advance(seconds=1)
    assert await fits(service, device)


async def test_an_address_is_asked_and_belongs_to_the_account_when_it_answers(service):
    """REC-24."""
    user_id, code, _ = await with_a_code(service)
    browser = await recovering(service, user_id, code)
    await browser.send("/recover/address", email="nils@example.org")
    assert browser.page.url.path == "/recover/done", browser.text
    assert await service.rows("SELECT email FROM account") == [(None,)]
    await service.deliver()
    letter = service.letter("nils@example.org", "confirm")
    link = re.search(r"/confirm/(\S+?)#(\S+)", letter["text"])
    await browser.open(f"/confirm/{link[1]}")
    await browser.send(f"/confirm/{link[1]}", link=link[2])
    assert await service.rows("SELECT email, email_state FROM account") == [("nils@example.org", "confirmed")]


@pytest.mark.parametrize("first", ["password", "address", "support"])
async def test_after_one_thing_the_session_is_over(service, caller, first):
    """REC-24: whichever came first."""
    user_id, _, code = await anna_with_a_code(service, caller)
    browser = await recovering(service, user_id, code)
    fields = {"password": {"password": NEW}, "address": {"email": "new@example.org"}, "support": {}}
    token = token_of(browser)
    cookie = browser.http.cookies.get("__Host-recovery")
    await browser.send(f"/recover/{first}", **fields[first])
    browser.http.cookies.set("__Host-recovery", cookie, domain="id.example.com")
    for path, given in (("password", {"password": NEW}), ("address", {"email": "x@example.org"}), ("support", {})):
        again = await browser.http.post(f"/recover/{path}", data={"form_token": token, **given}, follow_redirects=False)
        assert again.status_code == 401, (path, again.text)
    assert len(await service.rows("SELECT 1 FROM recovery_session WHERE action IS NOT NULL")) == 1


async def test_fifty_passwords_at_once_are_one(service, caller):
    """REC-24: used up by one UPDATE."""
    user_id, _, code = await anna_with_a_code(service, caller)
    browser = await recovering(service, user_id, code)
    done = await asyncio.gather(*(post(browser, "/recover/password", password=f"{NEW} {n}") for n in range(50)))
    # On a crowded machine some wait too long for a row: a clear answer, and no password more (REL-09).
    assert sum(one.headers.get("location") == "/reset/done#main" for one in done) == 1
    assert {one.status_code for one in done} <= {303, 401, 503}
    assert await event_names(service, "password.set") == ["password.set"] * 2


async def test_the_cookie_opens_nothing_else(service, caller, owner):
    """REC-24: no page of the account, and no code for an application."""
    user_id, _, code = await anna_with_a_code(service, caller)
    browser = await recovering(service, user_id, code)
    for path in ("/me", "/me/email", "/me/history", "/me/everything", "/me/passkeys", "/me/support"):
        answered = await browser.http.get(path, follow_redirects=False)
        assert (answered.status_code, answered.headers["location"].partition("?")[0]) == (303, "/signin"), path
    shop = await a_shop(service)
    at = await travel(browser, f"/oauth/authorize?{urlencode(a_request(shop).query)}")
    assert at.url.path == "/signin"


async def test_with_a_passkey_the_code_opens_the_demand_alone_and_is_not_used_up(service, caller):
    """REC-25: whoever found the card changes nothing, and the owner is told and keeps their code."""
    user_id, browser, code = await anna_with_a_code(service, caller)
    await enrol(browser)
    service.clock.advance(seconds=1)
    thief = await enter(service, user_id, code)
    assert "isn't enough" in thief.text
    assert "data-recovery-code" not in thief.page.text
    for path in (*ACTIONS, "/recover/passkey/options", "/recover/kept", "/recover/support/unexpected"):
        fields = {"/recover/password": {"password": NEW}, "/recover/address": {"email": "thief@example.org"}}
        fields["/recover/passkey"] = {"ceremony": "x", "response": "{}"}
        refused = await post(thief, path, **fields.get(path, {}))
        assert refused.status_code == 403, (path, refused.text)
    await service.deliver()
    assert service.letter(ANNA, "Someone entered your recovery code")
    await forget_limits(service)
    owner = await enter(service, user_id, code)
    assert owner.page.url.path == CHOOSE


async def test_a_mailed_code_is_the_second_proof(service, caller):
    """REC-25: saved code and sent code are two kinds; only then is the saved one used up."""
    user_id, before, code = await anna_with_a_code(service, caller)
    await enrol(before)
    service.clock.advance(seconds=1)
    browser = await enter(service, user_id, code)
    await browser.send("/recover/second-code/send")
    await service.deliver()
    sent = re.search(r"\b[0-9A-Z]{5}-[0-9A-Z]{5}\b", service.letter(ANNA, "Your code to recover your account")["text"])
    await browser.send("/recover/second-code", code="00000-00000")
    assert browser.page.status_code == 422
    await browser.open(CHOOSE)
    await browser.send("/recover/second-code", code=sent[0])
    assert shown_code(browser) != code
    await kept(browser)
    assert (await browser.send("/recover/password", password=NEW)).url.path == "/reset/done"
    assert REFUSED in await try_code(service, user_id, code)


async def test_an_address_of_yesterday_is_no_second_proof(service, caller):
    """REC-25: after 71 hours and 59 minutes not, after 72 hours it is."""
    user_id, before, code = await anna_with_a_code(service, caller)
    await enrol(before)
    await before.open("/me/email")
    await before.send("/me/email", email="new@example.org")
    await service.deliver()
    link = re.search(r"/confirm/(\S+?)#(\S+)", service.letter("new@example.org", "confirm")["text"])
    await before.open(f"/confirm/{link[1]}")
    await before.send(f"/confirm/{link[1]}", link=link[2])
    service.clock.advance(hours=71, minutes=59)
    browser = await enter(service, user_id, code)
    assert "/recover/second-code/send" not in browser.page.text
    await browser.open("/recover")
    assert (await post(browser, "/recover/second-code/send")).status_code == 409
    service.clock.advance(minutes=2)
    await forget_limits(service)
    browser = await enter(service, user_id, code)
    assert "/recover/second-code/send" in browser.page.text


async def test_a_reset_ends_the_recovery_and_a_code_of_this_week(service, caller):
    """PKY-14's rule for codes: whoever took the account over may have made it."""
    user_id, _, code = await anna_with_a_code(service, caller)
    recovery = await recovering(service, user_id, code)
    service.clock.advance(seconds=1)
    reset = await a_reset(service, ANNA, source="198.51.100.201")
    await choose(reset.browser, reset.link, f"{GOOD} again")
    await recovery.open(CHOOSE)
    assert recovery.page.url.path == "/recover"
    assert await service.rows("SELECT 1 FROM recovery_code WHERE used_at IS NULL AND ended_at IS NULL") == []


async def test_the_code_of_a_merged_account_works_again_after_the_undo(service, caller, owner):
    """REC-30: with merge, and erase."""
    user_id, code, _ = await with_a_code(service)
    kept_id = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await merge(owner, user_id, into=kept_id)
    assert REFUSED in await try_code(service, user_id, code)
    assert REFUSED in await try_code(service, kept_id, code)


async def test_somebody_of_a_passkey_alone_is_told_to_use_it(service):
    """REC-25: no address to send a second proof to."""
    user_id, browser, _ = await without_address(service)
    code = await own_code(browser)
    found = await enter(service, user_id, code)
    assert "contact us" in found.text
    assert "/recover/second-code/send" not in found.page.text


async def test_a_code_of_the_app_is_the_second_proof_and_a_lost_app_goes_with_a_new_password(service, caller):
    """REC-25, SFA-08: saved code and factor, or saved code and sent code; the code alone does neither."""
    anna = await with_an_app(service, caller)
    code = await own_code(anna.browser)
    service.clock.advance(minutes=1)
    browser = await enter(service, anna.user_id, code)
    assert "isn't enough" in browser.text
    assert (await post(browser, "/recover/password", password=NEW, factor="remove")).status_code == 403
    await browser.send("/recover/app-code", code=wrong(service, anna.seed))
    assert browser.page.status_code in (403, 422)
    await browser.open(CHOOSE)
    await browser.send("/recover/app-code", code=shown(service, anna.seed))
    await kept(browser)
    done = await browser.send("/recover/password", password=NEW, factor="remove")
    assert done.url.path == "/reset/done", browser.text
    service.clock.advance(seconds=1)
    assert (await sign_in(a_browser(service), password=NEW)).url.path == "/me"
    assert await service.rows("SELECT 1 FROM second_factor") == []
