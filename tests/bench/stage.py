"""What is measured: accounts with their history on a real PostgreSQL, clients with tokens, and `serve` once or twice.

As an operator would, the load is spread over many clients, since each may ask so much a minute (600 password checks,
600 resets). No worker runs: what letters cost is `make bench-mail`.
"""

import asyncio
import base64
import contextlib
import os
import random
import socket
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx2
from sqlalchemy.engine import make_url

from identity_service import settings as configuration
from identity_service.clients import actions as clients
from identity_service.database.transactions import Database
from identity_service.dev import postgres
from identity_service.key_store import flows as key_store_flows
from identity_service.passwords.hashing import Hasher
from identity_service.values import user_ids
from identity_service.web import scopes as client_rules
from tests.bench.roads import PASSWORD
from tests.bench.shop import Shop
from tests.bench.wrk import cpu_seconds
from tests.faults.processes import Cluster

CLIENTS = 64
SAMPLE = 100_000
CHUNK = 50_000
TOKEN_SECONDS = 240
IDLE = 0.03
"""CPU seconds in a tenth of a second: what wakes up by itself needs less."""
_ACCOUNT = ("user_id", "email", "email_ascii", "email_key", "email_state", "locale", "brand", "customer_since")
# Three orders, what was said about marketing (every tenth: yes), the event of the registration, and a password.
_BESIDE = (
    """
    INSERT INTO history_entry
        (id, user_id, source, reference, kind, occurred_at, recorded_at, amount, currency, details)
    SELECT gen_random_uuid(), user_id, 'shop', user_id || '-' || n, 'order', now() - n * interval '40 d', now(), 12.5,
        'EUR', '{}'
    FROM fresh, generate_series(1, 3) n
    """,
    """
    INSERT INTO consent_entry (user_id, purpose, decision, wording_id, channel, actor, occurred_at)
    SELECT user_id, 'email', decision, 'bench', 'page', 'customer', now() FROM fresh
    """,
    "INSERT INTO consent_state (user_id, purpose, decision, since) SELECT user_id, 'email', decision, now() FROM fresh",
    """
    INSERT INTO event (name, user_id, actor, occurred_at, data)
    SELECT 'account.registered', user_id, 'client:bench', now(), '{}' FROM fresh
    """,
    "INSERT INTO password (user_id, phc, set_at) SELECT user_id, (SELECT phc FROM secret), now() FROM fresh",
)


FILLED = ("account", "history_entry", "consent_entry", "consent_state", "event", "password")
"""The tables that grow with the accounts."""


async def begin_to_fill(owner: asyncpg.Connection, phc: str) -> None:
    """Let this connection write as a replica would: what triggers and foreign keys hold is so by construction."""
    await owner.execute("SET session_replication_role = replica; SET statement_timeout = 0")
    await owner.execute("CREATE TEMP TABLE secret AS SELECT ''::text AS phc")
    await owner.execute("UPDATE secret SET phc = $1", phc)


async def add_accounts(owner: asyncpg.Connection, first: int, count: int) -> list[str]:
    """Add accounts with their history, `c{first}@example.com` and so on; return their User IDs."""
    now, rows = datetime.now(UTC), []
    for number in range(first, first + count):
        address = f"c{number}@example.com"
        rows.append((user_ids.issue(random.randrange), address, address, address, "confirmed", "en", "default", now))
    async with owner.transaction():
        await owner.copy_records_to_table("account", records=rows, columns=_ACCOUNT)
        await owner.execute("CREATE TEMP TABLE fresh (user_id text, decision text) ON COMMIT DROP")
        said = [(row[0], "granted" if random.random() < 0.1 else "withdrawn") for row in rows]
        await owner.copy_records_to_table("fresh", records=said)
        for statement in _BESIDE:
            await owner.execute(statement)
    return [row[0] for row in rows]


class Stage:
    """The database, the processes of the API on it, and the files that the load reads."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.cluster = Cluster(folder, [{"name": "first", "host": "127.0.0.1", "port": 9, "tls": "none"}], port)
        self.served: list[asyncio.subprocess.Process] = []
        self.accounts, self.renewed = 0, 0.0

    @property
    def ports(self) -> list[int]:
        return [self.port + place for place in range(len(self.served))]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.served]

    async def open(self) -> None:
        """Start the database, and add the clients."""
        await self.cluster.prepare()
        # Customers of a shop come from many networks; a request that says nothing of its own comes from this machine.
        self.cluster.environment["IDENTITY_TRUSTED_PROXY_COUNT"] = "1"
        named = ("IDENTITY_", "DATABASE")
        os.environ.update({k: v for k, v in self.cluster.environment.items() if k.startswith(named)})
        settings = configuration.read()
        self.database = Database(settings, self.cluster.server.application)
        await key_store_flows.load_key_ring(self.database, settings.key())
        self.hasher = Hasher(settings)
        self.credentials = [await self._client(number) for number in range(CLIENTS)]
        lines = (base64.b64encode(f"{one.client_id}:{one.client_secret}".encode()).decode() for one in self.credentials)
        self._write("secrets", [f"Basic {line}" for line in lines])
        self.shop = Shop(self.database, self.folder)
        await self.shop.open()

    async def serve(self, count: int) -> None:
        """Have so many processes of the API, each at its own port, and wait until they are ready."""
        while len(self.served) < count:
            self.cluster.environment["IDENTITY_PORT"] = str(self.port + len(self.served))
            self.served.append(await self.cluster.spawn("serve"))
        while len(self.served) > count:
            await self.cluster.end(self.served.pop())
        for port in self.ports:
            await ready(port)

    async def fill(self, count: int) -> None:
        """Have so many accounts with their history; write down User IDs of some that have a password."""
        owner = await postgres.connect(make_url(self.cluster.server.owner))
        try:
            await begin_to_fill(owner, await self.hasher.hash(PASSWORD))
            while self.accounts < count:
                await self._add(owner, min(CHUNK, count - self.accounts))
            for table in FILLED:
                await owner.execute(f"VACUUM ANALYZE {table}")
            rows = await owner.fetch("SELECT user_id FROM password ORDER BY random() LIMIT $1", SAMPLE)
        finally:
            await owner.close()
        self._write("ids", [user_ids.show(row[0]) for row in rows])

    async def renew_tokens(self) -> None:
        """Get every client a token, unless it was done a moment ago: they live for ten minutes."""
        if time.monotonic() - self.renewed < TOKEN_SECONDS:
            return
        asked, tokens = {"grant_type": "client_credentials"}, []
        async with httpx2.AsyncClient(base_url=f"http://localhost:{self.port}") as http:
            for one in self.credentials:
                answer = await http.post("/oauth/token", data=asked, auth=(one.client_id, one.client_secret or ""))
                tokens.append(f"Bearer {answer.raise_for_status().json()['access_token']}")
        self._write("tokens", tokens)
        self.renewed = time.monotonic()

    async def settle(self) -> None:
        """Wait until the processes have worked off what nobody waits for any more."""
        await settle(self.pids)

    async def close(self) -> None:
        await self.serve(0)
        self.hasher.close()
        await self.database.close()
        await self.cluster.stop()

    async def _client(self, number: int) -> clients.Credentials:
        scopes, now = list(client_rules.SCOPES), datetime.now(UTC)
        return await self.database.in_transaction(
            lambda s: clients.add_client(s, f"bench{number}", scopes, desk=False, jwks=None, now=now)
        )

    async def _add(self, owner: asyncpg.Connection, count: int) -> None:
        filled = self.accounts + count
        while self.accounts < filled:
            # Among ten million drawn User IDs one or two come twice: their chunk is drawn again.
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await add_accounts(owner, self.accounts, count)
                self.accounts = filled

    def _write(self, name: str, lines: list[str]) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


async def ready(port: int) -> None:
    """Wait until the process at this port serves."""
    async with httpx2.AsyncClient() as http:
        for _ in range(600):
            with contextlib.suppress(httpx2.HTTPError):
                if (await http.get(f"http://localhost:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise SystemExit(f"The service at port {port} did not become ready.")


async def settle(pids: list[int]) -> None:
    """Wait until these processes have worked off what nobody waits for any more."""
    for _ in range(300):
        before = cpu_seconds(pids)
        await asyncio.sleep(0.1)
        if cpu_seconds(pids) - before < IDLE * len(pids):
            return
    raise SystemExit("The service is still busy 30 seconds after the load has ended.")


def free_ports(count: int) -> int:
    """Return the first of so many ports that are free, one behind the other."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError, OverflowError):
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            for place in range(1, count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + place))
            return port


def a_seed() -> int:
    """Return a number that names a run."""
    return uuid.uuid4().int % 100_000_000
