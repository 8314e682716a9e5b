"""An app that is lost: removed after 72 hours, told to every mailbox, stopped by whoever has the app or a mailbox."""

import asyncio

import pytest
from sqlalchemy import text

from identity_service.second_factors import removal
from tests.life.given import call, confirm, merge
from tests.passkeys.given import enrol, use, with_a_password, without_address
from tests.resets.given import ANNA, OTHER, a_browser, a_reset, choose, forget_limits
from tests.second_factors.given import (
    ME,
    REMOVED,
    STEP,
    by_password,
    counts,
    is_in,
    set_up,
    shown,
    sign_in_with_app,
    told,
    type_code,
    with_an_app,
)

LOST = f"{STEP}/lost"
WILL = "Your authenticator app will be removed. You can stop it"


@pytest.fixture
async def anna(service, caller):
    return await with_an_app(service, caller)


async def ask(service, source: str = "192.0.2.60", **given):
    """Somebody who has passed the first step says that the app is lost; their browser."""
    browser = await by_password(service, source, **given)
    await browser.open(LOST)
    await browser.send(LOST)
    return browser


async def later(service, **by: float) -> int:
    """Let time pass, and let the worker look; how many apps there are then."""
    service.clock.advance(**by)
    await removal.remove_due(service.database, now=service.clock())
    return (await service.rows("SELECT count(*) FROM second_factor"))[0][0]


async def asked_at(service):
    return (await service.rows("SELECT removal_asked_at FROM second_factor"))[0][0]


async def event_names(service) -> list[str]:
    like = "SELECT name FROM event WHERE name LIKE 'second_factor.remov%' ORDER BY id"
    return [name.partition(".")[2] for (name,) in await service.rows(like)]


async def test_it_is_removed_after_72_hours(service, anna):
    """SFA-08: at 71:59 not yet, at 72:01 it is; every mailbox is told at both ends, sessions end, and the first step
    signs in."""
    browser = await ask(service)
    assert "We'll remove the app on" in browser.text
    assert not await is_in(browser)
    assert await told(service, WILL) == 1
    assert await later(service, hours=71, minutes=59) == 1
    assert await later(service, minutes=2) == 0
    assert await told(service, REMOVED) == 1
    assert not await is_in(anna.browser)
    assert await is_in(await by_password(service))
    assert await event_names(service) == ["removal_requested", "removed"]


async def test_a_mailbox_stops_it(service, anna):
    """SFA-08: by the link of the notice, once; the mailboxes read that it stays."""
    await ask(service)
    await confirm(service, ANNA, WILL)
    await service.deliver()
    assert await asked_at(service) is None
    assert await later(service, hours=73) == 1
    assert await event_names(service) == ["removal_requested", "removal_stopped"]
    assert [one for one in service.mailbox.letters(ANNA) if "its authenticator app stays" in one["text"]]


async def test_the_app_stops_it(service, anna):
    """SFA-08: whoever signs in with a code has not lost it."""
    await ask(service)
    service.clock.advance(hours=71)
    await sign_in_with_app(service, anna.seed)
    assert await asked_at(service) is None
    assert await later(service, hours=2) == 1
    assert await event_names(service) == ["removal_requested", "removal_stopped"]


async def test_a_reset_stops_it(service, anna):
    """SFA-08: whoever asked may have known the password that is no more; it can be asked for again."""
    await ask(service)
    service.clock.advance(hours=1)
    await forget_limits(service)
    reset = await a_reset(service, ANNA)
    await choose(reset.browser, reset.link, OTHER)
    assert await later(service, hours=72) == 1
    assert await event_names(service) == ["removal_requested", "removal_stopped"]
    await ask(service, password=OTHER)
    assert await later(service, hours=72, seconds=1) == 0


async def test_asking_again_neither_restarts_nor_tells_again(service, anna):
    """SFA-08: from whatever browser, also at once; wrong codes are not counted by it."""
    await ask(service)
    began = await asked_at(service)
    service.clock.advance(hours=1)
    browsers = [await by_password(service, f"192.0.2.{number}") for number in range(3)]
    for browser in browsers:
        await browser.open(STEP)
    await asyncio.gather(*(browser.send(LOST) for browser in browsers))
    assert (await asked_at(service), await told(service, WILL), await counts(service)) == (began, 1, (0, 0))


async def test_only_who_has_passed_the_first_step_can_ask(service, anna):
    """SFA-03, SFA-08: strangers are led to the beginning, and so is a sign-in that is over."""
    stranger = await by_password(service, password="not mine at all")
    assert (await stranger.open(LOST)).url.path == "/signin"
    form = {"form_token": stranger.page.text.partition('name="form_token" value="')[2].partition('"')[0]}
    assert (await stranger.http.post(LOST, data=form)).status_code == 401
    late = await by_password(service)
    service.clock.advance(minutes=5, seconds=1)
    assert (await late.open(LOST)).url.path == "/signin"
    assert await asked_at(service) is None


async def test_an_account_without_a_mailbox_is_not_helped_this_way(service):
    """SFA-08: there is nobody who could stop it."""
    _, browser, device = await without_address(service)
    await set_up(service, browser)
    await forget_limits(service)
    other = a_browser(service, "192.0.2.8")
    answer = await use(other, device, flags=1 | 8 | 16)
    assert answer.headers["location"] == STEP
    await other.open(LOST)
    refused = await other.send(LOST)
    assert (refused.status_code, "no email address that we could tell" in other.text) == (409, True)
    assert await asked_at(service) is None


async def test_a_closed_account_and_one_that_was_merged(service, caller, anna):
    """SFA-08: closing stops it; after a merge the survivor's mailboxes are told, and it is the survivor's sign-in that
    needs the app no more."""
    ben, _ = await with_a_password(service, caller, "ben@example.org")
    await merge(service, caller, ben, anna.user_id, "ben@example.org", ANNA)
    service.clock.advance(seconds=1)
    await ask(service)
    assert (await told(service, WILL), await told(service, WILL, "ben@example.org")) == (1, 1)
    await call(caller, "POST", f"/v1/accounts/{ben}/close")
    assert await later(service, hours=73) == 1
    assert await asked_at(service) is None


async def test_the_owners_page_says_so(service, anna):
    """SFA-08, SFA-09: to whoever is signed in; a sign-in by a passkey that counts as two ends it."""
    device = await enrol(anna.browser)
    await ask(service)
    service.clock.advance(seconds=1)
    await anna.browser.open(ME)
    assert "We were told that this app is lost" in anna.browser.text
    browser = a_browser(service, "192.0.2.9")
    await use(browser, device)
    await browser.open(ME)
    assert "We were told that this app is lost" not in browser.text
    assert await later(service, seconds=1) == 1


async def test_a_locked_app_is_got_rid_of(service, anna):
    """SFA-03, SFA-08: after fifty wrong codes there is this way."""
    async with service.database.transaction() as session:
        await session.execute(text("UPDATE second_factor SET failures = 50, locked_at = now()"))
    browser = await ask(service)
    assert await type_code(browser, shown(service, anna.seed)) == 403
    assert await later(service, hours=72, seconds=1) == 0
    assert await is_in(await by_password(service))
