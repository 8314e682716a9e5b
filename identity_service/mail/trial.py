"""Send one test letter down the road that every letter takes, and tell what is said on the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Final

from identity_service.database import AsyncSession, Database, clock
from identity_service.email_addresses import EmailAddress
from identity_service.mail import actions, words
from identity_service.mail.courier import Courier
from identity_service.mail.letters import Composer

SECONDS: Final = 90
LOOK_EVERY: Final = 0.2


async def send(
    database: Database, composers: Mapping[str, Composer], address: EmailAddress, *, client: str
) -> AsyncIterator[str]:
    """Put a test letter into the outbox, help to bring it, and yield what is said; the last line tells its state."""

    async def put(session: AsyncSession) -> uuid.UUID:
        now = await clock(session)
        return await actions.put(
            session, "test", to=address, user_id=None, locale="en", anyway=True, cause="mail.test_asked",
            actor=client, now=now,
        )  # fmt: skip

    message_id = await database.short(put)
    yield f"message {message_id}"
    courier = Courier(database, composers)
    working = asyncio.create_task(courier.run())
    try:
        async for line in _follow(database, message_id):
            yield line
    finally:
        courier.stop()
        await working


async def _follow(database: Database, message_id: uuid.UUID) -> AsyncIterator[str]:
    told, until = set[int](), asyncio.get_running_loop().time() + SECONDS
    while True:
        fate = await database.short(lambda session: actions.fate(session, message_id))
        for attempt in fate.attempts:
            if attempt.outcome is not None and attempt.attempt_no not in told:
                told.add(attempt.attempt_no)
                for line in attempt.transcript or []:
                    said = f"{line['code'] or '---'} {line['text']}"
                    yield f"  {attempt.relay}  {line['verb']:<10} {said}  ({line['ms']} ms)"
                yield words.of_attempt(attempt.reply_class, attempt.outcome, attempt.relay, attempt.enhanced)
        if words.is_final(fate.message.state) or asyncio.get_running_loop().time() > until:
            yield f"{fate.message.state}: {words.of_message(fate.message.state, None, fate.message.next_attempt_at)}"
            return
        await asyncio.sleep(LOOK_EVERY)


def went_well(last_line: str) -> bool:
    """Tell from the last line whether a relay took the letter."""
    return last_line.partition(":")[0] in ("accepted", "delivered")
