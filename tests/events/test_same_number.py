"""R17: the position of the feed is public, so what a stranger asks must write as many events for every address."""

import pytest

from identity_service.passwords import rules as password_rules
from identity_service.settings import Relay
from tests.accounts.given import an_account, sql
from tests.browser import Browser
from tests.conftest import BASE
from tests.faults.relay import FaultRelay

KNOWN, UNKNOWN = "anna@example.com", "nobody@example.com"


async def by_reset(browser, address):
    await browser.open("/reset")
    await browser.send("/reset", email=address)


async def by_code(browser, address):
    await browser.open("/signin")
    await browser.send("/signin/code", email=address)


async def by_password(browser, address):
    await browser.open("/signin")
    await browser.send("/signin", email=address, password="a wrong password of mine")


async def by_registration(browser, address):
    await browser.open("/")
    await browser.send("/", email=address)


async def count(service) -> int:
    """The position that everybody reads at `/v1/audit/checkpoints`, with every event sealed."""
    while await service.seal():
        pass
    ((sealed,),) = await service.rows("SELECT max(position) FROM sealed_event")
    return sealed


async def events_of(service, ask, address, relay) -> int:
    before = await count(service)
    await ask(Browser(service.app, BASE), address)
    sender = service.sender(relay) if relay else service.sender()
    try:
        await sender.once()
    finally:
        await sender.relays.close()
        if relay:
            await sender.database.close()
    return await count(service) - before


@pytest.mark.parametrize(
    "reply", [None, "451 4.2.0 later", "550 5.1.1 no such user"], ids=["taken", "later", "refused"]
)
@pytest.mark.parametrize("ask", [by_reset, by_code, by_password, by_registration])
async def test_a_known_and_an_unknown_address_write_the_same_number_of_events(service, caller, ask, reply):
    await an_account(caller, email=KNOWN)
    await service.deliver()
    server = await FaultRelay().start()
    if reply:
        for _ in range(2):
            server.will("RCPT", reply)
    relay = Relay(name="one", host="127.0.0.1", port=server.port, tls="none")
    try:
        known, unknown = [await events_of(service, ask, address, relay) for address in (KNOWN, UNKNOWN)]
    finally:
        await server.stop()
    assert known == unknown > 0


async def test_an_event_about_an_address_of_nobody_names_nobody(service, caller):
    await by_reset(Browser(service.app, BASE), UNKNOWN)
    await service.deliver()
    rows = await service.rows("SELECT name, user_id FROM event WHERE name LIKE 'mail.%' ORDER BY id")
    assert [tuple(row) for row in rows] == [("mail.queued", None), ("mail.accepted", None)]


@pytest.mark.parametrize("address", [KNOWN, UNKNOWN])
async def test_the_failure_that_locks_a_password_is_told_also_where_there_is_none(service, caller, owner, address):
    await an_account(caller, email=KNOWN)
    await by_password(Browser(service.app, BASE), address)
    almost = "UPDATE password_attempt SET failures = :failures, blocked_until = NULL"
    await sql(owner, almost, failures=password_rules.LOCKED_AFTER - 1)
    await by_password(Browser(service.app, BASE), address)
    ((locked,),) = await service.rows("SELECT count(*) FROM event WHERE name = 'password.locked'")
    assert locked == 1
