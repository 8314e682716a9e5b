"""What a reset ends, whom it tells, and what ends a reset."""

import pytest

from tests.accounts.given import an_account, close, erase, sql
from tests.resets.given import (
    ANNA,
    GOOD,
    OTHER,
    a_browser,
    a_password,
    a_reset,
    choose,
    sign_in,
    type_code,
)
from tests.resets.test_use import dead


async def test_nobody_is_signed_in_by_a_reset_and_every_session_ends(service, caller):
    """RST-12, REC-07, ATT-27, ASVS 7.4.3: the attacker's session is dead when his victim resets."""
    await a_password(service, caller)
    attacker = a_browser(service, "192.0.2.66")
    assert (await sign_in(attacker)).url.path == "/me"
    service.clock.advance(seconds=1)
    reset = await a_reset(service)
    done = await choose(reset.browser, reset.link, OTHER)
    assert not [cookie for cookie in reset.browser.http.cookies.jar if cookie.name == "__Host-session"]
    assert "Sign in with the new password" in done.text
    assert (await attacker.open("/me")).url.path == "/signin"
    assert (await reset.browser.open("/me")).url.path == "/signin"
    assert (await sign_in(attacker)).status_code == 422
    assert (await sign_in(reset.browser, password=OTHER)).url.path == "/me"


async def test_the_notice_tells_what_when_where_and_how_to_object(service, caller):
    """RST-11, PWD-18, ASVS 6.3.7: to the proven address, with nothing that signs in."""
    user_id = await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await choose(reset.browser, reset.link)
    await service.deliver()
    notices = [letter for letter in service.mailbox.letters() if "password was changed" in letter["subject"]]
    (notice,) = notices
    assert notice["to"] == [ANNA]
    for part in (
        user_id,
        f"{service.clock.now:%H:%M}",
        "198.51",
        "choose a new password here",
        "https://id.example.com/reset",
    ):
        assert part in notice["text"]
    for secret in (GOOD, reset.link, reset.code, "choose#", "/signin", "198.51.100.9"):
        assert secret not in notice["text"] + notice["html"]


@pytest.mark.parametrize("end", [close, erase])
async def test_a_closed_or_erased_account_has_no_living_link(service, caller, owner, end):
    """ATT-19, RST-09, ATT-64."""
    user_id = await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await end(owner, user_id)
    await dead(await choose(reset.browser, reset.link), reset.browser)
    await dead(await type_code(reset.browser, reset.watch, reset.code), reset.browser)
    assert await service.rows("SELECT count(*) FROM password") == [(0,)]


async def test_a_business_keeps_its_link(service, caller, owner):
    """ATT-19."""
    user_id = await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await sql(owner, "UPDATE account SET kind = 'business' WHERE user_id = :u", u=user_id.replace("-", ""))
    assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"


async def test_a_link_is_refused_from_the_moment_that_counts(service, caller, owner):
    """ATT-19, ATT-29, RST-09: `tokens_valid_after` is read, nothing has to be killed."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    await sql(owner, "UPDATE account SET tokens_valid_after = :now", now=service.clock.now)
    await dead(await choose(reset.browser, reset.link), reset.browser)
