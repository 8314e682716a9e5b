"""Somebody asks for a letter at the moment in which a customer is erased: nothing is written to him afterwards."""

import asyncio

import pytest

from identity_service.privacy import actions as privacy
from identity_service.values.user_ids import UserId
from tests.accounts.given import an_account
from tests.browser import Browser
from tests.conftest import BASE

ANNA = "anna@example.org"


async def ask(service, caller, how: str, user_id: str):
    """Ask for a letter to Anna by one of the roads."""
    if how == "a service, by User ID":
        return await caller.post("/v1/resets", {"user_id": user_id})
    if how == "a service, by address":
        return await caller.post("/v1/resets", {"email": ANNA})
    page = "/signin" if how == "sign in" else "/reset"
    browser = Browser(service.app, BASE)
    await browser.open(page)
    return await browser.send("/signin/code" if how == "sign in" else page, email=ANNA)


@pytest.mark.parametrize("how", ["reset page", "sign in", "a service, by address", "a service, by User ID"])
async def test_who_asks_while_an_account_is_erased_writes_nothing_to_it(service, caller, how):
    """PRV-10, REL-23: the ask waits for the erasure, and then finds nobody."""
    user_id = await an_account(caller, email=ANNA)
    plain = UserId(user_id.replace("-", ""))
    async with service.database.transaction() as session:
        await privacy.erase_account(session, plain, actor="operator", now=service.clock())
        asking = asyncio.create_task(ask(service, caller, how, user_id))
        await asyncio.sleep(0.3)
        assert not asking.done()
    answer = await asking
    assert answer.status_code in (200, 202, 404, 410), answer.text
    mine = "SELECT kind, recipient FROM message WHERE user_id = :user_id AND recipient IS NOT NULL "
    mine += "AND kind <> 'account_erased'"
    assert await service.rows(mine, user_id=plain) == []
    assert (
        await service.rows(
            "SELECT 1 FROM one_time_token WHERE user_id = :user_id AND recipient_hash IS NOT NULL", user_id=plain
        )
        == []
    )
