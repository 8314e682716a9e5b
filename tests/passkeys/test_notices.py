"""What a customer is told of sign-ins: a counter that went back, and a weaker way than the passkey."""

import pytest

from tests.passkeys.given import ME, Authenticator, enrol, fits, use, with_a_password, without_address
from tests.resets.given import ANNA, a_browser, forget_limits, sign_in
from tests.signin.test_by_mail import asked, typed

COPIED = "A passkey of your account may have been copied"
WEAKER = "Someone signed in to your account without your passkey"


async def told(service, subject: str) -> int:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(ANNA)].count(subject)


async def test_a_counter_that_went_back_is_told_and_shown(service, caller):
    """PKY-10: every mailbox, once a day for one passkey; at /me/passkeys with its date; and nobody is refused."""
    _, browser = await with_a_password(service, caller)
    device = await enrol(browser, Authenticator(counter=5))
    assert (await use(browser, device)).status_code == 303
    assert "may be a copy" not in (await browser.open(ME)).text
    for counter in (4, 3):
        assert await fits(service, device, counter=counter)
    assert await told(service, COPIED) == 1
    assert "/reset" in service.letter(ANNA, COPIED)["text"]
    service.clock.advance(hours=24)
    await forget_limits(service)
    assert (await use(browser, device, counter=2)).status_code == 303
    assert await told(service, COPIED) == 2
    assert "may be a copy" in (await browser.open(ME)).text


@pytest.mark.parametrize("way", ["password", "code"])
async def test_a_weaker_sign_in_is_told_once_a_day_and_browser(service, caller, way):
    """PKY-14: a browser is known by its cookie: the same one is told of once, another one at once."""
    _, browser = await with_a_password(service, caller)
    device = await enrol(browser)

    async def again(one, *, keeps: bool):
        await forget_limits(service)
        service.clock.advance(seconds=1)
        if way == "password":
            await sign_in(one)
            return one
        mailed, path, code = await asked(service, ANNA)
        if keeps:
            for cookie in one.http.cookies.jar:
                if cookie.name == "__Host-known":
                    mailed.http.cookies.set(cookie.name, cookie.value, domain=cookie.domain, path="/")
        await typed(mailed, path, code)
        return mailed

    hers = await again(a_browser(service), keeps=False)
    assert await told(service, WEAKER) == 1
    hers = await again(hers, keeps=True)
    assert await told(service, WEAKER) == 1
    await again(a_browser(service), keeps=False)
    assert await told(service, WEAKER) == 2
    assert await fits(service, device)
    assert await told(service, WEAKER) == 2, "the passkey itself is not the weaker way"
    service.clock.advance(hours=24)
    await again(hers, keeps=True)
    assert await told(service, WEAKER) == 3
    assert (await service.rows("SELECT count(DISTINCT facts) AS n FROM message WHERE kind = 'weaker_sign_in'"))[
        0
    ].n == 2


async def test_without_a_passkey_nothing_is_weaker(service, caller):
    """PKY-14: nor is anything told of an account without an address."""
    _, browser = await with_a_password(service, caller)
    await sign_in(browser)
    assert await told(service, WEAKER) == 0
    _, _, device = await without_address(service, counter=5)
    assert await fits(service, device, counter=2)
    assert await service.rows("SELECT 1 FROM message WHERE kind IN ('passkey_copied', 'weaker_sign_in')") == []
