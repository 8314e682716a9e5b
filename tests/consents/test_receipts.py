"""RCP-01 to RCP-06: a receipt says what stands in the ledger, holds no address, opens no door, and checks for good."""

import email
import email.policy
import hashlib
import json
from pathlib import Path

import jsonschema_rs
import pytest

from identity_service.consents import receipts
from identity_service.key_store import actions as key_store
from identity_service.keys import encoding
from identity_service.settings import read_master_key
from tests.accounts.given import an_account, merge
from tests.conftest import MASTER_KEY
from tests.consents.given import WORDING, a_customer, allowed, propose, withdraw

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "receipt.schema.json").read_text(encoding="utf-8"))
TYPE = "consent-receipt+jwt"
MASTER = read_master_key(MASTER_KEY)


async def receipt_of(caller, user_id: str) -> str:
    answer = await caller.get(f"/v1/accounts/{user_id}/consents/receipt")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwt")
    return answer.text


def claims_of(receipt: str) -> dict:
    return json.loads(encoding.base64url_decode(receipt.split(".")[1]))


async def rotate(service, algorithm: str) -> None:
    """Publish a new key, let it begin to sign, and let this process know it."""
    await service.database.in_transaction(
        lambda s: key_store.rotate_signing_key(s, MASTER, algorithm=algorithm, now=service.clock())
    )
    service.clock.advance(minutes=11)
    service.database.keys = await service.database.in_transaction(lambda s: key_store.load_keys(s, MASTER))


async def test_the_welcome_letters_attachment_is_the_receipt_and_checks(service, caller, jose):
    """RCP-01, RCP-03: the first thing a customer holds in his hands is the promise, signed."""
    user_id = await an_account(caller, email="anna@example.com")
    await service.deliver()
    (letter,) = service.mailbox.letters("anna@example.com")
    _, _, raw = (service.mailbox.folder / f"{letter['name']}.eml").read_bytes().partition(b"\n")
    (attached,) = email.message_from_bytes(raw, policy=email.policy.default).iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == (f"receipt-{user_id}.jwt", "application/jwt")
    checked = await jose(attached.get_content().decode(), typ=TYPE, issuer=service.database.settings.issuer)
    claims = checked["claims"]
    assert claims["sub"] == user_id
    assert claims["promise"] in letter["text"]
    assert {purpose["permission"] for purpose in claims["purposes"]} == {"never"}
    assert {purpose["decision"] for purpose in claims["purposes"]} == {"never asked"}


async def test_receipts_are_checked_by_other_code_than_ours_after_five_rotations(service, caller, jose, ring):
    """RCP-01: under both algorithms; a retired key stays published while receipts live."""
    user_id = await an_account(caller, email="anna@example.com")
    kept = [await receipt_of(caller, user_id)]
    for algorithm in ("EdDSA", "ES256", "EdDSA", "ES256", "EdDSA"):
        await rotate(service, algorithm)
        again = await service.caller(name=f"after {len(kept)}")
        kept.append(await receipt_of(again, user_id))
    checked = [await jose(receipt, typ=TYPE, issuer=service.database.settings.issuer) for receipt in kept]
    assert [c["header"]["alg"] for c in checked] == ["ES256", "EdDSA", "ES256", "EdDSA", "ES256", "EdDSA"]
    assert len({c["header"]["kid"] for c in checked}) == 6
    assert {c["claims"]["sub"] for c in checked} == {user_id}
    keys = service.database.keys.published()
    for receipt in kept:
        receipts.check_receipt(receipt, keys, issuer=service.database.settings.issuer, now=service.clock())


async def test_other_code_refuses_what_we_refuse(service, caller, jose):
    """RCP-01, RCP-03: an altered byte, another type, another issuer."""
    receipt = await receipt_of(caller, await an_account(caller))
    issuer = service.database.settings.issuer
    head, body, signature = receipt.split(".")
    altered = encoding.base64url_encode(encoding.base64url_decode(body).replace(b'"never"', b'"maybe"'))
    assert "claims" in await jose(receipt, typ=TYPE, issuer=issuer)
    assert "refused" in await jose(f"{head}.{altered}.{signature}", typ=TYPE, issuer=issuer)
    assert "refused" in await jose(receipt, typ="at+jwt", issuer=issuer)
    assert "refused" in await jose(receipt, typ=TYPE, issuer="https://id.example.org")
    assert "refused" in await jose(receipt, typ=TYPE, issuer=issuer, jwks={"keys": []})


async def test_a_receipt_has_the_fields_that_its_schema_names(service, caller):
    """RCP-02: with nothing said, with a grant, and with a withdrawal."""
    customer = await a_customer(caller, service)
    validator = jsonschema_rs.validator_for(SCHEMA)
    validator.validate(claims_of(await receipt_of(caller, customer.user_id)))
    await customer.grants()
    granted = claims_of(await receipt_of(caller, customer.user_id))
    validator.validate(granted)
    await withdraw(caller, customer.user_id, "post")
    validator.validate(claims_of(await receipt_of(caller, customer.user_id)))
    with pytest.raises(jsonschema_rs.ValidationError):
        validator.validate({**granted, "email": customer.email})


async def test_a_receipt_tells_decision_wording_and_the_place_in_the_ledger(service, caller):
    """RCP-02: the very words that the customer read, with their hash."""
    customer = await a_customer(caller, service, locale="de")
    await customer.grants()
    claims = claims_of(await receipt_of(caller, customer.user_id))
    (said,) = (purpose for purpose in claims["purposes"] if purpose["purpose"] == "email")
    (entry,) = await service.rows("SELECT id, occurred_at FROM consent_entry")
    assert (said["decision"], said["permission"]) == ("granted", "allowed")
    assert said["since"] == f"{entry.occurred_at:%Y-%m-%dT%H:%M:%SZ}"
    assert said["event"] == {"entry": entry.id, "channel": "page", "actor": "customer"}
    assert (said["notice"]["id"], said["notice"]["language"]) == (WORDING, "de")
    assert said["notice"]["sha256"] == hashlib.sha256(said["notice"]["text"].encode()).hexdigest()
    assert claims["ledger_entry"] == entry.id
    assert claims["record_id"] == f"{customer.user_id}/{entry.id}"


async def test_a_receipt_promises_only_what_holds(service, caller):
    """RCP-02: beside a yes there is no sentence that no marketing will come; after the no it is back."""
    customer = await a_customer(caller, service)
    promised = claims_of(await receipt_of(caller, customer.user_id))["promise"]
    assert promised.startswith("We'll never send you marketing.")
    await customer.grants("post")
    assert claims_of(await receipt_of(caller, customer.user_id))["promise"] is None
    await customer.withdraws("post")
    assert claims_of(await receipt_of(caller, customer.user_id))["promise"] == promised


async def test_a_receipt_holds_no_address_and_no_name(service, caller):
    """RCP-06: not of the customer, not of the clerk, not of the service that proposed."""
    user_id = await an_account(caller, email="anna@example.com", display_name="Anna Schmidt", external_ref="ref-17")
    await propose(caller, user_id, evidence="she called from 555-0100")
    await withdraw(caller, user_id)
    receipt = await receipt_of(caller, user_id)
    said = json.dumps(claims_of(receipt))
    for secret in ("anna", "@", "Schmidt", "ref-17", "555", caller.client_id, "shop"):
        assert secret not in said.lower().replace("example shop", "")


async def test_each_change_gives_a_new_receipt_that_names_the_one_before(service, caller):
    """RCP-05: a proposal is no change; a word of the customer is."""
    customer = await a_customer(caller, service)
    claims = [claims_of(await receipt_of(caller, customer.user_id))]
    await propose(caller, customer.user_id)
    proposed = claims_of(await receipt_of(caller, customer.user_id))
    assert proposed["receipt_id"] == claims[0]["receipt_id"]
    for step in (customer.grants, customer.withdraws, customer.grants):
        await step()
        claims.append(claims_of(await receipt_of(caller, customer.user_id)))
    assert len({c["receipt_id"] for c in claims}) == 4
    assert [c["previous_receipt_id"] for c in claims] == [None, *(c["receipt_id"] for c in claims[:3])]


async def test_a_receipt_is_superseded_by_the_customers_word_alone(service, caller, owner):
    """RCP-05: also where it was said under the User ID that answers by now."""
    customer = await a_customer(caller, service)
    other = await an_account(caller, email="ben@example.com")
    old = receipts.check_receipt(
        await receipt_of(caller, customer.user_id), service.database.keys.published(),
        issuer=service.database.settings.issuer, now=service.clock(),
    )  # fmt: skip

    async def superseded() -> bool:
        return await service.database.in_transaction(lambda s: receipts.is_superseded(s, old))

    assert await superseded() is False
    await propose(caller, customer.user_id)
    assert await superseded() is False
    await merge(owner, customer.user_id, other)
    service.clock.advance(seconds=5)
    assert await superseded() is False
    await withdraw(caller, other)
    assert await superseded() is True


async def test_a_receipt_opens_no_door(service, caller):
    """RCP-04, OAU-27: not as a token, not as an assertion, not as a cookie, not as a letter's link."""
    customer = await a_customer(caller, service)
    await customer.grants()
    receipt = await receipt_of(caller, customer.user_id)
    for path in ("/v1/events", f"/v1/accounts/{customer.user_id}", "/v1/audit/events"):
        answer = await service.http.get(path, headers={"Authorization": f"Bearer {receipt}"})
        assert answer.status_code == 401
    me = await service.http.get("/me", headers={"Cookie": f"__Host-session={receipt}", "Accept": "text/html"})
    assert (me.status_code, me.headers["location"]) == (303, "/signin")
    path, _ = await customer.link("You said yes")
    assert await customer.presses(path, receipt) == 410
    assert await allowed(caller, customer.user_id) == [customer.user_id]
    introspected = await service.http.post(
        "/oauth/introspect", data={"token": receipt}, auth=(caller.client_id, caller.client_secret)
    )
    assert introspected.json() == {"active": False}


async def test_the_customer_gets_his_receipt_on_his_page(service, caller, jose):
    """RCP-03, ASVS 5.4.1, 5.4.2: the same as over the API, as a file under a name of ours."""
    customer = await a_customer(caller, service)
    await customer.grants()
    answer = await customer.browser.open("/me/receipt")
    assert answer.headers["content-disposition"] == f'attachment; filename="receipt-{customer.user_id}.jwt"'
    checked = await jose(answer.text, typ=TYPE, issuer=service.database.settings.issuer)
    assert checked["claims"] == claims_of(await receipt_of(caller, customer.user_id))


async def test_the_receipt_of_a_joined_id_is_the_one_of_the_account_that_answers(service, caller, owner):
    """PRV-17: a customer with the old User ID gets what holds."""
    customer = await a_customer(caller, service)
    await customer.grants()
    old = await an_account(caller)
    await merge(owner, old, customer.user_id)
    assert claims_of(await receipt_of(caller, old))["sub"] == customer.user_id
