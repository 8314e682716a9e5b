"""Claim due messages, deliver them over SMTP, record the results.

A sender claims only as many messages as it has free connections, so that no leased message waits in memory, and half of
the connections are reserved for priority 0, where a person waits. A delivery tries relay after relay under one lease.
Results are written in batches and retried until the database is available.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from identity_service import logs
from identity_service.brands import proofs as brand_proofs
from identity_service.database.failures import is_unavailable
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.messages import kinds, rendering
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import queue, replies
from identity_service.messages.delivery.queue import AttemptReport, AttemptResult, ClaimedMessage
from identity_service.messages.delivery.relays import Relays
from identity_service.messages.delivery.smtp import Timeouts
from identity_service.messages.rendering import EmailBuilder, UnsafeHeader, UnsafeRecipient

POLL: Final = {0: 0.5, 5: 2.0, 9: 2.0}
RESULT_BATCH: Final = 50
BULK_SHARE: Final = 0.5


class DeliveryObserver:
    """Hooks around deliveries and attempts. These do nothing; telemetry overrides them."""

    def delivery(self, message: ClaimedMessage) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Return a context manager that is entered for the whole delivery of a message."""
        return contextlib.nullcontext()

    def attempt(self, message: ClaimedMessage, report: AttemptReport) -> None:
        """Receive the report of one attempt at one relay."""


class OutboxSender:
    """Delivers messages to relays; one per worker process. `channel` says which messages it claims."""

    channel = "email"

    def __init__(
        self,
        database: Database,
        composers: Mapping[str, EmailBuilder],
        *,
        clock: Callable[[], datetime] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Create a sender that is not running yet; `clock` is for tests, in production the database's clock is used."""
        settings = database.settings
        self.name = f"w-{uuid.uuid4().hex[:8]}"
        self.database, self.composers, self._clock = database, composers, clock
        self.watch = DeliveryObserver()
        self._offset = timedelta()
        hostname = settings.sender_domain or "localhost"
        self.relays = Relays(settings.relays, local_hostname=hostname, clock=self.now, timeouts=timeouts)
        self._woken = {priority: asyncio.Event() for priority in kinds.PRIORITIES}
        self._backlogged: set[int] = set()
        self._stopping = asyncio.Event()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._bulk = 0
        self._results: asyncio.Queue[tuple[AttemptResult, asyncio.Future[bool]]] = asyncio.Queue()

    @property
    def in_flight(self) -> int:
        """Return how many messages this worker has leased."""
        return len(self._deliveries)

    def now(self) -> datetime:
        """Return the time by the database's clock, which all workers share; accurate to the last claim."""
        return self._clock() if self._clock else datetime.now(UTC) + self._offset

    def _explicit_now(self) -> datetime | None:
        return self._clock() if self._clock else None

    async def run(self) -> None:
        """Claim and deliver until `stop`, then finish the deliveries in flight."""
        recorder = asyncio.create_task(self._record_loop())
        try:
            await asyncio.gather(*(self._claim_loop(priority) for priority in kinds.PRIORITIES))
            if self._deliveries:
                await asyncio.wait(self._deliveries)
            await self._results.join()
        finally:
            recorder.cancel()
            await self.relays.close()

    def stop(self) -> None:
        """Stop claiming; `run` returns when the deliveries in flight have ended."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Claim now instead of at the next poll: a message was committed, or this worker stops."""
        for woken in self._woken.values():
            woken.set()

    async def once(self) -> int:
        """Deliver everything that is due now once; return how many messages. For tests."""
        recorder = asyncio.create_task(self._record_loop())
        try:
            total = 0
            for priority in kinds.PRIORITIES:
                while claimed := await self._claim(priority):
                    total += claimed
                    await asyncio.wait(self._deliveries)
            return total
        finally:
            recorder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await recorder

    async def _claim_loop(self, priority: int) -> None:
        while not self._stopping.is_set():
            self._woken[priority].clear()
            try:
                claimed = await self._claim(priority)
            except Exception as problem:  # noqa: BLE001
                # No error may end this loop: log it, wait, and claim again.
                logs.log.warning("mail.claim_failed", priority=priority, error=type(problem).__name__)
                claimed = 0
            if not claimed:
                with contextlib.suppress(TimeoutError):
                    wait = POLL[priority] * random.uniform(0.8, 1.2)  # noqa: S311
                    await asyncio.wait_for(self._woken[priority].wait(), wait)

    async def _claim(self, priority: int) -> int:
        free = self._free(priority)
        first = self.relays.first()
        self._backlogged.add(priority)
        if free <= 0 or first is None:
            # With every breaker open nothing is claimed, so that no attempt is recorded without a conversation.
            return 0
        async with self.database.transaction() as session:
            claimed, moment = await queue.claim_messages(
                session,
                worker=self.name,
                priority=priority,
                limit=free,
                relay=first,
                channel=self.channel,
                now=self._explicit_now(),
            )
        if moment is not None:
            self._offset = moment - datetime.now(UTC)
        if len(claimed) < free:
            self._backlogged.discard(priority)
        for message in claimed:
            self._start(message)
        return len(claimed)

    def _free(self, priority: int) -> int:
        free = self.relays.slots - len(self._deliveries)
        return free if priority == 0 else min(free, int(self.relays.slots * BULK_SHARE) - self._bulk)

    def _start(self, message: ClaimedMessage) -> None:
        bulk = message.priority != 0
        self._bulk += bulk
        task = asyncio.create_task(self._observed_delivery(message))
        self._deliveries.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._deliveries.discard(task)
            self._bulk -= bulk
            for priority in self._backlogged:
                # Only priorities with more due messages than free connections: polling an empty one after every
                # delivery would waste a query.
                self._woken[priority].set()
            if not task.cancelled() and task.exception() is not None:
                # The lease expires, and the reaper releases the message.
                logs.log.error("mail.delivery_failed", message_id=str(message.id), exc_info=task.exception())

        task.add_done_callback(ended)

    async def _observed_delivery(self, message: ClaimedMessage) -> None:
        with self.watch.delivery(message):
            await self._deliver(message)

    async def _deliver(self, message: ClaimedMessage) -> None:
        if self._stopping.is_set():
            await self._release(message)
            return
        if not self._may_write(message):
            await self._hold(message)
            return
        if not await self._may_repeat(message):
            step = message_rules.Transition("unconfirmed", possibly_sent=True)
            await self._end(message, AttemptReport("claimed", "aborted", "budget_spent"), step)
            return
        try:
            envelope = await self._compose(message)
        except Exception as problem:  # noqa: BLE001
            # A failing template or an unsafe address is our fault: record it and go on with the other messages.
            await self._render_failed(message, problem)
            return
        if envelope is None:
            await self._end(
                message, AttemptReport("claimed", "aborted", "not_wanted"), message_rules.Transition("cancelled")
            )
            return
        await self._try_relays(message, envelope)

    def _may_write(self, message: ClaimedMessage) -> bool:
        """Return whether DNS has proven the sender of the message's brand (BRD-07)."""
        brands = self.database.settings.brands
        return self.database.proves(brand_proofs.sender_subject(brands.find(message.brand), brands))

    async def _may_repeat(self, message: ClaimedMessage) -> bool:  # noqa: ARG002
        """Return whether a message that may have been sent may be sent once more: an email costs nothing."""
        return True

    async def _hold(self, message: ClaimedMessage) -> None:
        """Keep a message whose sender is not proven: no relay sees it, and the proof sends it at once."""
        logs.log.warning("mail.sender_not_proven", message_id=str(message.id), brand=message.brand)
        facts = message_rules.RetryContext(message.kind, message.deliveries, message.deadline_at)
        step = message_rules.state_while_held(facts, self.now(), jitter=queue.jitter())
        await self._end(message, AttemptReport("claimed", "aborted", message_rules.NOT_PROVEN), step)

    async def _compose(self, message: ClaimedMessage) -> Any:  # noqa: ANN401 (each sender has its own envelope)
        builder = self.composers.get(message.kind)
        if builder is None:
            raise KeyError(message.kind)
        email = await self.database.in_transaction(lambda session: builder(session, message))
        if email is None:
            return None
        key = self.database.keys.internal()
        return rendering.smtp_envelope(message, email, self.database.settings, key, now=self.now())

    async def _render_failed(self, message: ClaimedMessage, problem: Exception) -> None:
        if is_unavailable(problem):
            await self._release(message)
            return
        logs.log.error("mail.render_failed", message_id=str(message.id), kind=message.kind, exc_info=problem)
        unsafe = isinstance(problem, UnsafeHeader | UnsafeRecipient)
        reason = "unsafe_recipient" if isinstance(problem, UnsafeRecipient) else "render_failed"
        report = AttemptReport(
            "claimed", "aborted", reason, reply=f"{type(problem).__name__}: the email could not be rendered"
        )
        async with self.database.transaction() as session:
            before = await _count(session, message.id, "outcome = 'aborted' AND reply_class = 'render_failed'")
        facts = message_rules.RetryContext(message.kind, message.deliveries, message.deadline_at, aborted_before=before)
        step = message_rules.Transition("failed") if unsafe else message_rules.state_after_abort(facts, self.now())
        await self._end(message, report, step)

    async def _release(self, message: ClaimedMessage) -> None:
        """Release a message that no relay has seen, retrying until the database is available.

        Otherwise the message would wait minutes for its lease to expire.
        """
        while True:
            try:
                await self.database.in_transaction(
                    lambda session: queue.release(session, message, now=self._explicit_now())
                )
                return
            except Exception as problem:
                if not is_unavailable(problem) or self._stopping.is_set():
                    raise
                await asyncio.sleep(1)

    async def _try_relays(self, message: ClaimedMessage, envelope: Any) -> None:  # noqa: ANN401
        until = asyncio.get_running_loop().time() + message_rules.DELIVERY_TIME[message.priority].total_seconds()
        attempt_no, tried, policy_before, prefer = message.attempts, set[str](), False, message.prefer_relay
        without_utf8: set[str] = set()
        usable = self._relays_of(message)
        while True:
            order = [name for name in self.relays.order(prefer) if name in usable - tried]
            if not order:
                step = message_rules.Transition("deferred", self.now() + timedelta(seconds=15))
                await self._end(message, AttemptReport("claimed", "aborted", "no_relay_available"), step, attempt_no)
                return
            name = order[0]
            tried.add(name)
            report = await self._attempt(name, message, envelope)
            without_utf8 |= {name} if report.reply_class == "permanent.utf8" else set()
            other_relays = not without_utf8.issuperset(usable)
            step = await self._decide(message, report, policy_before=policy_before, other_relays=other_relays)
            policy_before = policy_before or report.reply_class == "policy"
            next_relay = next((other for other in self.relays.order(None) if other in usable - tried), None)
            time_left = asyncio.get_running_loop().time() < until
            if not (step.next_relay and next_relay and time_left):
                await self._end(message, report, step, attempt_no)
                return
            result = AttemptResult(message, attempt_no, report, step)
            if not await self._continue_at(result, next_relay):
                return
            attempt_no, prefer = attempt_no + 1, next_relay

    def _relays_of(self, message: ClaimedMessage) -> set[str]:
        """Return the names of the relays that the message's brand may use."""
        settings = self.database.settings
        return set(rendering.relays_of(settings.brands.find(message.brand), settings))

    async def _attempt(self, name: str, message: ClaimedMessage, envelope: Any) -> AttemptReport:  # noqa: ANN401
        breaker = self.relays.breakers[name]
        breaker.begin()
        report = await self.relays.pools[name].deliver(envelope, priority=message.priority)
        report.words = envelope.words
        self.watch.attempt(message, report)
        breaker.observe(report, envelope.recipient.rpartition("@")[2])
        if report.reply_class == "login" or (report.reply or "").startswith("the relay's certificate"):
            logs.log.error("mail.relay_refuses_us", relay=name, reply=report.reply)
        return report

    async def _decide(
        self, message: ClaimedMessage, report: AttemptReport, *, policy_before: bool, other_relays: bool
    ) -> message_rules.Transition:
        unknown = 0
        if report.outcome == "unknown":
            async with self.database.transaction() as session:
                unknown = await _count(session, message.id, "outcome IN ('unknown', 'lost')")
        facts = message_rules.RetryContext(
            message.kind, message.deliveries, message.deadline_at, unknown_before=unknown, policy_before=policy_before,
            other_relays=other_relays,
        )  # fmt: skip
        verdict = replies.ReplyClass(report.outcome, report.reply_class)
        hint = replies.retry_after_hint(report.reply or "") if report.code else None
        return message_rules.next_state(verdict, facts, self.now(), hint=hint, jitter=queue.jitter())

    async def _continue_at(self, result: AttemptResult, relay: str) -> bool:
        while True:
            try:
                return await self.database.in_transaction(
                    lambda session: queue.next_attempt(session, result, relay=relay, now=self._explicit_now())
                )
            except Exception as problem:
                if not is_unavailable(problem):
                    raise
                await asyncio.sleep(1)

    async def _end(
        self,
        message: ClaimedMessage,
        report: AttemptReport,
        step: message_rules.Transition,
        attempt_no: int | None = None,
    ) -> None:
        other = self.relays.other_than(report.relay, self._relays_of(message)) if step.prefer_other else None
        result = AttemptResult(message, attempt_no or message.attempts, report, step, other)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._results.put((result, done))
        in_time = await done
        logs.log.info(
            "mail.attempt", message_id=str(message.id), kind=message.kind, relay=report.relay, outcome=report.outcome,
            reply_class=report.reply_class, reply_code=report.code, state=step.state if in_time else "late",
            ms=report.duration_ms,
        )  # fmt: skip

    async def _record_loop(self) -> None:
        while True:
            batch = [await self._results.get()]
            while len(batch) < RESULT_BATCH and not self._results.empty():
                batch.append(self._results.get_nowait())
            try:
                updated = await self._record([result for result, _ in batch])
            except Exception as problem:  # noqa: BLE001
                # One batch that cannot be written must not block the others; its leases expire.
                logs.log.error("mail.record_failed", exc_info=problem)
                updated = set()
            for result, done in batch:
                if not done.done():
                    done.set_result(result.message.id in updated)
                self._results.task_done()

    async def _record(self, results: list[AttemptResult]) -> set[uuid.UUID]:
        """Write results, retrying while the database is unavailable; return the ids of the updated messages."""
        while True:
            try:
                return await self.database.in_transaction(
                    lambda session: queue.record_results(session, results, now=self._explicit_now())
                )
            except Exception as problem:
                if not is_unavailable(problem):
                    raise
                logs.log.warning("mail.record_retried", error=type(problem).__name__)
                await asyncio.sleep(1)


async def _count(session: DatabaseSession, message_id: uuid.UUID, condition: str) -> int:
    counted = text(f"SELECT count(*) FROM attempt WHERE message_id = :id AND {condition}")  # noqa: S608
    return int((await session.execute(counted, {"id": message_id})).scalar_one())
