"""Recovery codes: their form, what is kept of them, how often one may be wrong, and that each works once."""

import asyncio
import random
import re

import pytest
from sqlalchemy import text

from identity_service.recovery_codes import actions as recovery_codes
from identity_service.recovery_codes import rules
from identity_service.values import secret_codes, user_ids
from tests.passkeys.given import event_names, with_a_password
from tests.recovery.given import CHOOSE, REFUSED, enter, kept, shown_code, try_code, with_a_code
from tests.resets.given import ANNA, a_browser, forget_limits, sign_in
from tests.resets.given import close as close_account


def wrong(code: str, *, locator: bool = False) -> str:
    """Another code, with the same locator, or with another one."""
    plain = code.replace("-", "")
    while True:
        other = secret_codes.issue(secret_codes.RECOVERY)
        made = other if locator else user_ids.add_checks(plain[:4] + other[4:-2])
        if made != plain and (made[:4] != plain[:4]) == locator:
            return made


def test_a_code_has_a_locator_a_secret_of_72_bits_and_two_check_symbols():
    """REC-20: 22 symbols, of the User ID's alphabet; every wrong symbol and every swap of neighbours is found."""
    for _ in range(50):
        code = secret_codes.issue(secret_codes.RECOVERY)
        assert len(code) == 22
        assert user_ids.has_checks(code)
        for place in range(22):
            for symbol in set(user_ids.ALPHABET) - {code[place]}:
                assert not user_ids.has_checks(code[:place] + symbol + code[place + 1 :])
            swapped = code[:place] + code[place + 1 : place + 2] + code[place] + code[place + 2 :]
            assert swapped == code or not user_ids.has_checks(swapped)


@pytest.mark.parametrize("length", [8, 22])
def test_every_double_error_is_found(length):
    """REC-20: up to 22 symbols; of every pair of places, with random symbols."""
    chosen = random.Random(7)
    for _ in range(20):
        code = secret_codes.issue(length, chosen.choice)
        for first in range(length):
            for second in range(first):
                symbols = list(code)
                for place in (first, second):
                    symbols[place] = chosen.choice(sorted(set(user_ids.ALPHABET) - {symbols[place]}))
                assert not user_ids.has_checks("".join(symbols))


@pytest.mark.parametrize("typed", ["{}", " {} ", "{lower}", "{spaced}", "{plain}"])
async def test_it_is_typed_as_it_is_read(service, typed):
    """IDN-03, REC-20: like a User ID."""
    user_id, code, _ = await with_a_code(service)
    spoken = typed.format(code, lower=code.lower(), spaced=code.replace("-", " "), plain=code.replace("-", ""))
    assert await try_code(service, user_id.lower(), spoken) == CHOOSE


async def test_what_is_stored_opens_nothing(service):
    """REC-21, REC-28: the locator, and argon2id of the rest; neither a log nor an event has the code."""
    user_id, code, _ = await with_a_code(service)
    plain = code.replace("-", "")
    rows = str(await service.rows("SELECT * FROM recovery_code"))
    events = str(await service.rows("SELECT data::text FROM event"))
    assert "$argon2id$" in rows
    assert plain[:4] in rows
    for said in (rows, events):
        assert code not in said
        assert plain[4:] not in said
    assert (await service.rows("SELECT sealed FROM recovery_code")) == [(None,)]
    assert user_id


async def test_a_mistyped_code_costs_no_hash_and_no_try(service, monkeypatch):
    """REC-21: refused by its check symbols, with words that help."""
    user_id, code, _ = await with_a_code(service)
    hashed = []
    verify = service.app.state.hasher.verify
    monkeypatch.setattr(service.app.state.hasher, "verify", lambda *given: hashed.append(1) or verify(*given))
    for typed in (code[:-1], code[:-1] + ("0" if code[-1] != "0" else "1"), "", user_id):
        refused = await enter(service, user_id, typed)
        assert "Compare it with what you have" in refused.text or "required" in refused.page.text
    assert hashed == []
    assert await service.rows("SELECT misses FROM recovery_code") == [(0,)]


async def test_whatever_is_wrong_is_refused_alike_after_one_hash(service, caller, owner, monkeypatch):
    """REC-22: an unknown ID, none, wrong locator, wrong secret, closed: the same page, the same work."""
    user_id, code, _ = await with_a_code(service)
    without = (await caller.post("/v1/accounts", {})).json()["user_id"]
    closed, its_code, _ = await with_a_code(service, "198.51.100.33")
    await close_account(owner, closed)
    hashed = []
    verify = service.app.state.hasher.verify
    monkeypatch.setattr(service.app.state.hasher, "verify", lambda *given: hashed.append(1) or verify(*given))
    tried = [
        (user_ids.show(user_ids.issue()), code), (without, code), (user_id, wrong(code, locator=True)),
        (user_id, wrong(code)), (closed, its_code),
    ]  # fmt: skip
    pages = []
    for number, (name, secret) in enumerate(tried):
        await forget_limits(service)
        before = len(hashed)
        refused = await enter(service, name, secret, source=f"198.51.100.{70 + number}")
        assert (refused.page.status_code, len(hashed) - before) == (422, 1), refused.text
        assert REFUSED in refused.text
        pages.append(re.sub(r'value="[^"]*"', "", refused.page.text))
    assert len(set(pages)) == 1


async def test_strangers_without_the_locator_lock_nobody_out(service):
    """REC-22: two hundred codes at the User ID, and its owner's works at once."""
    user_id, code, _ = await with_a_code(service)
    for number in range(200):
        if number % 10 == 0:
            await forget_limits(service)
        assert REFUSED in await try_code(service, user_id, wrong(code, locator=True))
    assert await service.rows("SELECT misses, wait_until FROM recovery_code") == [(0, None)]
    assert await try_code(service, user_id, code) == CHOOSE


async def test_with_the_locator_ten_are_free_then_it_waits_and_a_hundred_end_it(service, caller):
    """REC-22, REC-27: waits double; the owner is told at five and at a hundred."""
    await with_a_password(service, caller)
    (user_id,) = [u for (u,) in await service.rows("SELECT user_id FROM account WHERE email IS NOT NULL")]
    browser = a_browser(service)
    code = await _own_code(service, browser)
    for number in range(rules.FREE_MISSES):
        await forget_limits(service)
        assert REFUSED in await try_code(service, user_id, wrong(code)), number
    await service.deliver()
    assert service.letter(ANNA, "Someone tried to guess your recovery code")
    await forget_limits(service)
    # The eleventh waits a minute, in which not even the right one counts.
    assert REFUSED in await try_code(service, user_id, code)
    service.clock.advance(minutes=1, seconds=1)
    assert await try_code(service, user_id, code) == CHOOSE


async def test_after_a_hundred_with_the_locator_the_code_is_no_more(service):
    """REC-22: NIST SP 800-63B-4, 3.2.2."""
    user_id, code, _ = await with_a_code(service)
    for _ in range(rules.MOST_MISSES + 1):
        await forget_limits(service)
        service.clock.advance(hours=25)
        assert REFUSED in await try_code(service, user_id, wrong(code))
    assert REFUSED in await try_code(service, user_id, code)
    assert (await event_names(service, "recovery_code.ended")) == ["recovery_code.ended"]


async def test_fifty_uses_at_once_are_one(service):
    """REC-23: one UPDATE; nobody else gets in, and there is one successor."""
    user_id, code, _ = await with_a_code(service)
    tried = await asyncio.gather(
        *(try_code(service, user_id, code, source=f"198.51.{100 + number}.7") for number in range(50))
    )
    assert sum(one == CHOOSE for one in tried) == 1
    assert len(await service.rows("SELECT 1 FROM recovery_code WHERE used_at IS NULL AND ended_at IS NULL")) == 1
    assert len(await service.rows("SELECT 1 FROM recovery_code WHERE used_at IS NOT NULL")) == 1


async def test_the_next_code_is_shown_until_it_is_kept_and_not_after_the_session(service):
    """REC-23: a tab that was closed too early opens again."""
    user_id, code, _ = await with_a_code(service)
    browser = await enter(service, user_id, code)
    new = shown_code(browser)
    await browser.open(CHOOSE)
    assert shown_code(browser) == new != code
    await kept(browser)
    assert "data-recovery-code" not in browser.page.text
    assert await service.rows("SELECT 1 FROM recovery_code WHERE sealed IS NOT NULL") == []
    assert REFUSED in await try_code(service, user_id, code)
    second = await enter(service, user_id, new)
    assert shown_code(second) != new
    service.clock.advance(minutes=15)
    await second.open(CHOOSE)
    assert second.page.url.path == "/recover"


async def test_a_code_that_nobody_keeps_is_forgotten_by_the_worker(service):
    user_id, code, _ = await with_a_code(service)
    await enter(service, user_id, code)
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE recovery_code SET shown_until = now() - interval '1 second'"))
    await service.database.in_transaction(_purge)
    assert await service.rows("SELECT 1 FROM recovery_code WHERE sealed IS NOT NULL") == []


async def test_renewing_ends_the_older_one_and_is_told(service, caller):
    """REC-27, REC-28: shown once, no-store, never mailed."""
    user_id, browser = await with_a_password(service, caller)
    first = await _own_code(service, browser, signed_in=True)
    await browser.open("/me/recovery-code")
    assert "You have a recovery code" in browser.text
    assert first not in browser.page.text
    await browser.send("/me/recovery-code")
    second = shown_code(browser)
    assert browser.page.headers["cache-control"] == "no-store"
    assert REFUSED in await try_code(service, user_id, first)
    assert await try_code(service, user_id, second) == CHOOSE
    await service.deliver()
    told = [one for one in service.mailbox.letters() if "recovery code" in one["subject"]]
    assert {one["subject"] for one in told} == {"You have a new recovery code", "Your recovery code was used"}
    for one in told:
        assert second not in one["text"]


async def test_a_session_that_is_not_fresh_makes_no_code(service, caller):
    """REC-28: ten minutes."""
    _, browser = await with_a_password(service, caller)
    service.clock.advance(minutes=11)
    for verb in ("GET", "POST"):
        await browser.open("/me")
        form = {"form_token": re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]}
        done = await browser.http.request(
            verb, "/me/recovery-code", data=form if verb == "POST" else None, follow_redirects=False
        )
        assert (done.status_code, done.headers["location"].partition("?")[0]) == (303, "/signin")
    assert await service.rows("SELECT 1 FROM recovery_code") == []


async def test_a_code_of_another_new_account_is_not_made_by_its_page(service):
    """REC-28: the sealed field works in the same browser, and while nothing has happened."""
    _, _, browser = await with_a_code(service)
    stranger = a_browser(service, "203.0.113.4")
    await stranger.open("/")
    sealed = re.search(r'name="account" value="([^"]+)"', browser.page.text)[1]
    await stranger.send("/recovery-codes/new", account=sealed)
    assert stranger.page.status_code == 422
    assert len(await service.rows("SELECT 1 FROM recovery_code")) == 1


async def _own_code(service, browser, *, signed_in: bool = False) -> str:
    if not signed_in:
        await sign_in(browser)
        await forget_limits(service)
    await browser.open("/me/recovery-code")
    await browser.send("/me/recovery-code")
    service.clock.advance(seconds=1)
    return shown_code(browser)


async def _purge(session) -> None:
    await recovery_codes.purge_shown(session)
