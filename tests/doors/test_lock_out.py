"""A stranger who knows an address and has one network keeps its owner out of no way in (finding R08, R15).

The stranger goes on in every way until refused; then the owner comes from another network.
"""

import pytest

from identity_service.messages import budget
from tests.console.given import enrol
from tests.console.given import sign_in as staff_sign_in
from tests.resets.given import (
    ANNA,
    GOOD,
    a_browser,
    a_password,
    a_reset,
    ask,
    choose,
    code_in,
    link_in,
    sign_in,
    type_code,
)
from tests.signin.test_by_mail import WRONG, asked, typed

THEIRS = "198.51.100.66"


async def until_refused(attempt, most: int) -> int:
    """Repeat until the answer is 429; return how often it was not."""
    for count in range(most):
        if (await attempt(count)).status_code == 429:
            return count
    return most


async def asks_for_codes(service) -> None:
    """Ask for codes as often as one network may, and type wrong ones on every page that comes."""
    stranger = a_browser(service, THEIRS)

    async def one(number):
        service.clock.advance(seconds=1)
        await stranger.open("/signin")
        page = await stranger.send("/signin/code", email=ANNA)
        if page.status_code == 200 and number < 7:
            await service.deliver()
            for _ in range(6):
                await typed(stranger, page.url.path, WRONG)
        return page

    assert await until_refused(one, 40) == 30


async def test_the_code_of_an_owner_works_whoever_typed_wrong_ones(service, caller):
    """RST-06: attempts are counted per page, and each browser gets a page of its own."""
    await a_password(service, caller)
    await asks_for_codes(service)
    browser, path, code = await asked(service, source="192.0.2.1")
    assert (await typed(browser, path, code)).url.path == "/me", browser.text


async def test_a_reset_reaches_its_owner_whoever_asked_before(service, caller):
    """REC-06, ATT-18: beyond the limit the newest message that works is followed; when none does, one is sent."""
    await a_password(service, caller)
    stranger = a_browser(service, THEIRS)

    async def one(_):
        service.clock.advance(seconds=1)
        await stranger.open("/reset")
        page = await stranger.send("/reset", email=ANNA)
        await service.deliver()
        return page

    await until_refused(one, 40)
    owner = a_browser(service, "192.0.2.1")
    watch = await ask(owner)
    letter = service.letter(ANNA, "Reset your password")
    await type_code(owner, watch, code_in(letter), GOOD + " again")
    assert owner.page.url.path == "/reset/done", owner.text
    service.clock.advance(hours=3)
    watch = await ask(owner)
    await service.deliver()
    link = link_in(service.letter(ANNA, "Reset your password"))
    assert (await choose(owner, link, GOOD + " and again")).url.path == "/reset/done", owner.text


async def test_the_password_of_an_owner_works_in_the_owners_browser(service, caller):
    """PWD-13: delays and the lock after a hundred failures are for browsers that have not signed in before."""
    await a_password(service, caller)
    owner = a_browser(service, "192.0.2.1")
    assert (await sign_in(owner)).url.path == "/me", owner.text
    await owner.open("/me")
    stranger = a_browser(service, THEIRS)
    for _ in range(12):
        await sign_in(stranger, password="wrong " * 4)
    assert "too many attempts" in stranger.text.lower()
    await owner.open("/signin")
    assert (await sign_in(owner)).url.path == "/me", owner.text
    fresh = a_browser(service, "192.0.2.2")
    assert "too many attempts" in (await sign_in(fresh)).text.lower()


async def test_a_cookie_of_another_account_or_a_made_up_one_is_no_known_browser(service, caller):
    """The cookie is bound to the account that was signed in to."""
    await a_password(service, caller)
    await a_password(service, caller, "ben@example.org")
    stranger = a_browser(service, THEIRS)
    assert (await sign_in(stranger, "ben@example.org")).url.path == "/me", stranger.text
    for _ in range(12):
        await stranger.open("/signin")
        await sign_in(stranger, password="wrong " * 4)
    assert "too many attempts" in stranger.text.lower()
    for made_up in ("x", ".", "a.b", "a" * 400):
        other = a_browser(service, THEIRS)
        other.http.cookies.set("__Host-known", made_up)
        assert "too many attempts" in (await sign_in(other)).text.lower()


async def test_an_id_is_issued_to_a_newcomer_whoever_asked_before(service):
    """One network uses up less than half of what the mailbox gets; a newcomer gets a User ID and the message."""
    stranger = a_browser(service, THEIRS)

    async def one(_):
        service.clock.advance(seconds=1)
        await stranger.open("/")
        return await stranger.send("/", email="new@example.org")

    assert await until_refused(one, 40) == 4
    newcomer = a_browser(service, "192.0.2.1")
    await newcomer.open("/")
    assert (await newcomer.send("/", email="new@example.org")).status_code == 200, newcomer.text
    assert "/welcome/" in str(newcomer.page.url)
    await service.deliver()
    assert len(service.mailbox.letters("new@example.org")) == 5 < budget.SHARES["typed_address"].per_hour


async def test_a_colleague_is_not_kept_out_of_the_console(service):
    """R08: wrong attempts with somebody's name count for the network they come from."""
    clerk = await enrol(service, "ada")
    stranger = a_browser(service, THEIRS)

    async def one(_):
        service.clock.advance(seconds=1)
        await stranger.open("/console/signin")
        return await stranger.send("/console/signin", name="ada", password="wrong", code="123456")

    assert await until_refused(one, 20) == 10
    assert (await staff_sign_in(service, clerk)).url.path == "/console", clerk.text


@pytest.mark.parametrize(
    "spellings",
    [
        [f"anna+{number}@example.org" for number in range(25)],
        [f"{'anna-berg'[:place]}.{'anna-berg'[place:]}+{tag}@gmail.com" for place in range(1, 6) for tag in range(5)],
        ["anna.berg@gmail.com", *(f"annaberg+{number}@googlemail.com" for number in range(24))],
    ],
    ids=["tags", "dots that the provider ignores", "two domains of one provider"],
)
async def test_one_mailbox_has_one_budget_however_it_is_written(service, spellings):
    """R15: of 25 spellings of a mailbox 20 get a message within the hour."""
    for number, address in enumerate(spellings):
        browser = a_browser(service, f"192.0.2.{number}")
        await browser.open("/signin")
        page = await browser.send("/signin/code", email=address)
        assert page.status_code == 200, browser.text
        await service.deliver()
    assert dict(await service.rows("SELECT state, count(*) FROM message GROUP BY state")) == {
        "accepted": 20, "limited": 5,
    }  # fmt: skip
    assert "too many emails" in browser.text


async def test_notices_have_a_share_that_requests_do_not_use_up(service, caller):
    """R15: whatever strangers ask for, the owner reads that the password was changed."""
    await a_password(service, caller)
    await asks_for_codes(service)
    reset = await a_reset(service, source="192.0.2.9")
    await choose(reset.browser, reset.link, GOOD + " again")
    await service.deliver()
    assert service.letter(ANNA, "Your password was changed")
