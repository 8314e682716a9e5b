"""Another address: nothing before its mailbox has confirmed, and for seven days the old mailbox takes it back."""

import pytest

from tests.browser import Browser
from tests.conftest import BASE
from tests.life.given import (
    account,
    audited,
    call,
    confirm,
    days_later,
    link_to,
    merge,
    press,
    set_password,
    sign_in,
    two_accounts,
)

ANNA, NEW, THIEF = "anna@example.com", "new@example.com", "thief@example.com"
ASKED, CHANGED = "Please confirm your new email address", "Your email address was changed"
GOOD = "violet teapot argues with gravity"


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]


async def ask(caller, user_id, email, **headers):
    return await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": email}, headers=headers)


async def email(caller, user_id):
    return (await account(caller, user_id))["email"]


async def test_nothing_changes_before_the_new_mailbox_confirms(service, caller, anna):
    """ATT-28: an address that nobody confirmed gets one letter, its own, and signs nobody in."""
    assert (await ask(caller, anna, NEW)).json()["account"]["email"] == ANNA
    await set_password(service, ANNA, GOOD)
    assert (await sign_in(service, NEW, GOOD)).page.url.path != "/me"
    await caller.post("/v1/resets", {"user_id": anna})
    await service.deliver()
    assert [letter["subject"] for letter in service.mailbox.letters(NEW)] == ["Please confirm your new email address"]
    assert await email(caller, anna) == ANNA


async def test_the_answer_says_whose_word_is_waited_for(service, caller, anna):
    """Nothing has changed yet; the address on file needs nobody's word, and a first one is there at once."""
    asked = await ask(caller, anna, NEW)
    ((change_id,),) = await service.rows("SELECT id FROM email_change")
    assert asked.status_code == 202
    assert asked.json()["pending"] == {"id": str(change_id), "verb": "email", "waits_for": "new_mailbox"}
    assert (await ask(caller, anna, ANNA)).json()["pending"] is None
    plain = (await caller.post("/v1/accounts", {})).json()["user_id"]
    first = (await ask(caller, plain, "plain@example.com")).json()
    assert (first["account"]["email_state"], first["pending"]) == ("unconfirmed", None)


async def test_confirmed_it_counts_and_the_old_mailbox_is_told(service, caller, anna):
    """IDN-07: the User ID stays; ATT-31: the old address is free, and its next owner is somebody else."""
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    found = await account(caller, anna)
    assert (found["email"], found["email_state"], found["user_id"]) == (NEW, "confirmed", anna)
    await service.deliver()
    assert service.letter(ANNA, CHANGED)
    other = await caller.post("/v1/accounts", {"email": ANNA})
    assert (other.status_code, other.json()["user_id"] != anna) == (201, True)
    await audited(service)


async def test_the_old_mailbox_takes_it_back_and_ends_every_session(service, caller, anna):
    await set_password(service, ANNA, GOOD)
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    browser = await sign_in(service, NEW, GOOD)
    assert browser.page.url.path == "/me"
    done = await confirm(service, ANNA, CHANGED)
    assert "Your password no longer works. We've emailed you a link to set a new one." in done.text
    await service.deliver()
    mail = service.letter(ANNA, "Reset your password")["text"]
    assert "Your password no longer works" in mail
    assert "ignore this email" not in mail
    await browser.open("/me")
    assert browser.page.url.path == "/signin"
    found = await account(caller, anna)
    assert (found["email"], found["email_state"]) == (ANNA, "confirmed")
    assert found["sessions_valid_after"] is not None


@pytest.mark.parametrize(("later", "works"), [({"days": 6, "hours": 23}, True), ({"days": 7, "seconds": 1}, False)])
async def test_for_seven_days(service, caller, anna, later, works):
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    link = await link_to(service, ANNA, CHANGED)
    await days_later(service, caller, **later)
    page = (await press(service, link)).page
    assert (page.status_code, await email(caller, anna)) == ((200, ANNA) if works else (410, NEW))


async def test_an_undoing_cannot_be_undone_by_who_took_the_account(service, caller, anna):
    """ATT-29: he changed it twice, so the second notice went to him; it dies with the change that is taken back."""
    await ask(caller, anna, THIEF)
    await confirm(service, THIEF, ASKED)
    rescue = await link_to(service, ANNA, CHANGED)
    service.clock.advance(seconds=1)
    await ask(caller, anna, "thief2@example.com")
    await confirm(service, "thief2@example.com", ASKED)
    his = await link_to(service, THIEF, CHANGED)
    service.clock.advance(seconds=1)
    assert (await press(service, rescue)).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    assert (await press(service, his)).page.status_code == 410
    assert await email(caller, anna) == ANNA


async def test_of_two_changes_the_later_alone_can_be_taken_back_first(service, caller, anna):
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    service.clock.advance(seconds=1)
    await ask(caller, anna, "third@example.com")
    await confirm(service, "third@example.com", ASKED)
    await confirm(service, NEW, CHANGED)
    assert await email(caller, anna) == NEW
    await confirm(service, ANNA, CHANGED)
    assert await email(caller, anna) == ANNA


async def kill_by_reset(service, caller, anna):
    await set_password(service, ANNA, GOOD)


async def kill_by_close(service, caller, anna):
    await caller.post(f"/v1/accounts/{anna}/close")


async def kill_by_erase(service, caller, anna):
    await caller.post(f"/v1/accounts/{anna}/erase")


async def kill_by_change(service, caller, anna):
    await ask(caller, anna, "other@example.com")
    await confirm(service, "other@example.com", ASKED)


async def kill_by_time(service, caller, anna):
    service.clock.advance(minutes=30, seconds=1)


KILLERS = [kill_by_reset, kill_by_close, kill_by_erase, kill_by_change, kill_by_time]


@pytest.mark.parametrize("kill", KILLERS)
async def test_a_change_that_waits_dies_with_everything_that_was_proven(service, caller, anna, kill):
    """ATT-19, ATT-27, ATT-29: somebody asked for it, the customer has proven his mailbox since, closed, or erased."""
    await ask(caller, anna, THIEF)
    link = await link_to(service, THIEF, ASKED)
    service.clock.advance(seconds=1)
    await kill(service, caller, anna)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT count(*) FROM account WHERE email = :thief", thief=THIEF) == [(0,)]


@pytest.mark.parametrize("first", [THIEF, NEW])
async def test_the_newest_request_ends_the_older_ones(service, caller, anna, first):
    """A first address that was a mistake, or a thief's, gets nothing once another one is asked for."""
    second = NEW if first == THIEF else THIEF
    await ask(caller, anna, first)
    old = await link_to(service, first, ASKED)
    service.clock.advance(seconds=1)
    await ask(caller, anna, second)
    page = await press(service, old)
    assert page.page.status_code == 410
    assert "It has expired, or a newer one has replaced it." in page.text
    await page.open(old[0])
    assert "This link no longer works" in page.text
    assert await email(caller, anna) == ANNA
    await confirm(service, second, ASKED)
    assert await email(caller, anna) == second
    service.clock.advance(seconds=1)
    assert (await press(service, old)).page.status_code == 410
    assert await email(caller, anna) == second


async def test_what_was_proven_before_the_change_is_dead_after_it(service, caller, anna):
    """ATT-19: a reset link that lay in the old mailbox."""
    await caller.post("/v1/resets", {"user_id": anna})
    await service.deliver()
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    assert await service.rows(
        "SELECT count(*) FROM one_time_token p JOIN account a USING (user_id) "
        "WHERE p.purpose = 'reset' AND p.requested_at < a.tokens_valid_after"
    ) == [(1,)]
    text = service.letter(ANNA, "Reset your password")["text"]
    secret = text[text.index("#") + 1 :].split()[0]
    browser = Browser(service.app, BASE)
    await browser.open("/reset/choose")
    assert (await browser.send("/reset/choose", link=secret, password=GOOD)).status_code == 410


async def test_a_taken_address_is_refused_when_asked_and_when_confirmed(service, caller, anna):
    """Taken is what another account has confirmed."""
    await ask(caller, anna, NEW)
    link = await link_to(service, NEW, ASKED)
    await caller.post("/v1/accounts", {"email": NEW})
    await set_password(service, NEW, GOOD)
    assert (await ask(caller, anna, NEW)).json()["code"] == "email_taken"
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 409
    assert await email(caller, anna) == ANNA


async def test_an_address_that_is_somebody_elses_by_now_is_not_taken_back(service, caller, anna):
    """ATT-31: freed by Anna, taken by Ben; her link must not push him out."""
    await ask(caller, anna, NEW)
    await confirm(service, NEW, ASKED)
    link = await link_to(service, ANNA, CHANGED)
    ben = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await set_password(service, ANNA, GOOD)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 409
    assert (await email(caller, anna), await email(caller, ben)) == (NEW, ANNA)


async def test_after_a_merge_the_change_that_waited_is_refused(service, caller):
    anna, firm = await two_accounts(caller)
    await ask(caller, firm, NEW)
    link = await link_to(service, NEW, ASKED)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 409
    assert await email(caller, firm) == "firm@example.com"


async def test_a_moved_id_is_refused_with_the_account_that_answers(service, caller):
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    refused = await ask(caller, firm, NEW)
    assert (refused.status_code, refused.json()["code"], refused.json()["moved_to"]) == (409, "account_moved", anna)


@pytest.mark.parametrize("email_of", [ANNA, None])
async def test_a_closed_account_gets_no_address(service, caller, email_of):
    """PRV-12: restricted by closing, with a plain sentence."""
    user_id = (await caller.post("/v1/accounts", {"email": email_of})).json()["user_id"]
    await caller.post(f"/v1/accounts/{user_id}/close")
    refused = await ask(caller, user_id, NEW)
    assert (refused.status_code, refused.json()["code"]) == (409, "account_closed")


@pytest.mark.parametrize("field", ["verified", "email_verified", "proof", "confirmed", "email_state"])
async def test_no_field_says_that_it_is_proven_already(service, caller, anna, field):
    """ATT-30: no scope asserts a proof; only the mailbox confirms."""
    refused = await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": NEW, field: True})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    assert await service.rows("SELECT count(*) FROM email_change") == [(0,)]


async def test_a_link_is_good_for_its_own_account_and_page_alone(service, caller, anna):
    """ATT-50: Anna's handle with Ben's secret."""
    ben = (await caller.post("/v1/accounts", {"email": "ben@example.com"})).json()["user_id"]
    await ask(caller, anna, NEW)
    await ask(caller, ben, "new-ben@example.com")
    first, second = await link_to(service, NEW, ASKED), await link_to(service, "new-ben@example.com", ASKED)
    service.clock.advance(seconds=1)
    assert (await press(service, (first[0], second[1]))).page.status_code == 410
    assert (await email(caller, anna), await email(caller, ben)) == (ANNA, "ben@example.com")
