"""What becomes of an app: resets, first proofs, merges and their undo, closing, erasing."""

import pytest

from identity_service.second_factors import actions as second_factors
from tests.life.given import call, confirm, merge, row_id
from tests.passkeys.given import enrol, use, with_a_password, without_address
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, choose, forget_limits
from tests.second_factors.given import (
    REMOVED,
    STEP,
    by_password,
    is_in,
    set_up,
    shown,
    sign_in_with_app,
    told,
    type_code,
    with_an_app,
)

BEN = "ben@example.org"


async def owners(service) -> int:
    return (await service.rows("SELECT count(*) FROM second_factor"))[0][0]


async def first_step(service, address: str, password: str = GOOD):
    await forget_limits(service)
    browser = a_browser(service, "192.0.2.90")
    await browser.open("/signin")
    await browser.send("/signin", email=address, password=password)
    return browser


async def test_a_reset_neither_removes_nor_passes_by(service, caller):
    """SFA-06, ASVS 6.4.3: the new password alone does not sign in, and a page of a reset has no session."""
    anna = await with_an_app(service, caller)
    reset = await a_reset(service, ANNA)
    await choose(reset.browser, reset.link, OTHER)
    service.clock.advance(seconds=1)
    assert (await owners(service), await is_in(reset.browser)) == (1, False)
    browser = await by_password(service, password=OTHER)
    assert (browser.page.url.path, await is_in(browser)) == (STEP, False)
    assert await type_code(browser, shown(service, anna.seed)) == 200


async def test_a_first_proof_removes_what_somebody_else_may_have_set_up(service):
    """ATT-26: of an account without a proven address; the mailbox is told."""
    caller = await service.caller()
    user_id, browser, _ = await without_address(service)
    await set_up(service, browser)
    added = await call(caller, "POST", f"/v1/accounts/{user_id}/email-changes", {"email": ANNA})
    assert added.status_code == 200, added.text
    await forget_limits(service)
    reset = await a_reset(service, ANNA)
    await choose(reset.browser, reset.link, GOOD)
    service.clock.advance(seconds=1)
    assert (await owners(service), await told(service, REMOVED)) == (0, 1)
    assert await is_in(await by_password(service))


async def test_the_undo_of_an_address_removes_what_was_set_up_since(service, caller):
    """a thief changes the address and sets up an app; the undo from the old mailbox removes it."""
    _, browser = await with_a_password(service, caller)
    await browser.open("/me/email")
    await browser.send("/me/email", email="thief@example.org")
    await confirm(service, "thief@example.org", "Please confirm your new email address")
    service.clock.advance(seconds=1)
    thief = await first_step(service, "thief@example.org")
    await set_up(service, thief)
    await confirm(service, ANNA, "Your email address was changed")
    service.clock.advance(seconds=1)
    assert (await owners(service), await told(service, REMOVED)) == (0, 1)


async def test_the_undo_of_an_address_leaves_what_was_there_before(service, caller):
    """SFA-06: so that whoever has the old mailbox alone does not get rid of the app by it."""
    anna = await with_an_app(service, caller)
    await anna.browser.open("/me/email")
    await sign_in_with_app(service, anna.seed)
    changed = await call(caller, "POST", f"/v1/accounts/{anna.user_id}/email-changes", {"email": "new@example.org"})
    assert changed.status_code < 300, changed.text
    await confirm(service, "new@example.org", "Please confirm your new email address")
    await confirm(service, ANNA, "Your email address was changed")
    assert await owners(service) == 1


@pytest.mark.parametrize("side", ["survivor", "duplicate"])
async def test_a_merge_switches_no_app_off(service, caller, side):
    """SFA-06: the survivor's own counts; without one that of the other account; after the undo each has its own."""
    anna, _ = await with_a_password(service, caller)
    ben, _ = await with_a_password(service, caller, BEN)
    seeds = {}
    for name, address in (("survivor", ANNA), ("duplicate", BEN)):
        if side == name:
            seeds[name] = await set_up(service, await first_step(service, address))
    await forget_limits(service)
    await merge(service, caller, anna, ben, ANNA, BEN)
    service.clock.advance(minutes=1)
    counts = seeds.get("survivor") or seeds["duplicate"]
    for address in (ANNA, BEN):
        browser = await first_step(service, address)
        if browser.page.status_code == 422:
            continue
        assert (browser.page.url.path, await is_in(browser)) == (STEP, False), address
        assert await type_code(browser, shown(service, counts)) == 200
        service.clock.advance(minutes=1)
    undone = await call(caller, "POST", f"/v1/accounts/{ben}/merge/undo")
    assert undone.status_code == 200, undone.text
    service.clock.advance(minutes=1)
    for name, address in (("survivor", ANNA), ("duplicate", BEN)):
        browser = await first_step(service, address)
        assert browser.page.url.path == (STEP if name in seeds else "/me"), browser.text
        if name in seeds:
            assert await type_code(browser, shown(service, seeds[name])) == 200


async def test_a_merge_passes_no_app_by(service, caller):
    """SFA-06, SFA-08: whoever reads Anna's mailbox and wants her account in one of their own that has an app, too, is
    refused; with a passkey of theirs they are asked for her app."""
    anna, browser = await with_a_password(service, caller)
    seed = await set_up(service, browser)
    thief, _ = await with_a_password(service, caller, BEN)
    at_bens = await first_step(service, BEN)
    await set_up(service, at_bens)
    refused = await call(caller, "POST", f"/v1/accounts/{thief}/merge", {"duplicate": anna})
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_merge")
    await service.database.in_transaction(
        lambda s: second_factors.remove_factor(s, row_id(thief), actor="customer", now=service.clock())
    )
    service.clock.advance(seconds=1)
    await forget_limits(service)
    again = await first_step(service, BEN)
    device = await enrol(again)
    await merge(service, caller, thief, anna, BEN, ANNA)
    service.clock.advance(minutes=1)
    by_passkey = a_browser(service, "192.0.2.40")
    asked = await use(by_passkey, device)
    assert asked.headers["location"].startswith(STEP)
    by_password = await first_step(service, BEN)
    assert (by_password.page.url.path, await type_code(by_password, shown(service, seed))) == (STEP, 200)
    await call(caller, "POST", f"/v1/accounts/{anna}/merge/undo")
    service.clock.advance(minutes=1)
    asked = await first_step(service, ANNA)
    assert (asked.page.url.path, await type_code(asked, shown(service, seed))) == (STEP, 200)


async def test_the_undo_of_a_merge_removes_what_was_set_up_since(service, caller):
    """whoever set it up may have come by the other account; the mailbox is told."""
    anna, _ = await with_a_password(service, caller)
    ben, _ = await with_a_password(service, caller, BEN)
    await forget_limits(service)
    await merge(service, caller, anna, ben, ANNA, BEN)
    service.clock.advance(seconds=1)
    await set_up(service, await first_step(service, ANNA))
    await call(caller, "POST", f"/v1/accounts/{ben}/merge/undo")
    service.clock.advance(seconds=1)
    assert (await owners(service), await told(service, REMOVED)) == (0, 1)


async def test_closing_keeps_the_app_and_erasing_removes_it(service, caller):
    """SFA-06, PRV-09: a closed account that is opened again asks as before; of an erased one nothing is left."""
    anna = await with_an_app(service, caller)
    await call(caller, "POST", f"/v1/accounts/{anna.user_id}/close")
    await service.deliver()
    assert (await first_step(service, ANNA)).page.status_code == 422
    await call(caller, "POST", f"/v1/accounts/{anna.user_id}/reopen")
    await call(caller, "POST", f"/v1/accounts/{anna.user_id}/erase")
    for table in ("second_factor", "second_factor_setup", "pending_sign_in"):
        assert await service.rows(f"SELECT * FROM {table}") == []
