"""Passkeys as the only way in: who may say so, what it closes, and how it ends."""

import re

import pytest

from identity_service.approvals import actions as approvals
from identity_service.values import email_addresses
from identity_service.values.user_ids import UserId
from tests.life.given import call, merge, renew, row_id
from tests.passkeys.given import (
    ME,
    UP,
    Authenticator,
    enrol,
    event_names,
    fits,
    passkey_ids,
    remove,
    token_of,
    use,
    with_a_password,
    without_address,
)
from tests.passkeys.test_afterwards import BEN, begin_reset
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, choose, code_in, forget_limits, sign_in
from tests.signin.test_by_mail import asked, typed

ON = "Only your passkeys sign in to your account now"
OFF = "There are other ways to sign in to your account again"


async def turn_on(browser):
    await browser.open(ME)
    return await browser.http.post(f"{ME}/only", data={"form_token": token_of(browser)})


async def two_passkeys(service, browser, *, days: int = 8, **given) -> list[Authenticator]:
    """Two passkeys of this signed-in customer, so many days ago; the browser has signed in again with one."""
    devices = [await enrol(browser, Authenticator(**given)) for _ in range(2)]
    service.clock.advance(days=days)
    await forget_limits(service)
    assert (await use(browser, devices[0])).status_code == 303
    return devices


@pytest.fixture
async def only(service, caller):
    """Anna, who has turned every other way off: her User ID, browser, devices."""
    user_id, browser = await with_a_password(service, caller)
    devices = await two_passkeys(service, browser)
    service.clock.advance(seconds=1)
    done = await turn_on(browser)
    assert "From now on only your passkeys sign you in." in done.text, done.text
    service.clock.advance(seconds=1)
    return user_id, browser, devices


async def told(service, subject: str) -> int:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(ANNA)].count(subject)


async def test_every_weaker_way_is_refused(service, caller, only):
    """PKY-15: posted directly: password at the page and at a service's check, emailed code, link and code of a reset,
    also by a desk; and they read as where there is no account."""
    user_id, _, devices = only
    await renew(service, caller)
    wrong = await sign_in(a_browser(service))
    unknown = await sign_in(a_browser(service), "nobody@example.org")
    assert wrong.status_code == unknown.status_code == 422
    assert re.findall(r"role=.alert.*?</div>", wrong.text) == re.findall(r"role=.alert.*?</div>", unknown.text)
    checked = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD})
    assert checked.json()["result"] == "no_match"
    assert (await call(caller, "POST", "/v1/resets", {"user_id": user_id})).status_code == 202
    await service.deliver()
    letter = service.letter(ANNA, "Reset your password")["text"]
    assert "You've turned off every way to sign in but your passkeys" in letter.replace("\n", " ")
    assert "https://id.example.com/signin" in letter
    assert "#" not in letter
    await forget_limits(service)
    browser = a_browser(service)
    await browser.open("/signin")
    await browser.send("/signin/code", email=ANNA)
    await service.deliver()
    letter = service.letter(ANNA, "Your sign-in code")["text"]
    assert "so there is no code" in letter.replace("\n", " ")
    assert re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b(?!-)", letter.replace(user_id, "")) is None
    assert await fits(service, devices[1])


@pytest.mark.parametrize("way", ["mail", "link", "code"])
async def test_what_was_sent_before_opens_nothing_after(service, caller, way):
    """PKY-15: a code or link that is still good when the customer turns the other ways off."""
    _, browser = await with_a_password(service, caller)
    devices = await two_passkeys(service, browser)
    if way == "mail":
        other, path, code = await asked(service, ANNA)
    else:
        sent = await a_reset(service, ANNA, "198.51.100.201")
        other = sent.browser
    await turn_on(browser)
    if way == "mail":
        assert (await typed(other, path, code)).status_code == 410
    elif way == "link":
        assert (await choose(other, sent.link, OTHER)).status_code == 410
    else:
        refused = await begin_from(other, sent)
        assert refused.status_code == 410
    assert (await other.open("/me")).url.path == "/signin"
    assert await service.rows("SELECT 1 FROM password") == []
    assert await fits(service, devices[1])


async def begin_from(browser, sent):
    await browser.open(f"{sent.watch}/code")
    return await browser.send(f"{sent.watch}/code", code=code_in(sent.letter), password=OTHER)


async def test_known_and_unknown_are_asked_by_the_same_statements(service, only):
    """PKY-15, PKY-06: the wish is looked at by the worker, where nobody who asks can see it: both tracking pages read
    alike."""
    pages = []
    for address in (ANNA, "nobody@example.org"):
        await forget_limits(service)
        browser = a_browser(service)
        await browser.open("/reset")
        page = await browser.send("/reset", email=address)
        await service.deliver()
        page = await browser.open(page.url.path)
        pages.append(
            re.sub(
                r"[\w-]{16,}|<bdi>[0-9A-Z-]+</bdi>|as [0-9A-F]{6}|\d\d:\d\d(:\d\d)?", "", page.text.replace(address, "")
            )
        )
    assert pages[0] == pages[1]


async def test_it_takes_two_passkeys_that_ask_and_are_not_new(service, caller):
    """PKY-15: whoever took the account over and added two cannot lock its owner out of the reset that removes them."""
    _, browser = await with_a_password(service, caller)
    await two_passkeys(service, browser, days=6)
    done = await turn_on(browser)
    assert (done.status_code, "two passkeys that ask for a PIN" in done.text) == (409, True)
    assert "Turn other ways off" not in (await browser.open(ME)).text
    assert (await begin_reset(service)).page.status_code == 200, "a reset still shows them"
    assert await service.rows("SELECT 1 FROM passkey_only") == []


async def test_passkeys_that_ask_for_nothing_are_not_enough(service, caller):
    """PKY-15, PKY-03: somebody who finds the device would be in."""
    _, browser = await with_a_password(service, caller)
    await two_passkeys(service, browser, flags=UP)
    assert (await turn_on(browser)).status_code == 409
    assert await service.rows("SELECT count(*) FROM password") == [(1,)]


async def test_it_is_told_and_signs_everybody_else_out(service, caller):
    """PKY-15, PKY-08: every mailbox, with an event; a session from before is over."""
    _, browser = await with_a_password(service, caller)
    devices = await two_passkeys(service, browser)
    elsewhere = a_browser(service)
    await use(elsewhere, devices[1])
    service.clock.advance(seconds=1)
    await turn_on(browser)
    assert (await elsewhere.open("/me")).url.path == "/signin"
    assert (await browser.open("/me")).url.path == "/me"
    assert await told(service, ON) == 1
    assert await event_names(service) == ["passkey.added", "passkey.added", "passkey.made_only_way"]
    await turn_on(browser)
    assert (await event_names(service)).count("passkey.made_only_way") == 1


async def test_a_passkey_turns_the_other_ways_on_again(service, only):
    """PKY-15: told; then the mailbox signs in, and a reset sets a password."""
    _, browser, devices = only
    await browser.open(ME)
    page = await browser.send(f"{ME}/only/end")
    assert "You can sign in with an emailed code again" in page.text
    assert await told(service, OFF) == 1
    service.clock.advance(seconds=1)
    await forget_limits(service)
    mailed, path, code = await asked(service, ANNA)
    assert (await typed(mailed, path, code)).url.path == "/me"
    page = await begin_reset(service)
    assert "Which passkeys are yours?" in page.text
    assert await fits(service, devices[1])


async def test_two_passkeys_stay(service, only):
    """PKY-15, PKY-09: while there is no other way; a third can go."""
    _, browser, _ = only
    await browser.open(ME)
    refused = await remove(browser, (await passkey_ids(service))[0])
    assert (refused.status_code, "so two must stay" in refused.text) == (409, True)
    await enrol(browser)
    await browser.open(ME)
    assert (await remove(browser, (await passkey_ids(service))[0])).status_code == 303
    assert len(await passkey_ids(service)) == 2


async def test_an_old_session_changes_nothing(service, only):
    """PKY-15, PKY-07: neither way without a sign-in of the last ten minutes."""
    _, browser, _ = only
    await browser.open(ME)
    token = token_of(browser)
    service.clock.advance(minutes=11)
    for path in (f"{ME}/only", f"{ME}/only/end"):
        done = await browser.http.post(path, data={"form_token": token}, follow_redirects=False)
        assert done.headers["location"].startswith("/signin")
    assert await service.rows("SELECT count(*) FROM passkey_only") == [(1,)]


async def test_no_merge_lets_other_ways_in(service, caller, only):
    """PKY-15: neither into such an account nor of one into another; also where the merge was asked for before."""
    user_id, _, _ = only
    await renew(service, caller)
    other = (await caller.post("/v1/accounts", {"email": BEN})).json()["user_id"]
    for survivor, duplicate in ((user_id, other), (other, user_id)):
        done = await call(caller, "POST", f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
        assert (done.status_code, done.json()["code"]) == (409, "cannot_merge")


async def test_the_ways_of_a_merged_account_close_too(service, caller):
    """PKY-15: the other address and password lead to the same account."""
    anna, browser = await with_a_password(service, caller)
    ben, _ = await with_a_password(service, caller, BEN)
    await merge(service, caller, anna, ben, ANNA, BEN)
    service.clock.advance(seconds=1)
    await forget_limits(service)
    await sign_in(browser)
    await two_passkeys(service, browser)
    await turn_on(browser)
    service.clock.advance(seconds=1)
    assert (await sign_in(a_browser(service), BEN)).status_code == 422
    assert await service.rows("SELECT 1 FROM password") == []
    await forget_limits(service)
    other = a_browser(service)
    await other.open("/reset")
    await other.send("/reset", email=BEN)
    await service.deliver()
    assert "turned off every way" in service.letter(BEN, "Reset your password")["text"].replace("\n", " ")


async def test_an_address_that_nobody_has_confirmed_is_not_shut_out(service, caller):
    """PKY-15, ATT-26: whoever reads that mailbox may be its real owner: the wish cannot be made, and does not count."""
    user_id, browser, device = await without_address(service)
    await two_passkeys(service, browser)
    assert (await turn_on(browser)).status_code == 200
    await renew(service, caller)
    added = await call(caller, "POST", f"/v1/accounts/{user_id}/email-changes", {"email": ANNA})
    assert added.status_code == 200, added.text
    await use(browser, device)
    refused = await turn_on(browser)
    assert (refused.status_code, "Confirm your email address first." in refused.text) == (409, True)
    service.clock.advance(seconds=1)
    await forget_limits(service)
    mailed, path, code = await asked(service, ANNA)
    assert (await typed(mailed, path, code)).url.path == "/me"
    assert await passkey_ids(service) == []
    assert await service.rows("SELECT 1 FROM passkey_only") == []
    assert (await event_names(service))[-1] == "passkey.other_ways_allowed"


async def test_who_has_lost_all_comes_back_by_two_people_and_a_wait(service, only):
    """PKY-15, PHN-09: the approved change of address, after 72 hours that every mailbox could stop it in, opens the
    mailbox's way again, and tells."""
    user_id, _, _ = only
    new = email_addresses.parse("anna.new@example.org", special_use=True)
    wanted = {"email": new.shown, "ascii": new.ascii, "key": new.key}
    change = await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, UserId(row_id(user_id)), "email", wanted, reason="lost all", actor="staff:a", now=service.clock()
        )
    )
    await service.database.in_transaction(
        lambda s: approvals.approve_change(s, change.id, actor="staff:b", now=service.clock())
    )
    assert await service.rows("SELECT count(*) FROM passkey_only") == [(1,)]
    service.clock.advance(hours=73)
    assert await approvals.carry_out_due(service.database, now=service.clock()) == 1
    assert await service.rows("SELECT 1 FROM passkey_only") == []
    assert await told(service, OFF) == 1
