"""A worker's courier: takes due messages from the outbox, one turn each, and records what became of them.

It claims only as many rows as it has free connections, so none waits leased in memory, and lane 0, where a person
waits, keeps half of them. A turn tries relay after relay under one lease. Endings are recorded in batches, and until
the database has taken one, it is offered again.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text

from identity_service import logs
from identity_service.database import AsyncSession, Database, is_away
from identity_service.mail import letters, outbox, rules
from identity_service.mail.letters import Composer, Envelope, UnsafeHeader, UnsafeRecipient
from identity_service.mail.outbox import Claimed, Finish, Report
from identity_service.mail.relays import Relays
from identity_service.mail.smtp import Timeouts

POLL: Final = {0: 0.5, 5: 2.0, 9: 2.0}
RECORD_AT_MOST: Final = 50
BULK_SHARE: Final = 0.5


class Watch:
    """Who looks on while letters are brought: nobody, unless another takes this place."""

    def turn(self, message: Claimed) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Be there from the beginning of a letter's turn to its end."""
        return contextlib.nullcontext()

    def attempt(self, message: Claimed, report: Report) -> None:
        """Be told how a conversation with a relay went."""


class Courier:
    """One worker's way of bringing letters to relays."""

    def __init__(
        self,
        database: Database,
        composers: Mapping[str, Composer],
        *,
        clock: Callable[[], datetime] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Prepare; `clock` is for tests, in production the database's clock counts."""
        settings = database.settings
        self.name = f"w-{uuid.uuid4().hex[:8]}"
        self.database, self.composers, self._clock = database, composers, clock
        self.watch = Watch()
        self._offset = timedelta()
        hostname = settings.sender_domain or "localhost"
        self.relays = Relays(settings.relays, local_hostname=hostname, clock=self.now, timeouts=timeouts)
        self._woken = {lane: asyncio.Event() for lane in rules.LANES}
        self._left_some: set[int] = set()
        self._stopping = asyncio.Event()
        self._turns: set[asyncio.Task[None]] = set()
        self._bulk = 0
        self._finishes: asyncio.Queue[tuple[Finish, asyncio.Future[bool]]] = asyncio.Queue()

    @property
    def in_flight(self) -> int:
        """Return how many messages this worker holds."""
        return len(self._turns)

    def now(self) -> datetime:
        """Return the moment by the one clock of all workers."""
        return self._clock() if self._clock else datetime.now(UTC) + self._offset

    def _given_now(self) -> datetime | None:
        return self._clock() if self._clock else None

    async def run(self) -> None:
        """Work until `stop`, then end what is in flight."""
        recorder = asyncio.create_task(self._record_for_ever())
        try:
            await asyncio.gather(*(self._claim_for_ever(lane) for lane in rules.LANES))
            if self._turns:
                await asyncio.wait(self._turns)
            await self._finishes.join()
        finally:
            recorder.cancel()
            await self.relays.close()

    def stop(self) -> None:
        """Claim no more."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Look for due letters now: one was committed, or this worker is to stop."""
        for woken in self._woken.values():
            woken.set()

    async def once(self) -> int:
        """Take everything that is due now through one turn; return how many. For tests and `mail send-test`."""
        recorder = asyncio.create_task(self._record_for_ever())
        try:
            taken = 0
            for lane in rules.LANES:
                while claimed := await self._claim(lane):
                    taken += claimed
                    await asyncio.wait(self._turns)
            return taken
        finally:
            recorder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await recorder

    async def _claim_for_ever(self, lane: int) -> None:
        while not self._stopping.is_set():
            self._woken[lane].clear()
            try:
                claimed = await self._claim(lane)
            except Exception as problem:  # noqa: BLE001
                # The queue outlives any trouble: say what it was, wait, and ask again.
                logs.log.warning("mail.claim_failed", lane=lane, error=type(problem).__name__)
                claimed = 0
            if not claimed:
                with contextlib.suppress(TimeoutError):
                    wait = POLL[lane] * random.uniform(0.8, 1.2)  # noqa: S311
                    await asyncio.wait_for(self._woken[lane].wait(), wait)

    async def _claim(self, lane: int) -> int:
        free = self._free(lane)
        first = self.relays.first()
        self._left_some.add(lane)
        if free <= 0 or first is None:
            # With every relay ill nothing is claimed: attempts stay honest, and the pages say `no_relay_available`.
            return 0
        async with self.database.transaction() as session:
            claimed, moment = await outbox.claim(
                session, worker=self.name, lane=lane, limit=free, relay=first, now=self._given_now()
            )
        if moment is not None:
            self._offset = moment - datetime.now(UTC)
        if len(claimed) < free:
            self._left_some.discard(lane)
        for message in claimed:
            self._start(message)
        return len(claimed)

    def _free(self, lane: int) -> int:
        free = self.relays.slots - len(self._turns)
        return free if lane == 0 else min(free, int(self.relays.slots * BULK_SHARE) - self._bulk)

    def _start(self, message: Claimed) -> None:
        bulk = message.lane != 0
        self._bulk += bulk
        task = asyncio.create_task(self._watched(message))
        self._turns.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._turns.discard(task)
            self._bulk -= bulk
            for lane in self._left_some:
                # Only where there was more than room for: an empty lane need not be asked again for every letter sent.
                self._woken[lane].set()
            if not task.cancelled() and task.exception() is not None:
                # The lease runs out by itself, and the reaper takes the message back.
                logs.log.error("mail.turn_failed", message_id=str(message.id), exc_info=task.exception())

        task.add_done_callback(ended)

    async def _watched(self, message: Claimed) -> None:
        with self.watch.turn(message):
            await self._turn(message)

    async def _turn(self, message: Claimed) -> None:
        if self._stopping.is_set():
            await self._hand_back(message)
            return
        try:
            envelope = await self._compose(message)
        except Exception as problem:  # noqa: BLE001
            # A template that fails, an address that became unsafe: our fault, recorded, and the queue goes on.
            await self._failed_to_compose(message, problem)
            return
        if envelope is None:
            await self._end(message, Report("claimed", "aborted", "not_wanted"), rules.Step("cancelled"))
            return
        await self._try_relays(message, envelope)

    async def _compose(self, message: Claimed) -> Envelope | None:
        composer = self.composers.get(message.kind)
        if composer is None:
            raise KeyError(message.kind)
        letter = await self.database.short(lambda session: composer(session, message))
        if letter is None:
            return None
        key = self.database.info["keyring"].internal()
        return letters.envelope(message, letter, self.database.settings, key, now=self.now())

    async def _failed_to_compose(self, message: Claimed, problem: Exception) -> None:
        if is_away(problem):
            await self._hand_back(message)
            return
        logs.log.error("mail.letter_failed", message_id=str(message.id), kind=message.kind, exc_info=problem)
        unsafe = isinstance(problem, UnsafeHeader | UnsafeRecipient)
        what = "unsafe_recipient" if isinstance(problem, UnsafeRecipient) else "letter"
        report = Report("claimed", "aborted", what, reply=f"{type(problem).__name__}: the letter could not be made")
        async with self.database.transaction() as session:
            before = await _count(session, message.id, "outcome = 'aborted' AND reply_class = 'letter'")
        facts = rules.Facts(message.kind, message.turns, message.deadline_at, aborted_before=before)
        step = rules.Step("failed") if unsafe else rules.after_abort(facts, self.now())
        await self._end(message, report, step)

    async def _hand_back(self, message: Claimed) -> None:
        """Give back what no relay was told of, as soon as the database is there: a lease would hold it for minutes."""
        while True:
            try:
                await self.database.short(lambda session: outbox.hand_back(session, message, now=self._given_now()))
                return
            except Exception as problem:
                if not is_away(problem) or self._stopping.is_set():
                    raise
                await asyncio.sleep(1)

    async def _try_relays(self, message: Claimed, envelope: Envelope) -> None:
        until = asyncio.get_running_loop().time() + rules.TURN[message.lane].total_seconds()
        attempt_no, tried, policy_before, prefer = message.attempts, set[str](), False, message.prefer_relay
        while True:
            order = [name for name in self.relays.order(prefer) if name not in tried]
            if not order:
                step = rules.Step("deferred", self.now() + timedelta(seconds=15))
                await self._end(message, Report("claimed", "aborted", "no_relay_available"), step, attempt_no)
                return
            name = order[0]
            tried.add(name)
            report = await self._attempt(name, message, envelope)
            step = await self._decide(message, report, policy_before=policy_before)
            policy_before = policy_before or report.reply_class == "policy"
            next_relay = next((other for other in self.relays.order(None) if other not in tried), None)
            time_left = asyncio.get_running_loop().time() < until
            if not (step.next_relay and next_relay and time_left):
                await self._end(message, report, step, attempt_no)
                return
            finish = Finish(message, attempt_no, report, step)
            if not await self._advance(finish, next_relay):
                return
            attempt_no, prefer = attempt_no + 1, next_relay

    async def _attempt(self, name: str, message: Claimed, envelope: Envelope) -> Report:
        breaker = self.relays.breakers[name]
        breaker.begin()
        report = await self.relays.pools[name].deliver(envelope, lane=message.lane)
        self.watch.attempt(message, report)
        breaker.observe(report, envelope.recipient.rpartition("@")[2])
        if report.reply_class == "login" or (report.reply or "").startswith("the relay's certificate"):
            logs.log.error("mail.relay_refuses_us", relay=name, reply=report.reply)
        return report

    async def _decide(self, message: Claimed, report: Report, *, policy_before: bool) -> rules.Step:
        unknown = 0
        if report.outcome == "unknown":
            async with self.database.transaction() as session:
                unknown = await _count(session, message.id, "outcome IN ('unknown', 'lost')")
        facts = rules.Facts(
            message.kind, message.turns, message.deadline_at, unknown_before=unknown, policy_before=policy_before
        )
        verdict = rules.Verdict(report.outcome, report.reply_class)
        hint = rules.named_delay(report.reply or "") if report.code else None
        return rules.after(verdict, facts, self.now(), hint=hint, jitter=outbox.jitter())

    async def _advance(self, finish: Finish, relay: str) -> bool:
        while True:
            try:
                return await self.database.short(
                    lambda session: outbox.advance(session, finish, relay=relay, now=self._given_now())
                )
            except Exception as problem:
                if not is_away(problem):
                    raise
                await asyncio.sleep(1)

    async def _end(self, message: Claimed, report: Report, step: rules.Step, attempt_no: int | None = None) -> None:
        other = self.relays.other_than(report.relay) if step.prefer_other else None
        finish = Finish(message, attempt_no or message.attempts, report, step, other)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._finishes.put((finish, done))
        kept = await done
        logs.log.info(
            "mail.attempt", message_id=str(message.id), kind=message.kind, relay=report.relay, outcome=report.outcome,
            reply_class=report.reply_class, reply_code=report.code, state=step.state if kept else "late",
            ms=report.duration_ms,
        )  # fmt: skip

    async def _record_for_ever(self) -> None:
        while True:
            batch = [await self._finishes.get()]
            while len(batch) < RECORD_AT_MOST and not self._finishes.empty():
                batch.append(self._finishes.get_nowait())
            try:
                moved = await self._record([finish for finish, _ in batch])
            except Exception as problem:  # noqa: BLE001
                # One ending that cannot be written must not hold up the others; its lease ends by itself.
                logs.log.error("mail.record_failed", exc_info=problem)
                moved = set()
            for finish, done in batch:
                if not done.done():
                    done.set_result(finish.message.id in moved)
                self._finishes.task_done()

    async def _record(self, finishes: list[Finish]) -> set[uuid.UUID]:
        """Record until it is done or somebody else took over; the database may be away for a while (case 23)."""
        while True:
            try:
                return await self.database.short(
                    lambda session: outbox.record(session, finishes, now=self._given_now())
                )
            except Exception as problem:
                if not is_away(problem):
                    raise
                logs.log.warning("mail.record_waits", error=type(problem).__name__)
                await asyncio.sleep(1)


async def _count(session: AsyncSession, message_id: uuid.UUID, condition: str) -> int:
    counted = text(f"SELECT count(*) FROM attempt WHERE message_id = :id AND {condition}")  # noqa: S608
    return int((await session.execute(counted, {"id": message_id})).scalar_one())
