"""The relays of one worker: their order, their pools, and the breaker that leaves an ill one alone for a while.

A breaker counts faults of the relay, never refused recipients, with one exception: when one refusal in the same words
meets a fifth of all letters to many domains within a minute, it is the relay that is ill (its address on a block list,
say). It opens for 15 seconds, doubling to 5 minutes; half open, one real letter tries. Pages show it; no other worker
decides by it.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from identity_service.mail.outbox import Report
from identity_service.mail.smtp import Pool, Timeouts
from identity_service.settings import Relay

FAULTS_IN_A_ROW: Final = 5
WINDOW: Final = timedelta(seconds=30)
STORM: Final = timedelta(seconds=60)
FIRST_OPENING: Final = timedelta(seconds=15)
LONGEST_OPENING: Final = timedelta(minutes=5)


@dataclass(slots=True)
class Breaker:
    """What this worker thinks of one relay."""

    clock: Callable[[], datetime]
    state: str = "closed"
    opened_until: datetime | None = None
    faults_in_a_row: int = 0
    last_reply: str | None = None
    last_attempt_at: datetime | None = None
    _opening: timedelta = FIRST_OPENING
    _recent: deque[tuple[datetime, bool]] = field(default_factory=lambda: deque(maxlen=500))
    _refusals: deque[tuple[datetime, str, str]] = field(default_factory=lambda: deque(maxlen=500))
    _probing: bool = False

    def allows(self) -> bool:
        """Tell whether a letter may be tried here now; half open, only the first."""
        if self.state == "open" and self.opened_until is not None and self.clock() >= self.opened_until:
            self.state, self._probing = "half_open", False
        if self.state == "half_open":
            return not self._probing
        return self.state == "closed"

    def begin(self) -> None:
        """Note that a letter is being tried."""
        if self.state == "half_open":
            self._probing = True

    def observe(self, report: Report, domain: str) -> None:
        """Learn from an attempt."""
        now = self.clock()
        fault = report.outcome == "relay_fault" and report.reply_class != "throttled"
        self.last_reply, self.last_attempt_at = report.reply, now
        if self.state == "open":
            # It was in flight when the breaker opened: it says nothing new, neither to open for longer nor to close.
            return
        self._recent.append((now, fault))
        refusal = report.reply or "" if report.outcome == "permanent" else ""
        self._refusals.append((now, domain, refusal))
        if fault or self._storm(now):
            self.faults_in_a_row += 1
            if self.state == "half_open" or report.reply_class == "login" or self._too_many(now):
                self._open(now)
        else:
            self.state, self.opened_until, self.faults_in_a_row, self._opening = "closed", None, 0, FIRST_OPENING

    def _too_many(self, now: datetime) -> bool:
        recent = [fault for at, fault in self._recent if now - at <= WINDOW]
        share = len(recent) >= 10 and 2 * sum(recent) >= len(recent)
        return self.faults_in_a_row >= FAULTS_IN_A_ROW or share or self._storm(now)

    def _storm(self, now: datetime) -> bool:
        recent = [(domain, text) for at, domain, text in self._refusals if now - at <= STORM]
        if len(recent) < 20:
            return False
        text, count = (
            Counter(text for _, text in recent if text).most_common(1)[0] if any(t for _, t in recent) else ("", 0)
        )
        return count * 5 > len(recent) and len({domain for domain, said in recent if said == text}) >= 5

    def _open(self, now: datetime) -> None:
        self.state = "open"
        self.opened_until = now + self._opening * random.uniform(0.9, 1.1)  # noqa: S311
        self._opening = min(self._opening * 2, LONGEST_OPENING)
        self._recent.clear()
        self._refusals.clear()


class Relays:
    """Every relay of one worker, in order of preference."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        local_hostname: str,
        clock: Callable[[], datetime],
        timeouts: Timeouts | None = None,
    ) -> None:
        """Prepare a pool and a breaker per relay."""
        self.pools = {r.name: Pool(r, local_hostname=local_hostname, timeouts=timeouts) for r in relays}
        self.breakers = {r.name: Breaker(clock) for r in relays}
        self.slots = sum(r.connections for r in relays)

    def order(self, prefer: str | None) -> list[str]:
        """Return the names of the relays that may be tried now, the preferred one first, then as they are listed."""
        open_now = [name for name, breaker in self.breakers.items() if breaker.allows()]
        return sorted(open_now, key=lambda name: name != prefer)

    def first(self) -> str | None:
        """Return the relay a letter would begin at, or None while all breakers are open."""
        return next(iter(self.order(None)), None)

    def other_than(self, name: str | None) -> str | None:
        """Return the next relay behind `name` in the list, to begin with next time; None where there is but one."""
        names = list(self.pools)
        if name not in names or len(names) < 2:
            return None
        return names[(names.index(name) + 1) % len(names)]

    async def close(self) -> None:
        """Close every connection."""
        for pool in self.pools.values():
            await pool.close()
