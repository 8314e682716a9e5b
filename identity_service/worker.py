"""The worker: delivers messages, releases expired leases, seals events, carries out approvals, sends logout tokens,
deletes expired rows.

Any number of workers may run, in any number of processes; row locks and leases in the database keep two of them from
doing the same work.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import asyncpg

from identity_service import logs
from identity_service.addresses import further
from identity_service.approvals import actions as approvals
from identity_service.audit import actions as audit
from identity_service.brand_records import flows as brand_records
from identity_service.clients import actions as clients
from identity_service.console import actions as console
from identity_service.console import passkeys as staff_passkeys
from identity_service.database.transactions import Database
from identity_service.events import actions as events
from identity_service.imports import actions as imports
from identity_service.key_store import actions as key_store
from identity_service.messages import erasure, heartbeat, rendering
from identity_service.messages.delivery import reaper
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.delivery.text import TextSender
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.openid import deliveries, ending, requests
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.passwords import dummies
from identity_service.recovery import actions as recovery
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import removal
from identity_service.sign_in import actions as sign_in
from identity_service.web import idempotency, rate_limits

_PURGES: Final = (
    rate_limits.purge_counters, idempotency.purge_keys, clients.purge_tokens, heartbeat.purge_workers,
    one_time_tokens.purge_tokens, passwords.purge_attempts, sign_in.purge_sessions,
    console.purge_staff_sessions, imports.purge_rows, erasure.purge_last_messages,
    requests.purge_requests, ending.purge_ended, passkeys.purge_challenges, staff_passkeys.purge_challenges,
    second_factors.purge_setups,
    recovery.purge_recoveries, recovery_codes.purge_shown, further.purge_addresses,
)  # fmt: skip

PROVE_EVERY: Final = 60.0
SEAL_EVERY: Final = 0.1
PUBLISH_EVERY: Final = 15.0
REAP_EVERY: Final = 5.0
TELL_EVERY: Final = 1.0
TEND_EVERY: Final = 5.0
PURGE_EVERY: Final = 600.0
COUNT_EVERY: Final = 600.0


class Worker:
    """The background tasks of one process."""

    def __init__(self, database: Database, master_key: bytes, sender: OutboxSender | None = None) -> None:
        """Prepare; the caller has loaded the key ring, `run` reloads it."""
        self.database, self._master_key = database, master_key
        self.sender = sender or OutboxSender(database, rendering.load_builders())
        self.texts = TextSender(database) if database.settings.carriers else None
        if self.texts is not None:
            self.texts.name = self.sender.name
        self.started_at = datetime.now(UTC)

    @property
    def senders(self) -> list[OutboxSender]:
        """Return the senders of this process: of emails, and of texts where there is a carrier."""
        return [self.sender, *([self.texts] if self.texts else [])]

    async def run(self) -> None:
        """Run every task until `stop`; deliveries in progress are finished, other claimed messages are released."""
        tasks = [
            asyncio.create_task(task)
            for task in (
                self._every(SEAL_EVERY, self._seal),
                self._every(PUBLISH_EVERY, self._publish),
                self._every(PUBLISH_EVERY, self._carry_out),
                self._every(REAP_EVERY, self._reap),
                self._every(TELL_EVERY, self._tell),
                self._every(TEND_EVERY, self._tend),
                self._every(PURGE_EVERY, self._purge),
                self._every(COUNT_EVERY, self._count),
                self._every(PROVE_EVERY, self._prove),
                self._listen(),
            )
        ]
        try:
            await asyncio.gather(*(one.run() for one in self.senders))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.database.in_transaction(lambda session: heartbeat.deregister(session, self.sender.name))

    def stop(self) -> None:
        """Ask `run` to end: no new message is claimed."""
        for one in self.senders:
            one.stop()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as problem:  # noqa: BLE001
                # The next round retries what failed; the loop itself must not end.
                logs.log.warning("worker.task_failed", work=work.__name__, error=type(problem).__name__)
            await asyncio.sleep(seconds)

    async def _seal(self) -> None:
        while await self.database.in_transaction(events.seal_events) == events.BATCH:
            pass

    async def _carry_out(self) -> None:
        """Carry out approved changes whose waiting time has passed (PHN-09)."""
        while await approvals.carry_out_due(self.database, now=datetime.now(UTC)):
            pass
        await removal.remove_due(self.database, now=datetime.now(UTC))

    async def _publish(self) -> None:
        await self.database.in_transaction(lambda session: audit.publish_checkpoint(session, now=datetime.now(UTC)))

    async def _reap(self) -> None:
        released = await self.database.in_transaction(lambda session: reaper.release_expired_leases(session, now=None))
        expired = await self.database.in_transaction(lambda session: reaper.expire_messages(session, now=None))
        if released or expired:
            logs.log.warning("mail.lease_expired", lost=released, over=expired)

    async def _tell(self) -> None:
        """Send the logout tokens that are due (OID-37)."""
        while await deliveries.deliver_due(self.database, now=datetime.now(UTC)) == deliveries.AT_ONCE:
            pass

    async def _tend(self) -> None:
        """Reload the keys and the proofs of brands; write the heartbeat: this worker is alive, and what it sees of
        relays."""
        async with self.database.transaction() as session:
            self.database.keys = await key_store.load_keys(session, self._master_key)
            await heartbeat.beat(session, self.sender, self.started_at)
            if self.texts is not None:
                await heartbeat.note_breakers(session, self.texts)
        await brand_records.load(self.database)

    async def _purge(self) -> None:
        for purge in _PURGES:
            await self.database.in_transaction(purge)

    async def _prove(self) -> None:
        """Look up the proofs of brands' hosts and senders that are due (BRD-07)."""
        await brand_records.prove_due(self.database)

    async def _count(self) -> None:
        await self.database.in_transaction(dummies.count_kinds)

    async def _listen(self) -> None:
        """Wake the sender when NOTIFY reports a new message; while the connection is lost, polling finds it."""
        if not self.database.settings.outbox_listen:
            return
        while True:
            try:
                await self._listen_once()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await asyncio.sleep(5)

    async def _listen_once(self) -> None:
        connection, closed = await self.database.connect(), asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            await connection.add_listener("outbox", self._on_notify)
            await closed.wait()
        finally:
            await connection.close(timeout=2)

    def _on_notify(self, *_: object) -> None:
        for one in self.senders:
            one.wake()
