"""The account page: opened with a reason, masked until the caller is verified, and what each button then does."""

import asyncio

import pytest
from sqlalchemy import event, text

from identity_service.values import user_ids
from tests.browser import Browser
from tests.console.given import a_clerk, an_account, another, code_of
from tests.resets.given import a_browser, a_password, sign_in

ANNA, BEN = "anna@example.org", "ben@example.org"
HTML = "<script>alert(1)</script><img src=x onerror=alert(2)>"
COMPANY = {"company_name": "Berg GmbH", "country": "DE", "vat_number": ""}


@pytest.fixture
async def anna(caller) -> str:
    return await an_account(caller, ANNA)


@pytest.fixture
async def ada(service):
    return await a_clerk(service)


async def test_the_address_is_masked_until_the_caller_is_verified(service, ada, anna):
    """PHN-01, PHN-08: and after fifteen minutes it is again."""
    number = await ada.open_account(anna)
    assert ANNA not in ada.page.text
    await ada.verify(service, anna, number, ANNA)
    assert ANNA in ada.page.text
    service.clock.advance(minutes=16)
    await ada.open(f"/console/accounts/{anna}?contact={number}")
    assert ANNA not in ada.page.text


async def test_the_reply_of_a_mail_server_does_not_tell_the_address_either(service, ada, anna):
    """PHN-01: servers like to quote the recipient."""
    message = (await service.rows("SELECT id FROM message LIMIT 1"))[0].id
    await service.deliver()
    async with service.database.transaction() as session:
        said = "UPDATE attempt SET reply = :reply WHERE message_id = :id"
        await session.execute(text(said), {"reply": f"2.1.5 <{ANNA}> ok", "id": message})
    await ada.open_account(anna)
    assert "2.1.5" in ada.text
    assert ANNA not in ada.page.text


@pytest.mark.parametrize("reason", ["", "   "])
async def test_no_reason_no_account(service, ada, anna, reason):
    """PHN-13: 422, and no contact is left behind."""
    answer = await ada.do("/console/accounts/open", user_id=anna, contact="", reason=reason, desk="consumer")
    assert answer.status_code == 422
    assert await service.rows("SELECT 1 FROM contact") == []


async def test_whoever_looks_gives_a_reason_of_his_own(service, ada, anna):
    """PHN-13, PHN-14: a contact's number alone opens nothing; the customer learns of both who looked."""
    number = await ada.open_account(anna)
    bob = await a_clerk(service, "bob")
    await bob.open(f"/console/accounts/{anna}?contact={number}")
    assert bob.page.status_code == 404
    assert "customer since" not in bob.text
    assert (await bob.do(f"/console/accounts/{anna}/check", contact=number)).status_code == 404
    await bob.open_account(anna, contact=number, reason="took the call over")
    looked = await service.rows("SELECT actor, reason FROM account_access ORDER BY event_id")
    assert looked == [("staff:ada", "order arrived broken"), ("staff:bob", "took the call over")]


async def test_a_contact_of_another_customer_opens_nothing(ada, anna, caller):
    """PHN-05, ATT-50"""
    ben = await an_account(caller, BEN)
    number = await ada.open_account(ben)
    await ada.open(f"/console/accounts/{anna}?contact={number}")
    assert ada.page.status_code == 404


async def test_a_clerk_ends_every_session_of_a_customer_who_cannot_be_verified(service, ada, caller):
    """SES-04, ASVS 7.4.5: within a contact alone, and the customer reads who it was."""
    user_id = await a_password(service, caller, ANNA)
    browser = a_browser(service)
    await sign_in(browser, ANNA)
    service.clock.advance(seconds=1)
    number = await ada.open_account(user_id)
    bob = await a_clerk(service, "bob")
    path = f"/console/accounts/{user_id}/sessions/end"
    assert (await bob.do(path, contact=number)).status_code == 404
    assert (await browser.open("/me")).url.path == "/me"
    assert (await ada.do(path, contact=number)).status_code == 200
    assert (await browser.open("/me")).url.path == "/signin"
    ended = "SELECT actor FROM event WHERE name = 'account.sessions_ended' AND actor LIKE 'staff:%'"
    assert await service.rows(ended) == [("staff:ada",)]
    assert "ended all sessions" in (await ada.open(f"/console/contacts/{number}")).text
    await sign_in(browser, ANNA)
    assert (await browser.open("/me")).url.path == "/me"


GUARDED = {
    "reset": {}, "receipt": {}, "business": COMPANY,
}  # fmt: skip


@pytest.mark.parametrize("state", ["unverified", "minute 16", "another contact", "closed"])
@pytest.mark.parametrize("verb", GUARDED)
async def test_no_button_works_for_an_unverified_caller(service, ada, anna, verb, state):
    """PHN-08: refused by the action, whatever the page shows."""
    number = await ada.open_account(anna)
    if state != "unverified":
        await ada.verify(service, anna, number, ANNA)
    if state == "minute 16":
        service.clock.advance(minutes=15, seconds=1)
    if state == "closed":
        await ada.do(f"/console/contacts/{number}/close", note="")
    if state == "another contact":
        number = await ada.open_account(anna)
    before = await service.rows("SELECT count(*) FROM message")
    answer = await ada.do(f"/console/accounts/{anna}/{verb}", contact=number, **GUARDED[verb])
    assert answer.status_code == (404 if state == "closed" else 403)
    assert (await service.rows("SELECT kind FROM account")) == [("consumer",)]
    assert await service.rows("SELECT count(*) FROM message") == before


@pytest.mark.parametrize("verb", GUARDED)
async def test_every_button_works_for_a_verified_caller_at_the_next_desk_too(service, ada, anna, verb):
    """PHN-08: handed over, the match goes with the contact."""
    number = await ada.open_account(anna)
    await ada.verify(service, anna, number, ANNA)
    await ada.do(f"/console/contacts/{number}/hand-over", desk="business", note="")
    bob = await a_clerk(service, "bob")
    await bob.open_account(anna, contact=number, reason="took over")
    answer = await bob.do(f"/console/accounts/{anna}/{verb}", contact=number, **GUARDED[verb])
    assert answer.status_code == 200, bob.text


async def test_a_check_is_answered_in_its_own_contact(service, ada, anna):
    """PHN-05: the same clerk, the same customer, another call → unknown, and no try is used up."""
    number = await ada.open_account(anna)
    check = await ada.start_check(anna, number)
    code = await code_of(service, ANNA)
    other = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/check/{check}"
    assert (await ada.do(path, contact=other, code=code)).status_code == 404
    assert (await service.rows("SELECT tries FROM caller_check")) == [(0,)]
    assert (await ada.do(path, contact=number, code=code)).status_code == 200


async def test_another_clerk_cannot_answer(service, ada, anna):
    """PHN-05"""
    number = await ada.open_account(anna)
    check = await ada.start_check(anna, number)
    code = await code_of(service, ANNA)
    bob = await a_clerk(service, "bob")
    await bob.open_account(anna, contact=number)
    assert (await bob.do(f"/console/accounts/{anna}/check/{check}", contact=number, code=code)).status_code == 404


async def test_three_wrong_codes_end_it(service, ada, anna):
    """PHN-05, ATT-11"""
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/check/{await ada.start_check(anna, number)}"
    code = await code_of(service, ANNA)
    codes = [(await ada.do(path, contact=number, code=another(code))).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 409]
    assert (await ada.do(path, contact=number, code=code)).status_code == 409


async def test_sending_again_stays_within_the_customers_letters(service, ada, anna, caller):
    """ATT-50: another customer's letter is refused, however its id came here."""
    ben = await an_account(caller, BEN)
    letter = (await service.rows("SELECT id FROM message WHERE user_id = :u", u=ben.replace("-", "")))[0].id
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/messages/{letter}/retry"
    assert (await ada.do(path, contact=number, relay="")).status_code == 403


@pytest.mark.parametrize(
    "given", [{"company_name": " "}, {"company_name": "a\x07b"}, {"company_name": "=?utf-8?q?x?="},
              {"company_name": "x" * 201}, {"country": "1X"}, {"country": "D"}, {"vat_number": "DE123"}]
)  # fmt: skip
async def test_a_company_that_cannot_be_is_refused(service, ada, anna, given):
    number = await ada.open_account(anna)
    await ada.verify(service, anna, number, ANNA)
    answer = await ada.do(f"/console/accounts/{anna}/business", contact=number, **{**COMPANY, **given})
    assert answer.status_code == 422, ada.text
    assert (await service.rows("SELECT kind FROM account")) == [("consumer",)]


async def test_stored_html_appears_literally(service, ada, anna):
    """ATT-38: in notes, reasons, company names; as text, on every page that shows them."""
    number = await ada.open_account(anna, reason=HTML)
    await ada.verify(service, anna, number, ANNA)
    await ada.do(f"/console/accounts/{anna}/business", contact=number, **{**COMPANY, "company_name": HTML})
    await ada.do(f"/console/accounts/{anna}/ask", contact=number, verb="close", reason=HTML, value="")
    await ada.do(f"/console/contacts/{number}/notes", note=HTML)
    judge = await a_clerk(service, "jo", "auditor")
    lead = await a_clerk(service, "bob", "lead")
    for who, path in ((ada, f"/console/contacts/{number}"), (ada, f"/console/accounts/{anna}?contact={number}"),
                      (lead, "/console/approvals"), (judge, "/console/audit")):  # fmt: skip
        await who.open(path)
        assert who.page.status_code == 200
        assert HTML in who.text or "&lt;script&gt;alert(1)&lt;/script&gt;" in who.page.text, path
        assert "<script>alert" not in who.page.text
        assert "<img" not in who.page.text
        assert "script-src 'self'" in who.page.headers["content-security-policy"]


async def test_the_page_asks_the_database_no_more_for_ten_thousand_contacts(service, ada, anna):
    """The number of statements is the page's, not the customer's."""
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}?contact={number}"
    few = await statements(service, lambda: ada.open(path))
    row = {"u": anna.replace("-", "")}
    async with service.database.transaction() as session:
        await session.execute(text(
            "INSERT INTO contact (id, number, user_id, desk, opened_by, opened_at) SELECT gen_random_uuid(), "
            "'n' || n, :u, 'consumer', 'staff:ada', now() - n * interval '1 minute' FROM generate_series(1, 10000) n"
        ), row)  # fmt: skip
        await session.execute(text(
            "INSERT INTO contact_entry (contact_id, occurred_at, actor, desk, kind) "
            "SELECT id, opened_at, 'staff:ada', desk, 'opened' FROM contact WHERE number LIKE 'n%'"
        ))  # fmt: skip
    many = await statements(service, lambda: ada.open(path))
    assert ada.page.status_code == 200
    assert len(many) == len(few) <= 45
    assert len(ada.page.content) < 40_000
    home = await statements(service, lambda: ada.open("/console"))
    assert len(home) <= 12


async def statements(service, work) -> list[str]:
    """Return the statements that the application sends meanwhile."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    engine = service.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await work()
    event.remove(engine, "before_cursor_execute", note)
    return sent


async def test_no_form_of_another_session_is_taken(service, ada, anna):
    """SES-03: the value of another clerk's session, of an anonymous browser, and none at all → 403."""
    number = await ada.open_account(anna)
    bob = await a_clerk(service, "bob")
    stranger = Browser(service.app, "https://id.example.com")
    await stranger.open("/console/signin")
    theirs = stranger.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    for value in (bob.token, theirs, "", "x"):
        answer = await ada.http.post(f"/console/contacts/{number}/notes", data={"form_token": value, "note": "planted"})
        assert answer.status_code == 403, value
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = await ada.http.post(
            f"/console/contacts/{number}/notes", data={"form_token": ada.token, "note": "planted"}, headers=header
        )
        assert answer.status_code == 403
    assert await service.rows("SELECT 1 FROM contact_entry WHERE note = 'planted'") == []


async def test_an_erased_customer_is_told_from_an_unknown_one_by_nothing_personal(ada, caller):
    """PHN-15: the User ID was erased, as every answer says for ever; who had it is told nowhere."""
    gone = await an_account(caller, BEN)
    assert (await caller.post(f"/v1/accounts/{gone}/erase")).status_code == 200
    never = await never_issued(caller)
    for user_id, erased in ((gone, True), (never, False)):
        await ada.do("/console/accounts/open", user_id=user_id, contact="", reason="x", desk="consumer")
        assert ("was erased" in ada.text) is erased, ada.text
        assert BEN not in ada.page.text


async def never_issued(caller) -> str:
    """Return a well-formed User ID that nobody has."""
    return user_ids.show(user_ids.issue())


async def test_answers_at_once_hold_no_connection_for_ever(service, ada, anna):
    """PHN-05, REL-06: twenty parallel answers at the console: three are counted, none hangs or fails.

    Who was counted and is overtaken by the one that ends the check is told that it is over.
    """
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/check/{await ada.start_check(anna, number)}"
    code = another(await code_of(service, ANNA))
    given = {"form_token": ada.token, "contact": number, "code": code}
    answers = await asyncio.gather(*(ada.http.post(path, data=given, follow_redirects=False) for _ in range(20)))
    told = [answer.status_code for answer in answers]
    assert 1 <= told.count(303) <= 3
    assert told.count(303) + told.count(409) == 20
    assert await service.rows("SELECT tries, matched FROM caller_check") == [(3, False)]


async def test_a_bookmark_without_a_contact_or_a_search_leads_to_the_console(ada):
    for path in ("/console/find", "/console/accounts/6WPP-C7QF-7FF6"):
        answer = await ada.http.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/console"), path
