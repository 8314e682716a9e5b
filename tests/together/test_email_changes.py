"""First addresses given at the same moment: an address gets one account, an account one address, and a letter each."""

import pytest

from tests.accounts.given import an_account
from tests.together.given import at_once, codes, several

ANNA = "anna@example.com"


def path(user_id: str) -> str:
    return f"/v1/accounts/{user_id}/email-changes"


async def letters_and_events(service) -> tuple[int, int]:
    letters = await service.rows("SELECT count(*) FROM message")
    added = await service.rows("SELECT count(*) FROM event WHERE name = 'account.email_added'")
    return letters[0][0], added[0][0]


async def test_one_address_for_many_accounts_is_given_to_one(service, caller):
    ids = [await an_account(caller) for _ in range(20)]
    async with several(service, caller) as callers:
        answers = await at_once(
            one.post(path(user_id), {"email": ANNA}) for one, user_id in zip(callers * 5, ids, strict=True)
        )
    assert codes(answers) == {200: 1, (409, "email_taken"): 19}
    assert await letters_and_events(service) == (1, 1)


async def test_of_many_addresses_for_one_account_the_first_stays(service, caller):
    """The second must not take the place of the first, to which a letter has gone already: its mailbox is asked."""
    user_id = await an_account(caller)
    async with several(service, caller) as callers:
        turns = enumerate(callers * 5)
        answers = await at_once(one.post(path(user_id), {"email": f"anna{n}@example.com"}) for n, one in turns)
    assert codes(answers) == {200: 1, 202: 19}
    (given,) = {answer.json()["account"]["email"] for answer in answers}
    assert await service.rows("SELECT email, version FROM account") == [(given, 2)]
    assert await letters_and_events(service) == (20, 1)
    assert await service.rows("SELECT count(*) FROM email_change WHERE changed_at IS NULL") == [(19,)]


async def test_the_same_address_again_is_the_same_answer(service, caller):
    """Decision 8: a repeated call is answered as the first was, and sends no second letter."""
    user_id = await an_account(caller)
    async with several(service, caller) as callers:
        answers = await at_once(one.post(path(user_id), {"email": ANNA}) for one in callers * 5)
    assert codes(answers) == {200: 20}
    assert await letters_and_events(service) == (1, 1)


async def test_registered_and_added_at_once_an_address_has_one_account(service, caller):
    ids = [await an_account(caller) for _ in range(8)]
    async with several(service, caller) as callers:
        added = [one.post(path(user_id), {"email": ANNA}) for one, user_id in zip(callers * 2, ids, strict=True)]
        registered = [one.post("/v1/accounts", {"email": ANNA}) for one in callers * 2]
        answers = await at_once(call for pair in zip(added, registered, strict=True) for call in pair)
    found = codes(answers)
    # The address is added to one account (200) and the others are refused, or it is registered (201) and no one is.
    assert found[201] in (0, 1)
    assert found[(409, "email_taken")] == 7 + found[201]
    assert found[200] == 16 - found[201] - found[(409, "email_taken")]
    assert await service.rows("SELECT count(*) FROM account WHERE email IS NOT NULL") == [(1,)]
    assert (await letters_and_events(service))[0] == 1


@pytest.mark.parametrize("round_", range(3))
async def test_two_accounts_crosswise_end(service, caller, round_):
    """ASVS 15.4.3: no deadlock; two accounts, two addresses, each wanted by both."""
    one, two = await an_account(caller), await an_account(caller)
    wanted = [(one, "x"), (two, "y"), (one, "y"), (two, "x")]
    async with several(service, caller) as callers:
        answers = await at_once(
            caller_.post(path(user_id), {"email": f"{name}@example.com"})
            for caller_ in callers
            for user_id, name in wanted
        )
    assert set(codes(answers)) <= {200, 202, (409, "email_taken"), (409, "email_present")}
    assert await service.rows("SELECT count(*), count(DISTINCT email) FROM account WHERE email IS NOT NULL") == [(2, 2)]
