"""What is too large or too deep is refused by a real process, soon, and it does not grow by it."""

import asyncio
import contextlib
import gzip
import re
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Beside

GROWTH_KIB = 50 * 1024
TIMES = 5
BATCH = "/v1/accounts/verifications"
DEEP = b'{"user_ids": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BOMB = gzip.compress(b" " * 50_000_000)
JSON = "Content-Type: application/json\r\n"
REFUSED = {
    "a body of 50 MB": (413, JSON + "Content-Length: 50000000\r\n", b" " * 50_000_000),
    "a body of 50 MB in chunks": (
        413,
        JSON + "Transfer-Encoding: chunked\r\n",
        (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 48 + b"0\r\n\r\n",
    ),
    "100,000 arrays deep": (400, JSON + f"Content-Length: {len(DEEP)}\r\n", DEEP),
    "50 MB behind gzip": (415, JSON + f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n", BOMB),
    "a header of 70 kB": (431, "X-A: " + "a" * 70_000 + "\r\n", b""),
}


def memory(process: asyncio.subprocess.Process, what: str) -> int:
    """Return what a process has in memory (VmRSS) or had at most (VmHWM), in KiB."""
    return int(re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1])


async def say(port: int, token: str, head: str, body: bytes) -> int:
    """Send it all, as far as the other side takes it; return the status of the answer."""
    start = f"POST {BATCH} HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: {token}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write((start + head + "\r\n").encode())
        for place in range(0, len(body), 65536):
            writer.write(body[place : place + 65536])
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(10):
            return int((await reader.readline()).split()[1])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()


@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is read from /proc, which only Linux has")
async def test_what_is_too_large_is_refused_and_leaves_no_trace_in_memory(beside: Beside):
    """REL-28, FACT-6, ATT-55: the same process answers all of it, several times, and others meanwhile."""
    beside.api = await beside.spawn("serve")
    async with contextlib.aclosing(await beside.client("accounts:verify")) as http:
        small = {"user_ids": ["x"] * 1000}
        assert (await http.post(BATCH, json=small)).status_code == 200
        before = memory(beside.api, "VmRSS")
        token = http.headers["Authorization"]
        for _ in range(TIMES):
            for what, (status, head, body) in REFUSED.items():
                assert await say(beside.port, token, head, body) == status, what
                assert (await http.post(BATCH, json=small)).status_code == 200
        assert memory(beside.api, "VmHWM") - before < GROWTH_KIB
