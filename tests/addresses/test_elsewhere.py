"""When the email does not come: the same to another address that the customer types, and to nobody else's."""

import pytest

from tests.accounts.given import an_account
from tests.addresses.given import ANNA, SECOND, THIRD, add, add_confirmed, anna_signed_in
from tests.life.given import confirm, renew
from tests.resets.given import OTHER, a_browser, ask, choose, code_in, forget_limits, link_in, sign_in, told, type_code
from tests.resets.test_ask import alike
from tests.signin.test_by_mail import typed

RESET, CODE = "Reset your password", "Your sign-in code"


@pytest.fixture
async def anna(service, caller):
    """Her User ID and browser; she has a second address that recovers the account, and one that does not yet."""
    user_id, browser = await anna_signed_in(service, caller)
    await add_confirmed(service, browser)
    await renew(service, caller)
    await sign_in(browser)
    await add(browser, THIRD)
    await confirm(service, THIRD, "Please confirm another")
    await service.deliver()
    await forget_limits(service)
    return user_id, browser


async def by_reset(browser, address: str) -> str:
    return await ask(browser, address)


async def by_code(browser, address: str) -> str:
    await browser.open("/signin")
    return (await browser.send("/signin/code", email=address)).url.path


async def elsewhere(browser, watch: str, address: str):
    """Type another address on the page that follows the first message."""
    await browser.open(f"{watch}/elsewhere" if watch.startswith("/reset") else watch)
    return await browser.send(f"{watch}/elsewhere", address=address)


async def letters_to(service, address: str, subject: str) -> int:
    await service.deliver()
    return sum(subject in letter["subject"] for letter in service.mailbox.letters(address))


@pytest.mark.parametrize("way", ["link", "code", "code behind the link"])
async def test_the_second_address_sets_the_password(service, anna, way):
    """ADR-09: by link, by code on the page where one asked, and by code on the page that the link opens."""
    browser = a_browser(service)
    page = await elsewhere(browser, await by_reset(browser, ANNA), SECOND)
    await service.deliver()
    letter = service.letter(SECOND, RESET)
    if way == "link":
        done = await choose(a_browser(service), link_in(letter), OTHER)
    elif way == "code":
        done = await type_code(browser, page.url.path, code_in(letter), OTHER)
    else:
        handle = link_in(letter).split(".")[1]
        await browser.open(f"/reset/choose/{handle}")
        done = await browser.send(f"/reset/choose/{handle}", link="", code=code_in(letter), password=OTHER)
    assert done.url.path == "/reset/done", done.text
    service.clock.advance(seconds=1)
    assert (await sign_in(a_browser(service), ANNA, OTHER)).url.path == "/me"


async def test_the_second_address_signs_in(service, anna):
    """ADR-09: with the code, on the page where the address was typed."""
    browser = a_browser(service)
    page = await elsewhere(browser, await by_code(browser, ANNA), SECOND)
    await service.deliver()
    assert (await typed(browser, page.url.path, code_in(service.letter(SECOND, CODE)))).url.path == "/me"


@pytest.mark.parametrize(("first", "subject"), [(by_reset, RESET), (by_code, CODE)])
@pytest.mark.parametrize("other", ["stranger", "nobody", "too young"])
async def test_nothing_goes_to_an_address_that_is_not_the_customers(service, caller, anna, first, subject, other):
    """ADR-09, ADR-05: another account's, nobody's, and one of hers that does not recover the account yet."""
    address = {"stranger": "ben@example.org", "nobody": "nobody@example.org", "too young": THIRD}[other]
    await an_account(caller, email="ben@example.org")
    browser = a_browser(service)
    await elsewhere(browser, await first(browser, ANNA), address)
    assert await letters_to(service, address, subject) == 0
    rows = await service.rows("SELECT state, user_id FROM message WHERE recipient = :to AND kind IN "
                              "('reset', 'signin_code')", to=address)  # fmt: skip
    assert rows == [("cancelled", None)]


@pytest.mark.parametrize("first", [by_reset, by_code])
async def test_the_answer_and_the_statements_tell_nothing(service, caller, anna, first):
    """ADR-09, ATT-21: known and unknown first address, own, foreign and unknown second one; also after delivery."""
    await an_account(caller, email="ben@example.org")
    found = []
    for asked, other in (
        (ANNA, SECOND), (ANNA, "ben@example.org"), (ANNA, "nobody@example.org"), ("none@example.org", SECOND),
        ("none@example.org", "nobody@example.org"),
    ):  # fmt: skip
        await forget_limits(service)
        browser = a_browser(service)
        watch = await first(browser, asked)
        await service.deliver()
        with told(service) as statements:
            page = await elsewhere(browser, watch, other)
        handle = page.url.path.rpartition("/")[2]
        await service.deliver()
        later = await browser.open(page.url.path)
        found.append(
            (page.status_code, [hop.status_code for hop in page.history], statements,
             *(alike(one.text.replace(handle, "")) for one in (page, later)))
        )  # fmt: skip
        assert (await browser.http.get(f"/messages/{handle}/stream")).status_code == 404
        assert (await browser.send(f"/messages/{handle}/reroute")).status_code == 404
    assert all(one == found[0] for one in found)


async def test_a_request_for_nobody_keeps_nobody_from_their_own(service, caller, anna):
    """A stranger types Ben's address beside Anna's; Ben's own reset is sent, and is not joined to what is cancelled."""
    await an_account(caller, email="ben@example.org")
    stranger = a_browser(service, "192.0.2.7")
    watch = await by_reset(stranger, ANNA)
    for _ in range(4):
        await elsewhere(stranger, watch, "ben@example.org")
    await by_reset(a_browser(service), "ben@example.org")
    assert await letters_to(service, "ben@example.org", RESET) == 1


async def test_other_ways_are_offered_by_kind_alike(service, anna):
    """ADR-09: for known and unknown: another address, a passkey, a recovery code; no hint at any address."""
    pages = []
    for address in (ANNA, "anne@example.org"):
        browser = a_browser(service)
        watch = await by_reset(browser, address)
        for path in (watch, f"{watch}/elsewhere"):
            text = (await browser.open(path)).text
            assert all(words in browser.text for words in ("Sign in with a passkey", "Use your recovery code"))
            assert "Another email address of yours" in text
            assert SECOND not in text
        pages.append(alike(browser.page.text.replace(watch, "")))
    assert pages[0] == pages[1]


async def test_what_is_no_address_is_told_and_tries_are_limited(service, anna):
    """Ten an hour from one network, whatever is typed."""
    browser = a_browser(service)
    watch = await by_reset(browser, ANNA)
    assert (await elsewhere(browser, watch, "no address")).status_code == 422
    assert "There is a problem" in browser.text
    for number in range(10):
        await elsewhere(browser, watch, f"b{number}@example.org")
    assert (await elsewhere(browser, watch, SECOND)).status_code == 429
    assert await letters_to(service, SECOND, RESET) == 0
