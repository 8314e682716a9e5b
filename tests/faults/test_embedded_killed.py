"""`identity-service run`: the application and its embedded PostgreSQL are killed while they write, and start again."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx2

from identity_service.database import engine
from identity_service.dev import postgres
from identity_service.dev.mailbox import KEPT, Mailbox
from tests.faults import checker
from tests.faults.afterwards import rows, settle
from tests.faults.calls import Calls
from tests.faults.processes import COMMAND, Cluster

TIMES = 2
SECONDS_OF_LOAD = 0.8


class Machine:
    """Everything on one machine, in one data folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.data, self.port = folder / "data", port
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "DATABASE_"))},
            "IDENTITY_DATA_DIR": str(self.data),
            "IDENTITY_PORT": str(port),
            "IDENTITY_LOG_FORMAT": "json",
        }

    async def start(self, http: httpx2.AsyncClient) -> None:
        """Start, wait until it serves, and get a token with the client it has made for itself."""
        with (self.data.parent / "run.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                COMMAND, "run", env=self.environment, stdout=log, stderr=asyncio.subprocess.STDOUT
            )
        await Cluster.ready(http)
        client = json.loads((self.data / "client.json").read_text())
        answer = await http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client["client_id"], client["client_secret"]),
        )
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def kill(self) -> None:
        """kill -9: the application, and at once the server."""
        server = int((self.data / "postgres" / "postmaster.pid").read_text().split()[0])
        self.process.send_signal(signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
        await self.process.wait()


async def test_both_are_killed_while_writing_and_are_whole_after_a_start(tmp_path, unused_tcp_port):
    """REL-34: every acknowledged customer is found, once, and his letter lies in the mailbox; the seals hold."""
    machine = Machine(tmp_path, unused_tcp_port)
    async with httpx2.AsyncClient(base_url=f"http://localhost:{unused_tcp_port}", timeout=30) as http:
        await machine.start(http)
        calls = Calls(http)
        try:
            for _ in range(TIMES):
                over = asyncio.Event()
                loaded = asyncio.create_task(calls.keep_on(over))
                await asyncio.sleep(SECONDS_OF_LOAD)
                await machine.kill()
                over.set()
                await loaded
                await machine.start(http)
            await calls.more(5)
            assert calls.told["unknown"] > 0
            assert await judged(machine, calls) == []
            audited = await asyncio.create_subprocess_exec(
                COMMAND, "audit", env=machine.environment, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await audited.communicate()
            assert audited.returncode == 0, out
        finally:
            await Cluster.end(machine.process)


async def judged(machine: Machine, calls: Calls) -> list[str]:
    """Return what the checker finds wrong when every letter has ended, in the rows and the mailbox's folder."""
    server = await postgres.start(machine.data)
    machine.owner = engine.create_engine(server.owner, size=2)
    try:
        await settle(machine, 60)
        letters = Mailbox(machine.data / "mailbox").letters()
        assert len(letters) < KEPT
        inbox = [(letter["headers"]["Message-ID"], to) for letter in letters for to in letter["to"]]
        return checker.judge(calls.acknowledged, await rows(machine), inbox)
    finally:
        await machine.owner.dispose()
