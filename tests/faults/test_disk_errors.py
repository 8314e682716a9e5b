"""The disk under PostgreSQL answers EIO under load: to a flush, a write, a read. Who asks is told, and nothing is lost.

A real PostgreSQL, whose calls to the disk `eio.c` fails where the test says so. libfiu cannot be that library: it has a
`hash_create` of its own, and so has PostgreSQL, whose comes first: it calls that one, and the server dies. The server
keeps so little in memory here that it reads and writes all the time.
"""

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
from sqlalchemy.engine import make_url

from identity_service.dev import postgres
from tests.faults.afterwards import FORGOTTEN, rows, whole
from tests.faults.calls import Calls, judged
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay

SOURCE = Path(__file__).parent / "eio.c"
LITTLE = "ALTER SYSTEM SET shared_buffers = '1MB'"
LOG, ROWS = "/pg_wal/", "/base/"
"""Parts of paths: the write-ahead log, and the files of tables and indexes."""
FAULTS = (
    ("write.once", LOG, "PANIC: .*could not write"),
    ("sync.once", LOG, "PANIC: .*could not f(data)?sync"),
    ("sync.once", ROWS, "PANIC: .*could not f(data)?sync"),
    ("write", ROWS, "ERROR: .*could not (write|extend)"),
    ("read", ROWS, "ERROR: .*could not read"),
)
"""What fails, on which files, and what PostgreSQL does: it ends all and recovers, or it ends the one statement.

A flush that fails in recovery, too, is left out: PostgreSQL 18 now and then does not notice that its recovery has died,
and waits for it until somebody restarts it. Callers get 503 as long.
"""
VERIFY = "/v1/accounts/verifications"
SCOPES = ("accounts:write", "accounts:verify", "resets:create")


def compiled(folder: Path) -> Path:
    """Return the library that stands between PostgreSQL and its disk."""
    library = folder / "eio.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class OnBadDisk(Cluster):
    """A service on a disk that fails when it is told to."""

    async def prepare(self) -> None:
        await super().prepare()
        self.switches = self.folder / "switches"
        self.switches.mkdir()
        self.switches.chmod(0o777)
        self.of_tools = {"LD_PRELOAD": str(compiled(self.folder)), "EIO_FOLDER": str(self.switches)}
        await self.tell(LITTLE)
        await self.restart_postgres()

    @contextlib.contextmanager
    def failing(self, call: str, part: str) -> Iterator[None]:
        """Let a call fail on the files whose path has this part, as long as it lasts or once."""
        switch = self.switches / call
        switch.symlink_to(part)
        try:
            yield
        finally:
            switch.unlink(missing_ok=True)

    async def tell(self, statement: str) -> None:
        """Tell the server something, as its owner."""
        connection = await postgres.connect(make_url(self.server.owner))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @property
    def log(self) -> str:
        return (self.server.data / "log").read_text()


class Load(Calls):
    """Customers who register, ask for resets and have their IDs verified, until it is over."""

    async def keep_on(self, over: asyncio.Event, callers: int = 4) -> None:
        async def others() -> None:
            while not over.is_set():
                await self.reset()
                await self.verify()

        await asyncio.gather(super().keep_on(over, callers), others())

    async def verify(self) -> None:
        """Whom we have is found, or we say that we cannot look: nobody is said to be unknown."""
        answer = await self.http.post(VERIFY, json={"user_ids": self.ids[:1]})
        assert answer.status_code in (200, 503), answer.text
        assert answer.status_code == 503 or answer.json()["results"][0]["status"] == "valid"

    async def more_of(self, told: list[str], number: int) -> None:
        """Wait until so many more are acknowledged, or refused."""
        wanted = len(told) + number
        await until(lambda: len(told) >= wanted)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 (callers and server tell, in their time)
            await asyncio.sleep(0.02)


@pytest.fixture
async def relay() -> AsyncIterator[FaultRelay]:
    found = await FaultRelay().start()
    yield found
    await found.stop()


@pytest.fixture
async def cluster(tmp_path, unused_tcp_port, relay) -> AsyncIterator[OnBadDisk]:
    listed = [{"name": "a", "host": "127.0.0.1", "port": relay.port, "tls": "none"}]
    found = OnBadDisk(tmp_path, listed, unused_tcp_port)
    try:
        await found.start(workers=1)
        yield found
    finally:
        await found.stop()


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None,
    reason="a C compiler on Linux makes the disk fail (Debian: gcc libc6-dev)",
)
async def test_a_disk_that_fails_is_told_and_nothing_acknowledged_is_lost(cluster: OnBadDisk, relay: FaultRelay):
    """REL-37: 503 with Retry-After as long as it lasts; then all is well by itself, and what was told is there."""
    async with contextlib.aclosing(await cluster.client(*SCOPES)) as http:
        load, over = Load(http), asyncio.Event()
        await load.more(10)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.keep_on(over))
            try:
                for fault in FAULTS:
                    await suffer(cluster, load, *fault)
            finally:
                over.set()
        assert load.told["unknown"] == 0
        await load.again()
        await all_is_well(cluster, http)
    await cluster.owner.dispose()
    assert await judged(cluster, load, relay, over=FORGOTTEN) == []
    assert {row.state for row in await rows(cluster)} == {"accepted"}
    await whole(cluster)
    assert "nothing altered" in await cluster.run("audit")


async def suffer(cluster: OnBadDisk, load: Load, call: str, part: str, complaint: str) -> None:
    """Let a call fail until many were refused and the server has complained; then it does what it is asked again."""
    before, ends_all = len(cluster.log), complaint.startswith("PANIC")
    with cluster.failing(call, part):
        if part == ROWS:
            # A commit writes and flushes the log; the rows wait for a checkpoint.
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await cluster.tell("CHECKPOINT")
        await load.more_of(load.refused, 1 if ends_all else 20)
        await until(lambda: re.search(f"{complaint}.*Input/output error", cluster.log[before:]) is not None)
        assert (await load.http.get("/livez")).status_code == 200
    await load.more_of(load.acknowledged, 20)
    assert ("PANIC" in cluster.log[before:]) == ends_all


async def all_is_well(cluster: OnBadDisk, http: httpx2.AsyncClient) -> None:
    """The processes are those that were started, and ready."""
    assert [process.returncode for process in (cluster.api, *cluster.workers)] == [None, None]
    ready = (await http.get("/readyz")).json()
    assert (ready["status"], ready["mail"]) == ("ok", "ok")
