"""The worker: brings letters to relays, takes back what dead workers held, seals events, forgets what has run out.

Any number of workers may run, in any number of processes; whatever two of them could do at once is decided by the
database. This file holds the one table from a kind of letter to the code that makes it, so that `mail/` knows no
concept.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import asyncpg

from identity_service import database, idempotency, keyring, logs, throttle
from identity_service.clients import actions as clients
from identity_service.consents import letter as consent_letters
from identity_service.console import actions as console
from identity_service.contacts import letter as contact_letters
from identity_service.database import AsyncSession, Database
from identity_service.events import actions as events
from identity_service.events import audit
from identity_service.life import guarded, notices
from identity_service.life import letter as life_letters
from identity_service.mail import letters, reaper
from identity_service.mail import upkeep as mail_upkeep
from identity_service.mail.courier import Courier
from identity_service.mail.letters import Composer, Letter
from identity_service.mail.outbox import Claimed
from identity_service.passwords import actions as passwords
from identity_service.proofs import actions as proofs
from identity_service.resets import letter as reset_letters
from identity_service.signin import actions as signin
from identity_service.signin import letter as signin_letters


async def _test(session: AsyncSession, message: Claimed) -> Letter:
    return letters.render("test", message.locale, signed=database.settings_of(session).mail_from_name)


COMPOSERS: Final[Mapping[str, Composer]] = {
    "welcome": life_letters.welcome,
    "address_check": life_letters.address_check,
    "address_taken": life_letters.address_taken,
    "consent_confirmation": consent_letters.consent_confirmation,
    "consent_granted": consent_letters.consent_granted,
    **dict.fromkeys(notices.WORDS, notices.compose),
    "caller_check": contact_letters.caller_check,
    "reset": reset_letters.reset,
    "no_account": reset_letters.no_account,
    "password_changed": reset_letters.password_changed,
    "signin_code": signin_letters.signin_code,
    "no_account_signin": signin_letters.no_account,
    "test": _test,
}
"""What makes each kind of letter."""

_FORGET: Final = (
    throttle.purge, idempotency.purge, clients.purge, mail_upkeep.purge, proofs.purge, passwords.purge, signin.purge,
    console.purge,
)  # fmt: skip

SEAL_EVERY: Final = 0.1
PUBLISH_EVERY: Final = 15.0
REAP_EVERY: Final = 5.0
TEND_EVERY: Final = 5.0
PURGE_EVERY: Final = 600.0


class Worker:
    """Everything that happens without anybody asking for it."""

    def __init__(self, database: Database, master_key: bytes, courier: Courier | None = None) -> None:
        """Prepare; the process has loaded the key ring, `run` keeps it fresh."""
        self.database, self._master_key = database, master_key
        self.courier = courier or Courier(database, COMPOSERS)
        self.started_at = datetime.now(UTC)

    async def run(self) -> None:
        """Work until `stop`; what is in flight is ended, the rest is handed back."""
        tasks = [
            asyncio.create_task(task)
            for task in (
                self._every(SEAL_EVERY, self._seal),
                self._every(PUBLISH_EVERY, self._publish),
                self._every(PUBLISH_EVERY, self._carry_out),
                self._every(REAP_EVERY, self._reap),
                self._every(TEND_EVERY, self._tend),
                self._every(PURGE_EVERY, self._purge),
                self._listen(),
            )
        ]
        try:
            await self.courier.run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.database.short(lambda session: mail_upkeep.say_goodbye(session, self.courier.name))

    def stop(self) -> None:
        """End soon: no new letter is taken up."""
        self.courier.stop()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as problem:  # noqa: BLE001
                # A round that fails is the next round's work; the loop itself must not end.
                logs.log.warning("worker.round_failed", work=work.__name__, error=type(problem).__name__)
            await asyncio.sleep(seconds)

    async def _seal(self) -> None:
        while await self.database.short(events.seal) == events.BATCH:
            pass

    async def _carry_out(self) -> None:
        """Do what was approved and has waited long enough (PHN-09)."""
        while await guarded.carry_out_due(self.database, now=datetime.now(UTC)):
            pass

    async def _publish(self) -> None:
        await self.database.short(lambda session: audit.publish(session, now=datetime.now(UTC)))

    async def _reap(self) -> None:
        lost = await self.database.short(lambda session: reaper.reap(session, now=None))
        over = await self.database.short(lambda session: reaper.expire(session, now=None))
        if lost or over:
            logs.log.warning("mail.reaped", lost=lost, over=over)

    async def _tend(self) -> None:
        """Reload the keys, and show that this worker lives and what it thinks of the relays."""
        async with self.database.transaction() as session:
            self.database.info["keyring"] = await keyring.load(session, self._master_key)
            await mail_upkeep.show(session, self.courier, self.started_at)

    async def _purge(self) -> None:
        for forget in _FORGET:
            await self.database.short(forget)

    async def _listen(self) -> None:
        """Be woken by NOTIFY when another process commits a letter; polling does it when this connection is gone."""
        if not self.database.settings.mail_notify:
            return
        while True:
            try:
                await self._listen_once()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await asyncio.sleep(5)

    async def _listen_once(self) -> None:
        connection, gone = await self.database.connect(), asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        try:
            await connection.add_listener("outbox", self._woken)
            await gone.wait()
        finally:
            await connection.close(timeout=2)

    def _woken(self, *_: object) -> None:
        self.courier.wake()
