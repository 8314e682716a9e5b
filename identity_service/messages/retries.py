"""Send a message again: at once while it is pending, as a successor once it is final."""

import uuid
from datetime import datetime
from math import ceil

from sqlalchemy import func, select, update

from identity_service import entry_points
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import actions, rules, suppressions
from identity_service.messages.tables import Message
from identity_service.values import phone_numbers, uuid7
from identity_service.values.email_addresses import EmailAddress
from identity_service.web.rate_limits import TooManyRequests


async def retry_message(
    session: DatabaseSession,
    message_id: uuid.UUID,
    *,
    relay: str | None,
    despite_suppression: bool = False,
    actor: str,
    now: datetime,
) -> uuid.UUID:
    """Make a pending message due now, preferring `relay` if one is named; enqueue a successor for a final one.

    Return the id of the message whose timeline to follow. Rows in a final state are not changed. A suppressed address
    gets this one message with `despite_suppression`.

    Raises:
        rules.UnknownMessage, UnknownRelay, CannotRetry, TokenEnded, AddressSuppressed; TooManyRequests
    """
    message = await actions.find_message(session, message_id, lock=True)
    known = session.settings.carriers if message.channel == "text" else session.settings.relays
    if relay is not None and relay not in {one.name for one in known}:
        raise rules.UnknownRelay
    successor = message_id if message.state in rules.PENDING else uuid7.new_uuid7(now)
    data = {"message_id": message_id, "successor": successor, "relay": relay}
    await events.record_event(session, "mail.retried", user_id=message.user_id, actor=actor, data=data, now=now)
    if message.state in rules.PENDING:
        due_now = {} if message.state == "sending" else {"next_attempt_at": now}
        change = update(Message).where(Message.id == message_id)
        await session.execute(change.values(prefer_relay=relay or message.prefer_relay, **due_now))
    else:
        await _check_repeatable(session, message, despite_suppression=despite_suppression, now=now)
        await _enqueue_successor(session, message, successor, relay=relay, actor=actor, now=now)
    await actions.notify_workers(session)
    return successor


async def _check_repeatable(
    session: DatabaseSession, message: Message, *, despite_suppression: bool, now: datetime
) -> None:
    """Refuse to send a message once more if its link has ended, its address is suppressed, or it was sent often."""
    token_id = message.facts.get("token")
    has_ended = entry_points.load("one_time_tokens.actions:has_ended")
    if token_id is not None and await has_ended(session, uuid.UUID(token_id), now=now):
        raise rules.TokenEnded
    recent = select(func.count(), func.min(Message.created_at)).where(
        Message.resend_of == (message.resend_of or message.id), Message.created_at > now - rules.RETRIES_COUNTED_FOR
    )
    sent, first = (await session.execute(recent)).one()
    if sent >= rules.RETRIES_PER_MESSAGE:
        raise TooManyRequests(retry_after=max(1, ceil((first + rules.RETRIES_COUNTED_FOR - now).total_seconds())))
    if not despite_suppression and message.recipient_hash is not None:
        suppressed = suppressions.suppression_values(message.recipient_hash, message.kind, now=now)
        if await session.scalar(select(suppressions.IS_SUPPRESSED), suppressed):
            raise rules.AddressSuppressed


async def _enqueue_successor(
    session: DatabaseSession, message: Message, successor: uuid.UUID, *, relay: str | None, actor: str, now: datetime
) -> None:
    if message.recipient is None or message.recipient_ascii is None:
        raise rules.CannotRetry
    address: actions.Recipient = EmailAddress(
        message.recipient, message.recipient_ascii, message.recipient_ascii.lower()
    )
    if message.channel == "text":
        address = phone_numbers.of_e164(message.recipient)
    await actions.enqueue(
        session, message.kind, to=address, user_id=message.user_id, locale=message.locale, facts=message.facts,
        message_id=successor, resend_of=message.resend_of or message.id, prefer_relay=relay, anyway=True,
        cause="mail.retried", actor=actor, now=now,
    )  # fmt: skip
