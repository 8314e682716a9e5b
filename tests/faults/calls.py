"""What callers asked of a cluster and what they were told: done, refused for now, or not known."""

import asyncio
from collections import Counter
from itertools import count

import httpx2

from tests.faults import checker
from tests.faults.afterwards import DEAD, letters, rows, settle
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay

BETWEEN = 0.1
"""Seconds before somebody who was refused asks again."""


class Calls:
    """Registrations, one after the other by each of some callers; every answer is noted."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http, self._numbers = http, count()
        self.acknowledged: list[str] = []
        self.ids: list[str] = []
        self.refused: list[str] = []
        self.told: Counter[int | str] = Counter()

    async def register(self) -> None:
        """Ask once, and note what was said. A 500 is never an answer."""
        await self._register(f"customer{next(self._numbers)}@domain.example", 201)

    async def reset(self) -> None:
        """Ask for a reset where there is no account, which is told by a letter as well, one to each address."""
        await self._ask("/v1/resets", f"nobody{next(self._numbers)}@domain.example", 202)

    async def again(self) -> None:
        """Ask again whatever was refused or not known, as a careful caller does: it may have been done."""
        while self.refused:
            await self._register(self.refused.pop(), 200, 201)

    async def _register(self, address: str, *done: int) -> None:
        answer = await self._ask("/v1/accounts", address, *done)
        if answer is None:
            self.refused.append(address)
        else:
            self.ids.append(answer.json()["user_id"])

    async def _ask(self, path: str, address: str, *done: int) -> httpx2.Response | None:
        """Return the answer; None where it was refused for now, or nobody knows what became of it."""
        try:
            answer = await self.http.post(path, json={"email": address})
        except httpx2.HTTPError:
            self.told["unknown"] += 1
            await asyncio.sleep(BETWEEN)
            return None
        self.told[answer.status_code] += 1
        assert answer.status_code in (*done, 503), answer.text
        if answer.status_code in done:
            self.acknowledged.append(address)
            return answer
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"]
        await asyncio.sleep(BETWEEN)
        return None

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
