"""How passwords are hashed: with which parameters, in how many threads, behind how long a queue."""

import asyncio
import threading

import argon2
import pytest

from identity_service.passwords.hashing import FOR_TESTS, OWASP, QUEUE_PER_THREAD, Hasher
from identity_service.passwords.rules import HashingBusy
from tests.accounts.given import an_account
from tests.passwords.conftest import Counting
from tests.resets.given import ANNA, GOOD, a_browser, a_password, a_reset, choose, sign_in, type_code


@pytest.fixture
def hasher(settings):
    found = Hasher(settings)
    yield found
    found.close()


async def test_production_hashes_as_owasp_says_whatever_is_set(settings):
    """PWD-09, ASVS 11.4.2: argon2id, 19 MiB, 2 passes, 1 priority, 16 bytes of salt."""
    strict = Hasher(settings.model_copy(update={"environment": "production", "insecure_fast_hashing": True}))
    phc = await strict.hash(GOOD)
    strict.close()
    assert phc.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    asked = argon2.extract_parameters(phc)
    assert asked == OWASP
    assert asked.salt_len >= 16
    assert phc != argon2.PasswordHasher.from_parameters(OWASP).hash(GOOD)


@pytest.mark.parametrize("shared", [72, 128, 255])
async def test_nothing_is_cut(hasher, shared):
    """PWD-02: alike in the first 72 bytes is not alike; nor is anything before a NUL."""
    start = "a" * shared
    phc = await hasher.hash(start + "b")
    assert await hasher.verify(phc, start + "b")
    assert not await hasher.verify(phc, start + "c")
    assert not await hasher.verify(phc, start)
    assert not await hasher.verify(await hasher.hash("start\0one"), "start\0two")


GREEDY = {
    "memory": "$argon2id$v=19$m=1048576,t=2,p=1$",
    "passes": "$argon2id$v=19$m=19456,t=1000,p=1$",
    "priorities": "$argon2id$v=19$m=19456,t=2,p=64$",
    "all": "$argon2id$v=19$m=4194304,t=4294967295,p=16777215$",
}


@pytest.mark.parametrize("row", GREEDY)
async def test_a_row_that_asks_too_much_is_refused_and_told(hasher, row, written):
    """PWD-15: nothing is computed for it but the one hash of nobody."""
    phc = GREEDY[row] + "c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
    hasher._hasher = asked = Counting(hasher._hasher)
    assert not await hasher.verify(phc, GOOD)
    ((verified, _),) = asked.verified
    assert argon2.extract_parameters(verified) == FOR_TESTS
    assert "password.parameters_too_costly" in written.getvalue()


UNREADABLE = [
    "$",
    "$2b$12$abcdefghijklmnopqrstuv",
    "$argon2id$",
    "$argon2id$v=19$m=x,t=2,p=1$YQ$YQ",
    "$argon2id$v=19$m=8,t=1,p=1$$",
    "$argon2id$v=19$m=-8,t=1,p=1$c29tZXNhbHQ$AAAA",
    "$argon2id$v=99$m=8,t=1,p=1$c29tZXNhbHQ$AAAA",
    "$argon2id$v=19$m=8$a$b",
    "$pbkdf2$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA",
    "plain",
    "",
]


@pytest.mark.parametrize("phc", UNREADABLE)
async def test_a_row_that_cannot_be_read_fits_nothing(hasher, phc):
    """PWD-14, PWD-15: and is no error."""
    for password in (GOOD, "", phc):
        assert not await hasher.verify(phc, password)


@pytest.mark.parametrize("password", ["", " ", "null", "None", "\0" * 15, GOOD])
async def test_nothing_fits_where_there_is_no_password(hasher, password):
    """PWD-14."""
    assert not await hasher.verify(None, password)


async def test_beyond_the_queue_it_is_refused_at_once(hasher):
    """PWD-12, REL-29, ASVS 13.2.6: threads and queue are bounded."""
    gate = threading.Event()
    room = hasher.threads * QUEUE_PER_THREAD
    waiting = [asyncio.create_task(hasher.run(gate.wait)) for _ in range(room)]
    await asyncio.sleep(0)
    assert hasher.waiting == room
    for refused in (hasher.run(gate.wait), hasher.hash(GOOD), hasher.verify(None, GOOD)):
        with pytest.raises(HashingBusy) as busy:
            await refused
        assert busy.value.extra_headers()["Retry-After"] in set("2345")
    gate.set()
    await asyncio.gather(*waiting)
    assert hasher.waiting == 0
    assert await hasher.verify(await hasher.hash(GOOD), GOOD)


async def test_a_flood_of_sign_ins_leaves_the_other_roads_open(service, caller):
    """PWD-12, REL-29, ASVS 15.4.4: 503 with Retry-After for passwords, and the usual answer for everything else."""
    user_id = await a_password(service, caller)
    reset = await a_reset(service)
    gate, hasher = threading.Event(), service.app.state.hasher
    tasks = [asyncio.create_task(hasher.run(gate.wait)) for _ in range(hasher.threads * QUEUE_PER_THREAD)]
    await asyncio.sleep(0)
    try:
        browser = a_browser(service)
        check = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD})
        refused = [
            await sign_in(browser),
            await choose(reset.browser, reset.link),
            check,
            await type_code(reset.browser, reset.watch, reset.code),
        ]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["Retry-After"] for answer in refused} <= set("2345")
        open_roads = [
            await caller.get(f"/v1/accounts/{user_id}"),
            await browser.open("/reset"),
            await browser.open("/livez"),
            await caller.post("/v1/accounts/verifications", {"user_ids": [user_id]}),
        ]
        assert {answer.status_code for answer in open_roads} == {200}
        assert await service.rows("SELECT count(*) FROM password_attempt") == [(0,)]
        assert await service.rows("SELECT code_attempts FROM one_time_token WHERE used_at IS NULL") == [(0,)]
    finally:
        gate.set()
        await asyncio.gather(*tasks)
    assert (await sign_in(browser)).url.path == "/me"
    assert (await choose(reset.browser, reset.link, "seven herons borrow a ladder")).url.path == "/reset/done"


async def test_a_password_is_not_hashed_for_a_wrong_code(service, caller, asked):
    """ATT-57: who has a tracking page cannot make us hash for every guess."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    for _ in range(8):
        await type_code(reset.browser, reset.watch, "00000-00000")
    for _ in range(8):
        await choose(reset.browser, f"v1.{'A' * 22}.{'B' * 43}")
    assert asked.hashed == 0
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"
    assert asked.hashed == 1
