"""The database's disk is full: who writes is told so, who reads goes on, and with room again all is well by itself."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.afterwards import whole
from tests.faults.calls import Calls, judged
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay

SIZE = 192 * 1024 * 1024
"""A fresh cluster with its migrations takes half of it."""


def may_mount() -> bool:
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, at a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill what is left of the disk."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return ballast


@pytest.mark.skipif(not may_mount(), reason="a small disk needs root on Linux, and the right to mount")
async def test_a_full_disk_is_told_and_nothing_stands_there_by_half(tmp_path, unused_tcp_port):
    """REL-11: 503 with Retry-After; checking goes on; afterwards the rows and the letters are those that were told."""
    relay = await FaultRelay().start()
    listed = [{"name": "a", "host": "127.0.0.1", "port": relay.port, "tls": "none"}]
    with small_disk(tmp_path / "disk") as disk:
        cluster = Cluster(disk, listed, unused_tcp_port)
        await cluster.start(workers=1)
        try:
            async with contextlib.aclosing(await cluster.client("accounts:write", "accounts:verify")) as http:
                calls = Calls(http)
                await calls.more(10)
                ballast = fill(disk)
                async with asyncio.timeout(60):
                    while calls.told[503] < 10:
                        await calls.register()
                verified = await http.post("/v1/accounts/verifications", json={"user_ids": ["x"]})
                assert verified.status_code == 200, verified.text
                assert (await http.get("/livez")).status_code == 200
                ballast.unlink()
                await calls.more(10)
            assert await judged(cluster, calls, relay) == []
            await whole(cluster)
        finally:
            # The server must end before its disk goes; the wheel would end it with the tests, and not find it any more.
            cluster.restarted = True
            await cluster.stop()
            await relay.stop()
