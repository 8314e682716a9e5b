"""Amazon's notification service, played: it signs for a topic and serves its certificate (no network)."""

import base64
import json
import uuid
from datetime import timedelta

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID

from identity_service.messages.inbound import sns

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


def named(**attributes: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in attributes.items()])


SUBJECT = named(COMMON_NAME="sns.amazonaws.com")
ISSUER = named(COUNTRY_NAME="US", ORGANIZATION_NAME="Amazon", COMMON_NAME="Amazon RSA 2048 M01")


def made(key, now, days: int = 30, subject: x509.Name = SUBJECT, issuer: x509.Name = ISSUER) -> bytes:
    """Return a certificate for this key."""
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM)


class Sns:
    """Signs as SNS does, and serves its certificate."""

    def __init__(self, service, key) -> None:
        self.service, self.key, self.fetched = service, key, []
        self.answers: dict[str, bytes | Exception] = {CERTIFICATE: made(key, service.clock())}
        service.app.state.fetch = self.fetch
        settings = service.database.settings.model_copy(update={"ses_sns_topic_arn": TOPIC})
        service.database.settings = settings

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        answer = self.answers.get(url, b"")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def envelope(self, event: dict | str, **changed) -> dict:
        at = f"{self.service.clock():%Y-%m-%dT%H:%M:%S.000Z}"
        return {
            "Type": "Notification", "MessageId": str(uuid.uuid4()), "TopicArn": TOPIC, "Timestamp": at,
            "Message": event if isinstance(event, str) else json.dumps(event), "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE, **changed,
        }  # fmt: skip

    def sign(self, envelope: dict, algorithm=None) -> dict:
        fields = sns.SIGNED.get(envelope["Type"], ())
        text = "".join(f"{name}\n{envelope[name]}\n" for name in fields if name in envelope)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), algorithm or hashes.SHA256())
        return {**envelope, "Signature": base64.b64encode(signature).decode()}

    async def send(self, envelope: dict) -> httpx2.Response:
        # SNS says text/plain, and knows no token of ours.
        return await self.service.http.post(
            "/webhooks/ses", content=json.dumps(envelope), headers={"Content-Type": "text/plain; charset=UTF-8"}
        )

    async def tell(self, event: dict, **changed) -> httpx2.Response:
        return await self.send(self.sign(self.envelope(event, **changed)))


def event(name: str, message_id: str, **more) -> dict:
    return {"eventType": name, "mail": {"tags": {"msg": [uuid.UUID(message_id).hex]}}, **more}


def bounce(message_id: str, kind: str = "Permanent", subtype: str = "General") -> dict:
    recipient = {"emailAddress": "anna@example.com", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
    said = {"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": [recipient]}
    return event("Bounce", message_id, bounce={**said, "timestamp": "2026-03-01T12:00:00.000Z"})


async def page(caller, message_id: str) -> dict:
    return (await caller.get(f"/v1/messages/{message_id}")).json()
