"""A large outbox, made by the database itself: ended messages with their attempts, and deferred ones not yet due."""

import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

TERMINAL = int(os.environ.get("BENCH_TERMINAL", "1000000"))
DEFERRED = int(os.environ.get("BENCH_DEFERRED", "100000"))

_MESSAGES = """
INSERT INTO message (id, kind, purpose, recipient, recipient_ascii, recipient_hash, recipient_domain, locale, facts,
brand, priority,
    state, state_changed_at, created_at, next_attempt_at, deadline_at, attempts, deliveries, accepted_at,
    accepted_relay,
    event_id)
SELECT gen_random_uuid(), 'test', 'account', 'a@example.com', 'a@example.com', sha256(n::text::bytea), 'example.com',
    'en', '{}', 'default', 0, :state, now(), now() - interval '2 h',
    CASE WHEN :state = 'deferred' THEN now() + interval '1 h' + n * interval '1 ms' END, now() + interval '20 h', 1, 1,
    CASE WHEN :state = 'accepted' THEN now() END, 'first',
    n + CASE WHEN :state = 'accepted' THEN 1000000000 ELSE 2000000000 END
FROM generate_series(1, :count) n
"""
_ATTEMPTS = """
INSERT INTO attempt (message_id, attempt_no, lease_token, worker, relay, started_at, finished_at, phase, outcome)
SELECT id, 1, id, 'w', 'first', now(), now(), 'eod', CASE state WHEN 'accepted' THEN 'accepted' ELSE 'transient' END
FROM message WHERE NOT EXISTS (SELECT 1 FROM attempt WHERE message_id = id)
"""


async def fill(owner: AsyncEngine) -> None:
    """Add them as the owner, with triggers off: they are born where no step leads, of events that are not there."""
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        for state, count in (("accepted", TERMINAL), ("deferred", DEFERRED)):
            await connection.execute(text(_MESSAGES), {"state": state, "count": count})
        await connection.execute(text(_ATTEMPTS))
    async with owner.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("VACUUM ANALYZE message, attempt"))
