"""Somebody with a recovery code, and what they do with it in plain verbs."""

import re

import httpx2

from tests.browser import Browser
from tests.conftest import Service
from tests.passkeys.given import newly_issued, token_of
from tests.resets.given import a_browser

REFUSED = "This User ID and recovery code don't go together"
CHOOSE = "/recover/choose"


def shown_code(browser: Browser) -> str:
    """The recovery code on the page in front of us."""
    return re.search(r"data-recovery-code>([^<]+)<", browser.page.text)[1]


async def with_a_code(service: Service, source: str = "198.51.100.9") -> tuple[str, str, Browser]:
    """Somebody without an address: the User ID, a recovery code, and the browser at the page of both."""
    user_id, browser, sealed = await newly_issued(service, source)
    await browser.send("/recovery-codes/new", account=sealed)
    assert browser.page.status_code == 200, browser.text
    return user_id, shown_code(browser), browser


async def enter(service: Service, user_id: str, code: str, *, source: str = "198.51.100.60") -> Browser:
    """Enter both in a new browser, which is then at the answer."""
    browser = a_browser(service, source)
    await browser.open("/recover")
    await browser.send("/recover", user_id=user_id, secret=code)
    return browser


async def try_code(service: Service, user_id: str, code: str, *, source: str = "198.51.100.61") -> str:
    """The path that a code leads to, or the refusal."""
    browser = await enter(service, user_id, code, source=source)
    return browser.page.url.path if browser.page.url.path == CHOOSE else browser.text


async def kept(browser: Browser) -> str:
    """Say that the new code is kept; return it."""
    code = shown_code(browser)
    await browser.send("/recover/kept")
    return code


async def post(browser: Browser, path: str, **fields: str) -> httpx2.Response:
    """Send a form of the page in front of us, and stay at the answer."""
    form = {"form_token": token_of(browser), **fields}
    return await browser.http.post(path, data=form, follow_redirects=False)
