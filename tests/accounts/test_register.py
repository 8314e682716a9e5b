"""A customer exists by one field or by none, once per mailbox, and nothing that is not a name becomes one."""

import pytest

from tests.accounts.given import an_account, close

ANNA = "anna@bücher.example"


@pytest.mark.parametrize(
    "spelling",
    [
        "anna@bücher.example",
        "ANNA@bücher.example",
        "Anna@BÜCHER.Example",
        "anna@bu\u0308cher.example",
        "anna@xn--bcher-kva.example",
        "aNNa@XN--BCHER-KVA.EXAMPLE",
        "anna@bücher\u3002example",
    ],
    ids=["same", "case", "domain case", "decomposed", "punycode", "punycode case", "ideographic dot"],
)
async def test_one_mailbox_in_any_spelling_is_one_account(service, caller, spelling):
    first = await caller.post("/v1/accounts", {"email": ANNA})
    assert first.status_code == 201
    again = await caller.post("/v1/accounts", {"email": spelling})
    assert again.status_code == 200
    assert again.json()["user_id"] == first.json()["user_id"]
    assert again.json()["email"] == ANNA
    assert again.headers["Location"] == first.headers["Location"]
    assert await service.rows("SELECT count(*) FROM account") == [(1,)]
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]


@pytest.mark.parametrize(
    "other", ["anna.b@bücher.example", "anna+b@bücher.example", "anna@buecher.example", "anna@bucher.example"]
)
async def test_another_mailbox_is_another_account(caller, other):
    first = await an_account(caller, email=ANNA)
    assert await an_account(caller, email=other) != first


async def test_the_sharp_s_is_a_letter_of_its_own(caller):
    """IDNA 2008: Python's own codec would make one domain of the two."""
    assert await an_account(caller, email="a@straße.example") != await an_account(caller, email="a@strasse.example")


async def test_the_address_is_kept_as_its_owner_writes_it(caller):
    made = await caller.post("/v1/accounts", {"email": "Anna.Berg@Example.COM"})
    assert made.json()["email"] == "Anna.Berg@example.com"


async def test_a_caller_who_gives_nothing_gets_an_id_and_no_letter(service, caller):
    made = await caller.post("/v1/accounts", {})
    assert made.status_code == 201
    shown = made.json()
    assert (shown["email"], shown["email_state"], shown["display_name"]) == (None, "none", None)
    assert (shown["kind"], shown["state"], shown["locale"]) == ("consumer", "active", "en")
    assert set(shown["marketing"].values()) == {"never"}
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


async def test_two_callers_who_give_nothing_are_two_customers(caller):
    assert await an_account(caller) != await an_account(caller)


async def test_a_second_registration_changes_nothing(service, caller):
    user_id = await an_account(caller, email=ANNA, display_name="Anna", locale="de")
    again = await caller.post("/v1/accounts", {"email": ANNA, "display_name": "Eve", "locale": "en"})
    assert (again.json()["display_name"], again.json()["locale"]) == ("Anna", "de")
    assert again.json()["version"] == 1
    events = await service.rows("SELECT name FROM event WHERE user_id = :id ORDER BY id", id=user_id.replace("-", ""))
    assert [name for (name,) in events] == ["account.registered", "mail.queued"]


async def test_the_promise_stands_in_the_customers_language(caller):
    german = await caller.post("/v1/accounts", {"locale": "de"})
    assert german.json()["promise"].startswith("Wir senden Ihnen niemals Werbung.")


async def test_a_reference_finds_its_account_again(caller):
    user_id = await an_account(caller, external_ref="customer 17")
    again = await caller.post("/v1/accounts", {"external_ref": "customer 17"})
    assert again.status_code == 200
    assert again.json()["user_id"] == user_id
    assert again.json()["external_refs"] == ["customer 17"]


async def test_another_clients_reference_is_its_own(service, caller):
    mine = await an_account(caller, external_ref="17")
    billing = await service.caller(name="billing")
    theirs = await an_account(billing, external_ref="17")
    assert theirs != mine
    assert (await billing.get(f"/v1/accounts/{mine}")).json()["external_refs"] == []


async def test_a_known_address_can_be_given_a_reference(caller):
    user_id = await an_account(caller, email=ANNA)
    again = await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "17"})
    assert (again.status_code, again.json()["user_id"]) == (200, user_id)
    assert again.json()["external_refs"] == ["17"]


async def test_a_reference_of_another_customer_is_refused_and_leaves_nothing(service, caller):
    await an_account(caller, email="first@example.com", external_ref="17")
    refused = await caller.post("/v1/accounts", {"email": "second@example.com", "external_ref": "17"})
    assert (refused.status_code, refused.json()["code"]) == (409, "external_ref_taken")
    assert await service.rows("SELECT count(*) FROM account") == [(1,)]
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'account.registered'") == [(1,)]


@pytest.mark.parametrize(
    ("locale", "kept"), [("fr", "fr"), ("EN", "en"), ("de-AT", "de-AT"), ("tlh", "tlh"), (None, "en")]
)
async def test_every_language_is_kept_as_the_customer_has_it(caller, locale, kept):
    """Also one that we do not write: its words are the nearest."""
    made = await caller.post("/v1/accounts", {"locale": locale})
    assert (made.status_code, made.json()["locale"]) == (201, kept)


@pytest.mark.parametrize("locale", ["d!", "d", "de--AT", "deutschland", "de-" + "a" * 33, "", 1])
async def test_what_is_no_language_tag_is_refused(caller, locale):
    refused = await caller.post("/v1/accounts", {"locale": locale})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/locale"


NOT_A_NAME = {
    "NUL": "An\0na",
    "line feed": "Anna\nBcc: eve@example.com",
    "carriage return": "Anna\r\nSubject: x",
    "vertical tab": "An\x0bna",
    "form feed": "An\x0cna",
    "delete": "An\x7fna",
    "next line": "An\u0085na",
    "line separator": "An\u2028na",
    "paragraph separator": "An\u2029na",
    "override": "An\u202ena",
    "isolate": "An\u2066na",
    "byte order mark": "An\ufeffna",
    "zero width space": "An\u200bna",
    "soft hyphen": "An\u00adna",
    "word joiner": "An\u2060na",
    "tag": "Anna\U000e0061\U000e0062 Berg",
    "filler": "An\u3164na",
    "encoded word": "=?utf-8?q?Anna?=",
    "half an encoded word": "Anna =?",
    "empty": "",
    "nothing to see": "\u200b\u3164\ufeff",
    "a mark without its letter": "\u0301",
    "too long": "A" * 201,
}


@pytest.mark.parametrize("field", ["display_name", "external_ref"])
@pytest.mark.parametrize("name", NOT_A_NAME.values(), ids=NOT_A_NAME.keys())
async def test_what_could_become_a_header_is_no_name(service, caller, field, name):
    """ATT-40, and ATT-38 as far as it is refused: at the door, and never repeated."""
    refused = await caller.post("/v1/accounts", {field: name})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    assert refused.json()["errors"][0]["pointer"] == f"/{field}"
    assert "Anna" not in refused.text
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]


async def test_half_a_character_is_no_json(caller):
    refused = await caller.http.post(
        "/v1/accounts",
        content=rb'{"display_name": "\ud800"}',
        headers={**caller.headers, "Content-Type": "application/json"},
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "name", ["<svg onload=alert(1)>", "{{77*777}}", "${77*777}", "{% raw %}", "O'Brien & Söhne", "李小龍"]
)
async def test_a_name_stays_literally_what_it_is(service, caller, name):
    """ATT-38: in the answer; the first message, to a mailbox nobody has read, holds nothing of it."""
    made = await caller.post("/v1/accounts", {"email": "anna@example.com", "display_name": name})
    assert made.json()["display_name"] == name
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    assert name not in letter["text"]
    assert "<svg" not in letter["html"]
    assert "59829" not in letter["text"] + letter["html"]


@pytest.mark.parametrize(
    ("email", "meant"), [("anna@gmial.com", "gmail.com"), ("anna@gmx.dee", "gmx.de"), ("anna@web.ed", "web.de")]
)
async def test_a_slip_in_a_common_domain_is_hinted_at_and_not_refused(caller, email, meant):
    made = await caller.post("/v1/accounts", {"email": email})
    assert made.status_code == 201
    assert made.json()["hints"] == [{"code": "similar_domain", "detail": f"Was {meant} meant?"}]


@pytest.mark.parametrize("email", ["anna@gmail.com", "anna@example.com", "anna@web.de"])
async def test_a_plain_domain_gets_no_hint(caller, email):
    assert (await caller.post("/v1/accounts", {"email": email})).json()["hints"] == []


@pytest.mark.parametrize("email", ["anna", "anna@", "@example.com", "a b@example.com", "=?utf-8?q?a?=@example.com", ""])
async def test_an_address_that_is_none_is_refused_without_being_repeated(service, caller, email):
    refused = await caller.post("/v1/accounts", {"email": email})
    assert (refused.status_code, refused.json()["code"]) == (422, "malformed_email_address")
    assert not email or email not in refused.text
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]


async def test_a_closed_account_keeps_its_mailbox(service, caller, owner):
    user_id = await an_account(caller, email=ANNA)
    await close(owner, user_id)
    again = await caller.post("/v1/accounts", {"email": ANNA})
    assert (again.status_code, again.json()["code"], again.json()["user_id"]) == (409, "account_closed", user_id)


@pytest.mark.parametrize(
    "given", [{"email": "anna@example.org"}, {}, {"email": "b@example.org", "external_ref": "c-7"}]
)
async def test_the_answer_is_what_reading_says_afterwards(caller, given):
    """What is around a new account is not read; it must be what reading would have found."""
    made = (await caller.post("/v1/accounts", given)).json()
    read = (await caller.get(f"/v1/accounts/{made['user_id']}")).json()
    assert {name: made[name] for name in read} == read
