"""`/metrics` for Prometheus, on the inner port alone: what this process does, and what the database knows for all.

No label carries an id, an address or anything a caller wrote (LOG-07): routes are templates, relays are names from the
settings. What the database tells is the same from every process; take its maximum, not its sum. When it does not
answer, those numbers are left out and `identity_database_up` is 0: yesterday's depth would be worse than none.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import Any, Final, NamedTuple

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from identity_service import doors, logs
from identity_service.database import AsyncSession, Database
from identity_service.events import actions as events
from identity_service.mail import measured, upkeep
from identity_service.mail.measured import Measured
from identity_service.passwords.hashing import Hasher

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Shared(NamedTuple):
    """What the database knows, for all processes."""

    mail: Measured
    workers: int
    position: int
    unsealed: int


class Metrics:
    """The numbers of one process; a registry of its own, so that two applications in one process do not mix."""

    def __init__(self, database: Database, hasher: Hasher) -> None:
        """Prepare every metric, so that it is there, as 0, before anything has happened."""
        self.registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "identity_requests", "requests answered, by method, route template and status",
            ("method", "route", "status"), registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "identity_request_seconds", "from the head of a request to the end of its answer, by route template",
            ("route",), buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._gauge("identity_pool_connections", "connections for writing, at most").set(
            database.settings.database_connections
        )
        in_use = self._gauge("identity_pool_in_use", "connections for writing that a request holds right now")
        in_use.set_function(database.in_use)
        self._desk_alarms = Counter(
            "identity_desk_alarms", "times that somebody at a desk searched often and opened hardly an account",
            registry=self.registry,
        )  # fmt: skip
        self._gauge("identity_hash_threads", "threads that hash passwords").set(hasher.threads)
        waiting = self._gauge("identity_hash_waiting", "password hashes that are being made or waited for")
        waiting.set_function(lambda: hasher.waiting)
        lost = self._gauge("identity_log_lines_lost", "log lines since the start that could not be written")
        lost.set_function(logs.lost)
        expires = database.settings.security_expires
        if expires is not None:
            ends = self._gauge("identity_security_txt_expires_timestamp_seconds", "when security.txt ends")
            ends.set(datetime.combine(expires, time.min, UTC).timestamp())
        self._shared = _SharedNumbers()
        self.registry.register(self._shared)
        ProcessCollector(registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is the template, or `-` where there is none."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def desk_alarm(self) -> None:
        """Count one person who searches more than his calls explain (PHN-12)."""
        self._desk_alarms.inc()

    def exposition(self, shared: Shared | None) -> bytes:
        """Return everything in Prometheus' text format."""
        self._shared.latest = shared
        return generate_latest(self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self.registry)


async def show(request: Request) -> Response:
    """Answer Prometheus; without an answer of the database within 3 s, with what this process knows itself."""
    database, metrics = doors.database_of(request), request.app.state.metrics
    now = doors.now_of(request)

    async def count(session: AsyncSession) -> Shared:
        position, unsealed = await events.position(session)
        return Shared(await measured.measure(session, now=now), await upkeep.alive(session), position, unsealed)

    shared = None
    try:
        async with asyncio.timeout(3):
            shared = await database.short(count)
    except Exception:  # noqa: BLE001, S110
        # Whatever it was: the database is not up, and that is a number too.
        pass
    return Response(metrics.exposition(shared), media_type=CONTENT_TYPE_LATEST)


class _SharedNumbers(Collector):
    """The numbers of the newest look at the database, or none."""

    latest: Shared | None = None

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: without a database there is nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield every number that all processes share."""
        yield _family(
            "identity_database_up", "1 where the database answered this look", [((), self.latest is not None)]
        )
        if self.latest is None:
            return
        mail, workers, position, unsealed = self.latest
        by_lane = "by lane: 0 first, 9 last"
        yield _family(
            "identity_outbox_waiting", f"letters queued, deferred or being sent, {by_lane}",
            [((row.lane,), row.waiting) for row in mail.lanes], "lane",
        )  # fmt: skip
        yield _family(
            "identity_outbox_due", f"letters whose next try is due, {by_lane}",
            [((row.lane,), row.due) for row in mail.lanes], "lane",
        )  # fmt: skip
        yield _family(
            "identity_outbox_oldest_seconds", f"age of the oldest open letter, {by_lane}",
            [((row.lane,), row.oldest_s) for row in mail.lanes], "lane",
        )  # fmt: skip
        yield _family(
            "identity_letters_last_hour", "letters written in the last hour, by the state they are in",
            [((row.state,), row.letters) for row in mail.states], "state",
        )  # fmt: skip
        quantiles = (("0.5", mail.delivery.p50_s), ("0.95", mail.delivery.p95_s))
        yield _family(
            "identity_delivery_seconds", "from writing to a relay's yes, for letters of the last hour",
            [((quantile,), value) for quantile, value in quantiles if value is not None], "quantile",
        )  # fmt: skip
        yield _family(
            "identity_relay_breakers", "workers that see a relay so: closed, half_open, open",
            [((row.relay, row.breaker), row.workers) for row in mail.breakers], "relay", "state",
        )  # fmt: skip
        yield _family("identity_workers_alive", "workers that showed themselves of late", [((), workers)])
        yield _family("identity_feed_position", "newest sealed position of the feed", [((), position)])
        yield _family("identity_feed_unsealed", "events that wait for their place", [((), unsealed)])


def _family(name: str, what: str, values: Iterable[tuple[tuple[Any, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for given, value in values:
        family.add_metric([str(label) for label in given], value)
    return family
