"""The outbox in numbers, for the metrics: no address, no domain, no id; lanes, states and the names of our relays."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, text

from identity_service.database import AsyncSession
from identity_service.mail import upkeep
from identity_service.mail.tables import RelayState


class Measured(NamedTuple):
    """Per lane depth, what is due and the oldest's age (s); of the last hour the states and the delivery times (s);
    how many workers see which relay how.
    """

    lanes: Sequence[Row[Any]]
    states: Sequence[Row[Any]]
    delivery: Row[Any]
    breakers: Sequence[Row[str, str, int]]


async def measure(session: AsyncSession, *, now: datetime) -> Measured:
    """Count; each statement reads an index over what is open or an hour old, never the whole table."""
    since = {"since": now - timedelta(hours=1)}
    living = RelayState.updated_at > func.now() - upkeep.SILENT_AFTER
    seen = select(RelayState.relay, RelayState.breaker, func.count().label("workers")).where(living)
    return Measured(
        lanes=(await session.execute(_LANES, {"now": now})).all(),
        states=(await session.execute(_STATES, since)).all(),
        delivery=(await session.execute(_DELIVERY, since)).one(),
        breakers=(await session.execute(seen.group_by(RelayState.relay, RelayState.breaker))).all(),
    )


_LANES = text(
    """
    SELECT l.lane, count(m.id) AS waiting, count(m.id) FILTER (WHERE m.next_attempt_at <= :now) AS due,
           coalesce(extract(epoch FROM :now - min(m.created_at)), 0)::float AS oldest_s
    FROM unnest(ARRAY[0, 5, 9]) AS l(lane)
    LEFT JOIN message m ON m.lane = l.lane AND m.state IN ('queued', 'deferred', 'sending') GROUP BY l.lane
    """
)
_STATES = text("SELECT state, count(*) AS letters FROM message WHERE created_at >= :since GROUP BY state")
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
