"""What happens to an account is told to every confirmed address that is for notices: one row for each event."""

import pytest

from identity_service.accounts import actions as accounts
from identity_service.approvals import actions as approvals
from identity_service.credentials import actions as credentials
from identity_service.messages import kinds
from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import removal
from identity_service.values.user_ids import UserId
from tests.accounts.given import an_account
from tests.addresses.given import (
    ANNA,
    SECOND,
    THIRD,
    add,
    add_confirmed,
    anna_signed_in,
    press_on_page,
)
from tests.life.given import COMPANY, call, confirm, link_to, merge, press, renew, set_password
from tests.passkeys.given import enrol, passkey_ids
from tests.passkeys.given import remove as remove_passkey
from tests.resets.given import GOOD, forget_limits, sign_in
from tests.second_factors.given import shown

QUIET, WAITS = "quiet@example.org", "waits@example.org"


@pytest.fixture
async def anna(service, caller):
    """Her User ID and browser: a second address for notices, one for recovery alone, and one that nobody confirmed."""
    user_id, browser = await anna_signed_in(service, caller)
    await add_confirmed(service, browser, days=0)
    await sign_in(browser)
    await add_confirmed(service, browser, QUIET, for_recovery="yes")
    await renew(service, caller)
    await sign_in(browser)
    await add(browser, WAITS)
    await service.deliver()
    await forget_limits(service)
    service.clock.advance(seconds=1)
    return user_id, browser


async def password_changed(service, caller, user_id, browser):
    await set_password(service, ANNA, GOOD)


async def passkey_added(service, caller, user_id, browser):
    await enrol(browser)


async def passkey_removed(service, caller, user_id, browser):
    await enrol(browser)
    (passkey_id,) = await passkey_ids(service)
    await browser.open("/me/passkeys")
    await remove_passkey(browser, passkey_id)


async def address_added(service, caller, user_id, browser):
    await press_on_page(service, browser, "remove", WAITS)
    await add(browser, THIRD)


async def address_removed(service, caller, user_id, browser):
    await press_on_page(service, browser, "remove", QUIET)


async def address_changed(service, caller, user_id, browser):
    await browser.open("/me/email")
    await browser.send("/me/email", email=THIRD)
    await confirm(service, THIRD, "Please confirm your new email address")


async def business_undo(service, caller, user_id, browser):
    await call(caller, "PUT", f"/v1/accounts/{user_id}/business", COMPANY)


async def company_changed(service, caller, user_id, browser):
    await business_undo(service, caller, user_id, browser)
    await call(caller, "PUT", f"/v1/accounts/{user_id}/business", {**COMPANY, "billing_address": "Elsewhere 1"})


async def business_ended(service, caller, user_id, browser):
    await business_undo(service, caller, user_id, browser)
    await call(caller, "DELETE", f"/v1/accounts/{user_id}/business")


async def taken_back(service, caller, user_id, browser):
    await business_undo(service, caller, user_id, browser)
    link = await link_to(service, SECOND, "You have a business account now")
    service.clock.advance(seconds=1)
    await press(service, link)


async def merged(service, caller, user_id, browser):
    other = await an_account(caller, email=THIRD)
    await merge(service, caller, user_id, other, ANNA, THIRD)
    return other


async def merge_undone(service, caller, user_id, browser):
    other = await merged(service, caller, user_id, browser)
    await caller.post(f"/v1/accounts/{other}/merge/undo")


async def account_closed(service, caller, user_id, browser):
    await caller.post(f"/v1/accounts/{user_id}/close")


async def account_reopened(service, caller, user_id, browser):
    await account_closed(service, caller, user_id, browser)
    link = await link_to(service, SECOND, "Your account is closed")
    service.clock.advance(seconds=1)
    await press(service, link)


async def account_erased(service, caller, user_id, browser):
    await caller.post(f"/v1/accounts/{user_id}/erase")


async def stop_link(service, caller, user_id, browser):
    asked = await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, UserId(user_id), "close", {}, reason="lost", actor="staff:one", now=service.clock()
        )
    )
    await service.database.in_transaction(
        lambda s: approvals.approve_change(s, asked.id, actor="staff:two", now=service.clock())
    )


async def second_factor_lost(service, caller, user_id, browser):
    row, now = UserId(user_id), service.clock()

    async def lose(session) -> None:
        setup = await second_factors.begin_setup(session, await accounts.find_account(session, row), now=now)
        await second_factors.finish_setup(session, row, shown(service, setup.seed), now=now)
        await removal.ask_removal(session, row, now=now)

    await service.database.in_transaction(lose)


def by_credentials(kind: str):
    """What tells of a credential calls one function; how it comes about is shown where that credential is tested."""

    async def tell(service, caller, user_id, browser) -> None:
        await service.database.in_transaction(
            lambda s: credentials.notify_mailboxes(
                s, kind, [user_id], cause="passkey.added", actor="customer", now=service.clock()
            )
        )

    return tell


BY_CREDENTIALS = (
    "call_denied", "number_added", "number_removed", "passkey_copied", "passkey_only", "passkey_only_ended",
    "password_changed_by_text", "recovery_code_created", "recovery_code_entered", "recovery_code_missed",
    "recovery_code_used", "second_factor_added", "second_factor_failed", "second_factor_removed", "weaker_sign_in",
)  # fmt: skip
EVENTS = {
    one.__name__: one
    for one in (
        password_changed, passkey_added, passkey_removed, address_added, address_removed, address_changed,
        business_undo, company_changed, business_ended, taken_back, merged, merge_undone, account_closed,
        account_reopened, account_erased, stop_link, second_factor_lost,
    )
} | {kind: by_credentials(kind) for kind in BY_CREDENTIALS}  # fmt: skip


def test_every_notice_has_its_row():
    """ADR-07: a new kind of notice without a row is red."""
    assert set(EVENTS) == {name for name, kind in kinds.KINDS.items() if kind.is_notice}


@pytest.mark.parametrize("kind", EVENTS)
async def test_each_event_is_told_to_every_notice_address(service, caller, anna, kind):
    """ADR-07, ADR-03, RST-11: the main address and the second one; none that is not for notices or not confirmed."""
    mine = "SELECT id, recipient FROM message WHERE kind = :kind"
    before = {row.id for row in await service.rows(mine, kind=kind)}
    await EVENTS[kind](service, caller, *anna)
    told = {row.recipient for row in await service.rows(mine, kind=kind) if row.id not in before}
    # A removed address may bring itself back; an address that was merged in is the customer's, too.
    besides = {"address_removed": {QUIET}, "merged": {THIRD}, "merge_undone": {THIRD}}.get(kind, set())
    assert told == {ANNA, SECOND} | besides
