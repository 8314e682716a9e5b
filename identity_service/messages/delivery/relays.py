"""The relays of one worker: their order, their connection pools, and a circuit breaker for each.

A breaker counts faults of the relay, not refused recipients: anybody can ask for emails to addresses and domains that a
relay refuses. One kind of refusal counts: if the same policy refusal (5.7.x) about us meets more than a fifth of all
messages within a minute, to five or more domains, the relay itself is at fault (its address may be on a block list).
With a single relay even that does not count, because no other could take over. A breaker opens for 15 seconds, doubling
up to 5 minutes; half open, it lets one message through. Pages show its state; other workers do not use it.
"""

import random
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from identity_service.messages.delivery.queue import AttemptReport
from identity_service.messages.delivery.smtp import Pool, Timeouts
from identity_service.settings import Relay

FAULTS_IN_A_ROW: Final = 5
WINDOW: Final = timedelta(seconds=30)
REFUSAL_WINDOW: Final = timedelta(seconds=60)
FIRST_OPENING: Final = timedelta(seconds=15)
LONGEST_OPENING: Final = timedelta(minutes=5)
_US: Final = re.compile(
    r"\b(your|client|sending|sender('s)?)( (ip|network|mail|email|e-mail))?( (address|host|domain|server|account))?\b"
    r"|\bip( address)?\b|\b(spf|dkim|dmarc)\b|\brelay(ing)?( access)? denied\b",
    re.IGNORECASE,
)
_RECIPIENT: Final = re.compile(
    r"recipient|\brcpt\b|user|mailbox|destination|domain|\bhost\b|\bmx\b|address|account|\S@\S", re.IGNORECASE
)


@dataclass(slots=True)
class Breaker:
    """The circuit breaker of one worker for one relay."""

    clock: Callable[[], datetime]
    has_others: bool = True
    """Whether another relay could take over."""
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
        """Return whether a message may be sent now; half open, only one at a time."""
        if self.state == "open" and self.opened_until is not None and self.clock() >= self.opened_until:
            self.state, self._probing = "half_open", False
        if self.state == "half_open":
            return not self._probing
        return self.state == "closed"

    def begin(self) -> None:
        """Record that an attempt begins: half open, `allows` is false until it ends."""
        if self.state == "half_open":
            self._probing = True

    def observe(self, report: AttemptReport, domain: str) -> None:
        """Update the breaker from the report of an attempt at a recipient in `domain`."""
        now = self.clock()
        fault = report.outcome == "relay_fault" and report.reply_class != "throttled"
        self.last_reply, self.last_attempt_at = report.reply, now
        if self.state == "open":
            # The attempt began before the breaker opened, so it is no reason to close it or to keep it open longer.
            return
        self._recent.append((now, fault))
        refusal = report.reply or "" if self.has_others and _is_about_us(report) else ""
        self._refusals.append((now, domain, refusal))
        if fault or self._refused_widely(now):
            self.faults_in_a_row += 1
            if self.state == "half_open" or report.reply_class == "login" or self._should_open(now):
                self._open(now)
        else:
            self.state, self.opened_until, self.faults_in_a_row, self._opening = "closed", None, 0, FIRST_OPENING

    def _should_open(self, now: datetime) -> bool:
        recent = [fault for at, fault in self._recent if now - at <= WINDOW]
        share = len(recent) >= 10 and 2 * sum(recent) >= len(recent)
        return self.faults_in_a_row >= FAULTS_IN_A_ROW or share or self._refused_widely(now)

    def _refused_widely(self, now: datetime) -> bool:
        recent = [(domain, text) for at, domain, text in self._refusals if now - at <= REFUSAL_WINDOW]
        if len(recent) < 20:
            return False
        text, count = (
            Counter(text for _, text in recent if text).most_common(1)[0] if any(t for _, t in recent) else ("", 0)
        )
        return count * 5 > len(recent) and len({domain for domain, refusal in recent if refusal == text}) >= 5

    def _open(self, now: datetime) -> None:
        self.state = "open"
        self.opened_until = now + self._opening * random.uniform(0.9, 1.1)  # noqa: S311
        self._opening = min(self._opening * 2, LONGEST_OPENING)
        self._recent.clear()
        self._refusals.clear()


def _is_about_us(report: AttemptReport) -> bool:
    """Return whether a refusal is one by policy (5.7.x) whose words concern us and no recipient."""
    if report.reply_class != "policy" or not (report.enhanced or "").startswith("5.7."):
        return False
    others, about_us = _US.subn("", report.reply or "")
    return about_us > 0 and _RECIPIENT.search(others) is None


class Delivers(Protocol):
    """What hands a rendered message to one relay or carrier; it never raises for anything that one does."""

    async def deliver(self, envelope: Any, *, priority: int) -> AttemptReport:  # noqa: ANN401 (each has its own)
        """Send one message and return the report."""

    async def close(self) -> None:
        """Close what is open and idle."""


class Relays:
    """The relays of one worker, in order of preference; `slots` is the total number of connections."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        local_hostname: str,
        clock: Callable[[], datetime],
        timeouts: Timeouts | None = None,
    ) -> None:
        """Create a pool and a breaker per relay; nothing is connected yet."""
        self.pools: dict[str, Delivers] = {
            r.name: Pool(r, local_hostname=local_hostname, timeouts=timeouts) for r in relays
        }
        self.breakers = {r.name: Breaker(clock, has_others=len(relays) > 1) for r in relays}
        self.slots = sum(r.connections for r in relays)

    def order(self, prefer: str | None) -> list[str]:
        """Return the names of the relays that may be tried now: `prefer` first, then in configured order."""
        allowed = [name for name, breaker in self.breakers.items() if breaker.allows()]
        return sorted(allowed, key=lambda name: name != prefer)

    def first(self) -> str | None:
        """Return the first relay that may be tried now, or None while all breakers are open."""
        return next(iter(self.order(None)), None)

    def other_than(self, name: str | None, usable: Set[str]) -> str | None:
        """Return the usable relay after `name` in configured order, or None if there is only one."""
        names = [pool for pool in self.pools if pool in usable]
        if name not in names or len(names) < 2:
            return None
        return names[(names.index(name) + 1) % len(names)]

    async def close(self) -> None:
        """Close the idle connections of every pool."""
        for pool in self.pools.values():
            await pool.close()
