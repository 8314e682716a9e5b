"""`/metrics` for Prometheus, on the internal port only: numbers of this process, and numbers read from the database.

No label contains an id, an address or a caller's text (LOG-07): routes are templates, relays are names from the
settings. Every process reports the same database numbers: aggregate them with max, not sum. When the database does not
answer, they are left out and `identity_database_up` is 0: an outdated number would mislead.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any, Final, NamedTuple

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from identity_service import logs
from identity_service.brand_records import proofs as brand_proofs
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import heartbeat, statistics, text_budget
from identity_service.messages.statistics import OutboxStats
from identity_service.openid import deliveries
from identity_service.passwords.hashing import Hasher
from identity_service.web import dependencies

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class DatabaseStats(NamedTuple):
    """The numbers that are read from the database and are the same for all processes."""

    mail: OutboxStats
    workers: int
    position: int
    unsealed: int
    proofs: Mapping[tuple[str, str], int]
    logouts: deliveries.Waiting
    texts: text_budget.Spent


class Metrics:
    """The metrics of one process, in their own registry: two applications in one process do not share numbers."""

    def __init__(self, database: Database, hasher: Hasher) -> None:
        """Register every metric, so that it is exposed as 0 before anything has happened."""
        self.registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "identity_requests", "requests answered, by method, route template and status",
            ("method", "route", "status"), registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "identity_request_seconds", "seconds from the head of a request to the end of the response, by route",
            ("route",), buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._gauge("identity_pool_connections", "size of the pool of database connections").set(
            database.settings.database_pool_size
        )
        in_use = self._gauge("identity_pool_in_use", "database connections in use now")
        in_use.set_function(database.in_use)
        self._desk_alarms = Counter(
            "identity_staff_search_alarms", "alarms because staff searched often and opened few accounts",
            registry=self.registry,
        )  # fmt: skip
        self._gauge("identity_hash_threads", "threads that hash passwords").set(hasher.threads)
        queued = self._gauge("identity_password_queue", "password hashes that are running or queued")
        queued.set_function(lambda: hasher.waiting)
        lost = self._gauge("identity_log_lines_lost", "log lines since the start that could not be written")
        lost.set_function(logs.lost)
        expires = database.settings.security_contact_expires
        if expires is not None:
            ends = self._gauge("identity_security_txt_expires_timestamp_seconds", "when security.txt expires")
            ends.set(datetime.combine(expires, time.min, UTC).timestamp())
        self._shared = _DatabaseCollector()
        self.registry.register(self._shared)
        ProcessCollector(registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response; `route` is the template, or `-` if no route matched."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def desk_alarm(self) -> None:
        """Count one alarm: a staff member searches more than their contacts explain (PHN-12)."""
        self._desk_alarms.inc()

    def exposition(self, shared: DatabaseStats | None) -> bytes:
        """Return every metric in Prometheus' text format; `shared` is None if the database did not answer."""
        self._shared.latest = shared
        return generate_latest(self.registry)

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(name, description, registry=self.registry)


async def show_metrics(request: Request) -> Response:
    """Return all metrics; without those of the database if it does not answer within 3 s."""
    database, metrics = dependencies.database_of(request), request.app.state.metrics
    now = dependencies.now_of(request)

    async def count(session: DatabaseSession) -> DatabaseStats:
        position, unsealed = await events.position(session)
        return DatabaseStats(
            await statistics.measure_outbox(session, now=now), await heartbeat.count_alive(session), position, unsealed,
            await brand_proofs.count_states(session, now=now),
            await deliveries.measure_waiting(session, now=now),
            await text_budget.measure_spent(session, now=now),
        )  # fmt: skip

    shared = None
    try:
        async with asyncio.timeout(3):
            shared = await database.in_transaction(count)
    except Exception:  # noqa: BLE001, S110
        # Any failure means the same: `identity_database_up` is 0.
        pass
    return Response(metrics.exposition(shared), media_type=CONTENT_TYPE_LATEST)


class _DatabaseCollector(Collector):
    """The numbers of the latest read of the database, or none if it failed."""

    latest: DatabaseStats | None = None

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry must not call `collect` at registration, before the database was read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield every number that was read from the database."""
        yield _family("identity_database_up", "1 if the database answered, else 0", [((), self.latest is not None)])
        if self.latest is None:
            return
        yield from self._of_messages(self.latest.mail)
        yield _family("identity_workers_alive", "workers with a recent heartbeat", [((), self.latest.workers)])
        yield _family("identity_feed_position", "newest sealed position of the feed", [((), self.latest.position)])
        yield _family("identity_feed_unsealed", "events without a position yet", [((), self.latest.unsealed)])
        yield _family(
            "identity_brand_proofs", "hosts and senders of brands by their proof in DNS: proven, lost, missing",
            [(key, count) for key, count in self.latest.proofs.items()], "what", "state",
        )  # fmt: skip
        spent, budget = (value / text_budget.MILLIONTHS for value in self.latest.texts)
        yield _family("identity_text_spent", "what texts of the past 24 hours cost", [((), spent)])
        yield _family("identity_text_budget", "what texts of 24 hours may cost", [((), budget)])
        waiting, oldest_s = self.latest.logouts
        yield _family("identity_logouts_waiting", "logout tokens that are not delivered yet", [((), waiting)])
        yield _family(
            "identity_logouts_oldest_seconds", "age of the oldest undelivered logout token in seconds", [((), oldest_s)]
        )

    def _of_messages(self, mail: OutboxStats) -> Iterable[Metric]:
        by_priority = "by priority: 0 first, 9 last"
        yield _family(
            "identity_outbox_waiting", f"messages queued, deferred or being sent, {by_priority}",
            [((row.priority,), row.waiting) for row in mail.priorities], "priority",
        )  # fmt: skip
        yield _family(
            "identity_outbox_due", f"messages whose next attempt is due, {by_priority}",
            [((row.priority,), row.due) for row in mail.priorities], "priority",
        )  # fmt: skip
        yield _family(
            "identity_outbox_oldest_seconds", f"age of the oldest open message in seconds, {by_priority}",
            [((row.priority,), row.oldest_s) for row in mail.priorities], "priority",
        )  # fmt: skip
        yield _family(
            "identity_messages_last_hour", "messages enqueued in the last hour, by their present state",
            [((row.state,), row.messages) for row in mail.states], "state",
        )  # fmt: skip
        quantiles = (("0.5", mail.delivery.p50_s), ("0.95", mail.delivery.p95_s))
        yield _family(
            "identity_delivery_seconds", "seconds from enqueueing to acceptance by a relay, messages of the last hour",
            [((quantile,), value) for quantile, value in quantiles if value is not None], "quantile",
        )  # fmt: skip
        yield _family(
            "identity_relay_breakers", "workers by relay and state of their circuit breaker: closed, half_open, open",
            [((row.relay, row.breaker), row.workers) for row in mail.breakers], "relay", "state",
        )  # fmt: skip


def _family(name: str, description: str, values: Iterable[tuple[tuple[Any, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, description, labels=labels)
    for label_values, value in values:
        family.add_metric([str(label) for label in label_values], value)
    return family
