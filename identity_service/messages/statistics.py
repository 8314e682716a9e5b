"""Outbox statistics for the metrics: labelled by priority, state and relay name, never by address, domain or id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, text

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import heartbeat
from identity_service.messages.tables import RelayState


class OutboxStats(NamedTuple):
    """Outbox statistics.

    `priorities`: depth, due messages and age of the oldest (s); `states` and `delivery`: the last hour's states and
    delivery times (s); `breakers`: how many workers see a relay in which breaker state.
    """

    priorities: Sequence[Row[Any]]
    states: Sequence[Row[Any]]
    delivery: Row[Any]
    breakers: Sequence[Row[str, str, int]]


async def measure_outbox(session: DatabaseSession, *, now: datetime) -> OutboxStats:
    """Count messages and breaker states; every statement uses an index over pending or recent rows, no table scan."""
    since = {"since": now - timedelta(hours=1)}
    current = RelayState.updated_at > func.now() - heartbeat.SILENT_AFTER
    seen = select(RelayState.relay, RelayState.breaker, func.count().label("workers")).where(current)
    return OutboxStats(
        priorities=(await session.execute(_PRIORITIES, {"now": now})).all(),
        states=(await session.execute(_STATES, since)).all(),
        delivery=(await session.execute(_DELIVERY, since)).one(),
        breakers=(await session.execute(seen.group_by(RelayState.relay, RelayState.breaker))).all(),
    )


_PRIORITIES = text(
    """
    SELECT l.priority, count(m.id) AS waiting, count(m.id) FILTER (WHERE m.next_attempt_at <= :now) AS due,
           coalesce(extract(epoch FROM :now - min(m.created_at)), 0)::float AS oldest_s
    FROM unnest(ARRAY[0, 5, 9]) AS l(priority)
    LEFT JOIN message m ON m.priority = l.priority AND m.state IN ('queued', 'deferred', 'sending') GROUP BY l.priority
    """
)
_STATES = text("SELECT state, count(*) AS messages FROM message WHERE created_at >= :since GROUP BY state")
_DELIVERY = text(
    """
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s
    FROM (
        SELECT extract(epoch FROM accepted_at - created_at)::float AS seconds FROM message
        WHERE created_at >= :since AND accepted_at IS NOT NULL
    ) AS taken
    """
)
