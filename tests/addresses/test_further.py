"""Further addresses: added from a fresh sign-in, confirmed by their own mailbox, listed, removed, made the main one."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from identity_service.addresses import rules
from tests.accounts.given import an_account
from tests.addresses.given import (
    ADDED,
    ANNA,
    CHECK,
    PAGE,
    SECOND,
    THIRD,
    add,
    add_confirmed,
    address_id,
    anna_signed_in,
    press_on_page,
    subjects,
)
from tests.life.given import (
    account,
    audited,
    confirm,
    days_later,
    link_to,
    merge,
    press,
    renew,
    row_id,
    set_password,
)
from tests.resets.given import GOOD, a_browser, ask, forget_limits, sign_in

RESET = "Reset your password"


@pytest.fixture
async def anna(service, caller):
    """Her User ID and the browser in which she is signed in."""
    return await anna_signed_in(service, caller)


async def signs_in(service, address: str) -> bool:
    await forget_limits(service)
    return (await sign_in(a_browser(service), address)).url.path == "/me"


async def asked_for_reset(service, address: str) -> str:
    """The first paragraph of what is sent to an address that somebody asks a reset for."""
    await forget_limits(service)
    await ask(a_browser(service), address)
    await service.deliver()
    return service.letter(address, RESET)["text"]


async def test_nothing_counts_before_the_mailbox_has_confirmed(service, caller, anna):
    """ADR-03: no notice, no recovery, no sign-in, and nothing for services; the customer sees that it waits."""
    user_id, browser = anna
    page = await add(browser)
    assert "Not confirmed yet" in page.text
    assert SECOND in page.text
    assert not await signs_in(service, SECOND)
    assert "there is no account with it" in await asked_for_reset(service, SECOND)
    assert (await account(caller, user_id))["further_emails"] == []
    await press_on_page(service, browser, "remove")
    assert sorted(await subjects(service, SECOND)) == [CHECK, RESET]


async def test_confirmed_it_gets_notices_at_once_and_recovers_after_three_days(service, caller, anna):
    """ADR-05: an account with a password has somebody who must hear of it first; 71:59 and 72:00 hours."""
    _, browser = anna
    await add(browser)
    await confirm(service, SECOND, CHECK)
    assert not await signs_in(service, SECOND)
    assert "there is no account with it" in await asked_for_reset(service, SECOND)
    service.clock.advance(hours=71, minutes=59)
    assert not await signs_in(service, SECOND)
    service.clock.advance(minutes=1)
    assert await signs_in(service, SECOND)
    letter = await asked_for_reset(service, SECOND)
    assert "there is no account" not in letter
    assert "Choose a new password" in service.letter(SECOND, RESET)["html"]
    await audited(service)


@pytest.mark.parametrize(("uses", "notices", "recovers"), [("for_notices", 1, False), ("for_recovery", 0, True)])
async def test_each_use_is_chosen(service, caller, anna, uses, notices, recovers):
    """ADR-07: an address that gets no notices recovers, and one that only gets notices does not."""
    await add_confirmed(service, anna[1], **{uses: "yes"})
    assert await signs_in(service, SECOND) is recovers
    await forget_limits(service)
    await set_password(service, ANNA, GOOD)
    assert (await subjects(service, SECOND)).count("Your password was changed") == notices


async def test_an_account_of_nothing_but_a_passkey_waits_too(service):
    """ADR-05: what is added to an account that can be signed in to counts for recovery after 72 hours alone."""
    assert rules.recovers_at(for_recovery=True, is_protected=True, now=service.clock()) == (
        service.clock() + rules.RECOVERS_AFTER
    )
    assert rules.recovers_at(for_recovery=True, is_protected=False, now=service.clock()) == service.clock()
    assert rules.recovers_at(for_recovery=False, is_protected=False, now=service.clock()) is None


async def test_every_address_is_told_when_one_is_added(service, caller, anna):
    """ADR-04: at once, masked, before anybody has confirmed it."""
    _, browser = anna
    await add_confirmed(service, browser)
    await sign_in(browser)
    await add(browser, THIRD)
    await service.deliver()
    for address in (ANNA, SECOND):
        assert "t…@example.org" in service.letter(address, ADDED)["text"]
    assert await subjects(service, THIRD) == [CHECK]


async def test_a_taken_address_is_answered_like_a_free_one(service, caller, anna):
    """ADR-04, ATT-24: page, row and notice are the same; the other account is asked to become one."""
    _, browser = anna
    await an_account(caller, email="taken@example.org")
    await add_confirmed_elsewhere(service, caller)
    pages = []
    for address in ("nobody@example.org", "taken@example.org", "other-further@example.org"):
        page = await add(browser, address)
        row = await service.rows(
            "SELECT confirmed_at, removed_at, for_recovery FROM further_address WHERE email = :email ORDER BY added_at",
            email=address,
        )
        text = page.text.replace(address, "…").replace(await newest_id(service, address), "…")
        pages.append((page.status_code, text.partition("<h1>")[2].partition('name="form_token"')[0], row[-1]))
        await press_newest_away(service, browser, address)
    assert pages[0] == pages[1] == pages[2]
    assert (await subjects(service, ANNA)).count("An email address was added to your account") == 3
    # Only an address that somebody has confirmed is asked for a merge; one that nobody has is proven by this link.
    assert CHECK in await subjects(service, "taken@example.org")
    assert await subjects(service, "other-further@example.org") == [CHECK]
    assert "Do you want to merge your two accounts?" in await subjects(service, "ben@example.org")


async def add_confirmed_elsewhere(service, caller) -> None:
    _, ben = await anna_signed_in(service, caller, "ben@example.org")
    await add_confirmed(service, ben, "other-further@example.org", days=0)


async def newest_id(service, address: str) -> str:
    found = "SELECT id FROM further_address WHERE email = :email ORDER BY added_at DESC LIMIT 1"
    return str((await service.rows(found, email=address))[0][0])


async def press_newest_away(service, browser, address: str) -> None:
    await browser.send(f"{PAGE}/{await newest_id(service, address)}/remove")
    service.clock.advance(seconds=1)


async def test_five_addresses_at_most_and_five_adds_a_day(service, anna):
    """ADR-01, ADR-04."""
    _, browser = anna
    for number in range(4):
        assert (await add(browser, f"more{number}@example.org")).status_code == 200
    assert "You can have up to five email addresses" in (await browser.open(PAGE)).text
    refused = await browser.send(PAGE, email="more4@example.org")
    assert refused.status_code == 409
    assert (await browser.send(PAGE, email="more5@example.org")).status_code == 429
    assert await service.rows("SELECT count(*) FROM further_address") == [(4,)]


@pytest.mark.parametrize("own", [ANNA, "Anna@Example.org", SECOND])
async def test_an_own_address_is_not_added_again(service, anna, own):
    _, browser = anna
    await add_confirmed(service, browser, days=0)
    await sign_in(browser)
    assert (await add(browser, own)).status_code == 422
    assert await service.rows("SELECT count(*) FROM further_address") == [(1,)]


async def test_asked_for_again_the_older_link_ends(service, anna):
    """ADR-02: a link confirms the row that it was sent for."""
    _, browser = anna
    await add(browser)
    old = await link_to(service, SECOND, CHECK)
    service.clock.advance(seconds=1)
    await add(browser)
    assert (await press(service, old)).page.status_code == 410
    await confirm(service, SECOND, CHECK)
    assert await service.rows("SELECT count(*) FROM further_address WHERE confirmed_at IS NOT NULL") == [(1,)]


async def signs_out(service, caller, user_id, browser):
    await browser.open("/me")
    await browser.send("/me/sessions/end")


async def removes(service, caller, user_id, browser):
    await press_on_page(service, browser, "remove")


async def gets_other_row(service, caller, user_id, browser):
    """As if a fault had given the token to a row with another address."""
    change = "UPDATE further_address SET email = :e, email_ascii = :e, email_key = :e RETURNING 1"
    await service.rows(change, e=THIRD)


async def closes(service, caller, user_id, browser):
    await caller.post(f"/v1/accounts/{user_id}/close")


async def waits_too_long(service, caller, user_id, browser):
    service.clock.advance(minutes=30, seconds=1)


@pytest.mark.parametrize("end", [signs_out, removes, gets_other_row, closes, waits_too_long])
async def test_a_link_ends_with_what_it_rests_on(service, caller, anna, end):
    """ADR-02 (VilnaCRM#477, stage-door#153): sessions and links ended, row removed or changed, account closed."""
    user_id, browser = anna
    await add(browser)
    link = await link_to(service, SECOND, CHECK)
    service.clock.advance(seconds=1)
    await end(service, caller, user_id, browser)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT count(*) FROM further_address WHERE confirmed_at IS NOT NULL") == [(0,)]


async def test_the_link_of_a_merged_account_confirms_nothing(service, caller, anna):
    """ADR-02: a fault of the first stage."""
    user_id, browser = anna
    await add(browser)
    link = await link_to(service, SECOND, CHECK)
    other = await an_account(caller, email="other@example.org")
    await merge(service, caller, other, user_id, "other@example.org", ANNA)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 409
    assert await service.rows("SELECT count(*) FROM further_address WHERE confirmed_at IS NOT NULL") == [(0,)]


async def test_of_many_accounts_that_confirm_one_address_one_has_it(service, caller):
    """ADR-01: ×50, on two accounts: each has a link, and all are pressed at once."""
    links = []
    for name in ("anna", "ben"):
        _, browser = await anna_signed_in(service, caller, f"{name}@example.org")
        await add(browser)
        links.append(await link_to(service, SECOND, CHECK))
        service.clock.advance(seconds=1)
    done = await asyncio.gather(*(press(service, link) for link in links * 25))
    assert [one.page.url.path for one in done].count("/confirmed/further_address") >= 1
    confirmed = "SELECT count(*) FROM further_address WHERE confirmed_at IS NOT NULL"
    assert await service.rows(confirmed) == [(1,)]
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'address.confirmed'") == [(1,)]


async def test_the_database_itself_keeps_an_address_to_one_account(service, caller, anna):
    """ADR-01: across both tables and in both directions, whatever the code does."""
    _, browser = anna
    await add_confirmed(service, browser, days=0)
    ben = row_id(await an_account(caller, email="ben@example.org"))
    taken = "UPDATE account SET email = :e, email_ascii = :e, email_key = :e WHERE user_id = :id RETURNING 1"
    with pytest.raises(IntegrityError):
        await service.rows(taken, e=SECOND, id=ben)
    row = (
        "INSERT INTO further_address (id, user_id, email, email_ascii, email_key, for_recovery, for_notices, added_at, "
        "confirmed_at) VALUES (gen_random_uuid(), :id, :e, :e, :e, false, true, now(), now()) RETURNING 1"
    )
    for address in (ANNA, SECOND):
        with pytest.raises(IntegrityError):
            await service.rows(row, e=address, id=ben)
    await service.rows(row, e="free@example.org", id=ben)


async def test_of_two_at_once_the_second_sees_what_the_first_wrote(service, caller, anna):
    """ADR-01: one transaction registers the address, the other confirms it as a further one; neither has committed."""
    _, browser = anna
    await add(browser)
    confirm_it = "UPDATE further_address SET confirmed_at = now(), recovers_at = now()"
    register_it = "UPDATE account SET email = :e, email_ascii = :e, email_key = :e WHERE user_id = :id"
    ben = row_id(await an_account(caller, email="ben@example.org"))
    statements = [(confirm_it, {}), (register_it, {"e": SECOND, "id": ben})]
    for first, second in (statements, statements[::-1]):
        with pytest.raises(DBAPIError, match="lock timeout"):
            await one_then_other(service, first, second)
        await one_then_other(service, first, None)
        with pytest.raises(IntegrityError):
            await one_then_other(service, second, None)
        await service.rows("UPDATE further_address SET confirmed_at = NULL, recovers_at = NULL RETURNING 1")
        await service.rows(f"{register_it} RETURNING 1", e="ben@example.org", id=ben)


async def one_then_other(service, first, second) -> None:
    """Run a statement in a transaction, and before its end the other one in another, which waits for a moment alone."""
    async with service.database.engine.connect() as connection, service.database.engine.connect() as other:
        await connection.execute(text(first[0]), first[1])
        if second is not None:
            await other.execute(text("SET LOCAL lock_timeout = '50ms'"))
            await other.execute(text(second[0]), second[1])
        await connection.commit()


async def test_a_service_finds_the_account_and_registers_it_once(service, caller, anna):
    """A further address is the customer's like the first one: no second account for it, by service or import."""
    user_id, browser = anna
    await add_confirmed(service, browser, days=0)
    again = await caller.post("/v1/accounts", {"email": SECOND})
    assert (again.status_code, row_id(again.json()["user_id"])) == (200, user_id)
    found = await caller.post("/v1/accounts/search", {"email": SECOND})
    assert [row_id(one["user_id"]) for one in found.json()["items"]] == [user_id]
    (shown,) = (await account(caller, user_id))["further_emails"]
    assert (shown["email"], shown["for_notices"]) == (SECOND, True)
    masked = await service.caller("accounts:read")
    (hidden,) = (await account(masked, user_id))["further_emails"]
    assert hidden["email"] == "s…@example.org"


async def test_an_address_that_nobody_had_confirmed_goes_to_who_proves_it(service, caller, anna):
    """A service registered it for another account; whoever reads the mailbox has both accounts, as of the main one."""
    user_id, browser = anna
    other = row_id(await an_account(caller, email=SECOND))
    await add(browser)
    await confirm(service, SECOND, CHECK)
    assert await service.rows("SELECT merged_into, email FROM account WHERE user_id = :id", id=other) == [
        (user_id, None)
    ]
    assert await service.rows("SELECT user_id FROM further_address WHERE confirmed_at IS NOT NULL") == [(user_id,)]


async def test_after_a_merge_the_other_address_is_the_customers(service, caller, anna):
    """It signs in, gets notices, is listed, and may become the main one: taken by nobody else any more."""
    user_id, browser = anna
    other, second = await anna_signed_in(service, caller, SECOND)
    await add_confirmed(service, second, THIRD, days=4)
    await renew(service, caller)
    await merge(service, caller, user_id, other, ANNA, SECOND)
    await sign_in(browser)
    for address in (SECOND, THIRD):
        assert address in (await browser.open(PAGE)).text
        assert (await add(browser, address)).status_code == 422
        await forget_limits(service)
        assert "there is no account" not in await asked_for_reset(service, address)
    await browser.open("/me/email")
    await browser.send("/me/email", email=THIRD)
    await confirm(service, THIRD, "Please confirm your new email address")
    assert (await account(caller, user_id))["email"] == THIRD
    await caller.post(f"/v1/accounts/{other}/merge/undo")
    assert await service.rows("SELECT count(*) FROM account WHERE email_key = :key", key=THIRD) == [(1,)]


async def test_taken_by_another_account_it_is_the_customers_once_they_are_one(service, caller, anna):
    """What was `email_taken` for ever: the customer adds it, both mailboxes agree to the merge, and it is theirs."""
    user_id, browser = anna
    other, _ = await anna_signed_in(service, caller, SECOND)
    await add(browser)
    await confirm(service, SECOND, "Do you want to merge your two accounts?")
    await confirm(service, ANNA, "Do you want to merge your two accounts?")
    assert await service.rows("SELECT merged_into FROM account WHERE user_id = :id", id=other) == [(user_id,)]
    await sign_in(browser)
    page = await browser.open(PAGE)
    assert "From an account that you merged into this one" in page.text
    assert "Not confirmed yet" not in page.text


async def test_the_main_address_is_chosen_and_the_former_one_stays(service, caller, anna):
    """ADR-06: sessions end everywhere else, every mailbox is told."""
    user_id, browser = anna
    await add(browser)
    await confirm(service, SECOND, CHECK)
    assert (await press_on_page(service, browser, "main")).status_code == 409
    await days_later(service, caller, days=3, seconds=1)
    await sign_in(browser)
    elsewhere = a_browser(service)
    await sign_in(elsewhere)
    service.clock.advance(seconds=1)
    page = await press_on_page(service, browser, "main")
    assert "Your main address is changed" in page.text
    assert (await elsewhere.open("/me")).url.path == "/signin"
    found = await account(caller, user_id)
    assert (found["email"], [one["email"] for one in found["further_emails"]]) == (SECOND, [ANNA])
    assert "Your email address was changed" in await subjects(service, ANNA)
    for address in (ANNA, SECOND):
        assert await signs_in(service, address)
    await audited(service)


async def test_another_customers_address_is_out_of_reach(service, caller, anna):
    """Alike for one that is somebody else's and one that is nobody's."""
    _, browser = anna
    await add_confirmed(service, browser, days=0)
    _, ben = await anna_signed_in(service, caller, "ben@example.org")
    for one in (await address_id(service), "6f0f8dbf-6d61-4b0e-8b8a-9a5c6d1f3f6e"):
        for verb in ("remove", "main"):
            await ben.open(PAGE)
            assert (await ben.send(f"{PAGE}/{one}/{verb}")).status_code == 404
    assert await service.rows("SELECT count(*) FROM further_address WHERE removed_at IS NULL") == [(1,)]


@pytest.mark.parametrize("field", ["verified", "email_verified", "confirmed", "further_emails", "recovers_at"])
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "/{id}"), ("POST", "/{id}/email-changes")])
async def test_no_field_says_that_an_address_is_confirmed(service, caller, anna, method, path, field):
    """ADR-03 (ZITADEL CVE-2026-27946): no writer, whatever its scope."""
    body = {"email": SECOND} if method == "POST" else {}
    refused = await caller.http.request(
        method, "/v1/accounts" + path.format(id=anna[0]), json={**body, field: True}, headers=caller.headers
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")


async def test_the_language_is_the_accounts_and_the_askers_only_without_one(service, caller):
    """ADR-11, ATT-21: a French browser asks for a German account, by both of its addresses, and for nobody."""
    user_id, browser = await anna_signed_in(service, caller)
    await add_confirmed(service, browser)
    await service.rows("UPDATE account SET locale = 'de' WHERE user_id = :id RETURNING 1", id=user_id)
    await forget_limits(service)
    for path, subject in (("/reset", {"de": "Kennwort", "fr": "mot de passe"}),
                          ("/signin/code", {"de": "Anmelde", "fr": "connexion"})):  # fmt: skip
        for address, language in ((ANNA, "de"), (SECOND, "de"), ("nobody@example.org", "fr")):
            french = a_browser(service, language="fr")
            await french.open("/signin" if path == "/signin/code" else path)
            await french.send(path, email=address)
            await service.deliver()
            assert subject[language] in service.mailbox.letters(address)[0]["subject"], (path, address)
