"""How many wrong codes there may be, who can use them up, and who is told."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import rules
from identity_service.second_factors.rules import Tries
from identity_service.values.user_ids import UserId
from tests.life.given import row_id
from tests.passkeys.given import UP, Authenticator, enrol, use
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, forget_limits
from tests.second_factors.given import (
    FAILED,
    STEP,
    by_password,
    counts,
    is_in,
    shown,
    told,
    type_code,
    with_an_app,
    wrong,
)
from tests.signin.test_by_mail import asked, typed

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NONE = Tries(0, 0, None, None, None)
WAIT, LOCKED = "There were too many wrong codes. Wait a while", "codes of this authenticator app don't work any more"


@pytest.fixture
async def anna(service, caller):
    return await with_an_app(service, caller)


async def fail(service, anna, times: int) -> None:
    """Type wrong codes at one sign-in, and let pass what they have to wait for."""
    browser = await by_password(service)
    for _ in range(times):
        await forget_limits(service)
        assert await type_code(browser, wrong(service, anna.seed)) == 422, browser.text


def test_the_numbers_are_those_of_the_requirements():
    """SFA-03, ASVS 6.3.1, 6.6.3: section 2 of the plan: 5 in a row, 15 minutes; 20 a day; 50 in a row."""
    assert (5, timedelta(minutes=15), 20, 50) == (rules.IN_A_ROW, rules.PAUSE, rules.A_DAY, rules.LOCKED_AFTER)
    assert timedelta(days=1) == rules.DAY


def test_whoever_uses_every_try_gets_twenty_a_day_and_fifty_ever():
    """SFA-03: a guesser who tries again the moment that it is possible."""
    tries, now, at = NONE, NOW, []
    while len(at) < 1000:
        try:
            tries = rules.count_try(tries, now=now)
            at.append(now)
        except rules.TooManyFactorCodes as refused:
            now += timedelta(seconds=refused.members["retry_after"])
        except rules.FactorLocked:
            break
    assert len(at) == 50
    days = [(moment - NOW) // rules.DAY for moment in at]
    assert [days.count(day) for day in range(3)] == [20, 20, 10]
    assert [at[n + 1] - at[n] >= rules.PAUSE for n in range(19)] == [n % 5 == 4 for n in range(19)]


async def test_five_wrong_codes_wait_a_quarter_of_an_hour(service, anna):
    """SFA-03, SFA-04: the sixth is not looked at, not even the right one, in whatever browser; the owner
    is told once; afterwards the right one is taken, and five others are told again."""
    await fail(service, anna, 4)
    assert await told(service, FAILED) == 0
    await fail(service, anna, 1)
    other = await by_password(service, "192.0.2.5")
    assert (await type_code(other, shown(service, anna.seed)), WAIT in other.text) == (429, True)
    assert (await counts(service), await told(service, FAILED)) == ((5, 5), 1)
    service.clock.advance(minutes=15, seconds=1)
    await fail(service, anna, 1)
    assert await told(service, FAILED) == 1
    assert await type_code(await by_password(service), shown(service, anna.seed)) == 200
    assert await counts(service) == (0, 6)
    service.clock.advance(minutes=1)
    await fail(service, anna, 5)
    assert await told(service, FAILED) == 2
    letter = service.letter(ANNA, FAILED)["text"]
    assert "https://id.example.com/reset" in letter
    assert "#" not in letter


async def test_tries_are_counted_before_they_are_looked_at(service, anna):
    """SFA-03, PWD-07: of fifty wrong codes at once no more than five are looked at."""
    browsers = [await by_password(service, f"192.0.2.{number}") for number in range(50)]
    code = wrong(service, anna.seed)
    answers = await asyncio.gather(*(browser.send(STEP, code=code) for browser in browsers))
    assert [answer.status_code for answer in answers].count(422) == 5
    assert await counts(service) == (5, 5)


async def test_after_fifty_no_code_counts(service, anna):
    """SFA-03 (63B 3.2.2): also the right one, also for a sign-in that began before; an event says so."""
    waiting = await by_password(service, "192.0.2.5")
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE second_factor SET failures = 49, failures_today = 0"))
    await fail(service, anna, 1)
    assert (await waiting.send(STEP, code=shown(service, anna.seed))).status_code == 403
    assert LOCKED in waiting.text
    service.clock.advance(days=30)
    again = await by_password(service)
    assert (await type_code(again, shown(service, anna.seed)), await is_in(again)) == (403, False)
    names = "SELECT count(*) FROM event WHERE name = 'second_factor.locked'"
    assert await service.rows(names) == [(1,)]


async def test_a_stranger_uses_up_nothing(service, anna):
    """SFA-03: who does not know the first factor reaches no code: no cookie, somebody else's, a wrong password."""
    stranger = await by_password(service, password="not mine at all")
    form = {"form_token": stranger.page.text.partition('name="form_token" value="')[2].partition('"')[0]}
    for cookie in ("", "x" * 43):
        stranger.http.cookies.set("__Host-second-factor", cookie)
        answer = await stranger.http.post(STEP, data={**form, "code": "123456"}, follow_redirects=False)
        assert answer.status_code == 401
        assert (await stranger.http.get(STEP, follow_redirects=False)).headers["location"] == "/signin"
    assert await counts(service) == (0, 0)
    assert await told(service, FAILED) == 0


async def test_one_counter_for_every_way(service, anna):
    """SFA-03 (Keycloak CVE-2026-16103): password, mailed code and passkey add to the same count, and so does whatever
    else asks for the app."""
    device = await enrol(anna.browser, Authenticator(flags=UP))
    by_passkey = a_browser(service, "192.0.2.6")
    await use(by_passkey, device)
    await forget_limits(service)
    by_mail, path, code = await asked(service, ANNA)
    await typed(by_mail, path, code)
    for browser in (await by_password(service), by_mail, by_passkey):
        assert await type_code(browser, wrong(service, anna.seed)) == 422, browser.text
    user_id = UserId(row_id(anna.user_id))
    for _ in range(2):
        with pytest.raises(rules.FactorCodeWrong):
            await second_factors.check_code(service.database, user_id, wrong(service, anna.seed), now=service.clock())
    assert await counts(service) == (5, 5)
    with pytest.raises(rules.TooManyFactorCodes):
        await second_factors.check_code(service.database, user_id, shown(service, anna.seed), now=service.clock())


async def test_a_code_used_elsewhere_is_used_here(service, anna):
    """SFA-02: whatever asks for the app, at a sign-in or by itself."""
    user_id, code = UserId(row_id(anna.user_id)), shown(service, anna.seed)
    await second_factors.check_code(service.database, user_id, code, now=service.clock())
    with pytest.raises(rules.FactorCodeUsed):
        await second_factors.check_code(service.database, user_id, code, now=service.clock())
    assert await type_code(await by_password(service), code) == 422
    with pytest.raises(rules.NoSecondFactor):
        await second_factors.check_code(service.database, await another(service), code, now=service.clock())


async def another(service) -> UserId:
    caller = await service.caller()
    return UserId(row_id((await caller.post("/v1/accounts", {"email": "ben@example.org"})).json()["user_id"]))


async def test_a_service_that_checks_passwords_never_gets_a_match(service, caller, anna):
    """SFA-10, ASVS 6.3.4: the right password is `second_factor_needed` without a User ID, by address and by User ID;
    a wrong one as ever; the event says so, and no code can be tried there."""
    for who in ({"email": ANNA}, {"user_id": anna.user_id}):
        right = (await caller.post("/v1/password-checks", {**who, "password": GOOD})).json()
        assert (right["result"], right["user_id"], right["retry_after"]) == ("second_factor_needed", None, None)
        assert (await caller.post("/v1/password-checks", {**who, "password": OTHER})).json()["result"] == "no_match"
    coded = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD, "code": "123456"})
    assert coded.status_code == 422
    names = "SELECT actor LIKE 'client:%' FROM event WHERE name = 'password.second_factor_needed'"
    assert await service.rows(names) == [(True,), (True,)]
    assert await counts(service) == (0, 0)
