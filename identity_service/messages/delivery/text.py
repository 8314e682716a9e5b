"""Deliver texts: the sender of the outbox with carriers in the place of relays, over HTTP instead of SMTP.

States, leases, attempts, fail-over and deadlines are those of emails. A refusal says that the carrier surely did not
take the text, so the next one may; after silence or a server error nobody knows: the text is tried again later, marked
that it may arrive twice, and counts once more in the day's budget (TXT-11).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from identity_service.carriers import Carrier
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.messages import text_budget, text_copy, text_rendering
from identity_service.messages.carriers.registry import interface_of
from identity_service.messages.delivery.queue import AttemptReport, ClaimedMessage
from identity_service.messages.delivery.relays import Breaker, Relays
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.text_rendering import TextEnvelope
from identity_service.settings import Settings
from identity_service.web import outbound

_NO_ANSWER: Final = "the connection ended without a complete answer"


class CarrierClient:
    """Hands texts to one carrier, at most `connections` at a time."""

    def __init__(self, carrier: Carrier, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self.interface, self._settings = interface_of(carrier), settings
        self._slots = asyncio.Semaphore(carrier.connections)

    async def deliver(self, envelope: TextEnvelope, *, priority: int) -> AttemptReport:
        """Send one text and return the report; never raises for anything a carrier does."""
        del priority
        name = self.interface.carrier.name
        async with self._slots:
            wanted = self.interface.request(
                to=envelope.recipient, text=envelope.text, message_id=envelope.message_id,
                report_url=envelope.report_url(name),
            )  # fmt: skip
            clock = asyncio.get_running_loop().time
            began, code = clock(), None
            try:
                code, body = await outbound.post(self._settings, wanted.url, wanted.headers, wanted.body)
            except outbound.NOT_SENT as problem:
                report = AttemptReport("connect", "relay_fault", "unavailable", reply=type(problem).__name__)
            except outbound.FAILURES:
                report = AttemptReport("payload", "unknown", "unknown", reply=_NO_ANSWER)
            else:
                answer = self.interface.read_answer(code, body, text_copy.codes_in(envelope.text))
                report = AttemptReport("eod", answer.outcome, answer.reply_class, reply=answer.words)
                report.code, report.queue_id = code, answer.carrier_id
            report.relay, report.duration_ms = name, int((clock() - began) * 1000)
            report.transcript = [{"verb": "POST", "code": code, "text": report.reply, "ms": report.duration_ms}]
            return report

    async def close(self) -> None:
        """Do nothing: no connection outlives its request."""


class Carriers(Relays):
    """The carriers of one worker, in order of preference."""

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime]) -> None:
        """Create a client and a breaker per carrier; nothing is connected yet."""
        super().__init__((), local_hostname="", clock=clock)
        self.pools.update({one.name: CarrierClient(one, settings) for one in settings.carriers})
        several = len(settings.carriers) > 1
        self.breakers.update({one.name: Breaker(clock, has_others=several) for one in settings.carriers})
        self.slots = sum(one.connections for one in settings.carriers)


class TextSender(OutboxSender):
    """Delivers texts to carriers; beside the sender of emails in every worker process with a carrier."""

    channel = "text"

    def __init__(self, database: Database, *, clock: Callable[[], datetime] | None = None) -> None:
        """Create a sender that is not running yet; `clock` is for tests."""
        super().__init__(database, {}, clock=clock)
        self.builders = text_rendering.load_builders()
        self.relays = Carriers(database.settings, clock=self.now)

    def _may_write(self, message: ClaimedMessage) -> bool:
        """Return True: texts have no sender that DNS could prove."""
        del message
        return True

    def _relays_of(self, message: ClaimedMessage) -> set[str]:
        """Return every carrier: brands have none of their own."""
        del message
        return set(self.relays.pools)

    async def _may_repeat(self, message: ClaimedMessage) -> bool:
        """Return whether a copy of a text that may have been sent is within the day's budget."""
        async with self.database.transaction() as session:
            is_first = not await text_budget.may_have_been_sent(session, message.id)
            return is_first or await text_budget.charge_again(session, message.id, now=self.now())

    async def _compose(self, message: ClaimedMessage) -> Any:  # noqa: ANN401 (each sender has its own envelope)
        builder = self.builders[message.kind]

        async def build(session: DatabaseSession) -> TextEnvelope | None:
            text = await builder(session, message)
            return None if text is None else text_rendering.envelope(session, message, text)

        return await self.database.in_transaction(build)
