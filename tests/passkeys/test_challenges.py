"""A challenge is used once, for its purpose, account and browser."""

import asyncio
import re

import pytest

from tests.passkeys.given import (
    CANNOT_ADD,
    CANNOT_SIGN_IN,
    ME,
    NEW,
    SIGN_IN,
    Authenticator,
    answer,
    begin,
    enrol,
    event_names,
    fits,
    newly_issued,
    token_of,
    with_a_password,
)
from tests.resets.given import a_browser, forget_limits


@pytest.fixture
async def anna(service, caller):
    """Her signed-in browser, and a passkey."""
    _, browser = await with_a_password(service, caller)
    return browser, await enrol(browser)


async def left(service) -> int:
    return (await service.rows("SELECT count(*) FROM passkey_challenge"))[0][0]


async def test_a_challenge_is_long_new_and_waits_five_minutes(service, anna):
    """PKY-01: 256 bits of its own each time; at five minutes it is over."""
    _, device = anna
    seen = [(await begin(a_browser(service), SIGN_IN, "/signin")).options["challenge"] for _ in range(3)]
    assert (len(set(seen)), {len(one) for one in seen}) == (3, {43})
    browser = a_browser(service)
    begun = await begin(browser, SIGN_IN, "/signin")
    service.clock.advance(seconds=299)
    assert (await answer(browser, SIGN_IN, begun, device.get(begun.options))).status_code == 303
    begun = await begin(browser, SIGN_IN)
    service.clock.advance(seconds=300)
    late = await answer(browser, SIGN_IN, begun, device.get(begun.options))
    assert (late.status_code, CANNOT_SIGN_IN in late.text) == (422, True)


async def test_old_challenges_are_forgotten(service, anna):
    """PKY-01: what nobody answered is deleted."""
    await begin(a_browser(service), SIGN_IN, "/signin")
    await service.forget()
    assert await left(service) == 1
    await service.rows("UPDATE passkey_challenge SET expires_at = now() - interval '1 second' RETURNING 1")
    await service.forget()
    assert await left(service) == 0


async def test_a_response_is_taken_once(service, anna):
    """PKY-01: the same response again, also of the same browser, is refused."""
    browser = a_browser(service)
    begun = await begin(browser, SIGN_IN, "/signin")
    response = anna[1].get(begun.options)
    first, again = [await answer(browser, SIGN_IN, begun, response) for _ in range(2)]
    assert (first.status_code, again.status_code) == (303, 422)


async def test_of_fifty_at_once_one_wins(service, anna):
    """PKY-01: one statement takes the challenge."""
    browser = a_browser(service)
    begun = await begin(browser, SIGN_IN, "/signin")
    response = anna[1].get(begun.options)
    before = await service.rows("SELECT count(*) FROM sign_in_session")
    codes = [
        done.status_code
        for done in await asyncio.gather(*(answer(browser, SIGN_IN, begun, response) for _ in range(50)))
    ]
    assert codes.count(303) == 1
    assert set(codes) <= {303, 422, 429}
    assert await service.rows("SELECT count(*) - 1 FROM sign_in_session") == before


@pytest.mark.parametrize(
    "spoilt", ["", "{", "null", "[]", "{}", '"x"', '{"id":1}', '{"response":{"clientDataJSON":"!"}}', "[" * 5000]
)
async def test_a_malformed_response_uses_the_challenge_up(service, anna, spoilt):
    """PKY-01, PKY-12: whatever it was, the good response after it is too late."""
    browser, device = a_browser(service), anna[1]
    begun = await begin(browser, SIGN_IN, "/signin")
    assert (await answer(browser, SIGN_IN, begun, spoilt)).status_code == 422
    assert (await answer(browser, SIGN_IN, begun, device.get(begun.options))).status_code == 422
    adds, other = anna[0], Authenticator()
    begun = await begin(adds, ME, ME)
    assert (await answer(adds, ME, begun, spoilt)).status_code == 422
    assert (await answer(adds, ME, begun, other.create(begun.options))).status_code == 422
    assert await left(service) == 0
    assert await event_names(service) == ["passkey.added"]


async def test_a_challenge_serves_its_purpose_only(service, anna):
    """PKY-01: one to sign in registers nothing, and one to register signs nobody in."""
    browser, device = anna
    begun = await begin(browser, SIGN_IN, ME)
    made = Authenticator().create({**begun.options, "user": {"id": "AA"}})
    refused = await answer(browser, ME, begun, made)
    assert (refused.status_code, CANNOT_ADD in refused.text) == (422, True)
    begun = await begin(browser, ME, ME)
    refused = await answer(browser, SIGN_IN, begun, device.get(begun.options))
    assert (refused.status_code, CANNOT_SIGN_IN in refused.text) == (422, True)


async def test_a_challenge_is_of_its_browser(service, anna):
    """PKY-01: what one browser was asked another one cannot answer, with the right passkey neither."""
    asked, other = a_browser(service), a_browser(service)
    begun = await begin(asked, SIGN_IN, "/signin")
    await other.open("/signin")
    response = anna[1].get(begun.options)
    assert (await answer(other, SIGN_IN, begun._replace(token=token_of(other)), response)).status_code == 422
    assert (await answer(asked, SIGN_IN, begun, response)).status_code == 303


async def test_a_challenge_is_of_its_account(service):
    """PKY-01: in one browser, what was asked for one account registers nothing for another."""
    _, browser, sealed = await newly_issued(service)
    token = token_of(browser)
    await browser.open("/")
    await browser.send("/without-email")
    _, other = await issued_again(browser)
    begun = (await begin(browser, NEW, account=sealed))._replace(token=token)
    refused = await answer(browser, NEW, begun, Authenticator().create(begun.options), account=other)
    assert (refused.status_code, other != sealed) == (422, True)
    assert await service.rows("SELECT 1 FROM passkey") == []
    assert await left(service) == 0


async def issued_again(browser) -> tuple[str, str]:
    found = re.search(r'name="account" value="([^"]+)"', browser.page.text)
    return browser.text, found[1]


async def test_the_expected_challenge_is_the_stored_one(service, anna):
    """PKY-01 (OneUptime CVE-2026-28787): a challenge that the client brings along, in form or response, is unread."""
    browser, device = a_browser(service), anna[1]
    begun = await begin(browser, SIGN_IN, "/signin")
    own = "A" * 43
    response = device.get({"challenge": own})
    refused = await answer(browser, SIGN_IN, begun, {**response, "challenge": own, "expectedChallenge": own})
    assert refused.status_code == 422
    begun = await begin(browser, SIGN_IN, "/signin")
    assert (await answer(browser, SIGN_IN, begun, response, challenge=own)).status_code == 422
    begun = await begin(browser, SIGN_IN, "/signin")
    unknown = begun._replace(ceremony="A" * 22)
    assert (await answer(browser, SIGN_IN, unknown, device.get(begun.options))).status_code == 422


async def test_what_asks_is_limited_by_network(service, anna):
    """PKY-06: challenges cost a row each; one network gets 120 a minute, on all pages that ask together."""
    signed_in, browser = anna[0], a_browser(service)
    await browser.open("/signin")
    form = {"form_token": token_of(browser)}
    codes = [(await browser.http.post(f"{SIGN_IN}/options", data=form)).status_code for _ in range(121)]
    assert (codes[:100], codes[-1]) == ([200] * 100, 429)
    await signed_in.open(ME)
    asked = await signed_in.http.post(f"{ME}/options", data={"form_token": token_of(signed_in)})
    assert asked.status_code == 429
    await forget_limits(service)
    _, new, sealed = await newly_issued(service)
    for _ in range(120):
        await browser.http.post(f"{SIGN_IN}/options", data=form)
    asked = await new.http.post(f"{NEW}/options", data={"form_token": token_of(new), "account": sealed})
    assert asked.status_code == 429


async def test_a_form_of_another_site_asks_nothing(service, anna):
    """PKY-01: without the token of this browser's pages neither options nor an answer are taken."""
    browser = a_browser(service)
    await browser.open("/signin")
    assert (await browser.http.post(f"{SIGN_IN}/options", data={"form_token": "x"})).status_code == 403
    begun = await begin(browser, SIGN_IN)
    refused = await answer(browser, SIGN_IN, begun._replace(token="x"), anna[1].get(begun.options))
    assert refused.status_code == 403
    assert await fits(service, anna[1])
