"""SendGrid, which signs timestamp and body with a key pair of the event webhook; events come in batches."""

import base64
import re
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.webhooks import (
    ACCEPTED,
    BOUNCED,
    COMPLAINED,
    DELAYED,
    DELIVERED,
    DROPPED,
    GONE,
    IGNORED,
    Event,
    Provider,
    Report,
    Webhook,
    first_text,
)


def _key(text: str) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(base64.b64decode(re.sub(r"-----[A-Z ]+-----|\s", "", text), validate=True))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("not an elliptic curve key")
    return key


async def _check(webhook: Webhook) -> list[Event]:
    """Return the events if timestamp and body are signed with the private key of our event webhook (ECDSA, SHA-256)."""
    key, prefix = webhook.key(_key), "x-twilio-email-event-webhook-"
    timestamp, signature = (webhook.headers.get(prefix + name, "") for name in ("timestamp", "signature"))
    try:
        decoded = base64.b64decode(signature, validate=True)
        key.verify(decoded, timestamp.encode() + webhook.body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as refused:
        raise webhook.refusal("the signature does not match") from refused
    return webhooks.read_events(webhook.body)


def _read(event: Event) -> Report:
    content, name = event.content, first_text(event.content.get("event"))
    kind, reason = first_text(content.get("type")), first_text(content.get("bounce_classification"))
    sent, at = first_text(content.get("sg_message_id")), content.get("timestamp")
    return Report(
        names=(f"{name} {kind} {reason}".strip(), f"{name} {kind}".strip(), name),
        event_id=first_text(content.get("sg_event_id"), f"{sent}:{name}:{at}"),
        given=(content.get("msg"), content.get("smtp-id")),
        at=at,
        words=first_text(content.get("reason"), content.get("response"), reason),
        status=first_text(content.get("status")),
    )


_MEANINGS: Final = {
    "processed": ACCEPTED,
    "delivered": DELIVERED,
    "deferred": DELAYED,
    "bounce": BOUNCED,
    "bounce bounce": GONE,
    **{
        f"bounce bounce {reason}": BOUNCED
        for reason in ("Content", "Reputation", "Frequency or Volume Too High", "Mailbox Unavailable",
                       "Technical Failure", "Unclassified")
    },
    "blocked": BOUNCED,
    "dropped": DROPPED,
    "spamreport": COMPLAINED,
    "unsubscribe": COMPLAINED,
    "group_unsubscribe": COMPLAINED,
    "group_resubscribe": IGNORED,
    "open": IGNORED,
    "click": IGNORED,
}  # fmt: skip

PROVIDER: Final = Provider(_check, _read, _MEANINGS, ("X-SMTPAPI", '{"unique_args": {"msg": "{id}"}}'), read_key=_key)
