"""The database holds each User ID to its two sums, and gives none twice: on any road, SQL included."""

import random
import secrets
from itertools import combinations, product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from identity_service.accounts import actions as accounts
from identity_service.values import user_ids as values_user_ids
from identity_service.values.user_ids import ALPHABET, is_canonical, issue, show
from tests.accounts.given import an_account, erase, sql

GOOD = "6WPPC7QF7FF6"
INSERT = """
    INSERT INTO account (user_id, email_state, locale, brand, customer_since)
    VALUES (:user_id, 'none', 'en', 'default', now())
"""
BAD = {
    "one symbol wrong": "6WPPC7QF7FF7",
    "two neighbours swapped": "6WPP7CQF7FF6",
    "two far apart swapped": "CWPP67QF7FF6",
    "two symbols wrong": "7WPPC7QF7FF7",
    "small letters": GOOD.lower(),
    "dashes": show(GOOD),
    "eleven": GOOD[:-1],
    "thirteen": GOOD + "0",
    "a zero in front": "0" + GOOD,
    "none": "",
    "blanks": " " * 12,
    "a blank behind": GOOD + " ",
    "a line feed behind": GOOD + "\n",
    "a foreign letter": "A" + GOOD[1:],
    "a letter that the reader takes for a digit": "G" + GOOD[1:],
    "full-width": "\uff16" + GOOD[1:],
    "Arabic digits": "٦" + GOOD[1:],
    "a question mark": "?" + GOOD[1:],
}


class Drawn(random.SystemRandom):
    """Randomness that gives the numbers of these IDs first; everything else is left to the system."""

    def __init__(self, *user_ids: str) -> None:
        self.ids = list(user_ids)

    def _randbelow(self, n: int) -> int:
        if n != 23**10 or not self.ids:
            return super()._randbelow(n)
        return sum(ALPHABET.index(symbol) * 23**place for place, symbol in enumerate(self.ids.pop(0)[:10]))


def draw(monkeypatch, *shown: str) -> Drawn:
    drawn = Drawn(*(user_id.replace("-", "") for user_id in shown))
    monkeypatch.setattr(secrets, "_sysrand", drawn)
    return drawn


async def test_a_good_id_may_be_inserted(service, owner):
    await sql(owner, INSERT, user_id=GOOD)
    assert await service.rows("SELECT user_id FROM account") == [(GOOD,)]


@pytest.mark.parametrize("user_id", BAD.values(), ids=BAD)
async def test_a_bad_id_is_refused_to_the_owner_himself(service, owner, user_id):
    """IDN-04."""
    with pytest.raises(IntegrityError, match="ck_account_user_id"):
        await sql(owner, INSERT, user_id=user_id)
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]


async def test_no_id_is_no_id(service, owner):
    """IDN-04: the check lets NULL pass, the column does not."""
    with pytest.raises(IntegrityError, match="user_id"):
        await sql(owner, INSERT, user_id=None)


async def test_an_id_cannot_become_a_bad_one(service, owner):
    """IDN-04."""
    await sql(owner, INSERT, user_id=GOOD)
    with pytest.raises(IntegrityError, match="ck_account_user_id"):
        await sql(owner, "UPDATE account SET user_id = :user_id", user_id=BAD["one symbol wrong"])


async def test_the_database_and_the_code_agree(owner):
    """IDN-02, IDN-04: 2000 good IDs, every single change and swap of one, and all 31,944 double errors of another."""
    seeded = random.Random(4).randrange
    good = [issue(seeded) for _ in range(2000)]
    first, second = good[0], good[1]
    tried = [*good, *(first[:p] + s + first[p + 1 :] for p, s in product(range(12), ALPHABET))]
    for a, b in combinations(range(12), 2):
        tried.append(first[:a] + first[b] + first[a + 1 : b] + first[a] + first[b + 1 :])
        tried += [second[:a] + x + second[a + 1 : b] + y + second[b + 1 :] for x, y in product(ALPHABET, repeat=2)]
    async with owner.connect() as connection:
        asked = text("SELECT id, user_id_holds(id) FROM unnest(CAST(:ids AS text[])) AS id")
        answers = (await connection.execute(asked, {"ids": tried})).all()
    assert len(answers) == len(tried)
    assert [user_id for user_id, holds in answers if holds != is_canonical(user_id)] == []
    assert {holds for _, holds in answers} == {True, False}


@pytest.mark.parametrize("given", [{}, {"email": "new@example.com"}], ids=["without an address", "with one"])
async def test_an_id_that_is_taken_is_drawn_again(service, caller, monkeypatch, given):
    """IDN-01: one new row under a new ID; the old one is untouched."""
    taken = await an_account(caller, email="first@example.com")
    drawn = draw(monkeypatch, taken, taken)
    fresh = await an_account(caller, **given)
    assert drawn.ids == []
    assert fresh != taken
    assert await service.rows("SELECT count(*) FROM account") == [(2,)]
    assert (await caller.get(f"/v1/accounts/{taken}")).json()["email"] == "first@example.com"


async def test_the_fifth_try_is_the_last(service, caller, monkeypatch):
    """IDN-01: four collisions are outlived, the fifth in a row is a fault and leaves nothing."""
    taken = await an_account(caller)
    draw(monkeypatch, *[taken] * 4)
    await an_account(caller)
    drawn = draw(monkeypatch, *[taken] * 9)
    with pytest.raises(RuntimeError, match="five new User IDs"):
        await service.database.in_transaction(
            lambda session: accounts.add_account(session, None, display_name=None, locale="en", now=service.clock())
        )
    assert len(drawn.ids) == 4
    assert await service.rows("SELECT count(*) FROM account") == [(2,)]


async def test_a_known_mailbox_is_found_also_when_the_id_collides(service, caller, monkeypatch):
    """IDN-01: it is not taken for a collision of IDs, and gets no second account."""
    taken = await an_account(caller, email="first@example.com")
    draw(monkeypatch, *[taken] * 5)
    again = await caller.post("/v1/accounts", {"email": "first@example.com"})
    assert (again.status_code, again.json()["user_id"]) == (200, taken)
    assert await service.rows("SELECT count(*) FROM account") == [(1,)]


async def test_an_erased_id_is_never_given_again(service, caller, owner, monkeypatch):
    """IDN-07: what is left of an erased account is its ID, and that keeps it."""
    gone = await an_account(caller, email="gone@example.com")
    await erase(owner, gone)
    draw(monkeypatch, gone)
    fresh = await an_account(caller, email="gone@example.com")
    assert fresh != gone
    assert await service.rows("SELECT state FROM account WHERE user_id = :id", id=gone.replace("-", "")) == [
        ("erased",)
    ]


def test_the_double_for_randomness_gives_what_it_is_told(monkeypatch):
    draw(monkeypatch, GOOD)
    assert values_user_ids.issue() == GOOD
    assert values_user_ids.issue() != GOOD
