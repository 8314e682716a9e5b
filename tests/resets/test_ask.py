"""An ask tells nothing about accounts: the same answer, rows, statements and letters for every address there is."""

import re

import pytest
from sqlalchemy import text

from identity_service.values import user_ids
from tests.accounts.given import an_account, erase
from tests.resets.given import (
    ANNA,
    STATES,
    a_browser,
    a_password,
    a_reset,
    alike,
    ask,
    choose,
    forget_limits,
    misbehave,
    of_every_state,
    rows_of,
    same,
    told,
)

REFUSES = {"phase": "rcpt", "reply": "550 5.1.1 no such user"}


async def asked_for_all(service, addresses, times=1):
    """Ask for each address from a network of its own; return what each saw, told and added."""
    found = {}
    for number, (state, address) in enumerate(addresses.items()):
        browser = a_browser(service, f"192.0.2.{number + 1}")
        await browser.open("/reset")
        before = await rows_of(service)
        with told(service) as statements:
            for _ in range(times):
                await browser.open("/reset")
                page = await browser.send("/reset", email=address)
        after = await rows_of(service)
        added = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        headers = {name: value for name, value in page.headers.items() if name != "x-request-id"}
        found[state] = {
            "browser": browser,
            "page": page,
            "bytes": alike(page.text),
            "statements": statements,
            "added": added,
            "headers": headers,
            "status": page.status_code,
            "hops": [hop.status_code for hop in page.history],
        }
    return found


async def test_every_address_gets_the_same_answer_rows_and_statements(service, caller, owner):
    """ATT-21, REC-06, RST-15: known, confirmed, closed, merged, unknown and passwordless."""
    found = await asked_for_all(service, await of_every_state(service, caller, owner))
    assert set(found) == set(STATES)
    same(found, "status", "hops", "headers", "bytes", "statements", "added")
    assert found["known"]["hops"] == [303]
    assert found["known"]["added"].keys() >= {"one_time_token", "tracking_link", "message", "event"}


async def test_a_second_ask_and_one_beyond_the_limit_look_the_same_for_all(service, caller, owner):
    """ATT-23: the fourth ask of an hour leads to the newest letter, with the same page, whoever is behind it."""
    found = await asked_for_all(service, await of_every_state(service, caller, owner), times=5)
    same(found, "status", "hops", "headers", "bytes", "statements", "added")
    assert "There are already several emails for this address." in found["unknown"]["browser"].text


async def test_too_many_asks_of_a_network_are_refused_alike(service, caller, owner):
    """ATT-23: status, headers and page."""
    addresses = await of_every_state(service, caller, owner)
    answers = []
    for address in (addresses["confirmed"], addresses["unknown"]):
        await forget_limits(service)
        browser = a_browser(service)
        await browser.open("/reset")
        for number in range(30):
            await browser.send("/reset", email=f"b{number}@example.org")
            browser.page = await browser.http.get("/reset")
        answers.append(await browser.send("/reset", email=address))
    known, unknown = answers
    assert known.status_code == unknown.status_code == 429
    assert abs(int(known.headers["Retry-After"]) - int(unknown.headers["Retry-After"])) <= 2
    assert alike(known.text).replace(addresses["confirmed"], "") == alike(unknown.text).replace(
        addresses["unknown"], ""
    )


@pytest.mark.parametrize(
    "behaviour", [REFUSES, {"phase": "rcpt", "reply": "451 4.7.1 later"}, {"phase": "data", "drop": True}]
)
async def test_when_mail_fails_the_watch_pages_are_the_same(service, caller, owner, behaviour):
    """ATT-22, RST-15: refused, deferred, dropped; and the sentence of the mail server stands on all of them."""
    addresses = await of_every_state(service, caller, owner)
    found = await asked_for_all(service, addresses)
    misbehave(service, **behaviour)
    await service.deliver()
    for one in found.values():
        page = await one["browser"].open(one["page"].url.path)
        one["bytes"] = alike(page.text)
    same(found, "bytes")


async def test_opened_and_used_never_show_on_the_watch_page(service, caller):
    """RST-15: a stranger who follows the letter cannot tell it from one to an address without an account."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    stranger = a_browser(service, "192.0.2.77")
    unknown = await ask(stranger, "adam@example.org")
    await service.deliver()
    before = alike((await reset.browser.open(reset.watch)).text)
    await reset.browser.open("/reset/choose")
    assert (await reset.browser.send("/reset/opened", link=reset.link)).status_code == 204
    opened = alike((await reset.browser.open(reset.watch)).text)
    owner = a_browser(service, "192.0.2.78")
    await choose(owner, reset.link)
    used = alike((await reset.browser.open(reset.watch)).text)
    assert before == opened == used == alike((await stranger.open(unknown)).text)
    await owner.open(reset.watch)
    assert "Your password is set Sign in with the new password" in owner.text, "whoever used it is told"


async def test_the_address_is_whole_for_the_browser_that_typed_it_alone(service):
    """A slip before the @ shows, and the form is filled in with it; whoever else has the page sees it masked."""
    browser, other = a_browser(service), a_browser(service, "192.0.2.2")
    watch = await ask(browser, "amna@example.org")
    assert "amna@example.org" in browser.text
    change = re.search(r'href="(/reset\?typed=[^"]+)">Typed it wrong', browser.page.text)[1]
    await browser.open(change)
    assert 'value="amna@example.org"' in browser.page.text
    await other.open(watch)
    assert "To a…@example.org Typed it wrong?" in other.text
    await other.open(change)
    assert "amna" not in other.page.text


async def test_the_spelling_on_file_does_not_show(service, caller):
    """RST-15, ATT-02: the letter goes to the address as it was registered; the page shows what tells nothing."""
    await an_account(caller, email="Anna@example.org")
    known, unknown = a_browser(service), a_browser(service, "192.0.2.2")
    watches = await ask(known, "anna@example.org"), await ask(unknown, "ad@example.org")
    misbehave(service, phase="rcpt", reply="550 5.1.1 <Anna@example.org> is not here")
    pages = [alike((await one.open(path)).text) for one, path in zip((known, unknown), watches, strict=True)]
    assert pages[0] == pages[1]
    assert "anna@example.org" in known.text
    await service.deliver()
    for reader in (known, unknown):
        await reader.open(watches[0])
        assert "Anna" not in reader.text
        assert "A…" not in reader.text
    assert "a…@example.org" in unknown.text


async def test_letters_to_known_and_unknown_addresses_are_like_in_size_and_build(service, caller):
    """ATT-21: a filter answers both alike."""
    await an_account(caller, email=ANNA)
    for address in (ANNA, "adam@example.org"):
        await ask(a_browser(service), address)
    await service.deliver()
    known, unknown = (service.letter(address, "Reset your password") for address in (ANNA, "adam@example.org"))
    assert known["headers"]["From"] == unknown["headers"]["From"]
    assert known["headers"].keys() == unknown["headers"].keys()
    assert known["text"].count("https://") == unknown["text"].count("https://") == 1
    assert known["html"].count("<a ") == unknown["html"].count("<a ") == 1
    for part in ("text", "html"):
        assert 0.6 < len(known[part]) / len(unknown[part]) < 1.7
    assert "but there is no account with it." in " ".join(unknown["text"].split())
    assert "choose#" not in unknown["text"]


@pytest.mark.parametrize("typed", ["K7M4-9XQ2-D5RW", "known", "erased"])
async def test_a_user_id_is_recognised_before_any_query(service, caller, owner, typed):
    """RST-17: known, unknown, erased: the same sentence, no statement, no letter."""
    shown = user_ids.show(user_ids.issue())
    if typed in ("known", "erased"):
        shown = await an_account(caller, email=ANNA)
        await service.deliver()
    if typed == "erased":
        await erase(owner, shown)
    browser = a_browser(service)
    await browser.open("/reset")
    before = await rows_of(service)
    with told(service) as statements:
        page = await browser.send("/reset", email=f" {shown.lower()} ")
    assert (page.status_code, statements) == (422, [])
    assert "That's a User ID. Enter the email address of your account." in browser.text
    assert await rows_of(service) == before


async def test_an_ask_leaves_the_account_untouched_and_locks_nobody_out(service, caller):
    """REC-06: the account's row is the same after it, and the password goes on working."""
    user_id = await a_password(service, caller)
    before = await service.rows("SELECT account.*, password.* FROM account JOIN password USING (user_id)")
    for number in range(6):
        await ask(a_browser(service, f"192.0.2.{number}"))
    await service.deliver()
    assert await service.rows("SELECT account.*, password.* FROM account JOIN password USING (user_id)") == before
    checked = await caller.post(
        "/v1/password-checks", {"user_id": user_id, "password": "violet teapot argues with gravity"}
    )
    assert checked.json()["result"] == "match"


async def test_many_asks_send_three_letters_an_hour_and_the_first_link_works(service, caller):
    """ATT-18: a hundred asks from as many networks: the same answer each, three letters, and no link was killed."""
    await an_account(caller, email=ANNA)
    first = await a_reset(service)
    answers = []
    for _ in range(100):
        answers.append(await caller.post("/v1/resets", {"email": ANNA}))
        await service.deliver()
    assert {answer.status_code for answer in answers} == {202}
    assert len({frozenset(answer.json()) for answer in answers}) == 1
    letters = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Reset your password"]
    assert len(letters) == 3
    assert (await choose(first.browser, first.link)).url.path == "/reset/done"


async def test_ten_letters_a_day_are_the_most(service, caller):
    """ATT-18."""
    await an_account(caller, email=ANNA)
    for _ in range(5):
        for _ in range(3):
            await caller.post("/v1/resets", {"email": ANNA})
            await service.deliver()
        await _an_hour_later(service)
    letters = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Reset your password"]
    assert len(letters) == 10


async def _an_hour_later(service) -> None:
    async with service.database.transaction() as session:
        await session.execute(text("DELETE FROM rate_limit_counter WHERE expires_at < now() + interval '1 hour'"))


async def test_asks_while_a_letter_is_on_its_way_join_it(service, caller):
    """RST-08: three asks, one letter, three handles on the same timeline; after hand-over a new letter."""
    await an_account(caller, email=ANNA)
    watchers = [a_browser(service, f"192.0.2.{n}") for n in range(3)]
    paths = [await ask(browser) for browser in watchers]
    assert len(set(paths)) == 3
    await service.deliver()
    first = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Reset your password"]
    assert len(first) == 1
    pages = {alike((await one.open(path)).text) for one, path in zip(watchers, paths, strict=True)}
    assert len(pages) == 1
    assert "We've sent the email." in watchers[0].text
    await forget_limits(service)
    again = await a_reset(service)
    assert again.link.split(".")[1] not in first[0]["text"]


async def test_a_letter_that_a_service_asked_for_names_no_network(service, caller):
    """Only a page knows from where somebody asked; the letter says nothing it does not know."""
    await an_account(caller, email=ANNA)
    answer = await caller.post("/v1/resets", {"email": ANNA})
    assert answer.status_code == 202, answer.text
    await service.deliver()
    words = " ".join(service.letter(ANNA, "password")["text"].split())
    assert "through our support team or another of our services." in words
    assert "a network that" not in words


@pytest.mark.parametrize(("reply", "does"), [
    ("550 5.1.1 no such user", "Check the address, or use a different one."),
    ("550 5.7.1 spam", "Please call us and read out the reference below."),
    ("452 4.2.2 full", "Make room in your mailbox, or use a different address."),
])  # fmt: skip
async def test_a_refusal_says_what_to_do(service, reply, does):
    browser = a_browser(service)
    watch = await ask(browser)
    for _ in range(4):
        misbehave(service, phase="rcpt", reply=reply)
    await service.deliver()
    page = (await browser.open(watch)).text
    assert does in browser.text
    assert ('data-when="coming" hidden' in page) == reply.startswith("5")
    assert "works until" not in browser.text


async def test_another_language_keeps_what_was_typed(service):
    browser = a_browser(service)
    await browser.open("/reset")
    await browser.send("/reset", email="anna@gmial.com")
    assert '<input type="hidden" name="email" value="anna@gmial.com">' in browser.page.text
    await browser.send("/language", language="de", back="/reset", email="anna@gmial.com")
    assert 'lang="de"' in browser.page.text
    assert 'required value="anna@gmial.com"' in browser.page.text
