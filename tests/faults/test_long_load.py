"""Mixed load for long: what a process holds stays as it is.

LOAD_SECONDS makes it longer (`make faults`: 20 minutes).
"""

import asyncio
import contextlib
import os
import re
import sys
from itertools import cycle
from pathlib import Path
from statistics import median

import httpx2
import pytest

from tests.faults.conftest import Beside

SECONDS = float(os.environ.get("LOAD_SECONDS", "6"))
WARM_UP = min(60.0, SECONDS / 2)
"""Seconds before that, so that pools, caches and heaps have their size."""
LOOKS = 12
DESCRIPTORS, THREADS, MEMORY_KIB = 6, 1, 8 * 1024
"""How much more it may be in the last third than in the first."""


class Held:
    """What a process holds: open descriptors, threads, memory in KiB."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        about = Path(f"/proc/{process.pid}")
        status = (about / "status").read_text()
        self.descriptors = len(list((about / "fd").iterdir()))
        self.threads, self.memory = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("Threads", "VmRSS"))


class Mixed:
    """Callers that do a little of everything, and some of it wrong."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http, self.done, self.over = http, 0, asyncio.Event()

    async def caller(self, name: str) -> None:
        made = await self.ask("POST", "/v1/accounts", 201, json={"email": f"{name}@domain.example"})
        user_id = made.json()["user_id"]
        for number, turn in enumerate(cycle((self.register, self.read, self.refuse, self.leave))):
            if self.over.is_set():
                return
            await turn(user_id, f"{name}{number}@domain.example")
            self.done += 1

    async def register(self, _: str, address: str) -> None:
        await self.ask("POST", "/v1/accounts", 201, json={"email": address})
        await self.ask("POST", "/v1/resets", 202, json={"email": address})

    async def read(self, user_id: str, address: str) -> None:
        await self.ask("GET", f"/v1/accounts/{user_id}", 200)
        await self.ask("POST", "/v1/accounts/verifications", 200, json={"user_ids": [user_id] * 100})
        await self.ask("POST", "/v1/accounts/search", 200, json={"email": address})
        await self.ask("GET", "/v1/events", 200, params={"limit": 50})

    async def refuse(self, *_: str) -> None:
        await self.ask("GET", "/v1/accounts/nonsense", 422)
        await self.ask("POST", "/v1/accounts", 422, json={"colour": "red"})
        await self.ask("POST", "/oauth/token", 401, data={"grant_type": "client_credentials"}, auth=("nobody", "x"))

    async def leave(self, *_: str) -> None:
        """Open a connection, say half of a request, and go."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.http.base_url.port)
        writer.write(b"POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()

    async def ask(self, method: str, path: str, status: int, **options) -> httpx2.Response:
        answer = await self.http.request(method, path, **options)
        assert answer.status_code in (status, 429), (path, answer.status_code, answer.text)
        return answer


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc, which only Linux has")
@pytest.mark.timeout(SECONDS * 2 + 170)
async def test_descriptors_threads_and_memory_stay_as_they_are(beside: Beside):
    """REL-35, ASVS 1.4.3: what was taken is given back."""
    beside.api, worker = await beside.spawn("serve"), await beside.spawn("worker")
    beside.workers.append(worker)
    scopes = "accounts:write accounts:verify accounts:read_personal accounts:read resets:create events:read".split()
    async with contextlib.aclosing(await beside.client(*scopes)) as http:
        mixed = Mixed(http)
        callers = [asyncio.create_task(mixed.caller(name)) for name in ("anna", "berta", "clara", "dora")]
        await asyncio.sleep(WARM_UP)
        held = {"serve": [], "worker": []}
        for _ in range(LOOKS):
            await asyncio.sleep(SECONDS / LOOKS)
            await beside.renew_token(http)
            held["serve"].append(Held(beside.api))
            held["worker"].append(Held(worker))
        mixed.over.set()
        await asyncio.gather(*callers)
    assert mixed.done > 10 * SECONDS
    for looks in held.values():
        for what, most in (("descriptors", DESCRIPTORS), ("threads", THREADS), ("memory", MEMORY_KIB)):
            seen = [getattr(look, what) for look in looks]
            assert median(seen[-LOOKS // 3 :]) - median(seen[: LOOKS // 3]) <= most, (what, seen)
