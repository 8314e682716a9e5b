"""The proof of origin of each provider beside SES and Postmark: what is altered, repeated, late, batched or unknown.

Bodies have the structure of real ones; keys are made here.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from tests.mail.given import a_letter
from tests.mail.sns import page

SECRET = "a-signing-key-of-the-hooks"
SVIX = base64.b64encode(b"thirty-two bytes of a Svix secret").decode()
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    CURVE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
KEYS = {"mailgun": SECRET, "sendgrid": PUBLIC, "brevo": SECRET, "resend": f"whsec_{SVIX}"}
LATE = "1700000000"


class Sent(NamedTuple):
    body: bytes
    headers: dict[str, str | bytes]


def mailgun(event: dict, at: str = LATE) -> Sent:
    token = uuid.uuid4().hex
    signature = hmac.new(SECRET.encode(), (at + token).encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": at, "token": token, "signature": signature}
    return Sent(json.dumps({"signature": signed, "event-data": event}).encode(), {})


def sendgrid(event: dict | list, at: str = LATE) -> Sent:
    body = json.dumps(event if isinstance(event, list) else [event]).encode() + b"\r\n"
    signature = base64.b64encode(CURVE.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    prefix = "X-Twilio-Email-Event-Webhook-"
    return Sent(body, {f"{prefix}Signature": signature, f"{prefix}Timestamp": at})


def brevo(event: dict | list) -> Sent:
    return Sent(json.dumps(event).encode(), {"Authorization": f"Bearer {SECRET}"})


def resend(event: dict, at: str = LATE, number: str = "msg_2W2D3qXLS5fOaPja1GDg7rF2CwB", prefix: str = "svix-") -> Sent:
    body = json.dumps(event, ensure_ascii=False).encode()
    wanted = hmac.new(base64.b64decode(SVIX), f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    signatures = f"v1,{base64.b64encode(bytes(32)).decode()} v1a,x v1,{base64.b64encode(wanted).decode()}"
    return Sent(body, {f"{prefix}id": number, f"{prefix}timestamp": at, f"{prefix}signature": signatures})


def events(message_id: str) -> dict[str, dict]:
    given = uuid.UUID(message_id).hex
    words = "550 5.1.1 user unknown"
    return {
        "mailgun": {
            "event": "failed", "severity": "permanent", "reason": "bounce", "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": 1772532005.15, "user-variables": {"msg": given},
            "delivery-status": {"code": 550, "message": words},
        },
        "sendgrid": {
            "event": "bounce", "type": "bounce", "sg_event_id": "a", "timestamp": 1772532005, "msg": given,
            "reason": words,
        },
        "brevo": {"event": "hard_bounce", "message-id": "<1@relay.example>", "ts_epoch": 1772532005000, "reason": words,
                  "X-Mailin-custom": given},
        "resend": {"type": "email.bounced", "created_at": "2026-03-03T10:00:05Z", "data": {
            "subject": "Ihr Änderungscode", "headers": [{"name": "X-Outbox-Id", "value": message_id}],
            "bounce": {"type": "Permanent", "subType": "General", "message": words}}},
    }  # fmt: skip


SEND: dict[str, Callable[..., Sent]] = {"mailgun": mailgun, "sendgrid": sendgrid, "brevo": brevo, "resend": resend}
PROVIDERS = list(SEND)


@pytest.fixture(autouse=True)
def keys(service) -> None:
    use_keys(service, KEYS)


def use_keys(service, keys: dict[str, str]) -> None:
    given = {name: SecretStr(key) for name, key in keys.items()}
    service.database.settings = service.database.settings.model_copy(update={"webhook_keys": given})


async def tell(service, provider: str, sent: Sent) -> int:
    headers = [(name.encode(), v if isinstance(v, bytes) else v.encode()) for name, v in sent.headers.items()]
    return (await service.http.post(f"/webhooks/{provider}", content=sent.body, headers=headers)).status_code


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_late_and_repeated_bounce_is_told_once(service, caller, provider):
    """ATT-65: signed years before, sent three times, and signed again."""
    message_id = await a_letter(service, "accepted")
    event = events(message_id)[provider]
    sent = SEND[provider](event)
    assert [await tell(service, provider, s) for s in (sent, sent, sent, SEND[provider](event))] == [200] * 4
    message = await page(caller, message_id)
    last = message["timeline"][-1]
    assert (message["state"], last["kind"], last["source"]) == ("bounced", "bounced", provider)
    assert (last["code"], last["enhanced"], last["reply"]) == (550, "5.1.1", "550 5.1.1 user unknown")
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]
    assert len((await caller.get("/v1/suppressions")).json()["items"]) == 1


def altered(sent: Sent) -> list[Sent]:
    """Return the request with another body, with another value of each header and without it."""
    body = sent.body.replace(b"5.1.1", b"5.1.2")
    changed = [] if b"token" in sent.body or "Authorization" in sent.headers else [Sent(body, sent.headers)]
    for name, value in sent.headers.items():
        others = {key: given for key, given in sent.headers.items() if key != name}
        changed += [Sent(sent.body, others), Sent(sent.body, {**others, name: value[:-2] + "xx"})]
        changed += [Sent(sent.body, {**others, name: ""}), Sent(sent.body, {**others, name: b"\xe4"})]
    if b"token" in sent.body:
        content = json.loads(sent.body)
        for name in content["signature"]:
            for value in ("", None, 7, [], "x", content["signature"][name] + "0"):
                forged = {**content, "signature": {**content["signature"], name: value}}
                changed.append(Sent(json.dumps(forged).encode(), {}))
        changed += [Sent(json.dumps({**content, "signature": value}).encode(), {}) for value in (None, "x", {})]
    return changed


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_was_altered_or_is_unsigned_is_refused_and_changes_nothing(service, caller, provider):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    for sent in altered(SEND[provider](events(message_id)[provider])):
        assert await tell(service, provider, sent) == 403, sent
    assert (await page(caller, message_id))["state"] == "accepted"
    assert await service.rows("SELECT 1 FROM feedback UNION ALL SELECT 1 FROM inbound_mail") == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_without_its_own_key_a_provider_is_refused_and_that_is_told_once(service, told, provider):
    """ATT-63: a key of another provider is none."""
    use_keys(service, {name: key for name, key in KEYS.items() if name != provider})
    for _ in range(3):
        assert await tell(service, provider, SEND[provider](events("0" * 32)[provider])) == 403
    assert len(told()) == 1
    assert "IDENTITY_WEBHOOK_" in told()[0]


@pytest.mark.parametrize(
    ("provider", "key"), [("sendgrid", "no key"), ("sendgrid", SVIX), ("resend", "whsec_"), ("resend", "whsec_ä")]
)
async def test_a_key_that_cannot_be_read_is_told_once(service, told, provider, key):
    service.database.settings = service.database.settings.model_copy(
        update={"webhook_keys": {provider: SecretStr(key)}}
    )
    for _ in range(2):
        assert await tell(service, provider, SEND[provider](events("0" * 32)[provider])) == 403
    assert told() == [f"IDENTITY_WEBHOOK_KEYS has no usable key for {provider}"]


@pytest.mark.parametrize("provider", ["sendgrid", "brevo"])
async def test_a_batch_is_read_event_by_event(service, caller, provider):
    """Of several messages, in any order, with unknown events and repetitions among them."""
    one, other = await a_letter(service, "accepted"), await a_letter(service, "accepted", "berta@example.com")
    first, second = events(one)[provider], events(other)[provider]
    second = {**second, "event": "delivered", "sg_event_id": "b", "message-id": "<2@relay.example>"}
    batch = [{**first, "event": "teleported"}, second, first, {**first, "event": "open"}, first]
    for _ in range(2):
        assert await tell(service, provider, SEND[provider](batch)) == 200
    assert [(await page(caller, m))["state"] for m in (one, other)] == ["bounced", "delivered"]
    assert await service.rows("SELECT count(*) FROM feedback") == [(2,)]


@pytest.mark.parametrize(
    "key", [f"-----BEGIN PUBLIC KEY-----\n{PUBLIC[:64]}\n{PUBLIC[64:]}\n-----END PUBLIC KEY-----\n", PUBLIC]
)
async def test_sendgrids_key_is_read_as_shown_or_as_pem(service, key):
    service.database.settings = service.database.settings.model_copy(
        update={"webhook_keys": {"sendgrid": SecretStr(key)}}
    )
    assert await tell(service, "sendgrid", sendgrid([])) == 200


@pytest.mark.parametrize("prefix", ["svix-", "webhook-"])
async def test_resend_may_use_the_names_of_svix_or_of_the_standard(service, prefix):
    assert await tell(service, "resend", resend({"type": "email.opened"}, prefix=prefix)) == 200


async def test_resends_signature_is_that_of_the_standards_library():
    """Byte for byte."""
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    body = '{"type": "email.sent", "subject": "Ä"}'
    theirs = Webhook(f"whsec_{SVIX}").sign("msg_1", datetime.fromtimestamp(int(LATE), UTC), body)
    ours = resend({"type": "email.sent", "subject": "Ä"}, number="msg_1")
    assert ours.body.decode() == body
    assert theirs in ours.headers["svix-signature"].split(" ")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_in_either_order_the_bounce_is_the_end(service, caller, provider):
    """ATT-65."""
    for order in ("delivered first", "bounced first"):
        message_id = await a_letter(service, "accepted", f"{order[0]}@example.com")
        bounced = {**events(message_id)[provider], "message-id": order}
        name = {"resend": "type"}.get(provider, "event")
        value = "email.delivered" if provider == "resend" else "delivered"
        delivered = {**bounced, name: value}
        first, last = (delivered, bounced) if order == "delivered first" else (bounced, delivered)
        for number in (f"{order} 1", f"{order} 2"):
            event = first if number.endswith("1") else last
            more = {"number": number} if provider == "resend" else {}
            sent = SEND[provider]({**event, "sg_event_id": number, "id": number}, **more)
            assert await tell(service, provider, sent) == 200
        assert (await page(caller, message_id))["state"] == "bounced"
