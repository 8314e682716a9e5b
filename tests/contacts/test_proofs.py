"""What a desk tool may do with a check, and what without one: it goes around the console, with every scope there is."""

import re

import pytest

from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from tests.browser import Browser
from tests.console.given import PASSWORD, an_account, code_of
from tests.contacts.given import a_tool, plain

ANNA, BEN = "anna@example.org", "ben@example.org"
COMPANY = {"company_name": "Berg GmbH", "country": "DE"}


@pytest.fixture
async def tool(service):
    return await a_tool(service)


@pytest.fixture
async def anna(caller) -> str:
    return await an_account(caller, ANNA)


@pytest.fixture
async def ben(caller) -> str:
    return await an_account(caller, BEN)


async def kind(tool, user_id: str) -> str:
    return (await tool.get(f"/v1/accounts/{user_id}")).json()["kind"]


async def convert(tool, user_id: str, check: str | None, *, contact: str | None = None):
    proof = {} if check is None else {"proof": {"caller_check": check}}
    return await tool.put(f"/v1/accounts/{user_id}/business", {**COMPANY, **proof}, contact=contact)


async def test_a_verified_caller_becomes_a_business_at_once_and_can_undo_it(service, tool, anna):
    """PHN-08: the notice carries the link that takes it back; history and ID stay."""
    check = await tool.verify(service, anna, await tool.contact(anna))
    assert (await convert(tool, anna, check)).status_code == 200
    assert await kind(tool, anna) == "business"
    await service.deliver()
    letters = [letter["text"] for letter in service.mailbox.letters(ANNA)]
    link = next(m[0] for text in letters if (m := re.search(r"https://\S+/confirm/\S+#\S+", text)))
    path, _, secret = link.removeprefix("https://id.example.com").partition("#")
    herself = Browser(service.app, "https://id.example.com")
    await herself.open(path)
    await herself.send(path, link=secret)
    assert await kind(tool, anna) == "consumer"


@pytest.mark.parametrize("purpose", ["reset", "receipt"])
async def test_a_check_for_another_purpose_covers_no_business(service, tool, anna, purpose):
    """PHN-10: proof of another verb."""
    check = await tool.verify(service, anna, await tool.contact(anna), purpose=purpose)
    refused = await convert(tool, anna, check)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_verified")
    assert await kind(tool, anna) == "consumer"


@pytest.mark.parametrize("purpose", ["identify", "business"])
async def test_a_check_for_this_purpose_covers_it(service, tool, anna, purpose):
    check = await tool.verify(service, anna, await tool.contact(anna), purpose=purpose)
    assert (await convert(tool, anna, check)).status_code == 200


@pytest.mark.parametrize(("after", "status"), [(15 * 60, 200), (15 * 60 + 1, 403), (16 * 60, 403)])
async def test_a_check_is_good_for_fifteen_minutes(service, tool, anna, after, status):
    """PHN-08: minute 16 is refused."""
    check = await tool.verify(service, anna, await tool.contact(anna))
    service.clock.advance(seconds=after)
    later = await a_tool(service, name="with a fresh token")
    assert (await convert(later, anna, check)).status_code == status


async def test_a_check_survives_the_hand_over_to_another_desk(service, tool, anna):
    """PHN-08: within the contact, across its desks and clerks."""
    number = await tool.contact(anna)
    check = await tool.verify(service, anna, number)
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "business"})
    bob = tool.of("bob")
    assert (await bob.get(f"/v1/contacts/{number}")).json()["verified_until"] is not None
    assert (await convert(bob, anna, check)).status_code == 200


async def test_another_contact_is_not_verified_by_it(service, tool, anna):
    """PHN-08: the next call of the same customer begins unverified."""
    await tool.verify(service, anna, await tool.contact(anna))
    other = await tool.contact(anna)
    assert (await tool.get(f"/v1/contacts/{other}")).json()["verified_until"] is None


@pytest.mark.parametrize(
    "of", ["another account", "a closed contact", "another contact", "a wrong code", "no answer", "nothing"]
)
async def test_a_proof_that_proves_nothing_here_is_refused(service, tool, anna, ben, of):
    """PHN-10: proof of another account or contact → 403, nothing changed."""
    number = await tool.contact(anna)
    check = "00000000-0000-4000-8000-000000000000"
    if of == "another account":
        check = await tool.verify(service, ben, await tool.contact(ben), BEN)
    elif of == "another contact":
        check = await tool.verify(service, anna, await tool.contact(anna))
    elif of == "a closed contact":
        check = await tool.verify(service, anna, number)
        await tool.post(f"/v1/contacts/{number}/close", {})
    elif of != "nothing":
        check = (await tool.check(anna, number))["id"]
        wrong = "999999" if plain(await code_of(service, ANNA)) != "999999" else "888888"
        for _ in range(3 if of == "a wrong code" else 0):
            await tool.answer(anna, check, wrong)
    refused = await convert(tool, anna, check, contact=number)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_verified")
    assert await kind(tool, anna) == "consumer"


GUARDED = [
    ("PUT", "business", COMPANY), ("DELETE", "business", None), ("POST", "close", None), ("POST", "erase", None),
    ("POST", "email-changes", {"email": "thief@example.com"}), ("POST", "merge", {"duplicate": "…"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "verb", "body"), GUARDED, ids=[f"{m} {v}" for m, v, _ in GUARDED])
async def test_a_tool_with_every_scope_and_no_proof_changes_nothing(service, tool, anna, ben, method, verb, body):
    """PHN-10: 202, and nothing happens until the mailbox confirms; X-Clerk-ID proves nothing."""
    if body and "duplicate" in body:
        body = {"duplicate": ben}
    before = await service.rows("SELECT user_id, kind, state, email, merged_into FROM account ORDER BY user_id")
    answer = await tool.caller.http.request(
        method, f"/v1/accounts/{anna}/{verb}", headers={**tool.caller.headers, **tool.headers}, json=body
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["pending"]["waits_for"]
    after = await service.rows("SELECT user_id, kind, state, email, merged_into FROM account ORDER BY user_id")
    assert before == after
    assert not [letter for letter in service.mailbox.letters() if "thief" in str(letter["to"])]


async def test_a_desk_never_gets_the_export(tool, anna):
    """PHN-10"""
    refused = await tool.get(f"/v1/accounts/{anna}/export")
    assert (refused.status_code, refused.json()["code"]) == (403, "proof_refused")


async def test_two_names_of_clerks_are_no_two_people(tool, anna):
    """PHN-10: there is no door through which a client approves."""
    pending = (await tool.post(f"/v1/accounts/{anna}/close")).json()["pending"]["id"]
    for path in (f"/v1/approvals/{pending}", f"/v1/approvals/{pending}/approve", f"/console/approvals/{pending}"):
        for clerk in ("bob", "eve"):
            answer = await tool.of(clerk).post(path, {})
            assert answer.status_code in (401, 403, 404, 405, 415), answer.text


async def test_what_waits_is_read_with_who_asked(service, tool, anna):
    """AUD-01: `/v1/approvals` for an auditor's tool; page by page, and gone when it has ended."""
    for verb in ("close", "erase", "business"):
        body = COMPANY if verb == "business" else None
        method = tool.put if verb == "business" else tool.post
        await method(f"/v1/accounts/{anna}/{verb}", body)
        service.clock.advance(seconds=1)
    first = (await tool.get("/v1/approvals?limit=2")).json()
    rest = (await tool.get(f"/v1/approvals?limit=2&after={first['next']}")).json()
    assert [item["verb"] for item in first["items"] + rest["items"]] == ["close", "erase", "business"]
    assert rest["next"] is None
    assert {item["waits_for"] for item in first["items"]} == {"mailbox"}
    assert first["items"][0]["requested_by"] == f"client:{tool.caller.client_id}/ada"


async def test_approvals_are_for_those_who_audit(service):
    refused = await (await service.caller("accounts:read", "contacts:read")).get("/v1/approvals")
    assert refused.status_code == 403


@pytest.mark.parametrize("purpose", sorted(set(token_rules.LIFETIMES) - {"caller_check"}))
def test_the_secrets_of_a_check_are_those_of_no_other_purpose(purpose):
    """ATT-05, PHN-06: same key and nonce, another purpose, another secret."""
    key, nonce = b"k" * 32, b"n" * 16
    assert token_rules.derive_secret(key, "caller_check", nonce) != token_rules.derive_secret(key, purpose, nonce)
    assert token_rules.derive_code(key, "caller_check", nonce) != token_rules.derive_code(key, purpose, nonce)


async def test_a_code_for_the_call_opens_nothing_else(service, tool, anna):
    """ATT-05, PHN-06: typed at a running reset and a running sign-in, and as every button's link."""
    visitor = Browser(service.app, "https://id.example.com")
    pages = []
    for ask, field in (("/reset", "/reset"), ("/signin", "/signin/code")):
        await visitor.open(ask)
        pages.append((await visitor.send(field, email=ANNA)).url.path)
    await tool.check(anna, await tool.contact(anna))
    digits = plain(await code_of(service, ANNA))
    (proof,) = await service.rows("SELECT * FROM one_time_token WHERE purpose = 'caller_check'")
    async with service.database.transaction() as session:
        link = f"v1.{proof.handle}.{one_time_tokens.secret_of(session, proof)}"
        code = one_time_tokens.code_of(session, proof)
    for typed in (digits, code):
        await visitor.open(f"{pages[0]}/code")
        assert (await visitor.send(f"{pages[0]}/code", code=typed, password=PASSWORD)).status_code in (410, 422)
        await visitor.open(pages[1])
        assert (await visitor.send(pages[1], code=typed)).status_code in (410, 422)
    await visitor.open("/reset/choose")
    assert (await visitor.send("/reset/choose", link=link, password=PASSWORD)).status_code == 410
    await visitor.open(f"/confirm/{proof.handle}")
    for given in ({"link": link}, {"code": code}, {"code": digits}):
        assert (await visitor.send(f"/confirm/{proof.handle}", **given)).status_code in (410, 422)
    assert "__Host-session" not in visitor.http.cookies
    assert await service.rows("SELECT 1 FROM event WHERE name IN ('password.set', 'sign_in.succeeded')") == []


@pytest.mark.parametrize("letter", ["Reset your password", "Your sign-in code"])
async def test_the_code_of_another_letter_verifies_no_caller(service, tool, anna, letter):
    """ATT-05, PHN-06: a customer reads out the code of a reset or of a sign-in; it is no match."""
    visitor = Browser(service.app, "https://id.example.com")
    ask, field = ("/reset", "/reset") if "password" in letter else ("/signin", "/signin/code")
    await visitor.open(ask)
    await visitor.send(field, email=ANNA)
    check = (await tool.check(anna, await tool.contact(anna)))["id"]
    await code_of(service, ANNA)
    text = next(m["text"] for m in service.mailbox.letters(ANNA) if letter.lower() in m["subject"].lower())
    code = re.search(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", text, re.M)[1]
    assert (await tool.answer(anna, check, code)).json()["result"] == "no_match"
