"""Postmark, which does not sign: our secret stands in the address of the webhook or in a header."""

from typing import Final

from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.webhooks import (
    AUTOREPLY,
    BOUNCED,
    COMPLAINED,
    DELIVERED,
    DROPPED,
    GONE,
    IGNORED,
    Event,
    Meaning,
    Provider,
    Report,
    first_text,
    member,
)


def _read(event: Event) -> Report:
    content = event.content
    record, kind = first_text(content.get("RecordType")), first_text(content.get("Type"))
    if record == "SubscriptionChange":
        stops = content.get("SuppressSending") is True and content.get("Origin") == "Recipient"
        kind = first_text(content.get("SuppressionReason")) if stops else ""
    at = next((content[name] for name in ("DeliveredAt", "BouncedAt", "ChangedAt") if content.get(name)), None)
    number = content.get("ID") or (at if record == "SubscriptionChange" else "")
    return Report(
        names=(f"{record} {kind}".strip(), record),
        event_id=f"{content.get('MessageID')}:{record}:{number or ''}",
        given=(member(content, "Metadata", "msg"),),
        at=at,
        words=first_text(content.get("Details"), content.get("Description")),
    )


_MEANINGS: Final = {
    "Delivery": DELIVERED,
    "SpamComplaint": COMPLAINED,
    "SubscriptionChange ManualSuppression": COMPLAINED,
    "SubscriptionChange": IGNORED,
    "Open": IGNORED,
    "Click": IGNORED,
    "Bounce": Meaning("bounced", otherwise="other"),
    "Bounce HardBounce": GONE,
    "Bounce BadEmailAddress": GONE,
    "Bounce SoftBounce": BOUNCED,
    "Bounce Blocked": BOUNCED,
    "Bounce DMARCPolicy": BOUNCED,
    "Bounce Transient": Meaning("bounced", otherwise="delayed"),
    "Bounce DnsError": Meaning("bounced", otherwise="delayed"),
    "Bounce SMTPApiError": DROPPED,
    "Bounce ManuallyDeactivated": DROPPED,
    "Bounce Unconfirmed": DROPPED,
    "Bounce TemplateRenderingFailed": DROPPED,
    "Bounce SpamComplaint": COMPLAINED,
    "Bounce Unsubscribe": COMPLAINED,
    "Bounce AutoResponder": AUTOREPLY,
    "Bounce ChallengeVerification": AUTOREPLY,
    "Bounce AddressChange": AUTOREPLY,
    "Bounce Subscribe": AUTOREPLY,
    "Bounce OpenRelayTest": IGNORED,
    "Bounce InboundError": IGNORED,
}

PROVIDER: Final = Provider(webhooks.check_shared_secret, _read, _MEANINGS, ("X-PM-Metadata-msg", "{id}"))
