"""How often a running sender asks the database: as often as there may be something, and no more."""

import asyncio
import time
from collections import Counter

from sqlalchemy import event

from tests.faults.conftest import Road

LETTERS = 60


def counted(road: Road) -> Counter[str]:
    """Count the statements that claim, per priority."""
    claims: Counter[str] = Counter()

    @event.listens_for(road.database.engine.sync_engine, "before_cursor_execute")
    def _(connection, cursor, statement, parameters, context, many) -> None:
        if "WITH due AS" in statement:
            claims[str(parameters[0])] += 1

    return claims


async def test_an_empty_lane_is_not_asked_again_for_every_letter_of_another(road: Road):
    for number in range(LETTERS):
        await road.put(f"customer{number}@example.com")
    claims, since = counted(road), time.monotonic()
    running = asyncio.create_task(road.sender.run())
    while len(road.a.mails) < LETTERS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    road.sender.stop()
    await running
    polls = 2 + (time.monotonic() - since) / 1.6
    assert claims["9"] <= polls
    assert claims["5"] <= polls
    assert LETTERS / road.sender.relays.slots <= claims["0"] <= LETTERS + 2 * polls
    assert await road.service.rows("SELECT DISTINCT state, attempts FROM message") == [("accepted", 1)]
