"""Resend, which signs as Standard Webhooks and Svix do, and repeats the headers of the message."""

import hmac
import re
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook as StandardWebhook

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
    Meaning,
    Provider,
    Report,
    Webhook,
    first_text,
    member,
)


def _key(text: str) -> StandardWebhook:
    if not text.removeprefix("whsec_"):
        raise ValueError("an empty secret")
    return StandardWebhook(text)


async def _check(webhook: Webhook) -> list[Event]:
    """Return the event if it is signed with our secret, as Standard Webhooks and Svix do (HMAC-SHA256).

    The library's `verify` refuses what is older than five minutes, so only its signature is used.
    """
    key = webhook.key(_key)
    prefix = "webhook-" if "webhook-id" in webhook.headers else "svix-"
    number, timestamp, signatures = (
        webhook.headers.get(prefix + name, "") for name in ("id", "timestamp", "signature")
    )
    if not number or not re.fullmatch(r"[1-9]\d{0,10}", timestamp):
        raise webhook.refusal("its id or timestamp is missing")
    try:
        wanted = key.sign(number, datetime.fromtimestamp(int(timestamp), UTC), webhook.body.decode())
    except ValueError as refused:
        raise UnreadableNotice from refused
    if not any(hmac.compare_digest(wanted.encode(), given.encode()) for given in signatures.split(" ")):
        raise webhook.refusal("the signature does not match")
    return [event._replace(delivery_id=number) for event in webhooks.read_events(webhook.body)]


def _read(event: Event) -> Report:
    """Read an event of Resend, which passes on bounces of SES: without a diagnosis they may be automatic answers."""
    name, data = first_text(event.content.get("type")), event.content.get("data")
    kind, subtype = first_text(member(data, "bounce", "type")), first_text(member(data, "bounce", "subType"))
    diagnosis = webhooks.worst_text(member(data, "bounce", "diagnosticCode"))
    reasons = ("bounce", "message"), ("failed", "reason"), ("suppressed", "message")
    tags = member(data, "tags")
    listed = [member(tag, "value") for tag in tags if member(tag, "name") == "msg"] if isinstance(tags, list) else []
    return Report(
        names=(f"{name} {kind} {subtype}".strip(), f"{name} {kind}".strip(), name),
        event_id=event.delivery_id,
        given=(member(tags, "msg"), *listed, *webhooks.header_ids(member(data, "headers")), member(data, "message_id")),
        at=event.content.get("created_at"),
        words=first_text(diagnosis, *(member(data, *path) for path in reasons)),
        has_failed=bool(diagnosis),
    )


_MEANINGS: Final = {
    "email.sent": ACCEPTED,
    "email.delivered": DELIVERED,
    "email.delivery_delayed": DELAYED,
    "email.bounced": BOUNCED,
    "email.bounced Permanent": GONE,
    "email.bounced Permanent Suppressed": DROPPED,
    "email.bounced Permanent OnAccountSuppressionList": DROPPED,
    "email.bounced Permanent UnsubscribedRecipient": DROPPED,
    "email.bounced Transient General": Meaning("bounced", otherwise="autoreply"),
    "email.bounced Undetermined": Meaning("bounced", otherwise="other"),
    "email.suppressed": DROPPED,
    "email.failed": DROPPED,
    "email.complained": COMPLAINED,
    **{f"email.{name}": IGNORED for name in ("opened", "clicked", "scheduled", "received")},
}

PROVIDER: Final = Provider(_check, _read, _MEANINGS, read_key=_key)
