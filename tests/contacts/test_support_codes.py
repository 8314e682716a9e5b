"""The customer reads a code from their own page, or types what the clerk reads out; and says when it was not them."""

import asyncio
import re

import pytest

from identity_service.values import secret_codes
from tests.console.given import a_clerk, an_account
from tests.contacts.given import a_tool
from tests.passkeys.given import event_names, token_of, with_a_password, without_address
from tests.recovery.given import enter, kept, with_a_code
from tests.resets.given import ANNA, a_browser, forget_limits, sign_in
from tests.signin.test_by_mail import asked, typed

PAGE = "/me/support"


@pytest.fixture
async def tool(service):
    return await a_tool(service)


def on_page(browser) -> tuple[str, str]:
    """The support code and the words on the page in front of us."""
    words = re.search(r'class="phrase">([^<]+)<', browser.page.text)[1]
    return re.search(r'class="id" dir="ltr">([^<]+)<', browser.page.text)[1], words


async def a_code(browser) -> tuple[str, str]:
    await browser.open(PAGE)
    await browser.send(PAGE)
    return on_page(browser)


async def start(tool, user_id: str, method: str, number: str | None = None, **given) -> tuple[str, dict]:
    number = number or await tool.contact(user_id)
    return number, await tool.check(user_id, number, method=method, **given)


async def refused(tool, user_id: str, method: str, number: str | None = None) -> str:
    number = number or await tool.contact(user_id)
    answer = await tool.post(f"/v1/accounts/{user_id}/caller-checks", {"contact": number, "method": method})
    return answer.json().get("code", "")


async def read_ask(tool, user_id: str) -> tuple[str, dict]:
    return await start(tool, user_id, "on_screen")


def another(code: str) -> str:
    plain = code.replace("-", "")
    while (made := secret_codes.issue(secret_codes.SUPPORT)) == plain:
        pass
    return made


async def test_the_code_verifies_its_account_in_one_contact(service, caller, tool):
    """SUP-01, SUP-02, SUP-03, SUP-06: the clerk sees the words, how and since when the customer was signed in; never
    the code."""
    user_id, browser = await with_a_password(service, caller)
    number, check = await start(tool, user_id, "support_code")
    assert (check["phrase"], check["digits"], check["message_id"]) == (None, None, None)
    code, words = await a_code(browser)
    read = (await tool.get(f"/v1/accounts/{user_id}/caller-checks/{check['id']}")).json()
    assert (read["phrase"], read["matched"]) == (words, None)
    assert (await tool.answer(user_id, check["id"], code.lower())).json() == {"result": "match", "tries_left": 2}
    contact = (await tool.get(f"/v1/contacts/{number}")).json()
    assert contact["verified_until"] is not None
    assert (contact["verified_by"]["method"], contact["verified_by"]["session_method"]) == ("support_code", "password")
    for said in (str(read), str(contact), str(await service.rows("SELECT data::text FROM event"))):
        assert code not in said
        assert code.replace("-", "") not in said
    other = (await tool.get(f"/v1/contacts/{await tool.contact(user_id)}")).json()
    assert other["verified_until"] is None
    service.clock.advance(minutes=15, seconds=1)
    later = await a_tool(service, name="later")
    assert (await later.get(f"/v1/contacts/{number}")).json()["verified_until"] is None


async def test_nothing_of_a_code_is_stored_and_a_get_makes_none(service, caller):
    """SUP-01: derived; the page alone makes nothing."""
    _, browser = await with_a_password(service, caller)
    await browser.open(PAGE)
    assert await service.rows("SELECT 1 FROM support_code") == []
    code, _ = await a_code(browser)
    rows = str(await service.rows("SELECT * FROM support_code"))
    assert code not in rows
    assert code.replace("-", "") not in rows


async def test_a_newer_code_ends_the_older_and_ten_minutes_end_it(service, caller, tool):
    """SUP-01: one valid at a time."""
    user_id, browser = await with_a_password(service, caller)
    _, check = await start(tool, user_id, "support_code")
    old, _ = await a_code(browser)
    new, _ = await a_code(browser)
    assert old != new
    assert (await tool.answer(user_id, check["id"], old)).json()["result"] == "no_match"
    service.clock.advance(minutes=10)
    assert (await tool.answer(user_id, check["id"], new)).json().get("result") != "match"


async def test_another_account_s_code_is_no_match_and_stays_good(service, caller, tool):
    """SUP-01: never found by the code alone."""
    user_id, browser = await with_a_password(service, caller)
    ben = await an_account(caller, "ben@example.org")
    code, _ = await a_code(browser)
    _, of_ben = await start(tool, ben, "support_code")
    assert of_ben["phrase"] is None
    assert (await tool.answer(ben, of_ben["id"], code)).json()["result"] == "no_match"
    _, check = await start(tool, user_id, "support_code")
    assert (await tool.answer(user_id, check["id"], code)).json()["result"] == "match"


async def test_fifty_answers_at_once_match_once(service, caller, tool):
    """SUP-02."""
    user_id, browser = await with_a_password(service, caller)
    _, check = await start(tool, user_id, "support_code")
    code, _ = await a_code(browser)
    answers = await asyncio.gather(*(tool.answer(user_id, check["id"], code) for _ in range(50)))
    assert sum(one.json().get("result") == "match" for one in answers) == 1
    assert len(await service.rows("SELECT 1 FROM support_code WHERE used_at IS NOT NULL")) == 1


async def test_three_wrong_tries_end_code_and_check_and_five_a_day_the_account(service, caller, tool):
    """SUP-02: with other checks and other codes, too."""
    user_id, browser = await with_a_password(service, caller)
    code, _ = await a_code(browser)
    _, check = await start(tool, user_id, "support_code")
    answers = [(await tool.answer(user_id, check["id"], another(code))).json() for _ in range(3)]
    assert [one["tries_left"] for one in answers] == [2, 1, 0]
    assert await service.rows("SELECT 1 FROM support_code WHERE ended_at IS NULL") == []
    service.clock.advance(seconds=1)
    code, _ = await a_code(browser)
    _, again = await start(tool, user_id, "support_code")
    assert [(await tool.answer(user_id, again["id"], another(code))).json()["result"] for _ in range(2)] == [
        "no_match"
    ] * 2
    assert (await tool.answer(user_id, again["id"], code)).json()["code"] == "check_ended"


async def test_who_was_called_gets_no_code_and_every_desk_is_warned(service, caller, tool):
    """SUP-05: no POST makes one within the hour."""
    user_id, browser = await with_a_password(service, caller)
    await a_code(browser)
    await browser.open(PAGE)
    token = token_of(browser)
    for path in (f"{PAGE}/unexpected", PAGE):
        await browser.http.post(path, data={"form_token": token}, follow_redirects=False)
    await browser.open(PAGE)
    assert "Hang up" in browser.text
    assert 'class="id"' not in browser.page.text
    assert await service.rows("SELECT 1 FROM support_code WHERE ended_at IS NULL") == []
    number = await tool.contact(user_id)
    assert (await tool.get(f"/v1/contacts/{number}")).json()["warnings"] == ["unexpected_call"]
    clerk = await a_clerk(service)
    await clerk.open_account(user_id)
    assert "somebody called them" in clerk.text
    assert await event_names(service, "caller.unexpected_call") == ["caller.unexpected_call"]
    service.clock.advance(hours=1, seconds=1)
    await browser.open(PAGE)
    assert "Did you call us?" in browser.text


async def test_not_me_ends_it_at_once_for_every_desk_and_tells_everybody(service, caller, tool):
    """SUP-07: the clerk's next action, another clerk and another method are refused for a day."""
    user_id, browser = await with_a_password(service, caller)
    clerk = await a_clerk(service, "bob")
    number = await clerk.open_account(user_id)
    await clerk.do(f"/console/accounts/{user_id}/check", contact=number, method="support_code")
    check = re.search(r"/check/([0-9a-f-]{36})", clerk.page.text)[1]
    code, words = await a_code(browser)
    await clerk.do(f"/console/accounts/{user_id}/check/{check}", contact=number, code=code)
    assert "Verified at" in clerk.text
    assert "by support code" in clerk.text
    assert "signed in by password" in clerk.text
    await browser.open(PAGE)
    assert "verified you by a support code" in browser.text
    assert "consumer" in browser.text
    await browser.send(f"{PAGE}/not-me")
    await clerk.do(f"/console/accounts/{user_id}/reset", contact=number)
    assert clerk.page.status_code == 403, clerk.text
    for method in ("email", "support_code", "on_screen"):
        assert await refused(tool, user_id, method) == "checks_denied"
    await service.deliver()
    assert service.letter(ANNA, "You told us that a call wasn't yours")
    assert (await tool.get(f"/v1/contacts/{await tool.contact(user_id)}")).json()["warnings"] == ["call_denied"]
    service.clock.advance(hours=24, seconds=1)
    await forget_limits(service)
    assert await refused(await a_tool(service, name="later"), user_id, "email") == ""
    assert words


async def test_the_customer_types_the_clerk_s_number_on_their_own_page(service, caller, tool):
    """SUP-08: the page names words, desk, contact and purpose; one number, once."""
    user_id, browser = await with_a_password(service, caller)
    number, ask = await read_ask(tool, user_id)
    assert len(ask["digits"]) == 3
    await browser.open(PAGE)
    assert ask["phrase"] in browser.text
    assert number in browser.text
    assert ask["digits"] not in browser.text
    await browser.send(f"{PAGE}/answer", digits=ask["digits"])
    assert "The clerk can see now" in browser.text
    read = (await tool.get(f"/v1/accounts/{user_id}/caller-checks/{ask['id']}")).json()
    assert read["matched"] is True
    contact = (await tool.get(f"/v1/contacts/{number}")).json()
    assert contact["verified_by"]["method"] == "on_screen"
    await browser.send(f"{PAGE}/answer", digits=ask["digits"])
    assert browser.page.status_code == 409


async def test_a_wrong_number_is_no_match_and_pauses_for_an_hour(service, caller, tool):
    """SUP-08."""
    user_id, browser = await with_a_password(service, caller)
    _, ask = await read_ask(tool, user_id)
    await browser.open(PAGE)
    wrong = f"{(int(ask['digits']) + 1) % 1000:03}"
    await browser.send(f"{PAGE}/answer", digits=wrong)
    assert "Nothing was confirmed" in browser.text
    service.clock.advance(seconds=1)
    assert await refused(tool, user_id, "on_screen") == "ask_paused"
    service.clock.advance(hours=1)
    await forget_limits(service)
    assert await refused(await a_tool(service, name="later"), user_id, "on_screen") == ""


async def test_answers_from_two_browsers_count_once(service, caller, tool):
    """SUP-08."""
    user_id, first = await with_a_password(service, caller)
    second = a_browser(service, "203.0.113.9")
    await sign_in(second)
    _, ask = await read_ask(tool, user_id)
    for browser in (first, second):
        await browser.open(PAGE)
    done = await asyncio.gather(
        *(browser.send(f"{PAGE}/answer", digits=ask["digits"]) for browser in (first, second) for _ in range(10))
    )
    assert sum(one.url.params.get("saved") == "matched" for one in done) == 1
    assert len(await service.rows("SELECT 1 FROM event WHERE name = 'caller.checked'")) == 1


async def test_two_asks_a_contact_four_a_day_and_two_silences_an_hour(service, caller, tool):
    """SUP-08: without an answer."""
    user_id, _ = await with_a_password(service, caller)
    number, _ = await read_ask(tool, user_id)
    service.clock.advance(minutes=3)
    await start(tool, user_id, "on_screen", number)
    assert await refused(tool, user_id, "on_screen", number) == "ask_paused"
    service.clock.advance(minutes=3)
    assert await refused(tool, user_id, "on_screen") == "ask_paused"
    for name in ("second", "third"):
        service.clock.advance(hours=1, minutes=3)
        await forget_limits(service)
        tool = await a_tool(service, name=name)
        await read_ask(tool, user_id)
    service.clock.advance(hours=2)
    assert await refused(await a_tool(service, name="fourth"), user_id, "on_screen") == "ask_paused"


async def test_the_question_is_open_for_two_minutes(service, caller, tool):
    user_id, browser = await with_a_password(service, caller)
    _, ask = await read_ask(tool, user_id)
    await browser.open(PAGE)
    service.clock.advance(minutes=2)
    await browser.send(f"{PAGE}/answer", digits=ask["digits"])
    assert browser.page.status_code == 409


async def test_a_session_by_emailed_code_is_not_asked_and_cannot_answer(service, caller, tool):
    """SUP-09: an emailed code is no factor; the clerk learns nothing of who is there (SUP-10)."""
    user_id, _ = await with_a_password(service, caller)
    browser, path, code = await asked(service, ANNA)
    await typed(browser, path, code)
    _, ask = await read_ask(tool, user_id)
    await browser.open(PAGE)
    assert ask["phrase"] not in browser.text
    await browser.send(f"{PAGE}/answer", digits=ask["digits"])
    assert browser.page.status_code == 403


async def test_presence_is_not_told(service, caller, tool):
    """SUP-10: with a session and without one, the answer looks the same."""
    user_id, _ = await with_a_password(service, caller)
    ben = await an_account(caller, "ben@example.org")
    _, of_anna = await read_ask(tool, user_id)
    _, of_ben = await read_ask(tool, ben)
    assert set(of_anna) == set(of_ben)
    assert {type(one) for one in of_anna.values()} == {type(one) for one in of_ben.values()}


async def test_the_customer_chooses_how_they_are_verified_for_rest_too(service, caller, tool):
    """SUP-12."""
    user_id, browser = await with_a_password(service, caller)
    await browser.open(PAGE)
    await browser.send(f"{PAGE}/preference", strict="yes")
    assert await refused(tool, user_id, "email") == "caller_method_refused"
    assert await refused(tool, user_id, "support_code") == ""
    await browser.send(f"{PAGE}/preference", strict="no")
    assert await refused(tool, user_id, "email") == ""


async def test_after_a_failed_support_code_a_weaker_method_needs_a_lead(service, caller, tool):
    """SUP-11: and every desk sees the failure for a day."""
    user_id, browser = await with_a_password(service, caller)
    code, _ = await a_code(browser)
    _, check = await start(tool, user_id, "support_code")
    for _ in range(3):
        await tool.answer(user_id, check["id"], another(code))
    service.clock.advance(seconds=1)
    assert await refused(tool, user_id, "email") == "weaker_method"
    clerk, lead = await a_clerk(service, "bob"), await a_clerk(service, "eve", "lead")
    number = await clerk.open_account(user_id)
    assert "A check of this account failed" in clerk.text
    assert "Send a code" not in clerk.text
    await clerk.do(f"/console/accounts/{user_id}/check", contact=number, method="email")
    assert clerk.page.status_code == 403
    number = await lead.open_account(user_id)
    await lead.do(f"/console/accounts/{user_id}/check", contact=number, method="email")
    assert "Read these words first" in lead.text


async def test_three_failures_of_an_account_and_five_accounts_of_a_clerk_raise_an_alarm(service, caller, tool):
    """SUP-11."""
    for name in range(5):
        user_id = await an_account(caller, f"a{name}@example.org")
        for _ in range(3 if name == 0 else 1):
            service.clock.advance(seconds=1)
            _, check = await start(tool, user_id, "email")
            for _ in range(3):
                await tool.answer(user_id, check["id"], "000000")
    alarms = await service.rows("SELECT data->>'about' FROM event WHERE name = 'caller.check_alarm' ORDER BY id")
    assert [about for (about,) in alarms] == ["account", "clerk"]


async def test_a_recovery_code_that_is_read_out_is_refused_and_kept_nowhere(service, tool):
    """REC-29: in the field for the code, in notes, in reasons."""
    user_id, code, _ = await with_a_code(service)
    number, check = await start(tool, user_id, "support_code")
    for answered in (
        await tool.answer(user_id, check["id"], code),
        await tool.post(f"/v1/contacts/{number}/notes", {"note": f"the caller says {code.lower()}, is that right?"}),
        await tool.post(f"/v1/contacts/{number}/close", {"note": code.replace("-", " ")}),
        await tool.post("/v1/contacts", {"desk": "consumer", "note": code}),
        await tool.open_account(user_id, number, f"code {code}"),
    ):
        assert (answered.status_code, answered.json()["code"]) == (422, "recovery_code_spoken"), answered.text
    plain = code.replace("-", "")
    for table in ("contact_entry", "caller_check", "account_access", "event"):
        kept_rows = str(await service.rows(f"SELECT t.*::text FROM {table} t"))
        assert plain not in kept_rows.replace("-", "").replace(" ", "").upper()


async def test_somebody_without_an_address_is_verified_from_the_page_of_their_new_account(service, tool):
    """SUP-03, story 1: nothing but a User ID and that page."""
    user_id, _, browser = await with_a_code(service)
    sealed = re.search(r'name="account" value="([^"]+)"', browser.page.text)[1]
    await browser.send("/recover/support/new", account=sealed)
    assert browser.page.url.path == "/recover/support", browser.text
    await browser.send("/recover/support")
    code, words = on_page(browser)
    number, check = await start(tool, user_id, "support_code")
    assert check["phrase"] == words
    assert (await tool.answer(user_id, check["id"], code)).json()["result"] == "match"
    by = (await tool.get(f"/v1/contacts/{number}")).json()["verified_by"]
    assert by["session_method"] == "new_account"
    await browser.open("/recover/support")
    assert "verified you by a support code" in browser.text
    await browser.send("/recover/support/not-me")
    assert (await tool.get(f"/v1/contacts/{number}")).json()["verified_until"] is None


async def test_a_recovery_session_shows_one_support_code(service, tool):
    """REC-24: that is its one thing."""
    user_id, code, _ = await with_a_code(service)
    browser = await enter(service, user_id, code)
    await kept(browser)
    await browser.open("/recover/support")
    token = token_of(browser)
    await browser.send("/recover/support")
    support, _ = on_page(browser)
    _, check = await start(tool, user_id, "support_code")
    assert (await tool.answer(user_id, check["id"], support)).json()["result"] == "match"
    again = await browser.http.post("/recover/support", data={"form_token": token}, follow_redirects=False)
    assert again.status_code == 401


async def test_methods_are_listed_by_what_the_account_has(service, caller, tool):
    """SUP-10."""
    user_id, _, _ = await without_address(service)
    number = await tool.contact(user_id)
    listed = (await tool.get(f"/v1/contacts/{number}")).json()["caller_methods"]
    assert listed == [
        {"method": "email", "why_not": "no_email"}, {"method": "support_code", "why_not": None},
        {"method": "on_screen", "why_not": None},
    ]  # fmt: skip


async def test_every_verification_stands_in_the_customer_s_own_pages(service, caller, tool):
    """SUP-14, PHN-14: who, desk, method, purpose; in the export, too."""
    user_id, browser = await with_a_password(service, caller)
    code, _ = await a_code(browser)
    _, check = await start(tool, user_id, "support_code", purpose="business")
    await tool.answer(user_id, check["id"], code)
    await browser.open("/me")
    assert "verified you by a support code, to change to a business account" in browser.text


async def test_reading_the_state_keeps_no_session_alive(service, caller):
    """SES-04: a page that asks by itself is no use."""
    _, browser = await with_a_password(service, caller)
    for _ in range(13):
        service.clock.advance(minutes=10)
        await browser.http.get(f"{PAGE}/state")
    await browser.open("/me")
    assert browser.page.url.path == "/signin"


GUARDED = [
    ("POST", "email-changes", {"email": "thief@example.org"}), ("POST", "close", None), ("POST", "erase", None),
    ("DELETE", "business", None), ("GET", "export", None),
]  # fmt: skip


@pytest.mark.parametrize("method", ["support_code", "on_screen"])
async def test_no_verification_by_a_desk_alone_changes_a_credential_or_an_address(service, caller, tool, method):
    """SUP-04: through the desk tool's routes and the console's forms; a change waits for the mailbox or a lead."""
    user_id, browser = await with_a_password(service, caller)
    clerk = await a_clerk(service, "bob")
    number = await clerk.open_account(user_id)
    await clerk.do(f"/console/accounts/{user_id}/check", contact=number, method=method)
    if method == "support_code":
        code, _ = await a_code(browser)
        check = re.search(r"/check/([0-9a-f-]{36})", clerk.page.text)[1]
        await clerk.do(f"/console/accounts/{user_id}/check/{check}", contact=number, code=code)
    else:
        await browser.open(PAGE)
        await browser.send(f"{PAGE}/answer", digits=re.search(r"digits out: <strong[^>]*>(\d{3})<", clerk.page.text)[1])
    before = await state_of(service)
    for verb, path, body in GUARDED:
        done = await tool.caller.http.request(
            verb, f"/v1/accounts/{user_id}/{path}", json=body, headers={**tool.caller.headers, **tool.named(number)}
        )
        assert done.status_code in (202, 403, 409, 422), (path, done.text)
    for change, value in (("email", "thief@example.org"), ("close", ""), ("erase", ""), ("consumer", "")):
        for reason in ("", "says so"):
            await clerk.do(f"/console/accounts/{user_id}/ask", contact=number, verb=change, value=value, reason=reason)
    assert await state_of(service) == before
    await clerk.open(f"/console/accounts/{user_id}?contact={number}")
    assert "Verified at" in clerk.text


async def state_of(service) -> list:
    """What a thief would change: addresses, states, passwords, passkeys, codes."""
    return [
        await service.rows(f"SELECT {columns} ORDER BY 1")
        for columns in (
            "user_id, email, state, kind FROM account", "phc FROM password", "id FROM passkey", "id FROM recovery_code",
        )
    ]  # fmt: skip


async def test_a_fresh_account_is_not_joined_with_an_older_one_by_its_own_proof(service, caller, tool):
    """SUP-13: verified as itself, it does not speak for the other, in either direction, by clerk and by desk tool."""
    fresh, _, browser = await with_a_code(service)
    sealed = re.search(r'name="account" value="([^"]+)"', browser.page.text)[1]
    older, _, _ = await without_address(service, "198.51.100.34")
    await browser.send("/recover/support/new", account=sealed)
    await browser.send("/recover/support")
    code, _ = on_page(browser)
    _, check = await start(tool, fresh, "support_code")
    assert (await tool.answer(fresh, check["id"], code)).json()["result"] == "match"
    clerk = await a_clerk(service, "bob")
    for survivor, duplicate in ((fresh, older), (older, fresh)):
        asked_for = await tool.post(f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
        assert asked_for.status_code in (403, 409, 422), asked_for.text
        opened = await clerk.open_account(survivor)
        await clerk.do(f"/console/accounts/{survivor}/ask", contact=opened, verb="merge", value=duplicate, reason="")
        assert clerk.page.status_code in (403, 409, 422), clerk.text
    assert await service.rows("SELECT 1 FROM account WHERE state = 'merged'") == []
    assert await service.rows("SELECT 1 FROM merge_request") == []
