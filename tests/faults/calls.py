"""What callers asked of a cluster and what they were told: done, refused for now, or not known."""

import asyncio
from collections import Counter
from itertools import count

import httpx

from tests.faults import checker
from tests.faults.afterwards import DEAD, letters, rows, settle
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay

BETWEEN = 0.1
"""Seconds before somebody who was refused asks again."""


class Calls:
    """Registrations, one after the other by each of some callers; every answer is noted."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self._numbers = http, count()
        self.acknowledged: list[str] = []
        self.told: Counter[int | str] = Counter()

    async def register(self) -> None:
        """Ask once, and note what was said. A 500 is never an answer."""
        address = f"customer{next(self._numbers)}@domain.example"
        try:
            answer = await self.http.post("/v1/accounts", json={"email": address})
        except httpx.HTTPError:
            self.told["unknown"] += 1
            await asyncio.sleep(BETWEEN)
            return
        self.told[answer.status_code] += 1
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 201:
            self.acknowledged.append(address)
        else:
            assert answer.headers["Retry-After"]
            await asyncio.sleep(BETWEEN)

    async def more(self, number: int, seconds: float = 60) -> None:
        """Register until so many more are acknowledged."""
        wanted = len(self.acknowledged) + number
        async with asyncio.timeout(seconds):
            while len(self.acknowledged) < wanted:
                await self.register()

    async def keep_on(self, over: asyncio.Event, callers: int = 4) -> None:
        """Register without a pause, until it is over."""

        async def one() -> None:
            while not over.is_set():
                await self.register()

        await asyncio.gather(*(one() for _ in range(callers)))


async def judged(cluster: Cluster, calls: Calls, *relays: FaultRelay, seconds: int = 60, over: str = DEAD) -> list[str]:
    """Return what the checker finds wrong when every letter has ended."""
    await settle(cluster, seconds, over)
    inbox = [letter for relay in relays for letter in letters(relay)]
    return checker.judge(calls.acknowledged, await rows(cluster), inbox)
