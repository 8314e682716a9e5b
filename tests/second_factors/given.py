"""A customer with an authenticator app, and what it shows."""

import re
from typing import NamedTuple

import pyotp

from tests.browser import Browser
from tests.conftest import Service
from tests.passkeys.given import with_a_password
from tests.resets.given import ANNA, GOOD, a_browser, forget_limits

ME, STEP = "/me/second-factor", "/signin/second-factor"
COOKIE = "__Host-second-factor"
WRONG_SENTENCE, USED_SENTENCE = "This code isn't right.", "This code has been used already."
ADDED = "An authenticator app was added to your account"
REMOVED = "The authenticator app was removed from your account"
FAILED = "Someone typed wrong codes for your account"


class Customer(NamedTuple):
    """Somebody with an app: the User ID, the browser that is signed in, the app's seed."""

    user_id: str
    browser: Browser
    seed: str


def shown(service: Service, seed: str, steps: int = 0) -> str:
    """What the app shows now, or some steps of 30 seconds later."""
    return pyotp.TOTP(seed).at(int(service.clock().timestamp()) + 30 * steps)


def wrong(service: Service, seed: str) -> str:
    """Six digits that the app shows neither now nor a step before or after."""
    right = {shown(service, seed, steps) for steps in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


def seed_on(browser: Browser) -> str:
    """The seed on the page that shows it."""
    found = re.search(r'<p class="reference" dir="ltr">([A-Z2-7 ]+)</p>', browser.page.text)
    assert found, browser.text
    return found[1].replace(" ", "")


async def begin(browser: Browser) -> str:
    """Ask for a seed at /me/second-factor; the seed."""
    await browser.open(ME)
    await browser.send(f"{ME}/set-up")
    return seed_on(browser)


async def set_up(service: Service, browser: Browser) -> str:
    """Set up an app; a minute later, so that the code that proved it is over."""
    seed = await begin(browser)
    done = await browser.send(f"{ME}/confirm", code=shown(service, seed))
    assert (done.url.path, "Your app is set up." in browser.text) == (ME, True), browser.text
    service.clock.advance(minutes=1)
    return seed


async def with_an_app(service: Service, caller, address: str = ANNA) -> Customer:
    user_id, browser = await with_a_password(service, caller, address)
    seed = await set_up(service, browser)
    await forget_limits(service)
    return Customer(user_id, browser, seed)


async def by_password(service: Service, source: str = "192.0.2.77", *, password: str = GOOD) -> Browser:
    """A new browser that has typed address and password, and no more."""
    await forget_limits(service)
    browser = a_browser(service, source)
    await browser.open("/signin")
    await browser.send("/signin", email=ANNA, password=password)
    return browser


async def type_code(browser: Browser, code: str) -> int:
    """Type a code at the second step; the status."""
    await browser.open(STEP)
    return (await browser.send(STEP, code=code)).status_code


async def sign_in_with_app(service: Service, seed: str, source: str = "192.0.2.78") -> Browser:
    browser = await by_password(service, source)
    await type_code(browser, shown(service, seed))
    assert browser.page.url.path == "/me", browser.text
    service.clock.advance(minutes=1)
    return browser


async def is_in(browser: Browser) -> bool:
    return (await browser.open("/me")).url.path == "/me"


async def sessions(service: Service) -> list[tuple]:
    """How each session that has not ended was begun, oldest first."""
    return await service.rows(
        "SELECT method, second_factor FROM sign_in_session s JOIN account USING (user_id) WHERE ended_at IS NULL "
        "AND (sessions_valid_after IS NULL OR s.created_at >= sessions_valid_after) ORDER BY s.created_at"
    )


async def counts(service: Service) -> tuple:
    """Wrong codes in a row and today, of the only app there is."""
    return tuple((await service.rows("SELECT failures, failures_today FROM second_factor"))[0])


async def told(service: Service, subject: str, address: str = ANNA) -> int:
    """How often an address was told of something."""
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(address)].count(subject)
