"""One reference given by many at the same moment: it leads to one customer, and a repeated call is a repeated call."""

import itertools

from tests.together.given import at_once, codes, several


async def counts(service) -> tuple[int, int, int]:
    """Accounts, references, letters."""
    return tuple(
        [(await service.rows(f"SELECT count(*) FROM {t}"))[0][0] for t in ("account", "external_reference", "message")]
    )


async def test_a_reference_alone_makes_one_customer(service, caller):
    """Decision 8: it is the natural key of whoever gives nothing else, so who calls again gets the first answer."""
    async with several(service, caller) as callers:
        answers = await at_once(one.post("/v1/accounts", {"external_ref": "17"}) for one in callers * 5)
    assert codes(answers) == {201: 1, 200: 19}
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    assert await counts(service) == (1, 1, 0)


async def test_a_reference_with_its_address_makes_one_customer(service, caller):
    async with several(service, caller) as callers:
        body = {"email": "anna@example.com", "external_ref": "17"}
        answers = await at_once(one.post("/v1/accounts", body) for one in callers * 5)
    assert codes(answers) == {201: 1, 200: 19}
    assert await counts(service) == (1, 1, 1)


async def test_a_reference_for_many_addresses_is_given_once(service, caller):
    """The others are told so, and leave neither an account nor a letter behind."""
    async with several(service, caller) as callers:
        turns = zip(range(20), itertools.cycle(callers), strict=False)
        answers = await at_once(
            one.post("/v1/accounts", {"email": f"anna{n}@example.com", "external_ref": "17"}) for n, one in turns
        )
    assert codes(answers) == {201: 1, (409, "external_ref_taken"): 19}
    assert await counts(service) == (1, 1, 1)
    assert await service.rows("SELECT count(*) FROM event WHERE user_id IS NOT NULL") == [(2,)]


async def test_many_references_for_one_address_are_all_kept(service, caller):
    async with several(service, caller) as callers:
        turns = zip(range(20), itertools.cycle(callers), strict=False)
        answers = await at_once(
            one.post("/v1/accounts", {"email": "anna@example.com", "external_ref": f"{n}"}) for n, one in turns
        )
    assert codes(answers) == {201: 1, 200: 19}
    assert await counts(service) == (1, 20, 1)


async def test_each_clients_references_are_its_own_also_at_once(service, caller):
    others = [await service.caller(name=f"client {n}") for n in range(6)]
    answers = await at_once(one.post("/v1/accounts", {"external_ref": "17"}) for one in others)
    assert codes(answers) == {201: 6}
    assert len({answer.json()["user_id"] for answer in answers}) == 6


async def test_two_references_crosswise_end(service, caller):
    """ASVS 15.4.3: each has what the other wants next: no deadlock, and every answer is one that a single call gets."""
    bodies = [
        {"email": f"{a}@example.com", "external_ref": b} for a, b in (("x", "1"), ("y", "2"), ("x", "2"), ("y", "1"))
    ]
    async with several(service, caller) as callers:
        answers = await at_once(one.post("/v1/accounts", body) for one in callers for body in bodies)
    assert set(codes(answers)) <= {200, 201, (409, "external_ref_taken")}
    assert codes(answers)[201] <= 2
    assert await service.rows("SELECT count(*), count(DISTINCT reference) FROM external_reference") == [(2, 2)]
