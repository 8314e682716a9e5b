"""Where passwords are hashed: a small pool of threads with a bounded queue.

A burst of sign-ins exhausts neither memory nor the event loop.

The threads are nice: readers of everything else keep their p99, and hashing takes what they leave (measured 5.1 ms
against 5.5 alone). A queue that is full is a 503 with Retry-After, not a wait without end (PWD-12, REL-29).
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import argon2
from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from identity_service import logs
from identity_service.passwords import foreign, rules
from identity_service.passwords.rules import HashingBusy
from identity_service.settings import Settings

T = TypeVar("T")

OWASP: Final = Parameters(
    type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=2, memory_cost=19456, parallelism=1
)
"""argon2id with 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet; RFC 9106): 25 to 60 ms a hash."""
FOR_TESTS: Final = argon2.profiles.CHEAPEST
"""0.1 ms a hash; for tests alone."""
QUEUE_PER_THREAD: Final = 32
_NICE: Final = 19


class Hasher:
    """The hashing of one process."""

    def __init__(self, settings: Settings) -> None:
        """Make the pool; its threads start when they are needed."""
        self._hasher = PasswordHasher.from_parameters(_parameters(settings))
        self.threads = max(1, (os.cpu_count() or 2) - 1)
        self._pool = ThreadPoolExecutor(self.threads, "hash", initializer=_be_nice)
        self._waiting = 0
        # What an unknown account is checked against: the same work, and no password fits it (PWD-13).
        self._nobody = self._hasher.hash(os.urandom(16))

    @property
    def waiting(self) -> int:
        """Return how many hashes are being made or waited for."""
        return self._waiting

    async def hash(self, password: str) -> str:
        """Return the PHC string of a password (argon2id, 16 bytes of salt)."""
        return await self.run(lambda: self._hasher.hash(password))

    async def verify(self, phc: str | None, password: str) -> bool:
        """Tell whether a password fits; None is nobody's, costs the same, and never does."""
        return await self.run(lambda: self._verify(phc, password))

    def is_outdated(self, phc: str) -> bool:
        """Tell whether a stored hash was made with other parameters than today's."""
        return foreign.is_foreign(phc) or self._hasher.check_needs_rehash(phc)

    def refuse_if_busy(self) -> None:
        """Refuse at once what would not find room in the queue.

        Raises:
            HashingBusy
        """
        if self._waiting >= self.threads * QUEUE_PER_THREAD:
            # Whoever is refused in one moment should not come back in one.
            raise HashingBusy(retry_after=2 + secrets.randbelow(4))

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in the pool.

        Raises:
            HashingBusy: the queue is full.
        """
        self.refuse_if_busy()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, phc: str | None, password: str) -> bool:
        stored = self._nobody if phc is None else phc
        usable = _is_bounded(stored)
        if usable and foreign.is_foreign(stored) and not stored.startswith("$argon2"):
            return foreign.verify(stored, password)
        try:
            fits = self._hasher.verify(stored if usable else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return fits and usable and phc is not None


def _parameters(settings: Settings) -> Parameters:
    return FOR_TESTS if settings.development and settings.cheap_passwords else OWASP


def _is_bounded(phc: str) -> bool:
    """Tell whether a stored hash asks for no more than we are ready to give (PWD-15)."""
    if not phc.startswith("$argon2"):
        # Bounded when it was read: only the import writes such a row.
        return True
    try:
        asked = argon2.extract_parameters(phc)
    except InvalidHashError:
        logs.log.error("password.unreadable_row")
        return False
    bounded = rules.is_bounded(asked.memory_cost, asked.time_cost, asked.parallelism)
    if not bounded:
        logs.log.error("password.row_asks_too_much", memory_kib=asked.memory_cost, passes=asked.time_cost)
    return bounded


def _be_nice() -> None:
    # On Linux niceness is a thread's own; where that is not so, the number of threads alone keeps the others well.
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
