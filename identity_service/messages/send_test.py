"""Send a test message through the outbox and report the SMTP transcript."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from identity_service import translations
from identity_service.database.transactions import Database, DatabaseSession, database_now
from identity_service.events import actions as events
from identity_service.messages import actions, descriptions
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.rendering import EmailBuilder
from identity_service.values.email_addresses import EmailAddress

SECONDS: Final = 90
POLL_SECONDS: Final = 0.2


async def send_test_message(
    database: Database,
    builders: Mapping[str, EmailBuilder],
    address: EmailAddress,
    *,
    client: str,
    brand: str | None = None,
    locale: str = translations.SOURCE,
    facts: dict[str, Any] | None = None,
) -> AsyncIterator[str]:
    """Enqueue a test message, run a sender until it is final, and yield the transcript; the last line is its state.

    `facts` may name other `words`, with the values of their places.
    """

    async def enqueue(session: DatabaseSession) -> uuid.UUID:
        now = await database_now(session)
        session.brand = brand
        await events.record_event(session, "mail.test_requested", actor=client, now=now)
        return await actions.enqueue(
            session, "test", to=address, user_id=None, locale=locale, facts=facts, anyway=True,
            cause="mail.test_requested", actor=client, now=now,
        )  # fmt: skip

    message_id = await database.in_transaction(enqueue)
    yield f"message {message_id}"
    sender = OutboxSender(database, builders)
    running = asyncio.create_task(sender.run())
    try:
        async for line in _follow(database, message_id):
            yield line
    finally:
        sender.stop()
        await running


async def _follow(database: Database, message_id: uuid.UUID) -> AsyncIterator[str]:
    reported, until = set[int](), asyncio.get_running_loop().time() + SECONDS
    while True:
        timeline = await database.in_transaction(lambda session: actions.load_timeline(session, message_id))
        for attempt in timeline.attempts:
            if attempt.outcome is not None and attempt.attempt_no not in reported:
                reported.add(attempt.attempt_no)
                for line in attempt.transcript or []:
                    reply = f"{line['code'] or '---'} {line['text']}"
                    yield f"  {attempt.relay}  {line['verb']:<10} {reply}  ({line['ms']} ms)"
                yield descriptions.describe_attempt(
                    attempt.reply_class, attempt.outcome, attempt.relay, attempt.enhanced
                )
        message = timeline.message
        if descriptions.is_final(message.state) or asyncio.get_running_loop().time() > until:
            yield f"{message.state}: {descriptions.describe_message(message.state, None, message.next_attempt_at)}"
            return
        await asyncio.sleep(POLL_SECONDS)


def was_accepted(last_line: str) -> bool:
    """Return whether the last line reports that a relay took the message."""
    return last_line.partition(":")[0] in ("accepted", "delivered")
