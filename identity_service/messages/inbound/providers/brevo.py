"""Brevo, which does not sign: our secret is the bearer token or password of the webhook; events may come in batches."""

from typing import Final

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
    first_text,
)


def _read(event: Event) -> Report:
    """Read an event of Brevo, which has no id of its own; only `ts_epoch` (milliseconds) is certainly in UTC."""
    content, name = event.content, first_text(event.content.get("event"))
    at = next((content[key] for key in ("ts_epoch", "ts_event", "ts") if content.get(key)), None)
    return Report(
        names=(name,),
        event_id=f"{content.get('message-id')}:{name}:{at}",
        given=(content.get("X-Mailin-custom"), content.get("message-id")),
        at=at,
        words=first_text(content.get("reason")),
    )


_MEANINGS: Final = {
    "request": ACCEPTED,
    "sent": ACCEPTED,
    "delivered": DELIVERED,
    "deferred": DELAYED,
    "hard_bounce": GONE,
    "soft_bounce": BOUNCED,
    "invalid_email": GONE,
    "blocked": DROPPED,
    "error": DROPPED,
    "spam": COMPLAINED,
    "complaint": COMPLAINED,
    "unsubscribe": COMPLAINED,
    "unsubscribed": COMPLAINED,
    **dict.fromkeys("opened unique_opened proxy_open unique_proxy_open click list_addition".split(), IGNORED),
}

PROVIDER: Final = Provider(webhooks.check_shared_secret, _read, _MEANINGS, ("X-Mailin-custom", "{id}"))
