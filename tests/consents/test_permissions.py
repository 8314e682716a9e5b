"""NOM-05, NOM-06: whom a marketing system may contact, asked of the primary, counted, signed, and never too many."""

import re

import pytest
from sqlalchemy import event as sqlalchemy_events

from identity_service.keys import signing
from identity_service.values import user_ids
from tests.accounts.given import an_account, close, erase, merge
from tests.consents.given import a_customer, allowed, withdraw
from tests.source import ROOT

ASK = "/v1/marketing/permissions"
COUNT = "SELECT count(*) FROM permission_check"


@pytest.fixture
async def anna(service, caller):
    """A customer who said yes to marketing by email."""
    customer = await a_customer(caller, service)
    await customer.grants()
    return customer


@pytest.fixture
def statements(service):
    """Every statement that reaches the database from now on."""
    seen: list[str] = []
    engine = service.database.engine.sync_engine

    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        seen.append(" ".join(statement.split()))

    sqlalchemy_events.listen(engine, "before_cursor_execute", note)
    yield seen
    sqlalchemy_events.remove(engine, "before_cursor_execute", note)


async def test_ten_thousand_are_answered_by_one_statement_and_kept_as_one_row(service, caller, anna, statements):
    """NOM-06: one question, one statement that reads, one row that is written."""
    ids = [*(user_ids.show(user_ids.issue()) for _ in range(9_999)), anna.user_id]
    statements.clear()
    answer = await caller.post(ASK, {"purpose": "email", "user_ids": ids})
    assert answer.json()["allowed"] == [anna.user_id]
    ours = [s for s in statements if "account" in s or "permission_check" in s]
    assert [s.split()[0] for s in ours] == ["SELECT", "INSERT"]
    (row,) = await service.rows(
        "SELECT cardinality(user_ids), cardinality(allowed), with_addresses FROM permission_check"
    )
    assert row == (10_000, 10_000, 1)


async def test_ten_thousand_of_the_longest_addresses_fit_and_more_are_refused(service, caller):
    """NOM-06, ASVS 15.2.2: the body takes what the contract promises; of what is refused nothing is kept."""
    longest = [f"{n:064}@{'d' * 63}.{'d' * 63}.{'d' * 57}.com" for n in range(10_001)]
    assert {len(address) for address in longest} == {254}
    many = await caller.post(ASK, {"purpose": "email", "emails": longest})
    assert many.status_code == 422
    big = await caller.post(ASK, {"purpose": "email", "emails": ["x" * 450 + "@example.com"] * 10_000})
    assert (big.status_code, big.json()["code"]) == (413, "body_too_large")
    fits = await caller.post(ASK, {"purpose": "email", "emails": longest[:10_000]})
    assert fits.status_code == 200
    assert await service.rows(COUNT) == [(1,)]


async def test_the_same_id_in_any_spelling_is_one_question(service, caller, anna):
    spellings = [anna.user_id, anna.user_id.lower(), anna.user_id.replace("-", "")]
    answer = await caller.post(ASK, {"purpose": "email", "user_ids": spellings})
    assert answer.json()["allowed"] == spellings[:1]
    assert await service.rows("SELECT user_ids, allowed FROM permission_check") == [
        ([anna.user_id.replace("-", "")], [True])
    ]


async def test_the_same_address_in_any_case_is_allowed_once(caller, anna):
    """B9: two letters would go to one mailbox."""
    spellings = ["nobody@example.org", anna.email.upper(), anna.email, anna.email.title()]
    answer = await caller.post(ASK, {"purpose": "email", "emails": spellings})
    assert answer.json()["allowed"] == spellings[1:2]


@pytest.mark.parametrize("given", ["user_ids", "emails"])
async def test_what_is_unknown_or_malformed_is_a_no(service, caller, anna, given):
    known = anna.user_id if given == "user_ids" else "Anna@Example.com"
    others = [user_ids.show(user_ids.issue()), "nonsense", "", "nobody@example.org", "\u00e4" * 40]
    answer = await caller.post(ASK, {"purpose": "email", given: [*others, known]})
    assert answer.json()["allowed"] == [known]


@pytest.mark.parametrize("state", ["closed", "merged", "erased"])
async def test_an_account_that_is_not_active_is_a_no(service, caller, anna, owner, state):
    """PRV-12: by User ID and by address."""
    other = await an_account(caller, email="ben@example.com")
    if state == "merged":
        await merge(owner, anna.user_id, other)
    else:
        await (close if state == "closed" else erase)(owner, anna.user_id)
    assert await allowed(caller, anna.user_id, other) == []
    by_address = await caller.post(ASK, {"purpose": "email", "emails": [anna.email]})
    assert by_address.json()["allowed"] == []


async def test_a_withdrawal_within_the_same_second_is_a_no(service, caller, anna):
    """PRV-04, NOM-06: the clock stands still between the two."""
    assert await allowed(caller, anna.user_id) == [anna.user_id]
    await withdraw(caller, anna.user_id)
    assert await allowed(caller, anna.user_id) == []


async def test_a_yes_for_one_purpose_is_no_yes_for_another(service, caller, anna):
    assert await allowed(caller, anna.user_id, purpose="post") == []
    unknown = await caller.post(ASK, {"purpose": "horoscopes", "user_ids": [anna.user_id]})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_purpose")
    assert await service.rows("SELECT purpose, allowed FROM permission_check") == [("post", [False])]


@pytest.mark.parametrize("body", [{}, {"user_ids": [], "emails": []}])
async def test_exactly_one_list_is_asked_about(service, caller, body):
    assert (await caller.post(ASK, {"purpose": "email", **body})).status_code == 422


@pytest.mark.parametrize("ids", [[], ["x"], ["", " ", "a b"]])
async def test_a_question_about_nobody_is_answered_and_kept(service, caller, ids):
    answer = await caller.post(ASK, {"purpose": "email", "user_ids": ids})
    assert (answer.status_code, answer.json()["allowed"]) == (200, [])
    assert await service.rows("SELECT user_ids, allowed FROM permission_check") == [([], [])]


async def test_addresses_go_out_only_with_their_scope_and_only_of_who_said_yes(service, caller, anna):
    """NOM-05: the row says how many went out."""
    ben = await an_account(caller, email="ben@example.com")
    question = {"purpose": "email", "user_ids": [anna.user_id, ben]}
    without = await (await service.caller("marketing:check", name="plain")).post(ASK, question)
    assert without.json()["addresses"] is None
    assert "@" not in without.text
    with_scope = await service.caller("marketing:check", "marketing:addresses", name="mailer")
    answer = await with_scope.post(ASK, question)
    assert answer.json()["addresses"] == [{"user_id": anna.user_id, "email": anna.email}]
    assert "ben@example.com" not in answer.text
    await withdraw(caller, anna.user_id)
    assert (await with_scope.post(ASK, question)).json()["addresses"] == []
    counted = "SELECT with_addresses FROM permission_check ORDER BY occurred_at, with_addresses"
    assert sorted(row[0] for row in await service.rows(counted)) == [0, 0, 1]


@pytest.mark.parametrize("scope", ["marketing:addresses", "accounts:read_personal", "consents:read", "events:read"])
async def test_asking_takes_the_scope_for_it(service, caller, anna, scope):
    """NOM-05, NOM-06."""
    other = await service.caller(scope, name="other")
    answer = await other.post(ASK, {"purpose": "email", "user_ids": [anna.user_id]})
    assert (answer.status_code, "@" in answer.text) == (403, False)
    assert await service.rows(COUNT) == [(0,)]


async def test_the_customer_is_told_how_often_it_was_asked_and_allowed(service, caller, anna):
    """NOM-06: the page's count and the API's are the calls, whatever else they asked about."""
    other = await an_account(caller, email="ben@example.com")
    for ids in ([anna.user_id], [other, anna.user_id], [other]):
        await allowed(caller, *ids)
    await withdraw(caller, anna.user_id)
    await allowed(caller, anna.user_id)
    told = (await caller.get(f"/v1/accounts/{anna.user_id}/consents")).json()
    assert (told["asked"], told["allowed"]) == (3, 2)
    await anna.browser.open("/me")
    assert "In the past 12 months, we were asked 3 times whether you can be contacted." in anna.browser.text
    assert "We said yes 2 times." in anna.browser.text
    service.clock.advance(days=366)
    later = await service.caller(name="later")
    told = (await later.get(f"/v1/accounts/{anna.user_id}/consents")).json()
    assert (told["asked"], told["allowed"]) == (0, 0)


async def test_one_call_about_two_ids_of_one_customer_is_one_question(service, caller, anna, owner):
    """NOM-06: User IDs that were joined are one customer."""
    old = await an_account(caller)
    await merge(owner, old, anna.user_id)
    await allowed(caller, anna.user_id, old)
    told = (await caller.get(f"/v1/accounts/{anna.user_id}/consents")).json()
    assert (told["asked"], told["allowed"]) == (1, 1)


async def test_the_row_names_who_asked_what_and_each_answer(service, caller, anna):
    """NOM-06."""
    ben = await an_account(caller)
    await allowed(caller, ben, anna.user_id)
    (row,) = await service.rows("SELECT client_id, purpose, occurred_at, user_ids, allowed FROM permission_check")
    answered = sorted([(ben.replace("-", ""), False), (anna.user_id.replace("-", ""), True)])
    assert row[:3] == (caller.client_id, "email", service.clock())
    assert list(zip(row.user_ids, row.allowed, strict=True)) == answered


async def test_unknown_addresses_are_not_kept(service, caller):
    """PRV-13: asking about somebody who is no customer leaves nothing of him here."""
    await caller.post(ASK, {"purpose": "email", "emails": ["stranger@example.org"]})
    assert await service.rows("SELECT user_ids FROM permission_check") == [([],)]
    assert await service.rows("SELECT count(*) FROM permission_check c WHERE c::text LIKE '%stranger%'") == [(0,)]


async def test_the_statement_says_what_was_answered(service, caller, anna, jose):
    """NOM-06: signed for this client, good for an hour, with hashes over both lists; checked by jose."""
    ben = await an_account(caller)
    answer = (await caller.post(ASK, {"purpose": "email", "user_ids": [ben, anna.user_id]})).json()
    expected = {"typ": "permission-statement+jwt", "issuer": service.database.settings.issuer}
    checked = await jose(answer["statement"], audience=caller.client_id, **expected)
    claims = checked["claims"]
    assert (claims["asked"], claims["allowed"], claims["purpose"]) == (2, 1, "email")
    assert claims["exp"] - claims["iat"] == 3600
    later = service.clock().timestamp() + 3601
    assert "refused" in await jose(answer["statement"], audience=caller.client_id, at=later, **expected)
    assert "refused" in await jose(answer["statement"], audience="cli_another", **expected)
    altered = answer["statement"].replace(".", ".A", 1)
    assert "refused" in await jose(altered, audience=caller.client_id, **expected)


def claims_of(answer: dict) -> dict:
    return signing.unverified(answer["statement"])[1]


QUESTIONS = {
    "ids": ("user_ids", ["{id}", "KQ7X-M1C4-3W08", "nonsense"]), "other spelling": ("user_ids", [" {id} ", "{id}"]),
    "addresses": ("emails", ["ben@example.org", "ANNA@example.com"]), "nobody": ("emails", []),
    "odd signs": ("emails", ["anna@example.com", "\u00e4\n\"\\/\u2028\x7f\x01\U0001f600", "a,b", "a", "b"]),
    "repeated": ("emails", ["anna@example.com", "anna@example.com"]), "one unknown": ("emails", ["x@example.org"]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "asked"), QUESTIONS.values(), ids=QUESTIONS)
async def test_the_printed_lines_recompute_the_statement(caller, anna, name, asked):
    """B9: over what was asked, as it was asked; the lines are those of the documentation."""
    question = [text.replace("{id}", anna.user_id) for text in asked]
    answer = (await caller.post(ASK, {"purpose": "email", name: question})).json()
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "permission-statements.md").read_text(), re.DOTALL)
    assert len(lines.splitlines()) <= 7
    names = {"question": question, "answer": answer, "claims": claims_of(answer)}
    exec(lines, names)
    with pytest.raises(AssertionError):
        exec(lines, {**names, "question": [*question, "another"]})


async def test_a_statement_tells_nobody_whom_it_is_about(caller, anna):
    """R19: a known and an unknown address count the same, and the hash of one ID cannot be guessed without the salt."""
    answers = [(await caller.post(ASK, {"purpose": "post", "emails": [one]})).json() for one in (anna.email, "x@y.org")]
    known, unknown = [claims_of(answer) for answer in answers]
    assert (known["asked"], known["allowed"]) == (unknown["asked"], unknown["allowed"]) == (1, 0)
    again = (await caller.post(ASK, {"purpose": "post", "emails": [anna.email]})).json()
    assert claims_of(again)["asked_hmac"] != known["asked_hmac"]
    assert len({one["salt"] for one in (*answers, again)}) == 3
    assert all(one["salt"] not in str(claims_of(one)) for one in (*answers, again))
