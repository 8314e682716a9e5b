"""What stands in the rows and lies in the inboxes when all is over."""

import asyncio
import re

from sqlalchemy import text

from tests.faults import checker
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay

DEAD = "lease_owner NOT IN (SELECT name FROM worker WHERE seen_at > now() - interval '12 s')"
FORGOTTEN = "state_changed_at < now() - interval '12 s'"
"""A claim that was committed while its worker was told that it failed: nobody works on it until the lease runs out."""


async def settle(cluster: Cluster, seconds: int, over: str = DEAD) -> None:
    """Wait until every message has ended; waits, and leases that are `over`, are cut short as time would."""
    for _ in range(seconds):
        async with cluster.owner.begin() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            await connection.execute(
                text("UPDATE message SET next_attempt_at = now() WHERE state = 'deferred' AND next_attempt_at > now()")
            )
            await connection.execute(text(f"UPDATE message SET lease_until = now() WHERE state = 'sending' AND {over}"))
            waiting = await connection.scalar(
                text("SELECT count(*) FROM message WHERE state IN ('queued', 'deferred', 'sending')")
            )
        if not waiting:
            return
        await asyncio.sleep(1)


async def rows(cluster: Cluster, named: str = "recipient_ascii") -> list[checker.Row]:
    """Return every message; `named` is what the checker knows it by, once a letter."""
    async with cluster.owner.begin() as connection:
        found = await connection.execute(
            text(
                f"SELECT id::text, {named}, state, possibly_sent, (SELECT count(*) FROM attempt a "
                "WHERE a.message_id = m.id AND finished_at IS NULL) FROM message m"
            )
        )
        return [checker.Row(*row) for row in found]


def letters(relay: FaultRelay) -> list[tuple[str, str]]:
    return [(re.search(rb"Message-ID: (\S+)", raw)[1].decode(), recipient) for _, recipient, raw in relay.mails]


async def whole(cluster: Cluster) -> None:
    """Each registration is there with its letter and its event, once, or not at all; indexes agree with tables."""
    async with cluster.owner.connect() as connection:
        halves = await connection.scalar(
            text(
                "SELECT count(*) FROM account a WHERE (SELECT count(*) FROM message m WHERE m.user_id = a.user_id) <> 1"
                " OR 1 <>"
                " (SELECT count(*) FROM event e WHERE e.user_id = a.user_id AND e.name = 'account.registered')"
            )
        )
        assert halves == 0
    # Unique and foreign keys are looked at again, row by row.
    async with cluster.owner.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        await raw.execute("REINDEX DATABASE identity")
