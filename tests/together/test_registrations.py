"""One mailbox registered by many at the same moment: one customer, one letter, and nobody is turned away."""

import itertools

import pytest

from tests.events import chain
from tests.together.given import at_once, codes, several

SPELLINGS = (
    "anna@bücher.example",
    "ANNA@bücher.example",
    "Anna@BÜCHER.Example",
    "anna@bu\u0308cher.example",
    "anna@xn--bcher-kva.example",
    "aNNa@XN--BCHER-KVA.EXAMPLE",
    "anna@bücher\u3002example",
)
"""Case, Unicode forms, punycode: the same mailbox."""


async def names(service) -> list[str]:
    return [name for (name,) in await service.rows("SELECT name FROM event WHERE user_id IS NOT NULL ORDER BY id")]


@pytest.mark.parametrize("count", [20, 100])
async def test_many_registrations_of_one_mailbox_are_one_customer(service, caller, count):
    """REL-22: one User ID, the others 200; one letter; at four processes, in every spelling."""
    async with several(service, caller) as callers:
        turns = zip(range(count), itertools.cycle(callers), itertools.cycle(SPELLINGS), strict=False)
        answers = await at_once(one.post("/v1/accounts", {"email": spelling}) for _, one, spelling in turns)
    assert codes(answers) == {201: 1, 200: count - 1}
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    assert {answer.headers["Location"] for answer in answers} == {f"/v1/accounts/{answers[0].json()['user_id']}"}
    assert await service.rows("SELECT count(*) FROM account") == [(1,)]
    assert await names(service) == ["account.registered", "mail.queued"]
    await service.deliver()
    assert len(service.mailbox.letters()) == 1
    await chain.sealed(service)


async def test_many_mailboxes_at_once_are_as_many_customers(service, caller):
    """Nobody waits for another's mailbox, and nobody gets another's ID."""
    async with several(service, caller) as callers:
        turns = zip(range(40), itertools.cycle(callers), strict=False)
        answers = await at_once(one.post("/v1/accounts", {"email": f"anna{n}@example.com"}) for n, one in turns)
    assert codes(answers) == {201: 40}
    assert len({answer.json()["user_id"] for answer in answers}) == 40
    assert [answer.json()["email"] for answer in answers] == [f"anna{n}@example.com" for n in range(40)]


async def test_callers_who_give_nothing_never_share_an_id(service, caller):
    async with several(service, caller) as callers:
        answers = await at_once(one.post("/v1/accounts", {}) for one in callers * 5)
    assert codes(answers) == {201: 20}
    assert len({answer.json()["user_id"] for answer in answers}) == 20


async def test_where_the_first_is_undone_the_second_registers(service, caller):
    """The insert waits for the one before it; when that one is rolled back, somebody else's becomes the account."""
    await caller.post("/v1/accounts", {"email": "owner@example.com", "external_ref": "17"})
    async with several(service, caller) as callers:
        taken = [one.post("/v1/accounts", {"email": "anna@example.com", "external_ref": "17"}) for one in callers * 3]
        free = [one.post("/v1/accounts", {"email": "anna@example.com"}) for one in callers * 2]
        answers = await at_once(taken + free)
    assert codes(answers[:12]) == {(409, "external_ref_taken"): 12}
    assert codes(answers[12:]) == {201: 1, 200: 7}
    assert await service.rows("SELECT count(*) FROM account") == [(2,)]
    assert (await names(service)).count("account.registered") == 2
