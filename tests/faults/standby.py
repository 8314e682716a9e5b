"""A primary and its streaming replica on loopback, with API processes and workers on both; the replica can take over.

`DATABASE_URL` names both servers and asks for the primary, as an operator without a fixed address in front would write
it; `DATABASE_READ_URL` names the replica.
"""

import asyncio
import shutil
from collections.abc import Callable

import asyncpg
import httpx2
from sqlalchemy.engine import make_url

from identity_service.database import engine
from identity_service.dev import postgres
from tests.faults.processes import AS_SERVER, Cluster

NAMES = "ALTER SYSTEM SET synchronous_standby_names = 'standby'"
SYNCHRONOUS = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"


class Pair(Cluster):
    """Two servers with the same rows: whatever the first acknowledges, the second has on disk."""

    def __init__(self, folder, relays: list[dict], free_port: Callable[[], int]) -> None:
        super().__init__(folder, relays, free_port())
        self.second_port = free_port()
        self.ports = [free_port(), free_port()]
        self.standby = folder / "standby"
        self.second_api: asyncio.subprocess.Process | None = None

    def url(self, role: str, *ports: int) -> str:
        """Return a URL of one server, or of the primary among both."""
        hosts = [f"127.0.0.1:{port}" for port in ports]
        query = {"host": hosts if len(hosts) > 1 else hosts[0]}
        if len(hosts) > 1:
            query["target_session_attrs"] = "primary"
        return make_url(f"postgresql://{role}@/{postgres.DATABASE}").set(query=query).render_as_string()

    async def prepare(self) -> None:
        """Start both, and wait until no commit is acknowledged that the replica does not have."""
        await super().prepare()
        await self.owner.dispose()
        await self._pg_ctl("-w", "-m", "fast", "stop")
        await self._start(self.server.data, self.ports[0])
        await self._copy()
        await self._start(self.standby, self.ports[1])
        self.owner = engine.create_engine(self.url("postgres", *self.ports), size=2)
        # After the copy, so that the replica does not wait for one of its own when it has become the primary.
        primary = await self.connect(self.ports[0])
        await primary.execute(NAMES)
        await primary.execute("SELECT pg_reload_conf()")
        await primary.close()
        await self._until_synchronous()
        self.environment |= {
            "DATABASE_URL": self.url(postgres.ROLE, *self.ports),
            "DATABASE_READ_URL": self.url(postgres.ROLE, self.ports[1]),
        }

    async def start(self, workers: int) -> None:
        """Start everything: two API processes, and so many workers."""
        await super().start(workers)
        self.second_api = await self.spawn("serve", IDENTITY_PORT=str(self.second_port))

    async def clients(self, *scopes: str) -> list[httpx2.AsyncClient]:
        """Return a client of each API process; both use one token."""
        first = await self.client(*scopes)
        second = httpx2.AsyncClient(
            base_url=f"http://localhost:{self.second_port}", timeout=30, headers=dict(first.headers)
        )
        await self.ready(second)
        return [first, second]

    async def connect(self, port: int) -> asyncpg.Connection:
        """Return a connection of the owner's to one of the two."""
        return await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database=postgres.DATABASE)

    async def pause(self) -> None:
        """Let the replica take what comes and show none of it, as one does that lags."""
        replica = await self.connect(self.ports[1])
        await replica.execute("SELECT pg_wal_replay_pause()")
        await self._until(replica, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
        await replica.close()

    async def catch_up(self) -> None:
        """Let the replica show everything that the primary has."""
        primary, replica = await self.connect(self.ports[0]), await self.connect(self.ports[1])
        await replica.execute("SELECT pg_wal_replay_resume()")
        end = await primary.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        await self._until(replica, "SELECT pg_last_wal_replay_lsn() >= CAST($1::text AS pg_lsn)", end)
        await primary.close()
        await replica.close()

    async def lose_the_primary(self) -> None:
        """End it at once, as a power failure does."""
        await self._pg_ctl("-w", "stop")
        await self.owner.dispose()

    async def lose_the_replica(self) -> None:
        await self._pg_ctl("-w", "-m", "fast", "stop", data=self.standby)

    async def bring_the_replica_back(self) -> None:
        await self._start(self.standby, self.ports[1])
        await self._until_synchronous()

    async def promote(self) -> None:
        """Make the replica the primary."""
        await self._pg_ctl("-w", "promote", data=self.standby)

    async def stop(self) -> None:
        await self.end_processes()
        if self.second_api is not None:
            await self.end(self.second_api)
        await self.owner.dispose()
        for data in (self.standby, self.server.data):
            if (data / "postmaster.pid").exists():
                await self._pg_ctl("-w", "stop", data=data)

    async def _until_synchronous(self) -> None:
        primary = await self.connect(self.ports[0])
        await self._until(primary, SYNCHRONOUS)
        await primary.close()

    @staticmethod
    async def _until(connection: asyncpg.Connection, question: str, *values: str) -> None:
        async with asyncio.timeout(30):
            while not await connection.fetchval(question, *values):  # noqa: ASYNC110 (only the server knows)
                await asyncio.sleep(0.02)

    async def _start(self, data, port: int) -> None:
        options = f"-h 127.0.0.1 -p {port} -c unix_socket_directories= -c cluster_name={data.name}"
        options += " -c wal_retrieve_retry_interval=200ms"
        await self._pg_ctl("-w", "-o", options, "-l", str(data / "log"), "start", data=data)

    async def _copy(self) -> None:
        self.standby.mkdir(mode=0o700)
        if AS_SERVER:
            shutil.chown(self.standby, AS_SERVER["user"])
        primary = f"host=127.0.0.1 port={self.ports[0]} user=postgres"
        await self._tool("pg_basebackup", "-d", primary, "-D", str(self.standby), "-R", "-c", "fast", "-N")
