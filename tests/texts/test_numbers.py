"""A customer's own telephone numbers: added, confirmed by a text, shown by two digits, removed; who is told."""

import asyncio
import re
from datetime import timedelta

import pytest

from identity_service.messages import suppressions
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.phone_numbers import rules
from identity_service.values.phone_numbers import PhoneNumber
from tests.accounts.given import an_account
from tests.conftest import Service
from tests.life.given import an_entry, append, merge, renew
from tests.passkeys.given import with_a_password, without_address
from tests.resets.given import ANNA, a_browser, a_reset, choose, sign_in
from tests.texts.carrier import REFUSALS
from tests.texts.given import ME, NUMBER, OTHER, add, code_in, confirm, number_ids

ADDED, REMOVED = "A telephone number was added to your account", "A telephone number was removed from your account"


@pytest.fixture
async def anna(service, caller):
    return await with_a_password(service, caller)


def row_id(user_id: str) -> str:
    return user_id.replace("-", "")


async def told(service: Service, address: str = ANNA) -> list[str]:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(address) if "telephone" in one["subject"]]


async def usable(service: Service, user_id: str) -> PhoneNumber | None:
    return await service.database.in_transaction(
        lambda s: phone_numbers.find_confirmed_number(s, row_id(user_id), now=service.clock())
    )


async def test_a_number_is_added_by_the_code_of_a_text(texts, anna, log):
    """TXT-02, TXT-07, TXT-12, ADR-10: six digits; shown by its last two; every mailbox is told."""
    user_id, browser = anna
    code = await add(texts, browser)
    assert re.fullmatch(r"\d{6}", code)
    assert texts.a.taken[0].to == NUMBER
    assert "Not confirmed yet" in browser.text
    assert await told(texts.service) == []
    page = await confirm(browser, code)
    assert page.url.path == ME, browser.text
    assert "Your number is confirmed." in browser.text
    assert "•••• 78" in browser.text
    assert NUMBER[-4:] not in page.text
    assert await told(texts.service) == [ADDED]
    told_to_operators = log.text + (await texts.service.http.get("/metrics")).text
    assert not any(secret in told_to_operators for secret in (NUMBER[1:], NUMBER[3:], code))
    texts.service.clock.advance(hours=72)
    assert await usable(texts.service, user_id) == (NUMBER, "DE")


async def test_a_number_counts_for_recovery_after_72_hours(texts, anna):
    """ADR-05: the account has a password and a confirmed address."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(hours=71, minutes=59)
    assert await usable(texts.service, user_id) is None
    texts.service.clock.advance(minutes=1)
    assert await usable(texts.service, user_id) is not None


async def test_an_unconfirmed_number_counts_for_nothing(texts, anna):
    """ADR-03"""
    user_id, browser = anna
    await add(texts, browser)
    texts.service.clock.advance(days=30)
    assert await usable(texts.service, user_id) is None


async def test_a_wrong_code_is_refused_and_five_are_the_end(texts, anna):
    """TXT-07: tries are counted before they are compared."""
    _, browser = anna
    code = await add(texts, browser)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(5):
        page = await confirm(browser, wrong)
        assert page.status_code == 422, browser.text
        assert "That code isn't right" in browser.text
    assert (await confirm(browser, code)).status_code == 410
    assert await texts.service.rows("SELECT 1 FROM phone_number WHERE confirmed_at IS NOT NULL") == []


async def test_a_code_works_once_and_ten_minutes_from_the_carriers_acceptance(texts, anna):
    """TXT-07"""
    _, browser = anna
    code = await add(texts, browser)
    texts.service.clock.advance(minutes=9, seconds=59)
    await sign_in(browser)
    assert (await confirm(browser, code)).url.path == ME
    (number_id,) = await number_ids(texts.service)
    again = await browser.send(f"{ME}/{number_id}/confirm", code=code)
    assert again.status_code == 410


async def test_a_code_is_over_ten_minutes_after_the_carrier_took_it(texts, anna):
    """TXT-07"""
    _, browser = anna
    await browser.open(ME)
    await browser.send(ME, number=NUMBER)
    texts.service.clock.advance(minutes=4)
    await texts.turn()
    code, (number_id,) = code_in(texts.a.taken[0].text), await number_ids(texts.service)
    texts.service.clock.advance(minutes=10)
    await sign_in(browser)
    await browser.open(ME)
    assert (await browser.send(f"{ME}/{number_id}/confirm", code=code)).status_code == 410


async def test_the_newest_two_codes_work(texts, anna):
    """TXT-07: two valid at most."""
    _, browser = anna
    codes = [await add(texts, browser)]
    (number_id,) = await number_ids(texts.service)
    for _ in range(2):
        texts.service.clock.advance(minutes=1)
        await browser.open(ME)
        await browser.send(f"{ME}/{number_id}/code")
        await texts.turn()
        codes.append(code_in(texts.a.taken[-1].text))
    assert (await confirm(browser, codes[0])).status_code == 422
    assert (await confirm(browser, codes[1])).url.path == ME


async def test_a_code_confirms_its_own_number_alone(texts, anna):
    """ADR-02: not the other number of the account, nor one that was removed and added again."""
    _, browser = anna
    first = await add(texts, browser)
    texts.service.clock.advance(seconds=1)
    second = await add(texts, browser, OTHER)
    assert first != second
    one, other = await number_ids(texts.service)
    await browser.open(ME)
    assert (await browser.send(f"{ME}/{other}/confirm", code=first)).status_code == 422
    await browser.open(ME)
    await browser.send(f"{ME}/{one}/remove")
    texts.service.clock.advance(seconds=1)
    await add(texts, browser)
    assert (await browser.send(f"{ME}/{(await number_ids(texts.service))[1]}/confirm", code=first)).status_code == 422


async def test_a_code_ends_with_the_tokens_of_its_account(texts, anna):
    """ADR-02: `tokens_valid_after` moves with a reset."""
    user_id, browser = anna
    code = await add(texts, browser)
    texts.service.clock.advance(seconds=1)
    async with texts.database.transaction() as session:
        await session.execute(
            phone_numbers.text("UPDATE account SET tokens_valid_after = :now WHERE user_id = :id"),
            {"now": texts.service.clock(), "id": row_id(user_id)},
        )
    texts.service.clock.advance(seconds=1)
    await sign_in(browser)
    assert (await confirm(browser, code)).status_code == 410


async def test_there_are_two_numbers_at_most(texts, anna):
    """ADR-01: also of fifty at once; the same one is there once."""
    user_id, browser = anna
    await add(texts, browser)
    await browser.open(ME)
    assert (await browser.send(ME, number=NUMBER)).status_code == 409

    async def one_more(place: int) -> str:
        number = PhoneNumber(f"+4915{place}1234567", "DE")
        try:
            await texts.database.in_transaction(
                lambda s: phone_numbers.add_number(s, row_id(user_id), number, network="x", now=texts.service.clock())
            )
        except rules.TooManyNumbers:
            return "refused"
        return "added"

    done = await asyncio.gather(*(one_more(place) for place in range(100, 150)))
    assert sorted(done) == ["added"] + ["refused"] * 49
    await browser.open(ME)
    assert 'name="number"' not in browser.page.text


async def test_an_old_sign_in_adds_no_number(texts, anna):
    """ADR-04, ADR-06: ten minutes, as for everything that opens an account."""
    _, browser = anna
    texts.service.clock.advance(minutes=10, seconds=1)
    page = await browser.open(ME)
    assert page.url.path == "/signin"


async def test_nobody_else_confirms_sends_to_allows_or_removes_it(texts, anna, caller):
    """ADR-01: numbers are found by account and id together."""
    _, browser = anna
    code = await add(texts, browser)
    (number_id,) = await number_ids(texts.service)
    await with_a_password(texts.service, caller, "eve@example.org")
    eve = a_browser(texts.service, "203.0.113.8")
    await sign_in(eve, "eve@example.org")
    for action in ("confirm", "code", "allow", "remove"):
        await eve.open(ME)
        fields = {"code": code} if action == "confirm" else {}
        assert (await eve.send(f"{ME}/{number_id}/{action}", **fields)).status_code == 404
    assert (await confirm(browser, code)).url.path == ME


async def test_an_account_that_nobody_proved_gets_no_text(texts):
    """TXT-02: a script makes a thousand accounts of a User ID and a passkey; not one text."""
    for place in range(3):
        user_id, browser, _ = await without_address(texts.service, source=f"203.0.113.{place}")
        await browser.open(ME)
        page = await browser.send(ME, number=f"+4915{place}01234567")
        assert page.status_code in (403, 422), browser.text
        assert user_id
    assert await texts.service.rows("SELECT 1 FROM message WHERE channel = 'text'") == []
    assert await texts.service.rows("SELECT 1 FROM phone_number") == []


async def test_an_account_of_a_week_that_a_service_knows_gets_a_text(texts, caller):
    """TXT-02: a week, and history; neither alone."""
    user_id, _, _ = await without_address(texts.service)

    async def tries_it() -> str:
        try:
            await texts.database.in_transaction(
                lambda s: phone_numbers.add_number(
                    s, row_id(user_id), PhoneNumber(NUMBER, "DE"), network="x", now=texts.service.clock()
                )
            )
        except rules.NumberNotProven:
            return "refused"
        return "added"

    texts.service.clock.advance(days=7)
    await renew(texts.service, caller)
    assert await tries_it() == "refused"
    answer = await append(caller, user_id, an_entry("o-1"))
    assert answer.status_code in (200, 201), answer.text
    texts.service.clock.now -= timedelta(seconds=5)
    assert await tries_it() == "refused"
    texts.service.clock.now += timedelta(seconds=5)
    assert await tries_it() == "added"


async def test_a_removed_number_is_gone_and_told_of(texts, anna):
    """ADR-06, ADR-07: an unconfirmed one is nothing to be told of."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    (number_id,) = await number_ids(texts.service)
    await browser.open(ME)
    await browser.send(f"{ME}/{number_id}/remove")
    assert "The number is removed." in browser.text
    assert sorted(await told(texts.service)) == [ADDED, REMOVED]
    texts.service.clock.advance(days=10)
    assert await usable(texts.service, user_id) is None


async def test_a_reset_removes_numbers_of_the_past_week(texts, anna):
    """ADR-05, ADR-06: a thief's session adds a number; the owner's reset takes it away before it counts."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(hours=1)
    reset = await a_reset(texts.service)
    await choose(reset.browser, reset.link)
    assert await number_ids(texts.service) == []
    assert sorted(await told(texts.service)) == [ADDED, REMOVED]
    texts.service.clock.advance(hours=80)
    assert await usable(texts.service, user_id) is None


async def test_a_reset_keeps_an_older_number(texts, anna):
    """ADR-05"""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(days=8)
    reset = await a_reset(texts.service)
    await choose(reset.browser, reset.link)
    assert await usable(texts.service, user_id) is not None


async def test_a_confirmation_lasts_twelve_months(texts, anna):
    """ADR-12: then the number may be somebody else's; confirmed again, it counts at once."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(days=365)
    assert await usable(texts.service, user_id) is None
    await sign_in(browser)
    (number_id,) = await number_ids(texts.service)
    await browser.open(ME)
    await browser.send(f"{ME}/{number_id}/code")
    await texts.turn()
    await confirm(browser, code_in(texts.a.taken[-1].text))
    assert await usable(texts.service, user_id) is not None


async def test_a_number_that_is_twice_unknown_recovers_nothing(texts, anna):
    """ADR-12: once may be the carrier's mistake."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    (number_id,) = await number_ids(texts.service)
    for times in (1, 2):
        texts.service.clock.advance(days=8)
        assert await usable(texts.service, user_id) is not None
        await sign_in(browser)
        await browser.open(ME)
        texts.a.will(REFUSALS["no such number"]["generic"])
        await texts.database.in_transaction(
            lambda s: phone_numbers.send_code_again(
                s, row_id(user_id), phone_numbers.uuid.UUID(number_id), network="x", now=texts.service.clock()
            )
        )
        await texts.turn()
        assert len(await texts.service.rows("SELECT 1 FROM attempt WHERE reply_class = 'permanent.address'")) == times
    assert await usable(texts.service, user_id) is None


async def test_a_stopped_number_gets_texts_again_when_its_customer_says_so(texts, anna):
    """TXT-10"""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(days=4)
    hashed = texts.database.keys.address_hash(NUMBER)
    await texts.database.in_transaction(lambda s: suppressions.stop_number(s, hashed, now=texts.service.clock()))
    assert await usable(texts.service, user_id) is None
    await sign_in(browser)
    page = await browser.open(ME)
    assert "You answered STOP" in browser.text
    action = re.search(r'action="(/me/numbers/[0-9a-f-]+/allow)"', page.text)
    await browser.send(action[1])
    assert await usable(texts.service, user_id) is not None


async def test_numbers_of_a_merged_account_rest_until_the_merge_is_undone(texts, anna, caller):
    """ADR-01: neither the survivor nor anybody else uses them."""
    user_id, browser = anna
    await confirm(browser, await add(texts, browser))
    texts.service.clock.advance(days=8)
    await renew(texts.service, caller)
    survivor = await an_account(caller, email="hans@example.org")
    await merge(texts.service, caller, survivor, user_id, "hans@example.org", ANNA)
    assert await usable(texts.service, survivor) is None
    hans = a_browser(texts.service, "203.0.113.77")
    reset = await a_reset(texts.service, "hans@example.org", source="203.0.113.77")
    await choose(reset.browser, reset.link)
    await sign_in(hans, "hans@example.org")
    await hans.open(ME)
    assert "You have no telephone number here." in hans.text
    undone = await caller.post(f"/v1/accounts/{user_id}/merge/undo")
    assert undone.status_code in (200, 202), undone.text
    assert await usable(texts.service, user_id) is not None


async def test_the_page_says_that_texts_are_less_safe_and_offers_another_way(texts, anna):
    """TXT-08: restricted (NIST SP 800-63B-4, 3.2.9)."""
    _, browser = anna
    page = await browser.open(ME)
    assert "Text messages are less safe than a passkey" in browser.text
    assert 'href="/me/passkeys"' in page.text
    assert "Germany, United States" in browser.text


async def test_without_a_carrier_there_is_nothing_to_add(texts, anna):
    """TXT-01"""
    _, browser = anna
    texts.database.settings.__dict__["carriers"] = ()
    page = await browser.open(ME)
    assert 'name="number"' not in page.text
    assert "/me/numbers" not in (await browser.open("/me")).text
    await browser.open(ME)
