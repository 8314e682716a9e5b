"""A proven mailbox that makes two accounts one: the reader agrees to both by name, is told, and an undo ends all of it.

Each test is an attack that worked: somebody types an address, and a mail program or its owner presses a button; or
somebody had the mailbox or a merged account for a while, and what he did by it must not outlive that.
"""

import re

from tests.browser import Browser
from tests.conftest import BASE
from tests.life.given import (
    account,
    an_entry,
    append,
    convert,
    link_to,
    merge,
    press,
    renew,
    row_id,
    set_password,
    two_accounts,
)
from tests.life.given import sign_in as by_password
from tests.proofs.test_relations import ANNA, FIRM, NEW, OTHER, THEIRS, THIEF, ask_email, leads_to, subjects_since
from tests.proofs.test_what_ends import CHANGED, by_code, change_email, confirm, password_fits, told, undo
from tests.resets.given import a_browser, a_password, forget_limits

MERGED, COMPANY, BUSINESS = (
    "Your two accounts are now one", "Your company's details were changed", "You have a business account now",
)  # fmt: skip
MALLORY = {
    "company_name": "Mallory GmbH", "country": "DE", "vat_number": "", "registration_number": "", "contact_person": "",
    "billing_address": "Other Street 1",
}  # fmt: skip


async def press_like_a_scanner(service, link) -> Browser:
    """Open a link and press its button, as some mail programs do; they tick no box."""
    browser = Browser(service.app, BASE)
    path, secret = link
    await browser.open(path)
    await browser.send(path, link=secret, code="")
    return browser


async def tick_and_press(browser: Browser, link) -> None:
    await browser.send(link[0], link=link[1], code="", agreed="yes")


async def registers(service, address: str) -> str:
    """Somebody registers on the page; return the new User ID."""
    stranger = a_browser(service, "192.0.2.66")
    await stranger.open("/")
    await stranger.send("/", email=address)
    ((fresh,),) = await service.rows("SELECT user_id FROM account WHERE email IS NULL")
    return f"{fresh[:4]}-{fresh[4:8]}-{fresh[8:]}"


async def test_a_registration_with_a_taken_address_needs_the_readers_yes(service, caller):
    """A stranger's fresh User ID, with his own reference at the shop, is not joined by a press alone."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await by_code(service, ANNA)
    fresh = await registers(service, ANNA)
    await caller.put(f"/v1/accounts/{fresh}/external-refs", {"external_ref": "thiefs-shop-login"})
    link = await link_to(service, ANNA, "")
    page = await press_like_a_scanner(service, link)
    assert page.page.status_code == 422
    assert anna in page.text
    assert fresh in page.text
    assert 'name="agreed"' in page.page.text
    assert (await caller.post("/v1/accounts", {"external_ref": "thiefs-shop-login"})).json()["user_id"] == fresh
    before = await told(service, ANNA)
    await tick_and_press(page, link)
    assert page.page.url.path == "/confirmed/address_known"
    assert (await caller.post("/v1/accounts", {"external_ref": "thiefs-shop-login"})).json()["user_id"] == anna
    assert MERGED in await subjects_since(service, ANNA, before)


async def test_a_free_address_is_confirmed_without_a_box(service):
    """The box is for those whose press would join two accounts, not for all."""
    await registers(service, ANNA)
    page = await press_like_a_scanner(service, await link_to(service, ANNA, ""))
    assert page.page.url.path == "/confirmed/address"


async def the_thief_asks_for(service, caller, address: str) -> tuple[str, str]:
    """An unconfirmed account with an order, whose address a signed-in thief wants: its User ID, and the thief's."""
    mine = (await caller.post("/v1/accounts", {"email": address, "external_ref": "1"})).json()["user_id"]
    await append(caller, mine, an_entry("ORDER-77"))
    thief = await a_password(service, caller, THIEF, THEIRS)
    await forget_limits(service)
    await ask_email(await by_password(service, THIEF, THEIRS), address)
    service.clock.advance(seconds=1)
    return mine, thief


async def test_a_change_to_an_unconfirmed_customers_address_needs_the_readers_yes(service, caller):
    mine, thief = await the_thief_asks_for(service, caller, ANNA)
    page = await press_like_a_scanner(service, await link_to(service, ANNA, NEW))
    assert page.page.status_code == 422
    assert mine in page.text
    assert thief in page.text
    assert await leads_to(service, ANNA) == row_id(mine)
    assert not await password_fits(service, ANNA, THEIRS)


async def test_the_undo_of_such_a_merge_gives_both_their_address_back(service, caller):
    mine, thief = await the_thief_asks_for(service, caller, ANNA)
    link = await link_to(service, ANNA, NEW)
    await tick_and_press(await press_like_a_scanner(service, link), link)
    assert await leads_to(service, ANNA) == row_id(thief)
    await undo(service, caller, mine)
    assert await leads_to(service, ANNA) == row_id(mine)
    assert await leads_to(service, THIEF) == row_id(thief)
    assert not await password_fits(service, ANNA, THEIRS)


async def test_an_address_asked_through_a_service_ends_with_the_merge(service, caller):
    """Nobody knows whom the shop had signed in, so it counts for neither side."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await caller.post(f"/v1/accounts/{anna}/email-changes", {"email": OTHER})
    await confirm(service, OTHER, NEW)
    await set_password(service, OTHER, THEIRS)
    await undo(service, caller, firm)
    assert await leads_to(service, ANNA) == row_id(anna)
    assert await leads_to(service, OTHER) is None
    assert not await password_fits(service, ANNA, THEIRS)


async def test_an_account_that_came_with_a_stolen_address_goes_with_it(service, caller):
    """The thief's own unconfirmed account is merged by his address; the undo of the change undoes that, too."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    theirs = (await caller.post("/v1/accounts", {"email": THIEF, "external_ref": "theirs"})).json()["user_id"]
    await append(caller, anna, an_entry("ORDER-77"))
    await change_email(service, await by_code(service, ANNA), THIEF)
    assert (await press(service, await link_to(service, ANNA, CHANGED))).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    assert "ORDER-77" not in (await caller.get(f"/v1/accounts/{theirs}/history")).text
    assert (await caller.post("/v1/accounts", {"external_ref": "theirs"})).json()["user_id"] == theirs
    assert await leads_to(service, ANNA) == row_id(anna)


async def test_a_registration_by_a_stolen_address_goes_with_it(service, caller):
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await append(caller, anna, an_entry("ORDER-77"))
    await change_email(service, await by_code(service, ANNA), THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    fresh = await registers(service, THIEF)
    link = await link_to(service, THIEF, "")
    await tick_and_press(await press_like_a_scanner(service, link), link)
    assert "ORDER-77" in (await caller.get(f"/v1/accounts/{fresh}/history")).text
    service.clock.advance(seconds=1)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    assert "ORDER-77" not in (await caller.get(f"/v1/accounts/{fresh}/history")).text


async def test_a_yes_given_while_merged_ends_with_the_merge(service, caller):
    """Nobody is marketed to by somebody else's yes."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    service.clock.advance(seconds=5)
    bob = await by_code(service, FIRM)
    await bob.open("/me")
    wording = re.search(r'name="wording" value="([^"]+)"', bob.page.text)[1]
    await bob.send("/me/consents/email", wording=wording, decision="granted")
    assert (await account(caller, anna))["marketing"]["email"] == "allowed"
    await undo(service, caller, firm)
    for one in (anna, firm):
        assert (await account(caller, one))["marketing"]["email"] == "never"


async def test_a_yes_given_with_a_stolen_address_ends_with_it(service, caller):
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await change_email(service, await by_code(service, ANNA), THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    thief = await by_code(service, THIEF)
    await thief.open("/me")
    wording = re.search(r'name="wording" value="([^"]+)"', thief.page.text)[1]
    await thief.send("/me/consents/email", wording=wording, decision="granted")
    assert (await account(caller, anna))["marketing"]["email"] == "allowed"
    await press(service, undo_link)
    assert (await account(caller, anna))["marketing"]["email"] == "never"


async def test_a_business_by_a_stolen_address_is_told_to_the_old_mailbox_which_undoes_it(service, caller):
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await change_email(service, await by_code(service, ANNA), THIEF)
    before = await told(service, ANNA)
    thief = await by_code(service, THIEF)
    await thief.open("/me/business")
    await thief.send("/me/business", **MALLORY)
    assert await subjects_since(service, ANNA, before) == [BUSINESS]
    assert (await press(service, await link_to(service, ANNA, BUSINESS))).page.url.path == "/confirmed/business_undo"
    assert (await account(caller, anna))["kind"] == "consumer"


async def test_other_details_of_a_company_are_told(service, caller):
    """A billing address is where the goods and the bills go."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await by_code(service, ANNA)
    await convert(caller, anna)
    somebody = await by_code(service, ANNA)
    before = await told(service, ANNA)
    await somebody.open("/me/business")
    await somebody.send("/me/business", **MALLORY)
    await somebody.send("/me/business", **MALLORY)
    assert await subjects_since(service, ANNA, before) == [COMPANY]


async def test_a_former_partners_browser_is_a_strangers_again(service, caller):
    """What is counted for a known browser ends with the sessions of the account."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    bob = await by_code(service, FIRM)
    await renew(service, caller)
    await undo(service, caller, firm)
    await forget_limits(service)
    for _ in range(4):
        await bob.open("/reset")
        await bob.send("/reset", email=ANNA)
    ((count,),) = await service.rows("SELECT count(*) FROM rate_limit_counter WHERE key LIKE '%mailbox-network%'")
    assert count > 0
