"""A password by text where the email does not come: to the account's own number, told to all, and no way around."""

import difflib
import re

import pytest
from sqlalchemy import event

from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.resets import texts as reset_texts
from tests.accounts.given import an_account
from tests.conftest import Service
from tests.life.given import renew
from tests.passkeys.given import BE, BS, UP, enrol, with_a_password
from tests.resets.given import ANNA, GOOD, a_browser, ask, sign_in, type_code
from tests.texts.given import ME, NUMBER, OTHER, add, code_in, confirm, number_ids

NEW = "nine rivers run uphill today"
TOLD = "Your password was changed with a text message"


@pytest.fixture
async def anna(service, caller, texts):
    """Her User ID and a browser; her number counts for recovery."""
    user_id, browser = await with_a_password(service, caller)
    await confirm(browser, await add(texts, browser))
    service.clock.advance(days=8)
    return user_id, browser


async def first_request(service: Service, address: str = ANNA):
    """Ask by email; the mailbox swallows it. The token, and the browser that asked."""
    browser = a_browser(service)
    watch = await ask(browser, address)
    found = await service.database.in_transaction(
        lambda s: one_time_tokens.find_by_tracking(s, watch.split("/")[2], now=service.clock())
    )
    return browser, found.token


async def send(service: Service, first, typed: str = NUMBER, *, network: str = "198.51.100.7"):
    return await service.database.in_transaction(
        lambda s: reset_texts.send_reset_text(s, first, typed, locale="de", network=network, now=service.clock())
    )


async def told(service: Service) -> list[str]:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(ANNA)]


async def test_a_password_is_set_by_the_code_of_a_text(texts, anna):
    """TXT-07, TXT-08, story 2: the mailbox swallows the email, the number does not; every mailbox is told."""
    service = texts.service
    browser, first = await first_request(service)
    asked = await send(service, first)
    await texts.turn()
    code = code_in(texts.a.taken[-1].text)
    assert re.fullmatch("[0-9A-Z]{5}-[0-9A-Z]{5}", code)
    assert texts.a.taken[-1].text.startswith(f"{code}: Your code from Example Shop for a new password.")
    page = await browser.open(f"/reset/{asked.handle}/code")
    assert "If this number belongs to your account" in browser.text
    assert page.status_code == 200
    done = await type_code(browser, f"/reset/{asked.handle}", code, NEW)
    assert done.url.path == "/reset/done", browser.text
    await sign_in(a_browser(service, "203.0.113.5"), ANNA, NEW)
    assert TOLD in await told(service)
    again = await type_code(browser, f"/reset/{asked.handle}", code, GOOD)
    assert again.status_code == 410
    assert [row.used_at is None for row in await service.rows("SELECT used_at FROM text_charge")].count(False) == 2


async def test_a_code_of_a_text_is_over_after_ten_minutes(texts, anna):
    """TXT-07"""
    browser, first = await first_request(texts.service)
    asked = await send(texts.service, first)
    await texts.turn()
    texts.service.clock.advance(minutes=10)
    code = code_in(texts.a.taken[-1].text)
    assert (await type_code(browser, f"/reset/{asked.handle}", code, NEW)).status_code == 410


async def test_a_number_that_is_not_the_accounts_gets_no_text(texts, anna, caller):
    """ADR-09: a stranger's number, an account without a number, an address that nobody has: no text, the same page."""
    service = texts.service
    await renew(service, caller)
    await an_account(caller, email="hans@example.org")
    for address, typed in ((ANNA, OTHER), ("hans@example.org", NUMBER), ("nobody@example.org", NUMBER)):
        before = len(texts.a.taken)
        browser, first = await first_request(service, address)
        asked = await send(service, first, typed)
        await texts.turn()
        assert len(texts.a.taken) == before
        await browser.open(f"/reset/{asked.handle}/code")
        assert "If this number belongs to your account" in browser.text
        page = await type_code(browser, f"/reset/{asked.handle}", "K7M2P-9QXRT", NEW)
        assert page.status_code == 422
        assert "That code isn't right" in browser.text
    kinds = await service.rows("SELECT kind, state, user_id FROM message WHERE kind IN ('no_number', 'reset_text')")
    assert [tuple(row) for row in kinds] == [("no_number", "cancelled", None)] * 3


async def test_what_the_database_is_told_is_the_same(texts, anna, caller):
    """ADR-09, ATT-21: statement by statement, for the account's own number and for another one."""
    service = texts.service
    await renew(service, caller)
    await an_account(caller, email="hans@example.org")
    heard = []
    for address, typed in ((ANNA, NUMBER), (ANNA, OTHER), ("hans@example.org", NUMBER), ("nobody@example.org", NUMBER)):
        _, first = await first_request(service, address)
        said: list[str] = []
        listener = lambda *given, said=said: said.append(given[2])  # noqa: E731
        engine = service.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", listener)
        await send(service, first, typed)
        event.remove(engine, "before_cursor_execute", listener)
        heard.append(said)
    for other in heard[1:]:
        assert list(difflib.unified_diff(heard[0], other, lineterm="", n=0)) == []
    assert len(heard[0]) > 5


async def test_guesses_count_for_the_network_that_makes_them_alone(texts, anna):
    """TXT-03: whoever types numbers of others uses up none of their texts and none of the money."""
    _, first = await first_request(texts.service)
    for place in range(12):
        await send(texts.service, first, f"+49151{place:02d}345678")
    states = await texts.service.rows("SELECT state FROM message WHERE kind = 'no_number' ORDER BY created_at, id")
    assert sorted(row.state for row in states) == ["limited"] * 2 + ["queued"] * 10
    ((spent,),) = await texts.service.rows("SELECT sum(cost) FROM text_charge WHERE number_hash IS NULL")
    assert spent == 0
    await send(texts.service, first, NUMBER, network="203.0.113.9")
    await texts.turn()
    assert texts.a.taken[-1].to == NUMBER


async def test_a_new_number_recovers_nothing(texts, service, caller):
    """ADR-05: a thief's session adds a number, then resets."""
    _, browser = await with_a_password(service, caller)
    await confirm(browser, await add(texts, browser))
    service.clock.advance(hours=71, minutes=59)
    _, first = await first_request(service)
    before = len(texts.a.taken)
    await send(service, first)
    await texts.turn()
    assert len(texts.a.taken) == before


async def test_a_number_alone_recovers_no_account_with_a_second_factor(texts, anna):
    """TXT-08: a passkey that asks for a PIN; one that does not is no second factor."""
    service, (_, browser) = texts.service, anna
    await sign_in(browser)
    await enrol(browser, flags=UP | BE | BS)
    _, first = await first_request(service)
    await send(service, first)
    await texts.turn()
    assert texts.a.taken[-1].text.endswith(code_in(texts.a.taken[-1].text))
    sent = len(texts.a.taken)
    await sign_in(browser)
    await enrol(browser)
    await send(service, first)
    await texts.turn()
    assert len(texts.a.taken) == sent


async def test_after_it_nothing_else_is_changed_for_72_hours(texts, anna):
    """TXT-08: a SIM that was swapped sets a password, and gets no further."""
    service = texts.service
    browser, first = await first_request(service)
    asked = await send(service, first)
    await texts.turn()
    await type_code(browser, f"/reset/{asked.handle}", code_in(texts.a.taken[-1].text), NEW)
    thief = a_browser(service, "203.0.113.66")
    service.clock.advance(seconds=1)

    async def tries() -> list[int]:
        await sign_in(thief, ANNA, NEW)
        (number_id,) = await number_ids(service)
        found = []
        for path, form in (
            (ME, {"number": OTHER}),
            (f"{ME}/{number_id}/remove", {}),
            ("/me/email", {"email": "e@x.org"}),
        ):
            await thief.open(path if path == "/me/email" else ME)
            found.append((await thief.send(path, **form)).status_code)
        return found

    assert await tries() == [409, 409, 409]
    assert "For 72 hours" in thief.text
    service.clock.advance(hours=72)
    assert (await tries())[0] == 200


async def test_nobody_follows_a_text_of_a_reset(texts, anna):
    """ADR-09: its state would tell whether the number belongs to the account."""
    browser, first = await first_request(texts.service)
    asked = await send(texts.service, first)
    for path in (f"/reset/{asked.handle}", f"/messages/{asked.handle}/stream"):
        assert (await browser.open(path)).status_code == 404


async def test_a_caller_is_checked_by_a_text(texts, anna):
    """TXT-06, PHN-07: six digits for the clerk, with the words that the clerk must say, and no line for a browser."""
    service, (user_id, _) = texts.service, anna
    number = await service.database.in_transaction(
        lambda s: phone_numbers.find_confirmed_number(s, user_id.replace("-", ""), now=service.clock())
    )
    await service.database.in_transaction(
        lambda s: one_time_tokens.send_token(
            s, "caller_check", kind="caller_check_text", to=number, user_id=user_id.replace("-", ""), locale="en",
            cause="caller.check_requested", actor="staff:a", now=service.clock(),
        )
    )  # fmt: skip
    await texts.turn()
    words = (
        r"\d{3} \d{3}: Your code from Example Shop for your call. Tell it only to the clerk you called, who must say: "
    )
    assert re.fullmatch(words + r"\w+ \w+", texts.a.taken[-1].text)


async def test_a_page_that_nobody_has_is_unknown(texts):
    """RST-14: also where a code is typed at it."""
    browser = a_browser(texts.service)
    await browser.open("/reset")
    page = await browser.send("/reset/nobody-knows-it/code", code="K7M2P-9QXRT", password=NEW)
    assert page.status_code == 404
