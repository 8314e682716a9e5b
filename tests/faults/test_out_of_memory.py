"""The kernel ends a process because its memory ran out: nobody is asked, nothing is tidied up, and nothing is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tests.faults.calls import Calls, judged
from tests.faults.conftest import Beside

GROUPS = Path("/sys/fs/cgroup/memory")
"""Control groups, version 1: what the kernel kills when the group has no more memory is SIGKILLed."""
LITTLE = 4 * 1024 * 1024
BATCH = {"user_ids": ["x" * 900] * 1000}


@contextlib.contextmanager
def short_of_memory(process: asyncio.subprocess.Process, size: int) -> Iterator[None]:
    """Leave a process so much memory beside what it has. Without control groups we do at once what the kernel would."""
    if not os.access(GROUPS, os.W_OK):
        process.send_signal(signal.SIGKILL)
        yield
        return
    group = GROUPS / f"identity-test-{process.pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(size))
        (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        group.rmdir()


async def swell(http: httpx2.AsyncClient, process: asyncio.subprocess.Process) -> None:
    """Send what is allowed and large, much at once, until the process is no more."""

    async def one() -> None:
        while process.returncode is None:
            with contextlib.suppress(httpx2.HTTPError):
                await http.post("/v1/accounts/verifications", json=BATCH)

    await asyncio.gather(*(one() for _ in range(8)))


async def test_who_is_killed_for_want_of_memory_loses_nothing(beside: Beside):
    """REL-31: API and worker, under load; what was acknowledged is there, each letter came, once or marked."""
    beside.api, worker = await beside.spawn("serve"), await beside.spawn("worker")
    beside.workers.append(worker)
    async with contextlib.aclosing(await beside.client("accounts:write", "accounts:verify")) as http:
        calls, over = Calls(http), asyncio.Event()
        loaded = asyncio.create_task(calls.keep_on(over))
        try:
            await asyncio.sleep(1)
            with short_of_memory(worker, 0):
                assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL
            beside.workers.append(await beside.spawn("worker"))
            with short_of_memory(beside.api, LITTLE):
                await asyncio.wait_for(swell(http, beside.api), 60)
            assert beside.api.returncode == -signal.SIGKILL
            beside.api = await beside.spawn("serve")
            await beside.ready(http)
            served = len(calls.acknowledged)
            await asyncio.sleep(1)
        finally:
            over.set()
            await loaded
    assert calls.told["unknown"] > 0
    assert len(calls.acknowledged) > served > 0
    assert await judged(beside, calls, beside.relay) == []
