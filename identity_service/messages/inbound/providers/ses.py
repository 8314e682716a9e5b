"""Amazon SES, whose events SNS delivers and signs."""

from typing import Final, NamedTuple

from identity_service.messages.inbound import delivery_status, sns, verdicts, webhooks
from identity_service.messages.inbound.webhooks import (
    ACCEPTED,
    BOUNCED,
    COMPLAINED,
    DELAYED,
    DELIVERED,
    DROPPED,
    GONE,
    IGNORED,
    OTHER,
    Event,
    Meaning,
    Provider,
    Report,
    first_text,
    member,
)


def _read(event: Event) -> Report:
    """Read an event of SES: a bounce with a status report inside has failed, unless that says something else.

    A transient bounce without one may be an automatic answer: SES tells "out of office" in this way.
    """
    content, name = event.content, first_text(event.content.get("eventType"), event.content.get("notificationType"))
    detail = member(content, {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}.get(name, name.lower()))
    kind, subtype = first_text(member(detail, "bounceType")), first_text(member(detail, "bounceSubType"))
    if name == "Complaint":
        complaint = first_text(member(detail, "complaintSubType"), member(detail, "complaintFeedbackType"))
        kind, subtype = complaint, ""
    worst = _worst(member(detail, "delayedRecipients" if name == "DeliveryDelay" else "bouncedRecipients"))
    if name == "Bounce" and worst.action in ("delayed", "delivered", "relayed"):
        name, kind, subtype = worst.action, "", ""
    at = member(detail, "timestamp") or member(content, "mail", "timestamp")
    sent, feedback = first_text(member(content, "mail", "messageId")), first_text(member(detail, "feedbackId"))
    tags, headers = member(content, "mail", "tags", "msg"), member(content, "mail", "headers")
    reasons = (member(detail, field) for field in ("reason", "errorMessage", "delayType"))
    return Report(
        names=(f"{name} {kind} {subtype}".strip(), f"{name} {kind}".strip(), name),
        event_id=f"{sent}:{name}:{feedback or at}" if sent else event.delivery_id,
        given=(*(tags if isinstance(tags, list) else [tags]), *webhooks.header_ids(headers)),
        at=at,
        words=first_text(worst.diagnosis, *reasons, subtype, kind, name),
        status=worst.status,
        has_failed=worst.action == "failed" or bool(worst.status or worst.diagnosis),
    )


class _Recipient(NamedTuple):
    """What SES says of one recipient; an action is one of `delivery_status`, or None if the event names none."""

    action: str | None
    status: str
    diagnosis: str

    @property
    def severity(self) -> tuple[int, int]:
        """Return how bad this is; without an action a code or diagnosis is a failure."""
        action = self.action or ("failed" if self.status or self.diagnosis else None)
        return _ACTIONS.index(action), verdicts.severity(self.status, self.diagnosis)


_ACTIONS: Final = (None, "delivered", "relayed", "delayed", "failed")


def _worst(recipients: object) -> _Recipient:
    """Return the recipient whose delivery ended worst: all of them stand for ours."""
    given = recipients[: webhooks.MAXIMUM_RECIPIENTS] if isinstance(recipients, list) else []
    read = [_read_recipient(recipient) for recipient in given]
    return max(read, key=lambda recipient: recipient.severity, default=_Recipient(None, "", ""))


def _read_recipient(recipient: object) -> _Recipient:
    status, diagnosis = first_text(member(recipient, "status")), first_text(member(recipient, "diagnosticCode"))
    action = delivery_status.read_action(first_text(member(recipient, "action"))[:1000])
    settled = delivery_status.settle_action(action, status[:1000], webhooks.without_type(diagnosis)) if action else None
    return _Recipient(settled, status, diagnosis)


_MEANINGS: Final = {
    "Send": ACCEPTED,
    "Delivery": DELIVERED,
    "DeliveryDelay": DELAYED,
    "delayed": DELAYED,
    "delivered": DELIVERED,
    "relayed": Meaning("relayed"),
    "Reject": DROPPED,
    "Rendering Failure": DROPPED,
    "Bounce": BOUNCED,
    "Bounce Permanent General": GONE,
    "Bounce Permanent NoEmail": GONE,
    "Bounce Permanent Suppressed": DROPPED,
    "Bounce Permanent OnAccountSuppressionList": DROPPED,
    "Bounce Permanent UnsubscribedRecipient": DROPPED,
    "Bounce Transient General": Meaning("bounced", otherwise="autoreply"),
    "Bounce Undetermined": Meaning("bounced", otherwise="other"),
    "Complaint": COMPLAINED,
    "Complaint OnAccountSuppressionList": DROPPED,
    "Complaint not-spam": DELIVERED,
    "Complaint auth-failure": OTHER,
    "Complaint other": OTHER,
    "Open": IGNORED,
    "Click": IGNORED,
    "Subscription": IGNORED,
}

PROVIDER: Final = Provider(sns.check_notification, _read, _MEANINGS, ("X-SES-MESSAGE-TAGS", "msg={id}"))
