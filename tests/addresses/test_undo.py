"""What a link of a notice takes back: the addresses as they were, and what somebody else has gained since."""

import pytest

from tests.addresses.given import (
    ADDED,
    ANNA,
    PAGE,
    REMOVED,
    SECOND,
    THIRD,
    add,
    add_confirmed,
    anna_signed_in,
    press_on_page,
    subjects,
)
from tests.life.given import account, audited, confirm, days_later, link_to, press, renew, set_password
from tests.passkeys.given import enrol, passkey_ids, use
from tests.resets.given import GOOD, a_browser, forget_limits, sign_in

THEIRS = "orange kettle argues with gravity"
CHANGED = "Your email address was changed"


@pytest.fixture
async def anna(service, caller):
    """Her User ID and the browser in which she is signed in, with a second address that recovers the account."""
    user_id, browser = await anna_signed_in(service, caller)
    await add_confirmed(service, browser)
    await renew(service, caller)
    await sign_in(browser)
    service.clock.advance(seconds=1)
    return user_id, browser


async def confirmed(service) -> list[str]:
    rows = await service.rows(
        "SELECT email FROM further_address WHERE confirmed_at IS NOT NULL AND removed_at IS NULL ORDER BY email"
    )
    return [email for (email,) in rows]


async def test_the_removed_mailbox_takes_it_back_with_all_that_was_made_since(service, caller, anna):
    """ADR-06 (a fault of the first stage): session, password, passkey, address and waiting link of the thief end."""
    _, thief = anna
    await press_on_page(service, thief, "remove")
    service.clock.advance(seconds=1)
    rescue = await link_to(service, SECOND, REMOVED)
    await set_password(service, ANNA, THEIRS)
    await sign_in(thief, ANNA, THEIRS)
    device = await enrol(thief)
    assert (await use(thief, device)).status_code == 303
    await add(thief, THIRD)
    service.clock.advance(seconds=1)
    waits = await link_to(service, THIRD, "Please confirm another")
    done = await press(service, rescue)
    assert done.page.url.path == "/confirmed/address_undo", done.text
    service.clock.advance(seconds=1)
    assert await confirmed(service) == [SECOND]
    assert (await thief.open("/me")).url.path == "/signin"
    assert (await sign_in(a_browser(service), ANNA, THEIRS)).url.path != "/me"
    assert await passkey_ids(service) == []
    assert (await press(service, waits)).page.status_code == 410
    assert await service.rows("SELECT count(*) FROM further_address WHERE email = :e", e=THIRD) == [(0,)]
    assert "Reset your password" in await subjects(service, SECOND)
    assert "Your password no longer works" in service.letter(SECOND, "Reset your password")["text"]
    assert (await press(service, rescue)).page.status_code == 410
    await audited(service)


@pytest.mark.parametrize(("later", "works"), [({"days": 6, "hours": 23}, True), ({"days": 7, "seconds": 1}, False)])
async def test_for_seven_days(service, caller, anna, later, works):
    """ADR-06; afterwards nothing is kept of the address."""
    await press_on_page(service, anna[1], "remove")
    rescue = await link_to(service, SECOND, REMOVED)
    await days_later(service, caller, **later)
    assert ((await press(service, rescue)).page.status_code, await confirmed(service)) == (
        (200, [SECOND]) if works else (410, [])
    )


async def test_a_removed_address_is_forgotten(service, anna):
    """The row stays as long as it can be brought back."""
    await press_on_page(service, anna[1], "remove")
    for by, left in (({"days": 9}, 1), ({"days": 2}, 0)):
        move = "UPDATE further_address SET removed_at = now() - make_interval(days => :days) RETURNING 1"
        await service.rows(move, days=11 - by["days"] if left else 11)
        await service.forget()
        assert await service.rows("SELECT count(*) FROM further_address") == [(left,)]


async def test_it_is_free_for_its_next_owner_and_not_taken_back_then(service, caller, anna):
    """ATT-31: removed by Anna, confirmed by Ben; her link must not push him out."""
    await press_on_page(service, anna[1], "remove")
    rescue = await link_to(service, SECOND, REMOVED)
    made = await caller.post("/v1/accounts", {"email": SECOND})
    assert made.status_code == 201
    await forget_limits(service)
    await set_password(service, SECOND, GOOD)
    await press(service, rescue)
    assert await confirmed(service) == []
    assert (await account(caller, made.json()["user_id"]))["email"] == SECOND


async def test_the_first_address_takes_back_what_was_added(service, caller, anna):
    """ADR-04: the owner hears of it at once; the address, and who came with it, goes."""
    _, thief = anna
    await add(thief, THIRD)
    await confirm(service, THIRD, "Please confirm another")
    service.clock.advance(seconds=1)
    rescue = await link_to(service, ANNA, ADDED)
    await confirm_undo(service, rescue)
    assert await confirmed(service) == [SECOND]
    assert (await thief.open("/me")).url.path == "/signin"
    assert (await sign_in(a_browser(service), ANNA, GOOD)).url.path != "/me"


async def confirm_undo(service, link) -> None:
    done = await press(service, link)
    assert done.page.url.path == "/confirmed/address_undo", done.text
    service.clock.advance(seconds=1)


async def test_a_thief_who_turns_everything_round_is_turned_back_by_one_link(service, caller, anna):
    """ATT-29: added his, made the second the main one, removed the first; the oldest notice brings all of it back."""
    user_id, thief = anna
    await add(thief, THIRD)
    await confirm(service, THIRD, "Please confirm another")
    service.clock.advance(seconds=1)
    rescue = await link_to(service, ANNA, ADDED)
    await press_on_page(service, thief, "main")
    service.clock.advance(seconds=1)
    his = await link_to(service, THIRD, CHANGED)
    await press_on_page(service, thief, "remove", ANNA)
    service.clock.advance(seconds=1)
    his_second = await link_to(service, THIRD, REMOVED)
    assert (await account(caller, user_id))["email"] == SECOND
    await confirm_undo(service, rescue)
    assert ((await account(caller, user_id))["email"], await confirmed(service)) == (ANNA, [SECOND])
    for link in (his, his_second):
        assert (await press(service, link)).page.status_code == 410
    assert ((await account(caller, user_id))["email"], await confirmed(service)) == (ANNA, [SECOND])
    await audited(service)


async def test_a_new_main_address_is_undone_by_the_former_one(service, caller, anna):
    """ADR-06: both are where they were, and the change of the main address counts as undone."""
    user_id, browser = anna
    await press_on_page(service, browser, "main")
    service.clock.advance(seconds=1)
    done = await confirm(service, ANNA, CHANGED)
    assert done.page.url.path == "/confirmed/email_undo"
    assert ((await account(caller, user_id))["email"], await confirmed(service)) == (ANNA, [SECOND])
    assert await service.rows("SELECT count(*) FROM email_change WHERE undone_at IS NULL") == [(0,)]


async def test_a_link_of_an_address_that_was_removed_again_is_over(service, anna):
    """Removed, brought back, removed again by the customer: the first link does not undo the second removal."""
    _, browser = anna
    await press_on_page(service, browser, "remove")
    service.clock.advance(seconds=1)
    old = [await link_to(service, address, REMOVED) for address in (ANNA, SECOND)]
    await confirm_undo(service, old[0])
    await forget_limits(service)
    await set_password(service, ANNA, GOOD)
    await sign_in(browser)
    await press_on_page(service, browser, "remove")
    service.clock.advance(seconds=1)
    assert (await press(service, old[1])).page.status_code == 410
    assert await confirmed(service) == []
    assert (await browser.open(PAGE)).url.path == PAGE
