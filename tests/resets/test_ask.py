"""An ask tells nothing about accounts: the same answer, rows, statements and letters for every address there is."""

import pytest

from tests.accounts.given import an_account
from tests.browser import PAGE
from tests.conftest import BASE
from tests.resets.given import (
    ANNA,
    STATES,
    a_browser,
    a_password,
    a_reset,
    alike,
    ask,
    choose,
    everything,
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
            "browser": browser, "page": page, "bytes": alike(page.text), "statements": statements, "added": added,
            "headers": headers, "status": page.status_code, "hops": [hop.status_code for hop in page.history],
        }  # fmt: skip
    return found


async def test_every_address_gets_the_same_answer_rows_and_statements(service, caller, owner):
    """ATT-21, REC-06, RST-15: known, confirmed, closed, merged, unknown and passwordless."""
    found = await asked_for_all(service, await of_every_state(service, caller, owner))
    assert set(found) == set(STATES)
    same(found, "status", "hops", "headers", "bytes", "statements", "added")
    assert found["known"]["hops"] == [303]
    assert found["known"]["added"].keys() >= {"proof", "tracking", "message", "event"}


async def test_a_second_ask_and_one_beyond_the_limit_look_the_same_for_all(service, caller, owner):
    """ATT-23: the fourth ask of an hour leads to the newest letter, with the same page, whoever is behind it."""
    found = await asked_for_all(service, await of_every_state(service, caller, owner), times=5)
    same(found, "status", "hops", "headers", "bytes", "statements", "added")
    assert "several letters to this address already" in found["unknown"]["browser"].text


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
    await choose(reset.browser, reset.link)
    used = alike((await reset.browser.open(reset.watch)).text)
    assert before == opened == used == alike((await stranger.open(unknown)).text)


async def test_the_spelling_on_file_does_not_show(service, caller):
    """RST-15, ATT-02: the letter goes to the address as it was registered; the page shows what tells nothing."""
    await an_account(caller, email="Anna@example.org")
    known, unknown = a_browser(service), a_browser(service, "192.0.2.2")
    watches = await ask(known, "anna@example.org"), await ask(unknown, "ad@example.org")
    misbehave(service, phase="rcpt", reply="550 5.1.1 <Anna@example.org> is not here")
    pages = [alike((await one.open(path)).text) for one, path in zip((known, unknown), watches, strict=True)]
    assert pages[0] == pages[1]
    assert "a…@example.org" in known.text
    await service.deliver()
    await known.open(watches[0])
    assert "Anna" not in known.text
    assert "A…" not in known.text


async def test_letters_to_known_and_unknown_addresses_are_like_in_size_and_build(service, caller):
    """ATT-21: a filter answers both alike."""
    await an_account(caller, email=ANNA)
    for address in (ANNA, "adam@example.org"):
        await ask(a_browser(service), address)
    await service.deliver()
    known, unknown = (service.letter(address, "Your new password") for address in (ANNA, "adam@example.org"))
    assert known["headers"]["From"] == unknown["headers"]["From"]
    assert known["headers"].keys() == unknown["headers"].keys()
    assert known["text"].count("https://") == unknown["text"].count("https://") == 1
    assert known["html"].count("<a ") == unknown["html"].count("<a ") == 1
    for part in ("text", "html"):
        assert 0.6 < len(known[part]) / len(unknown[part]) < 1.7
    assert "There is no account with this address" in unknown["text"]
    assert "choose#" not in unknown["text"]


@pytest.mark.parametrize("typed", ["K7M4-9XQ2-D5RW", "known", "erased"])
async def test_a_user_id_is_recognised_before_any_query(service, caller, owner, typed):
    """RST-17: known, unknown, erased: the same sentence, no statement, no letter."""
    from identity_service import user_ids
    from tests.accounts.given import erase

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
    assert "That is a User ID. Please type the e-mail address of your account." in browser.text
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
    letters = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Your new password"]
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
    letters = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Your new password"]
    assert len(letters) == 10


async def _an_hour_later(service) -> None:
    async with service.database.transaction() as session:
        from sqlalchemy import text

        await session.execute(text("DELETE FROM throttle_counter WHERE ends_at < now() + interval '1 hour'"))


async def test_asks_while_a_letter_is_on_its_way_join_it(service, caller):
    """RST-08: three asks, one letter, three handles on the same timeline; after hand-over a new letter."""
    await an_account(caller, email=ANNA)
    watchers = [a_browser(service, f"192.0.2.{n}") for n in range(3)]
    paths = [await ask(browser) for browser in watchers]
    assert len(set(paths)) == 3
    await service.deliver()
    first = [letter for letter in service.mailbox.letters(ANNA) if letter["subject"] == "Your new password"]
    assert len(first) == 1
    pages = {alike((await one.open(path)).text) for one, path in zip(watchers, paths, strict=True)}
    assert len(pages) == 1
    assert "A relay took the letter" in watchers[0].text
    await forget_limits(service)
    again = await a_reset(service)
    assert again.link.split(".")[1] not in first[0]["text"]


LOOK_ALIKES = ["mıke@example.org", "mike@examp\u217ce.org", "ｍike@example.org", "miſs@example.org", "mi\u212ae@example.org",
               "miﬁ@example.org", "m\u0456ke@example.org", "mike@ex\u0430mple.org", "mike\u200b@example.org"]  # fmt: skip


@pytest.mark.parametrize("typed", LOOK_ALIKES)
async def test_a_look_alike_of_an_address_never_reaches_it(service, caller, typed):
    """ATT-02, ATT-43: refused, or another mailbox; no letter goes to the one on file, and none to two."""
    for address in ("mike@example.org", "miss@example.org", "mifi@example.org"):
        await an_account(caller, email=address)
    await service.deliver()
    before = len(service.mailbox.letters())
    browser = a_browser(service)
    await browser.open("/reset")
    page = await browser.send("/reset", email=typed)
    await service.deliver()
    new = service.mailbox.letters()[: len(service.mailbox.letters()) - before]
    assert page.status_code in (200, 422)
    kinds = await service.rows("SELECT kind, to_ascii FROM message WHERE kind IN ('reset', 'no_account')")
    if page.status_code == 422:
        assert kinds == []
    elif "\u217c" in typed or typed.startswith("ｍ"):
        # Full-width and compatibility forms are the same mailbox after the one parser's mapping, or another's.
        assert all(to in ("mike@example.org",) or kind == "no_account" for kind, to in kinds)
    else:
        assert [kind for kind, _ in kinds] == ["no_account"]
    assert len(new) <= 1


async def test_case_is_folded_and_the_letter_goes_to_the_address_on_file(service, caller):
    """ATT-02: mail to the stored spelling, never to the typed one."""
    await an_account(caller, email="Mike@example.org")
    await ask(a_browser(service), "MIKE@EXAMPLE.ORG")
    assert await service.rows("SELECT kind, to_addr FROM message WHERE kind <> 'welcome'") == [
        ("reset", "Mike@example.org")
    ]


BODIES = {
    "two fields": "email=anna%40example.org&email=eve%40example.org",
    "an array": "email%5B%5D=anna%40example.org&email%5B%5D=eve%40example.org",
    "a comma": "email=anna%40example.org%2Ceve%40example.org",
    "a semicolon": "email=anna%40example.org%3Beve%40example.org",
    "a blank": "email=anna%40example.org+eve%40example.org",
    "a line": "email=anna%40example.org%0D%0ABcc%3A+eve%40example.org",
    "a NUL": "email=anna%40example.org%00",
    "no UTF-8": "email=anna%FF%40example.org",
    "an encoded word": "email=%3D%3Futf-8%3Fq%3Fa%3D40evil.com%3F%3D%40example.org",
    "nothing": "",
    "another field": "email=anna%40example.org&user_id=1",
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_form_that_means_two_things_is_refused_and_nothing_is_mailed(service, caller, body):
    """ATT-01, ATT-06, ATT-37: and what was typed does not come back in a header."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    await browser.open("/reset")
    token = browser.page.text.split('name="form_token" value="')[1].split('"')[0]
    content = f"{BODIES[body]}&form_token={token}".lstrip("&")
    answer = await browser.http.post(
        "/reset", content=content, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in (400, 422)
    assert not any("eve" in value for value in answer.headers.values())
    assert await service.rows("SELECT count(*) FROM message WHERE kind <> 'welcome'") == [(0,)]


JSON = ['{"email": ["anna@example.org", "eve@example.org"]}', '{"email": {"a": 1}}', '{"email": "anna@example.org,eve@example.org"}',
        '{"email": "anna@example.org", "email": "eve@example.org"}', '{"email": "anna@example.org\\r\\nBcc: eve@example.org"}',
        '{"email": "anna@example.org", "user_id": "K7M4-9XQ2-D5RW"}', '{}', '{"email": "anna@example.org", "verified": true}',
        '{"email": true}', '{"email": null}']  # fmt: skip


@pytest.mark.parametrize("body", JSON)
async def test_a_service_asks_for_one_address_or_none(service, caller, body):
    """ATT-01, ATT-30: arrays, objects, two keys, two addresses, line breaks."""
    await an_account(caller, email=ANNA)
    refused = await caller.http.post(
        "/v1/resets", content=body.encode(), headers={**caller.headers, "Content-Type": "application/json"}
    )
    assert refused.status_code in (400, 422)
    assert await service.rows("SELECT count(*) FROM message WHERE kind <> 'welcome'") == [(0,)]


@pytest.mark.parametrize("size", [20_000, 10_000_000])
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(service, caller, size):
    """ASVS 1.3.3, PWD-11: 10 MB at the ask."""
    browser = a_browser(service)
    await browser.open("/reset")
    answer = await browser.send("/reset", email="a" * size + "@example.org")
    assert answer.status_code == 413


FORGED = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Original-Host": "evil.example",
          "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/evil.example", "Origin": BASE, "Referer": "https://evil.example/"}  # fmt: skip


async def test_no_header_changes_a_link(service, caller):
    """ATT-32, ATT-39: the link is built from the configured URL alone, and an unknown host is not answered."""
    await an_account(caller, email=ANNA)
    browser = a_browser(service)
    browser.http.headers.update(FORGED)
    await browser.open("/reset")
    await browser.send("/reset", email=ANNA)
    await service.deliver()
    letter = service.letter(ANNA, "Your new password")
    assert "https://id.example.com/reset/choose#v1." in letter["text"]
    assert "evil" not in str(letter)
    refused = await browser.http.get("/reset", headers={"Host": "evil.example"})
    assert refused.status_code == 421
    absolute = await browser.http.request("GET", "https://evil.example/reset", headers=PAGE)
    assert absolute.status_code == 421


async def test_no_answer_to_a_service_holds_link_or_code(service, caller, owner):
    """ATT-09, ATT-10: neither with `debug` nor `fields`, nor in the message that the letter went out as."""
    user_id = await an_account(caller, email=ANNA)
    asked = (await caller.post("/v1/resets", {"user_id": user_id}, headers={"Prefer": "return=representation"})).json()
    await service.deliver()
    letter = service.letter(ANNA, "Your new password")
    secrets = (letter["text"].split("choose#")[1].split()[0].split(".")[2], letter["text"].split("    ")[1].split()[0])
    read = await caller.get(f"/v1/resets/{asked['reset_id']}")
    message_id = read.json()["message"]["id"]
    answers = [
        str(asked),
        read.text,
        (await caller.get(f"/v1/messages/{message_id}")).text,
        await everything(service, owner),
    ]
    for secret in (*secrets, secrets[1].replace("-", "")):
        assert not [answer for answer in answers if secret in answer]
    for path in (f"/v1/resets/{asked['reset_id']}?debug=1", f"/v1/resets/{asked['reset_id']}?fields=code"):
        assert (await caller.get(path)).status_code == 422
    assert (await caller.post("/v1/resets", {"user_id": user_id, "returnCode": True})).status_code == 422
