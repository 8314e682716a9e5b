"""Mailgun, which signs a timestamp and a token, not the event: keep its signing key from its other receivers."""

import hashlib
import hmac
from typing import Final

from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.dsn import UnreadableNotice
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
    member,
)


async def _check(webhook: Webhook) -> list[Event]:
    """Return the event if a timestamp and a token are signed with our key (HMAC-SHA256); the event itself is not."""
    key, content = webhook.key(str.encode), webhooks.read_json(webhook.body)
    given = [member(content, "signature", name) for name in ("timestamp", "token", "signature")]
    timestamp, token, signature = (str(value) if isinstance(value, str | int) else "" for value in given)
    wanted = hmac.new(key, f"{timestamp}{token}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    if not token or not hmac.compare_digest(wanted.encode(), signature.lower().encode("utf-8", "replace")):
        raise webhook.refusal("the signature does not match")
    event = member(content, "event-data")
    if not isinstance(event, dict):
        raise UnreadableNotice
    return [Event(event, token)]


def _read(event: Event) -> Report:
    content, name = event.content, first_text(event.content.get("event"))
    status = member(content, "delivery-status")
    severity, reason = first_text(content.get("severity")), first_text(content.get("reason"))
    code, number = member(status, "code"), content.get("id")
    said = (member(status, "message"), member(status, "description"), member(content, "reject", "reason"), reason)
    return Report(
        names=(f"{name} {severity} {reason}".strip(), f"{name} {severity}".strip(), name),
        event_id=f"{number}:{content.get('timestamp')}" if number else event.delivery_id,
        given=(member(content, "user-variables", "msg"), member(content, "message", "headers", "message-id")),
        at=content.get("timestamp"),
        words=first_text(*said),
        status=first_text(member(status, "enhanced-code")),
        code=code if isinstance(code, int) and 200 <= code <= 599 else None,
    )


_MEANINGS: Final = {
    "accepted": ACCEPTED,
    "delivered": DELIVERED,
    "failed": BOUNCED,
    "failed temporary": DELAYED,
    "failed permanent bounce": GONE,
    "failed permanent suppress-bounce": DROPPED,
    "failed permanent suppress-complaint": DROPPED,
    "failed permanent suppress-unsubscribe": DROPPED,
    "rejected": DROPPED,
    "complained": COMPLAINED,
    "unsubscribed": COMPLAINED,
    "opened": IGNORED,
    "clicked": IGNORED,
    "stored": IGNORED,
}

PROVIDER: Final = Provider(_check, _read, _MEANINGS, ("X-Mailgun-Variables", '{"msg": "{id}"}'), read_key=str.encode)
