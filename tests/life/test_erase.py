"""PRV-10: what is personal goes, everywhere; what must stay stays; and from then on the customer is unknown."""

import hashlib
import logging

import pytest

from identity_service.consents import receipts
from identity_service.dev.mailbox import Behaviour
from identity_service.imports.consents import ImportedConsent, import_consents
from identity_service.keys import signing
from identity_service.messages.delivery import reaper
from identity_service.values import user_ids
from tests.browser import Browser
from tests.conftest import BASE
from tests.life.filled import ADDRESS, CANARY, GOOD, NUMBER, SECOND, fill
from tests.life.given import (
    COMPANY,
    account,
    append,
    audited,
    call,
    confirm,
    every_row,
    link_to,
    merge,
    press,
    row_id,
    set_password,
    sign_in,
    two_accounts,
)
from tests.life.given import an_entry as entry

ANNA = "anna@example.com"
CLERK = {"X-Clerk-ID": "clerk-7"}


@pytest.fixture
def logged(log):
    """Everything that is logged, the finest too."""
    log.configure(level=logging.DEBUG)
    return log.stream


async def erase(caller, user_id):
    answer = await caller.post(f"/v1/accounts/{user_id}/erase")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def erase_and_tell(service, caller, user_id):
    """Erase, send the last message, and let the worker forget whom it was sent to."""
    await erase(caller, user_id)
    await service.deliver()
    await service.forget()


async def with_canary(service):
    return {name for name, rows in (await every_row(service)).items() if any(CANARY in row.lower() for row in rows)}


async def test_the_canary_is_in_every_table_and_then_in_none(service, caller, logged):
    """PRV-10: everything a customer can leave behind, in the tables and in the logs of the whole way."""
    filled = await fill(service, caller)
    assert await with_canary(service) >= {
        "account", "business_period", "external_reference", "history_entry", "consent_evidence", "message", "attempt",
        "inbound_mail", "pending_change", "email_change", "further_address",
    }  # fmt: skip
    await erase_and_tell(service, caller, filled.user_id)
    # A relay's words keep the domain, which is a fact about mail and no person's; here it is the canary itself.
    assert await with_canary(service) <= {"relay_state"}
    assert f"{CANARY}@" not in "".join((await every_row(service))["relay_state"]).lower()
    lines = logged.getvalue()
    assert "request.answered" in lines
    assert CANARY not in lines.lower()
    await audited(service)


async def test_a_telephone_number_goes_from_every_table(service, caller):
    """PRV-10: the number, and the series that its texts were counted by."""
    filled = await fill(service, caller)

    async def with_number() -> set[str]:
        tables = (await every_row(service)).items()
        return {name for name, rows in tables if any(NUMBER in row or "+49 1511" in row for row in rows)}

    assert await with_number() == {"phone_number", "message", "text_charge"}
    await erase_and_tell(service, caller, filled.user_id)
    assert await with_number() == set()


async def test_the_address_before_goes_too_and_somebody_elses_stays(service, caller):
    """R20, PRV-10: messages to an address that the customer had once; unless it is somebody else's by now."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await service.deliver()
    ask_again = Browser(service.app, BASE)
    for new in ("anna.second@example.com", "anna.third@example.com"):
        service.clock.advance(seconds=1)
        answer = await caller.post(f"/v1/accounts/{anna}/email-changes", {"email": new})
        assert answer.status_code == 202, answer.text
        await confirm(service, new, "Please confirm your new email address")
    for old in (ANNA, "anna.second@example.com"):
        await ask_again.open("/reset")
        await ask_again.send("/reset", email=old)
    await service.deliver()
    other = (await caller.post("/v1/accounts", {"email": "anna.second@example.com"})).json()["user_id"]
    await erase_and_tell(service, caller, anna)
    left = await service.rows("SELECT user_id, kind, recipient FROM message WHERE recipient IS NOT NULL ORDER BY kind")
    assert (None, "no_account", ANNA) not in left
    assert {row.recipient for row in left} == {"anna.second@example.com"}
    assert (row_id(other), "welcome", "anna.second@example.com") in left


async def test_a_change_of_another_account_to_an_erased_address_stops(service, caller):
    """R20: it named the address; carrying it out would bring it back."""
    filled = await fill(service, caller)
    naming = "SELECT details, stopped_at IS NOT NULL AS stopped FROM pending_change WHERE verb = 'email'"
    assert [row.stopped for row in await service.rows(naming)] == [False, False]
    await erase(caller, filled.user_id)
    assert await service.rows(naming) == [({}, True), ({}, True)]
    told = await service.rows("SELECT data->>'reason' AS why FROM event WHERE name = 'account.change_stopped'")
    assert [why for (why,) in told].count("address_erased") == 2


@pytest.mark.parametrize("by", ["a service", "an import"])
async def test_the_hash_of_an_erased_evidence_confirms_no_guess(service, caller, by):
    """R20: short free text is guessed at once; without its salt the hash says nothing."""
    said = "said by anna@example.com"
    if by == "a service":
        anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
        given = {"granted": True, "wording": "email-2026-11", "channel": "phone", "evidence": said}
        await call(caller, "PUT", f"/v1/accounts/{anna}/consents/email", given)
    else:
        anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
        one = ImportedConsent(row_id(anna), "email", "withdrawn", None, said, service.clock())
        await service.database.in_transaction(
            lambda s: import_consents(s, [one], actor="operator", now=service.clock())
        )
    await audited(service)
    ((kept,),) = await service.rows("SELECT evidence_hash FROM consent_entry")
    ((salt, text),) = await service.rows("SELECT salt, text FROM consent_evidence")
    assert kept == hashlib.sha256(salt + text.encode()).digest()
    assert kept != hashlib.sha256(text.encode()).digest()
    await erase(caller, anna)
    assert await service.rows("SELECT 1 FROM consent_evidence") == []
    assert all(salt.hex() not in row for rows in (await every_row(service)).values() for row in rows)
    await audited(service)


async def test_no_keyed_hash_of_the_address_stays_but_for_suppression(service, caller):
    """PRV-10: what could still tell whether an address was ours; a limit's count is over within the day."""
    filled = await fill(service, caller)
    keys = service.database.keys
    await erase_and_tell(service, caller, filled.user_id)
    hashes = [keys.address_hash(address).hex() for address in (ADDRESS, SECOND)]
    rows = await every_row(service)
    found = {name for name in rows for row in rows[name] if any(one in row for one in hashes)}
    assert found - {"rate_limit_counter"} == {"suppression"}


async def test_amounts_and_times_stay_without_the_person(service, caller):
    filled = await fill(service, caller)
    before = await service.rows(
        "SELECT id, user_id, kind, occurred_at, amount, currency FROM history_entry ORDER BY id"
    )
    await erase(caller, filled.user_id)
    assert before == await service.rows(
        "SELECT id, user_id, kind, occurred_at, amount, currency FROM history_entry ORDER BY id"
    )
    assert await service.rows("SELECT sum(amount) FROM history_entry") == [(pytest.approx(19.5),)]
    assert {link for link, *_ in await service.rows("SELECT link, details FROM history_entry")} == {None}


async def test_the_receipt_verifies_and_says_what_was_removed(service, caller):
    filled = await fill(service, caller)
    answer = await erase(caller, filled.user_id)
    jwks = (await service.http.get("/oauth/jwks.json")).json()["keys"]
    keys = service.database.keys.published()
    assert {key["kid"] for key in jwks} >= set(keys)
    claims = signing.verify(answer["receipt"], keys, typ=receipts.ERASURE_TYPE)
    assert (claims["sub"], claims["iss"]) == (filled.user_id, service.database.settings.issuer)
    assert claims["user_ids"] == [filled.user_id, filled.merged]
    assert claims["removed"]["account"] == 2
    assert claims["removed"]["password"] == 1
    assert CANARY not in str(claims).lower()
    with pytest.raises(signing.InvalidToken):
        signing.verify(answer["receipt"], keys, typ="consent-receipt+jwt")


DOORS = [
    ("GET", "", None), ("GET", "/desk-suggestion", None), ("GET", "/history", None), ("GET", "/summary", None),
    ("GET", "/export", None), ("GET", "/events", None), ("GET", "/consents", None), ("GET", "/consents/receipt", None),
    ("PATCH", "", {"display_name": "Anna"}), ("PUT", "/business", COMPANY), ("DELETE", "/business", None),
    ("POST", "/email-changes", {"email": "new@example.com"}), ("POST", "/close", None), ("POST", "/erase", None),
    ("POST", "/business/preview", COMPANY),
    ("POST", "/merge/undo", None), ("POST", "/history", {"entries": [entry("x")]}),
    ("PUT", "/consents/email", {"granted": False}), ("PUT", "/external-refs", {"external_ref": "x"}),
    ("POST", "/external-refs/remove", {"external_ref": "x"}),
    ("DELETE", "/history/00000000-0000-4000-8000-000000000000", None),
]  # fmt: skip


OTHERS = [
    ("POST", "/caller-checks", {"contact": "C-1"}),
    ("GET", "/caller-checks/00000000-0000-4000-8000-000000000000", None),
    ("POST", "/caller-checks/00000000-0000-4000-8000-000000000000/answer", {"code": "00000-00000"}),
]
"""Doors that ask for something else as well, and may miss that first."""


async def test_every_door_says_of_an_erased_id_that_it_was_erased(service, caller):
    """IDN-07, PRV-10: also of the one that was merged into it, and nothing about who had them."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    await erase(caller, anna)
    never = user_ids.show(user_ids.issue())
    for one in (anna, firm):
        for method, path, body in DOORS + OTHERS:
            gone = await call(caller, method, f"/v1/accounts/{one}{path}", body, **CLERK)
            unknown = await call(caller, method, f"/v1/accounts/{never}{path}", body, **CLERK)
            assert unknown.json()["code"].startswith("unknown_"), (method, path)
            wanted = (
                (410, "account_erased")
                if unknown.json()["code"] == "unknown_user_id"
                else (404, unknown.json()["code"])
            )
            assert (gone.status_code, gone.json()["code"]) == wanted, (method, path)
            assert "anna" not in gone.text
        asked = await caller.post("/v1/accounts/verifications", {"user_ids": [one, never]})
        first, second = asked.json()["results"]
        assert (first, second) == (
            {"input": one, "user_id": one, "status": "erased"}, {"input": never, "user_id": never, "status": "unknown"},
        )  # fmt: skip
        assert (await caller.post("/v1/resets", {"user_id": one})).json()["code"] == "account_erased"
        checked = await caller.post("/v1/password-checks", {"user_id": one, "password": GOOD})
        assert checked.json()["result"] == "no_match"
    for wanted in ({"email": ANNA}, {"external_ref": "17"}, {"external_ref": "18"}):
        assert (await caller.post("/v1/accounts/search", wanted)).json()["items"] == []


async def test_every_documented_door_of_an_account_was_tried(service):
    """A new door under /accounts/{user_id} has to be entered above."""
    tried = {(method, path) for method, path, _ in DOORS + OTHERS} | {("POST", "/merge"), ("POST", "/merge/preview")}
    check = OTHERS[1][1].split("/")[2]
    prefix = "/v1/accounts/{user_id}"
    there = {
        (
            method.upper(),
            path.removeprefix(prefix)
            .replace("{purpose}", "email")
            .replace("{check_id}", check)
            .replace("{entry_id}", check),
        )
        for path, ways in service.app.openapi()["paths"].items()
        if path.startswith(prefix)
        for method in ways
    }
    assert there <= tried


async def test_the_id_is_never_issued_again_and_the_address_is_free(service, caller):
    """IDN-07: who returns is a new customer; ATT-31: and nothing of the old one is his."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "17"})).json()["user_id"]
    await append(caller, anna, entry("a1"))
    await erase(caller, anna)
    again = await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "17"})
    assert (again.status_code, again.json()["user_id"] != anna) == (201, True)
    summary = (await caller.get(f"/v1/accounts/{again.json()['user_id']}/summary")).json()
    assert (summary["entries"], again.json()["has_password"]) == (0, False)
    with pytest.raises(Exception, match="pk_account"):
        await service.rows(
            "INSERT INTO account (user_id, locale, brand, email_state, customer_since) "
            "VALUES (:id, 'en', 'default', 'none', now())",
            id=row_id(anna),
        )


async def test_suppression_goes_on_blocking(service, caller):
    """PRV-10: the mailbox does not exist; that we must not write to it outlives the person."""
    filled = await fill(service, caller)
    await erase(caller, filled.user_id)
    await caller.post("/v1/accounts", {"email": ADDRESS})
    newest = "SELECT kind, state FROM message ORDER BY event_id DESC LIMIT 1"
    assert await service.rows(newest) == [("welcome", "suppressed")]


async def test_a_sealed_answer_is_not_given_again(service, caller):
    """API-03, PRV-10: what was answered first held the address; the key is forgotten with it."""
    for path, body in (("", {"email": ANNA}), ("/{}/email-changes", {"email": "b@example.com"})):
        user_id = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
        key = {"Idempotency-Key": f"key{path}"}
        first = await caller.post(f"/v1/accounts{path.format(user_id)}", body, headers=key)
        assert first.status_code in (200, 202)
        await erase(caller, user_id)
        again = await caller.post(f"/v1/accounts{path.format(user_id)}", body, headers=key)
        assert "Idempotency-Replayed" not in again.headers
        assert user_id not in again.text


async def test_sessions_and_links_are_dead(service, caller):
    """ATT-19: after erase."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await set_password(service, ANNA, GOOD)
    browser = await sign_in(service, ANNA, GOOD)
    await call(caller, "PUT", f"/v1/accounts/{anna}/business", COMPANY)
    link = await link_to(service, ANNA, "You have a business account now")
    service.clock.advance(seconds=1)
    await erase(caller, anna)
    await browser.open("/me")
    assert browser.page.url.path == "/signin"
    assert (await press(service, link)).page.status_code == 410
    assert (await sign_in(service, ANNA, GOOD)).page.url.path != "/me"


async def test_what_was_waiting_to_be_sent_is_not_sent(service, caller):
    """And the feed says so."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    await erase(caller, anna)
    await service.deliver()
    assert [letter["subject"] for letter in service.mailbox.letters(ANNA)] == ["Your account is erased"]
    states = await service.rows("SELECT kind, state FROM message ORDER BY event_id")
    assert states == [("welcome", "cancelled"), ("account_erased", "accepted")]
    assert await service.rows("SELECT user_id FROM event WHERE name = 'mail.cancelled'") == [(row_id(anna),)]


async def test_one_last_message_tells_every_mailbox_and_is_forgotten(service, caller):
    """PRV-10: whoever reads a mailbox of the customer's hears of it; the address goes with the message."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    await erase(caller, anna)
    await service.forget()
    waiting = "SELECT recipient FROM message WHERE recipient IS NOT NULL ORDER BY recipient"
    assert await service.rows(waiting) == [(ANNA,), ("firm@example.com",)]
    await service.deliver()
    for address in (ANNA, "firm@example.com"):
        text = service.letter(address, "Your account is erased")["text"]
        assert f"We've erased your account {anna}" in text
        assert "This is the last email about this account." in text
    await service.forget()
    assert await service.rows(waiting) == []
    assert await service.rows("SELECT 1 FROM attempt WHERE transcript IS NOT NULL OR reply IS NOT NULL") == []
    await audited(service)


async def test_a_last_message_that_nobody_takes_is_forgotten_when_its_tries_are_over(service, caller):
    """PRV-10: three days at most."""
    anna = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    service.mailbox.behaviours.append(Behaviour("rcpt", reply="451 4.3.0 later"))
    await erase(caller, anna)
    for hours, left in ((0, 1), (71, 1), (1, 0)):
        service.clock.advance(hours=hours)
        await service.deliver()
        await service.database.in_transaction(lambda s: reaper.expire_messages(s, now=service.clock()))
        await service.forget()
        assert len(await service.rows("SELECT 1 FROM message WHERE recipient IS NOT NULL")) == left


async def test_a_page_that_follows_a_letter_shows_nothing_of_him(service, caller):
    await caller.post("/v1/accounts", {"email": ANNA})
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    page = await browser.send("/reset", email=ANNA)
    ((anna,),) = await service.rows("SELECT user_id FROM account")
    await erase(caller, user_ids.show(anna))
    await browser.open(page.url.path)
    assert browser.page.status_code in (200, 404)
    assert "example.com" not in browser.text.replace("id.example.com", "")


async def test_every_user_id_of_his_is_told_as_erased(service, caller):
    """Other services learn it by the feed, for each ID they may hold."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    await erase(caller, anna)
    told = await service.rows("SELECT user_id FROM event WHERE name = 'account.erased' ORDER BY user_id")
    assert told == sorted([(row_id(anna),), (row_id(firm),)])


async def test_a_merged_id_alone_is_not_erased(service, caller):
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    refused = await caller.post(f"/v1/accounts/{firm}/erase")
    assert (refused.status_code, refused.json()["moved_to"]) == (409, anna)


async def test_nobody_else_is_touched(service, caller):
    """ATT-50: somebody with letters, company and history of his own."""
    anna, firm = await two_accounts(caller)
    await call(caller, "PUT", f"/v1/accounts/{firm}/business", COMPANY)
    await append(caller, firm, entry("f1", details={"note": "kept"}))
    await service.deliver()
    before = {n: [r for r in rows if row_id(firm) in r] for n, rows in (await every_row(service)).items()}
    await erase(caller, anna)
    after = {n: [r for r in rows if row_id(firm) in r] for n, rows in (await every_row(service)).items()}
    assert after == before
    assert (await account(caller, firm))["business"]["company_name"] == COMPANY["company_name"]
