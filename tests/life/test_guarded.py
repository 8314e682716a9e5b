"""For a customer whose mailbox is lost: one person asks, a second approves, and for 72 hours the old mailbox stops it.

The console that will call this comes later, so these go through the verbs.
"""

import pytest

from identity_service.accounts import mailbox
from identity_service.accounts import rules as account_rules
from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId
from tests.life.given import COMPANY, account, audited, confirm, link_to, press, row_id, set_password

ANNA, NEW = "anna@example.com", "new@example.com"
ONE, TWO = "staff:one", "staff:two"
COMING = "Your account will change. You can stop it"
ADDRESS = {"email": NEW, "ascii": NEW, "key": NEW}
PARSED = EmailAddress(ANNA, ANNA, ANNA)
WHY = "has changed provider"


@pytest.fixture
async def anna(caller):
    return (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]


async def wait(service, user_id, verb="email", details=None, actor=ONE):
    given = ADDRESS if details is None else details
    change = await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, UserId(row_id(user_id)), verb, given, reason=WHY, actor=actor, now=service.clock()
        )
    )
    return change.id


async def approve(service, change_id, actor=TWO):
    return await service.database.in_transaction(
        lambda s: approvals.approve_change(s, change_id, actor=actor, now=service.clock())
    )


async def due(service):
    return await approvals.carry_out_due(service.database, now=service.clock())


async def ends(service):
    return await service.rows(
        "SELECT done_at IS NOT NULL, stopped_at IS NOT NULL FROM pending_change ORDER BY requested_at"
    )


async def test_who_asked_cannot_approve(service, anna):
    """PHN-09: the same person twice is one person."""
    change_id = await wait(service, anna)
    with pytest.raises(approval_rules.ProofRefused):
        await approve(service, change_id, actor=ONE)
    service.clock.advance(hours=100)
    assert await due(service) == 0
    assert await ends(service) == [(False, False)]


async def test_without_an_approval_time_alone_does_nothing(service, caller, anna):
    await wait(service, anna)
    service.clock.advance(days=365)
    assert await due(service) == 0


async def test_after_72_hours_it_happens_and_not_before(service, caller, anna):
    """PHN-09: and then the new mailbox still has to confirm."""
    await approve(service, await wait(service, anna))
    service.clock.advance(hours=71, minutes=59)
    assert (await due(service), await ends(service)) == (0, [(False, False)])
    service.clock.advance(minutes=1)
    assert (await due(service), await ends(service)) == (1, [(True, False)])
    assert await service.rows("SELECT email FROM account") == [(ANNA,)]
    await confirm(service, NEW, "Please confirm your new email address")
    assert await service.rows("SELECT email FROM account") == [(NEW,)]
    assert await due(service) == 0
    await audited(service)


async def test_the_old_mailbox_stops_it(service, caller, anna):
    """PHN-09: the letter names the change, and one press ends it."""
    await approve(service, await wait(service, anna))
    await service.deliver()
    letter = service.letter(ANNA, COMING)["text"]
    assert "emails about it will go to n…@example.com" in letter
    await confirm(service, ANNA, COMING)
    assert await ends(service) == [(False, True)]
    service.clock.advance(hours=73)
    assert await due(service) == 0
    assert await service.rows("SELECT name, actor FROM event WHERE name = 'account.change_stopped'") == [
        ("account.change_stopped", "customer")
    ]


async def test_the_stop_link_outlives_what_ends_other_links(service, caller, anna):
    """ATT-19, RST-16: stopping is a way back, and does not die with the older one-time tokens."""
    await approve(service, await wait(service, anna))
    link = await link_to(service, ANNA, COMING)
    service.clock.advance(hours=70)
    await service.database.in_transaction(
        lambda s: mailbox.confirm_new_email(s, row_id(anna), PARSED, actor="customer", now=service.clock())
    )
    assert (await press(service, link)).page.url.path == "/confirmed/stop"


async def test_what_is_done_or_stopped_is_not_approved_again(service, anna):
    change_id = await wait(service, anna)
    await approve(service, change_id)
    with pytest.raises(approval_rules.UnknownChange):
        await approve(service, change_id, actor="staff:three")
    await confirm(service, ANNA, COMING)
    with pytest.raises(approval_rules.UnknownChange):
        await approve(service, change_id)


async def test_a_change_that_the_mailbox_is_asked_about_needs_no_approval(service, anna):
    """A desk's own question cannot be turned into an approved one."""
    desk = await service.caller(name="desk tool", desk=True, clerk="clerk-7")
    asked = await desk.post(f"/v1/accounts/{anna}/close")
    with pytest.raises(approval_rules.UnknownChange):
        await approve(service, asked.json()["pending"]["id"])


async def test_a_closed_account_waits_for_nothing(service, caller, anna):
    await caller.post(f"/v1/accounts/{anna}/close")
    with pytest.raises(account_rules.AccountClosed):
        await wait(service, anna)


VERBS = {
    "business": (COMPANY, ("business", "active")), "close": ({}, ("consumer", "closed")),
    "erase": ({}, ("consumer", "erased")),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_happens_in_the_name_of_who_approved(service, anna, verb):
    details, then = VERBS[verb]
    await approve(service, await wait(service, anna, verb, details))
    service.clock.advance(hours=72)
    assert await due(service) == 1
    assert await service.rows("SELECT kind, state FROM account") == [then]
    assert await ends(service) == [(True, False)]
    name = {"business": "account.became_business", "close": "account.closed", "erase": "account.erased"}[verb]
    assert await service.rows("SELECT actor FROM event WHERE name = :name", name=name) == [(TWO,)]


async def test_what_has_become_impossible_is_given_up_and_the_others_go_on(service, caller, anna):
    """An address that is taken by now: stopped, with the reason in an event; and nobody else waits for it."""
    ben = (await caller.post("/v1/accounts", {"email": "ben@example.com"})).json()["user_id"]
    for change_id in (await wait(service, anna), await wait(service, ben, "business", COMPANY)):
        await approve(service, change_id)
    await caller.post("/v1/accounts", {"email": NEW})
    await set_password(service, NEW, "violet teapot argues with gravity")
    service.clock.advance(hours=72)
    assert await due(service) == 2
    assert sorted(await ends(service)) == [(False, True), (True, False)]
    ((data,),) = await service.rows("SELECT data FROM event WHERE name = 'account.change_stopped'")
    assert data["reason"] == "email_taken"


async def test_what_waits_for_an_erased_customer_is_stopped_and_blocks_nobody(service, caller, anna):
    """PRV-10: its details are gone, so it could not be done; the worker must not stumble over it for ever."""
    ben = (await caller.post("/v1/accounts", {"email": "ben@example.com"})).json()["user_id"]
    for user_id in (anna, ben):
        await approve(service, await wait(service, user_id, "business", COMPANY))
    await caller.post(f"/v1/accounts/{anna}/erase")
    service.clock.advance(hours=72)
    assert await due(service) == 1
    assert await service.rows("SELECT kind FROM account WHERE state = 'active'") == [("business",)]
    assert await ends(service) in ([(False, True), (True, False)], [(True, False), (False, True)])


async def test_what_waits_is_listed_with_the_oldest_first(service, caller, anna):
    first = await wait(service, anna)
    service.clock.advance(seconds=1)
    second = await wait(service, anna, "close", {})
    async with service.database.transaction() as session:
        found = await approvals.list_open_changes(session, row_id(anna))
    assert [(change.id, change.reason, change.requested_by) for change in found] == [
        (first, WHY, ONE),
        (second, WHY, ONE),
    ]
    await approve(service, second)
    await confirm(service, ANNA, COMING)
    async with service.database.transaction() as session:
        assert [change.id for change in await approvals.list_open_changes(session)] == [first]
    assert (await account(caller, anna))["state"] == "active"
