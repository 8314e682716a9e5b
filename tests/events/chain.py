"""The feed as an auditor sees it: recomputed from the rows, with nothing of the service but the recipe (AUD-02)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

GENESIS = hashlib.sha256(b"identity-service event chain v1").digest()
ROWS = """
    SELECT s.position, s.seal, e.id, e.public_id, e.transaction_id, e.name, e.user_id, e.actor, e.occurred_at, e.data
    FROM sealed_event s JOIN event e ON e.id = s.event_id ORDER BY s.position
"""
UNSEALED = "SELECT count(*) FROM event WHERE id NOT IN (SELECT event_id FROM sealed_event)"


def seal(previous: bytes, position: int, event: Mapping[str, Any]) -> bytes:
    """SHA-256 over the seal before and the event in canonical JSON."""
    told = {name: event[name] for name in ("actor", "data", "name", "user_id")}
    told |= {
        "id": str(event["public_id"]),
        "occurred_at": event["occurred_at"].astimezone(UTC).isoformat(timespec="microseconds"),
        "position": position,
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + text.encode()).digest()


def faults(rows: Sequence[Any]) -> list[str]:
    """What is wrong with the feed, a sentence each; nothing, where it holds."""
    found, previous, place = [], GENESIS, (0, 0)
    for expected, row in enumerate(rows, start=1):
        previous = seal(previous, row.position, row._mapping)
        if row.position != expected:
            found.append(f"position {row.position} stands where {expected} belongs")
        if row.seal != previous:
            found.append(f"the seal of {row.position} does not hold")
        if (row.transaction_id, row.id) <= place:
            found.append(f"{row.position} came before its turn")
        previous, place = row.seal, (row.transaction_id, row.id)
    return found


async def sealed(service) -> Sequence[Any]:
    """The sealed rows, after everything has been sealed and the chain was found whole."""
    while await service.seal():
        pass
    rows = await service.rows(ROWS)
    assert faults(rows) == []
    assert await service.rows(UNSEALED) == [(0,)]
    return rows
