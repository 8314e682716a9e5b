"""Two writers of one account: nothing is lost in silence, and whoever asks for it is told that he came second."""

from tests.accounts.given import an_account
from tests.together.given import at_once, codes, several

UPDATES = "SELECT data FROM event WHERE name = 'account.updated' ORDER BY id"


async def test_without_a_version_all_are_done_one_after_the_other(service, caller):
    """API-04: all 200, an event each."""
    user_id = await an_account(caller)
    async with several(service, caller) as callers:
        turns = enumerate(callers * 3)
        answers = await at_once(one.patch(f"/v1/accounts/{user_id}", {"display_name": f"Anna {n}"}) for n, one in turns)
    assert codes(answers) == {200: 12}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 14))
    assert len(await service.rows(UPDATES)) == 12


async def test_of_many_who_read_one_version_one_writes(service, caller):
    """API-04: two writers with If-Match, nothing lost."""
    user_id = await an_account(caller)
    headers = {"If-Match": '"1"'}
    async with several(service, caller) as callers:
        answers = await at_once(
            one.patch(f"/v1/accounts/{user_id}", {"display_name": f"Anna {n}"}, headers=headers)
            for n, one in enumerate(callers * 3)
        )
    assert codes(answers) == {200: 1, (412, "stale_version"): 11}
    (written,) = [answer.json()["display_name"] for answer in answers if answer.status_code == 200]
    assert await service.rows("SELECT display_name, version FROM account") == [(written, 2)]
    assert len(await service.rows(UPDATES)) == 1


async def test_two_who_change_different_things_lose_nothing(service, caller):
    user_id = await an_account(caller)
    async with several(service, caller, 2) as (one, two):
        await at_once(
            [
                one.patch(f"/v1/accounts/{user_id}", {"display_name": "Anna"}),
                two.patch(f"/v1/accounts/{user_id}", {"locale": "de"}),
            ]
        )
    assert await service.rows("SELECT display_name, locale, version FROM account") == [("Anna", "de", 3)]


async def test_the_same_change_by_many_is_one_change(service, caller):
    user_id = await an_account(caller)
    async with several(service, caller) as callers:
        answers = await at_once(one.patch(f"/v1/accounts/{user_id}", {"locale": "de"}) for one in callers * 3)
    assert codes(answers) == {200: 12}
    assert {answer.json()["version"] for answer in answers} == {2}
    assert await service.rows(UPDATES) == [({"fields": ["locale"]},)]
