"""The chaos run: random faults at two relays, workers killed, PostgreSQL restarted; judged by the checker alone.

CHAOS_MESSAGES makes it longer (`make faults`: 5,000 messages).
"""

import asyncio
import os
import random

import httpx2
import pytest

from tests.faults import checker
from tests.faults.afterwards import letters, rows, settle
from tests.faults.processes import Cluster
from tests.faults.relay import DROP, FaultRelay

MESSAGES = int(os.environ.get("CHAOS_MESSAGES", "300"))
SECONDS = max(60, MESSAGES // 20)
FAULTS = [
    ("connect", "421 4.3.2 too busy"),
    ("connect", DROP),
    ("MAIL", "451 4.3.0 not now"),
    ("RCPT", "451 4.3.0 not now"),
    ("RCPT", DROP),
    ("DATA", "451 4.3.0 not now"),
    ("payload", DROP),
    ("eod", "451 4.3.0 not now"),
    ("eod", DROP),
]


@pytest.mark.timeout(SECONDS * 4)
async def test_nothing_is_lost_and_nothing_comes_twice_unmarked(tmp_path, unused_tcp_port):
    """REL-01…06, by the checker."""
    dice = random.Random(20)
    relays = [await FaultRelay().start(), await FaultRelay().start()]
    listed = [
        {"name": name, "host": "127.0.0.1", "port": relay.port, "tls": "none"}
        for name, relay in zip(("a", "b"), relays, strict=True)
    ]
    cluster = Cluster(tmp_path, listed, unused_tcp_port)
    await cluster.start(workers=3)
    http = await cluster.client()
    acknowledged: list[str] = []
    over = asyncio.Event()
    chaos = asyncio.create_task(_chaos(cluster, relays, dice, over))
    try:
        await _register(http, acknowledged)
        over.set()
        await chaos
        await settle(cluster, SECONDS * 2)
        found = await rows(cluster)
    finally:
        over.set()
        await asyncio.gather(chaos, return_exceptions=True)
        await http.aclose()
        await cluster.stop()
        for relay in relays:
            await relay.stop()
    inbox = [letter for relay in relays for letter in letters(relay)]
    assert len(acknowledged) == MESSAGES
    assert checker.judge(acknowledged, found, inbox) == []
    assert {row.state for row in found} <= {"accepted", "unconfirmed"}


async def _register(http: httpx2.AsyncClient, acknowledged: list[str]) -> None:
    """Register everybody; what failed or is unknown is asked again, as a careful caller does."""
    gate = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        address = f"customer{number}@domain{number % 20}.example"
        async with gate:
            while True:
                try:
                    answer = await http.post("/v1/accounts", json={"email": address})
                except httpx2.HTTPError:
                    await asyncio.sleep(0.3)
                    continue
                assert answer.status_code in (200, 201, 503), answer.text
                if answer.status_code != 503:
                    acknowledged.append(address)
                    return
                assert answer.headers["Retry-After"]
                await asyncio.sleep(0.3)

    await asyncio.gather(*(one(number) for number in range(MESSAGES)))


async def _chaos(cluster: Cluster, relays: list[FaultRelay], dice: random.Random, over: asyncio.Event) -> None:
    number = 0
    while not over.is_set() or number < 4:
        for relay in relays:
            # What was not met is forgotten: faults that pile up would outlive the chaos by hours of open breakers.
            relay.script.clear()
            for _ in range(6):
                relay.will(*dice.choice(FAULTS))
        await cluster.kill_a_worker(number)
        number += 1
        if number == 2:
            await cluster.restart_postgres()
        await asyncio.sleep(2)
    for relay in relays:
        relay.script.clear()
