"""What was gained through a mailbox, a merge or an address ends with it, on both sides, and every mailbox is told.

Verbs: undo of a merge, undo of a change of address, first proof, closing. Gained before: sessions, password, open
link, waiting change (findings R02 to R04, R10 to R14).
"""

import base64
import hashlib

import pytest
from sqlalchemy import text

from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.values.user_ids import UserId
from tests.contacts.given import a_tool
from tests.life.given import (
    account,
    call,
    convert,
    days_later,
    link_to,
    merge,
    press,
    row_id,
    set_password,
    two_accounts,
)
from tests.life.given import confirm as press_newest
from tests.life.given import sign_in as sign_in_by_password
from tests.life.imported import imported
from tests.resets.given import a_browser, a_reset, choose
from tests.signin.test_by_mail import asked, typed

GOOD, THEIRS = "violet teapot argues with gravity", "orange kettle argues with gravity"
ANNA, FIRM, THIEF = "anna@example.com", "firm@example.com", "thief@example.com"
STOP, CHANGED = "Your account will change. You can stop it", "Your email address was changed"
LOST = {"email": THIEF, "ascii": THIEF, "key": THIEF}


async def confirm(service, to: str, subject: str) -> None:
    """Press the button of the newest message, and let a second go by: what is requested at that very moment is over."""
    await press_newest(service, to, subject)
    service.clock.advance(seconds=1)


async def by_code(service, address: str):
    """Sign in by a mailed code."""
    browser, path, code = await asked(service, address)
    assert (await typed(browser, path, code)).url.path == "/me", browser.text
    service.clock.advance(seconds=1)
    return browser


async def signed_in(browser) -> bool:
    return (await browser.open("/me")).url.path == "/me"


async def password_fits(service, address: str, password: str) -> bool:
    return (await sign_in_by_password(service, address, password)).page.url.path == "/me"


async def change_email(service, browser, address: str) -> None:
    """Ask for another address at /me, and confirm it there."""
    await browser.open("/me/email")
    await browser.send("/me/email", email=address)
    await confirm(service, address, "Please confirm your new email address")


async def lost_mailbox(service, user_id: str, details: dict | None = None, *, verb: str = "email"):
    """Two people agree that the mailbox is lost."""
    user = UserId(row_id(user_id))
    change = await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, user, verb, LOST if details is None else details, reason="lost", actor="staff:one", now=service.clock()
        )
    )
    await service.database.in_transaction(
        lambda s: approvals.approve_change(s, change.id, actor="staff:two", now=service.clock())
    )
    return change.id


async def stopped_because(service) -> list[str]:
    rows = await service.rows("SELECT data->>'reason' FROM event WHERE name = 'account.change_stopped' ORDER BY id")
    return [row[0] for row in rows]


async def told(service, address: str) -> list[str]:
    await service.deliver()
    return [letter["subject"] for letter in service.mailbox.letters(address)]


@pytest.fixture
async def merged(service, caller):
    """Two accounts with a password each, merged; the second one's owner then set the password of the first."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await set_password(service, FIRM, THEIRS)
    return anna, firm


async def undo(service, caller, firm: str) -> None:
    service.clock.advance(seconds=1)
    answer = await caller.post(f"/v1/accounts/{firm}/merge/undo")
    assert answer.status_code == 200, answer.text
    service.clock.advance(seconds=1)


async def test_the_undo_of_a_merge_ends_what_came_over_it(service, caller, merged):
    """R02: session, open link, password and waiting change of the other side; on both sides."""
    anna, firm = merged
    theirs, own = await by_code(service, FIRM), await by_code(service, ANNA)
    link = (await a_reset(service, FIRM, source="192.0.2.77")).link
    await lost_mailbox(service, anna)
    await undo(service, caller, firm)
    assert [await signed_in(theirs), await signed_in(own)] == [False, False]
    assert "This link or code doesn't work" in (await choose_text(service, link))
    assert [await password_fits(service, address, THEIRS) for address in (ANNA, FIRM)] == [False, False]
    assert await stopped_because(service) == ["merge_undone"]
    for mailbox in (ANNA, FIRM):
        assert (await told(service, mailbox)).count("Your two accounts are separate again") == 1
    for user_id in (anna, firm):
        assert (await account(caller, user_id))["sessions_valid_after"] is not None


async def choose_text(service, link: str) -> str:
    browser = a_browser(service, "192.0.2.78")
    await choose(browser, link, GOOD)
    return browser.text


async def test_the_undo_of_a_merge_leaves_what_is_ones_own(service, caller):
    """The survivor's password, set by the survivor's mailbox before or while both were one."""
    anna, firm = await two_accounts(caller)
    await set_password(service, FIRM, THEIRS)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await set_password(service, ANNA, GOOD)
    await undo(service, caller, firm)
    assert await password_fits(service, ANNA, GOOD)
    assert await password_fits(service, FIRM, THEIRS)


async def test_the_undo_of_a_change_of_address_leaves_the_thief_nothing(service, caller):
    """R03, RST-16: neither session, password, open link nor waiting change; a reset for the owner has begun."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    thief = await by_code(service, ANNA)
    await change_email(service, thief, THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    await set_password(service, THIEF, THEIRS)
    thief = await sign_in_by_password(service, THIEF, THEIRS)
    link = (await a_reset(service, THIEF, source="192.0.2.77")).link
    service.clock.advance(seconds=1)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    assert (await account(caller, anna))["email"] == ANNA
    assert not await signed_in(thief)
    assert "This link or code doesn't work" in await choose_text(service, link)
    assert [await password_fits(service, address, THEIRS) for address in (ANNA, THIEF)] == [False, False]
    await service.deliver()
    assert service.letter(ANNA, "Reset your password")


@pytest.mark.parametrize("proof", ["code", "reset", "caller check", "address"])
async def test_the_first_proof_of_a_mailbox_ends_what_was_there_before(service, caller, proof):
    """R04, ATT-26: whoever brought an account in with a password has it no longer, and services are told."""
    await imported(service, {"email": ANNA, "password_hash": django(THEIRS)})
    ((stored,),) = await service.rows("SELECT user_id FROM account")
    before = await sign_in_by_password(service, ANNA, THEIRS)
    assert before.page.url.path == "/me"
    service.clock.advance(seconds=1)
    await prove(service, caller, proof, f"{stored[:4]}-{stored[4:8]}-{stored[8:]}")
    assert not await signed_in(before)
    assert not await password_fits(service, ANNA, THEIRS)
    (now,) = await service.rows(
        "SELECT email_state, sessions_valid_after IS NOT NULL FROM account WHERE email IS NOT NULL"
    )
    assert tuple(now) == ("confirmed", True)


def django(password: str) -> str:
    salt, rounds = b"salt", 1000
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return f"pbkdf2_sha256${rounds}${salt.decode()}${base64.b64encode(digest).decode()}"


async def prove(service, caller, how: str, user_id: str) -> None:
    """Read the mailbox for the first time, one way or another."""
    if how == "code":
        await by_code(service, ANNA)
    elif how == "reset":
        await set_password(service, ANNA, GOOD)
    elif how == "caller check":
        tool = await a_tool(service)
        number = await tool.contact(user_id)
        await tool.open_account(user_id, number)
        await tool.verify(service, user_id, number, to=ANNA)
    else:
        browser = a_browser(service)
        await browser.open("/")
        await browser.send("/", email=ANNA)
        await confirm(service, ANNA, "confirm your email address")


async def test_a_code_read_at_another_mailbox_confirms_no_address(service, caller):
    """R12: a merged account's mailbox signs in, and says nothing of an address that nobody has read."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    anna = (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "2"})).json()["user_id"]
    await merge(service, caller, phone, anna, ANNA)
    async with service.database.transaction() as session:
        await session.execute(
            text(
                "UPDATE account SET email = 'c@example.com', email_ascii = 'c@example.com', email_key = "
                "'c@example.com', email_state = 'unconfirmed' WHERE user_id = :id"
            ),
            {"id": row_id(phone)},
        )
    await by_code(service, ANNA)
    assert (await account(caller, phone))["email_state"] == "unconfirmed"
    await set_password(service, ANNA, GOOD)
    assert (await account(caller, phone))["email_state"] == "unconfirmed"


@pytest.mark.parametrize("proof", ["code", "reset"])
async def test_a_mailbox_that_answers_is_not_lost(service, caller, proof):
    """R10, ATT-29: any proof of it since the request stops the change that was requested because it was lost."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await lost_mailbox(service, anna)
    service.clock.advance(seconds=1)
    await prove(service, caller, proof, anna)
    await approvals.carry_out_due(service.database, now=service.clock())
    assert await stopped_because(service) in (["mailbox_answered"], ["first_proof"])
    service.clock.advance(hours=73)
    assert await approvals.carry_out_due(service.database, now=service.clock()) == 0
    assert THIEF not in [letter["to"] for letter in service.mailbox.letters(THIEF)]


async def test_a_mailbox_that_has_answered_lets_nobody_approve(service, caller):
    """R10: between the request and the approval."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await by_code(service, ANNA)
    user = UserId(row_id(anna))
    change = await service.database.in_transaction(
        lambda s: approvals.request_approval(s, user, "email", LOST, reason="lost", actor="one", now=service.clock())
    )
    service.clock.advance(seconds=1)
    await by_code(service, ANNA)
    with pytest.raises(approval_rules.MailboxAnswered):
        await service.database.in_transaction(
            lambda s: approvals.approve_change(s, change.id, actor="two", now=service.clock())
        )


async def test_every_mailbox_of_a_customer_is_told_and_each_can_stop(service, caller):
    """R11, RST-11, PHN-09: the merged account's, where the survivor has none; stop link, password, address, closing."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    anna = (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "2"})).json()["user_id"]
    await merge(service, caller, phone, anna, ANNA)
    await lost_mailbox(service, phone)
    assert (await press(service, await link_to(service, ANNA, STOP))).page.url.path == "/confirmed/stop"
    assert await stopped_because(service) == ["customer"]
    await call(caller, "POST", f"/v1/accounts/{phone}/email-changes", {"email": THIEF})
    await confirm(service, THIEF, "Please confirm your new email address")
    assert CHANGED in await told(service, ANNA)
    await set_password(service, THIEF, THEIRS)
    assert "Your password was changed" in await told(service, ANNA)
    undo_link = await link_to(service, ANNA, CHANGED)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    assert (await account(caller, phone))["email"] is None
    await caller.post(f"/v1/accounts/{phone}/close")
    assert "Your account is closed" in await told(service, ANNA)


@pytest.mark.parametrize("side", ["victim survives", "victim is the duplicate"])
async def test_a_side_without_a_mailbox_has_not_agreed(service, caller, side):
    """R01: whoever knows a User ID alone joins nothing to it; a service only what its own references name."""
    victim = (await caller.post("/v1/accounts", {"external_ref": "cust-1"})).json()["user_id"]
    mine = (await caller.post("/v1/accounts", {"email": THIEF})).json()["user_id"]
    survivor, duplicate = (victim, mine) if side == "victim survives" else (mine, victim)
    tool = await a_tool(service)
    other = await service.caller(name="another shop")
    for asker in (tool, caller, other):
        refused = await asker.post(f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
        assert (refused.status_code, refused.json()["code"]) == (403, "mailbox_missing")
    assert [subject for subject in await told(service, THIEF) if not subject.startswith("Your User ID is ")] == []
    assert (await account(caller, victim))["state"] == "active"


async def test_an_agreement_given_by_absence_is_dropped_when_a_mailbox_appears(service, caller):
    """R01: both sides are read again at the moment of the merge."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    anna = (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "2"})).json()["user_id"]
    asked_for = await caller.post(f"/v1/accounts/{phone}/merge", {"duplicate": anna})
    assert asked_for.status_code == 202
    await call(caller, "POST", f"/v1/accounts/{phone}/email-changes", {"email": FIRM})
    await confirm(service, ANNA, "Do you want to merge your two accounts?")
    assert (await account(caller, anna))["state"] == "active"
    await confirm(service, FIRM, "Do you want to merge your two accounts?")
    assert (await account(caller, anna))["state"] == "merged"


async def test_the_message_names_what_it_asks_for(service, caller):
    """R14: address masked with its domain whole, company, other User ID; a second request ends the first."""
    anna, _ = await two_accounts(caller)
    tool = await a_tool(service)
    number = await tool.contact(anna)
    await tool.open_account(anna, number)
    asks = "Approve a change to your account"
    for address, shown in (("anna.new@mail.example.com", "a…@mail.example.com"), (THIEF, "t…@example.com")):
        made = await tool.caller.post(
            f"/v1/accounts/{anna}/email-changes", {"email": address}, headers=tool.named(number)
        )
        assert made.status_code == 202, made.text
        await service.deliver()
        assert shown in service.letter(ANNA, asks)["text"]
    assert await stopped_because(service) == ["replaced"]


async def test_what_ended_is_not_sent_again(service, caller):
    """R13: a link that is over stays over; a pending one is sent again three times an hour."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": "new@example.com"})
    link = await link_to(service, "new@example.com", "Please confirm your new email address")
    ((message_id,),) = await service.rows("SELECT id FROM message WHERE kind = 'email_change'")
    for _ in range(3):
        again = await caller.post(f"/v1/messages/{message_id}/retry", {})
        assert again.status_code == 202, again.text
        await service.deliver()
    assert (await caller.post(f"/v1/messages/{message_id}/retry", {})).status_code == 429
    await days_later(service, caller, days=2)
    refused = await caller.post(f"/v1/messages/{message_id}/retry", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "token_ended")
    assert (await press(service, link)).page.status_code == 410


async def test_an_undo_link_undoes_its_own_change_alone(service, caller):
    """Business, consumer again, another business: the first notice's link is dead."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await convert(caller, anna)
    first = await link_to(service, ANNA, "You have a business account now")
    service.clock.advance(seconds=1)
    assert (await call(caller, "DELETE", f"/v1/accounts/{anna}/business")).status_code == 200
    service.clock.advance(seconds=1)
    assert (await press(service, first)).page.status_code == 410
    await convert(caller, anna)
    assert (await press(service, first)).page.status_code == 410
    assert (await account(caller, anna))["kind"] == "business"
    second = await link_to(service, ANNA, "You have a business account now")
    assert (await press(service, second)).page.url.path == "/confirmed/business_undo"


async def test_ones_own_other_address_is_ones_own(service, caller):
    """After a merge: both addresses go on leading here, whichever is on file; undone, each account has its own."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    asked_for = await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": FIRM})
    assert asked_for.status_code == 202, asked_for.text
    await confirm(service, FIRM, "Please confirm your new email address")
    for address in (ANNA, FIRM):
        (found,) = (await caller.post("/v1/accounts/search", {"email": address})).json()["items"]
        assert (found["user_id"], found["email"]) == (anna, FIRM)
    await undo(service, caller, firm)
    assert [(await account(caller, one))["email"] for one in (anna, firm)] == [ANNA, FIRM]


@pytest.mark.parametrize("verb", ["change", "undo"])
async def test_who_proves_a_mailbox_gets_it_from_an_account_that_never_did(service, caller, verb):
    """A shop registered the address; its orders stay with the customer."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await by_code(service, ANNA)
    wanted = "second@example.com"
    if verb == "undo":
        await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": THIEF})
        await confirm(service, THIEF, "Please confirm your new email address")
        undo_link, wanted = await link_to(service, ANNA, CHANGED), ANNA
    shop = (await caller.post("/v1/accounts", {"email": wanted, "external_ref": "shop-1"})).json()["user_id"]
    if verb == "undo":
        assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    else:
        asked_for = await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": wanted})
        assert asked_for.status_code == 202, asked_for.text
        await confirm(service, wanted, "Please confirm your new email address")
    now = await account(caller, anna)
    assert (now["email"], now["email_state"], now["external_refs"]) == (wanted, "confirmed", ["shop-1"])
    assert (await account(caller, shop))["moved_to"] == anna


async def test_the_page_for_another_address_tells_nothing_of_others(service, caller):
    """R09, ATT-24: taken or free, the same words; a taken one is asked whether both accounts are one; three an hour."""
    await two_accounts(caller)
    await by_code(service, FIRM)
    browser = await by_code(service, ANNA)
    seen = []
    for address in (FIRM, "free@example.com"):
        await browser.open("/me/email")
        page = await browser.send("/me/email", email=address)
        seen.append((page.status_code, browser.text.replace(address, "X")))
    assert seen[0] == seen[1]
    assert "Do you want to merge your two accounts?" in await told(service, FIRM)
    for _ in range(2):
        await browser.open("/me/email")
        await browser.send("/me/email", email=FIRM)
    await browser.open("/me/email")
    assert (await browser.send("/me/email", email=FIRM)).status_code == 429
