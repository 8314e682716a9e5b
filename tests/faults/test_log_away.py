"""Nobody takes the log: its disk is full, or who read it has gone. All goes on the same."""

import asyncio
import contextlib
import os
import re
import sys

import pytest
from sqlalchemy import text

from tests.faults.calls import Calls, judged
from tests.faults.conftest import Beside
from tests.faults.processes import COMMAND, Cluster

CALLS = 30
FULL = "/dev/full"
"""Linux: every write to it finds the disk full."""


async def spawn(cluster: Cluster, where: str, command: str) -> asyncio.subprocess.Process:
    """Start a process whose standard output and error are full, or closed at the other end."""
    if where == "full":
        out = os.open(FULL, os.O_WRONLY)
    else:
        reader, out = os.pipe()
        os.close(reader)
    try:
        return await asyncio.create_subprocess_exec(COMMAND, command, env=cluster.environment, stdout=out, stderr=out)
    finally:
        os.close(out)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a file that is always full")
@pytest.mark.parametrize("where", ["full", "closed"])
async def test_a_log_that_cannot_be_written_stops_nothing(beside: Beside, where):
    """REL-12: what happened stands in the database; a number tells of the lines that were lost."""
    beside.api = await spawn(beside, where, "serve")
    beside.workers.append(await spawn(beside, where, "worker"))
    async with contextlib.aclosing(await beside.client()) as http:
        calls = Calls(http)
        await calls.more(CALLS)
        assert calls.told == {201: CALLS}
        assert await judged(beside, calls, beside.relay) == []
        lost = re.search(r"^identity_log_lines_lost (\S+)", (await http.get("/metrics")).text, re.M)
        assert float(lost[1]) > CALLS
    async with beside.owner.connect() as connection:
        told = await connection.scalar(text("SELECT count(*) FROM event WHERE name = 'account.registered'"))
    assert told == CALLS
    assert [process.returncode for process in (beside.api, *beside.workers)] == [None, None]
