"""Responses about messages, limited to what the caller may see."""

from typing import Any

from identity_service.messages import actions, descriptions
from identity_service.messages.schemas import MessageWithTimeline, TimelineEntry
from identity_service.values import email_addresses, user_ids
from identity_service.web import authentication


def _fields(message: Any, *, whole: bool) -> dict[str, Any]:  # noqa: ANN401
    return {
        "id": message.id,
        "kind": message.kind,
        "user_id": None if message.user_id is None else user_ids.show(message.user_id),
        "to": message.recipient if whole or message.recipient is None else email_addresses.mask(message.recipient),
        "state": message.state,
        "channel": message.channel,
        "sentence": descriptions.describe_message(
            message.state, message.last_class, message.next_attempt_at, channel=message.channel
        ),
        "created_at": message.created_at,
        "state_changed_at": message.state_changed_at,
        "next_attempt_at": message.next_attempt_at,
        "deadline_at": message.deadline_at,
        "attempts": message.attempts,
        "accepted_at": message.accepted_at,
        "accepted_relay": message.accepted_relay,
        "relay_queue_id": message.relay_queue_id,
        "may_arrive_twice": message.possibly_sent,
        "delayed_since": message.delayed_since,
        "resend_of": message.resend_of,
    }


def sees_addresses(caller: authentication.Client) -> bool:
    """Return whether a caller gets whole addresses, where it names one customer, address or message."""
    return "accounts:read_personal" in caller.scopes


def message_view(loaded: actions.MessageTimeline, caller: authentication.Client) -> MessageWithTimeline:
    """Return a message with its timeline; addresses are masked unless the client may read personal data."""
    whole = sees_addresses(caller)
    entries = descriptions.describe_timeline(loaded.message, loaded.attempts, loaded.feedback)
    if not whole:
        for entry in entries:
            entry["reply"] = email_addresses.mask_all(entry.get("reply"))
    timeline = [TimelineEntry(**entry) for entry in entries]
    return MessageWithTimeline(**_fields(loaded.message, whole=whole), timeline=timeline)
