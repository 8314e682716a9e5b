"""A customer with a second address, which is confirmed and recovers the account."""

from tests.browser import Browser
from tests.life.given import confirm, row_id
from tests.resets.given import a_browser, a_password, sign_in

ANNA, SECOND, THIRD = "anna@example.org", "second@example.org", "third@example.org"
PAGE = "/me/addresses"
CHECK = "Please confirm another email address"
ADDED, REMOVED = "An email address was added", "An email address was removed"


async def anna_signed_in(service, caller, address: str = ANNA) -> tuple[str, Browser]:
    """Her User ID as the tables have it, and the browser in which she has just signed in by password."""
    user_id = await a_password(service, caller, address)
    browser = a_browser(service)
    assert (await sign_in(browser, address)).url.path == "/me"
    return row_id(user_id), browser


async def add(browser: Browser, address: str = SECOND, **uses: str):
    """Add an address at the page, for recovery and notices unless it says otherwise."""
    await browser.open(PAGE)
    return await browser.send(PAGE, email=address, **(uses or {"for_recovery": "yes", "for_notices": "yes"}))


async def add_confirmed(service, browser: Browser, address: str = SECOND, *, days: int = 4, **uses: str) -> None:
    """Add an address, confirm it, and let it be as old as it has to be to recover the account."""
    page = await add(browser, address, **uses)
    assert page.status_code == 200, page.text
    await confirm(service, address, CHECK)
    service.clock.advance(days=days, seconds=1)


async def address_id(service, address: str = SECOND) -> str:
    ((found,),) = await service.rows("SELECT id FROM further_address WHERE email = :email", email=address)
    return str(found)


async def press_on_page(service, browser: Browser, verb: str, address: str = SECOND):
    """Press the button of an address on the page: `remove` or `main`."""
    path = f"{PAGE}/{await address_id(service, address)}/{verb}"
    await browser.open(PAGE)
    return await browser.send(path)


async def subjects(service, address: str) -> list[str]:
    """The subjects of the letters to an address, newest first."""
    await service.deliver()
    return [letter["subject"] for letter in service.mailbox.letters(address)]
