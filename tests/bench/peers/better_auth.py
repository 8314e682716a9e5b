"""better-auth beside us: Node processes of its own, on a database of its own in the same PostgreSQL server.

One runs as it comes, and reads each table with a statement; one with its option to join them. The accounts are as many
as ours, each with the same password and hash, and with a session, whose cookie the load sends.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx2
from sqlalchemy.engine import URL

from identity_service.dev import postgres
from identity_service.passwords.hashing import OWASP
from tests.bench.roads import PASSWORD, Road
from tests.bench.stage import SAMPLE

HERE = Path(__file__).parent
DATABASE = "better_auth"
COOKIE = "better-auth.session_token"
# What its own roads would write; ids are 32 characters there, too.
_FILL = """
CREATE TEMP TABLE fresh AS
    SELECT md5(random()::text || n) AS id, 'p' || n || '@example.com' AS email FROM generate_series(1, $1) n
"""
_ROWS = (
    'INSERT INTO "user" (id, name, email, "emailVerified", "createdAt", "updatedAt") '
    "SELECT id, 'Customer', email, true, now(), now() FROM fresh",
    'INSERT INTO account (id, "accountId", "providerId", "userId", password, "createdAt", "updatedAt") '
    "SELECT md5('account' || id), id, 'credential', id, (SELECT phc FROM secret), now(), now() FROM fresh",
    'INSERT INTO session (id, "expiresAt", token, "createdAt", "updatedAt", "ipAddress", "userAgent", "userId") '
    "SELECT md5('session' || id), now() + interval '7 d', md5('token' || id), now(), now(), '', '', id FROM fresh",
)

SESSION = Road(
    "better-auth: read session and user",
    """
    function road() end
    function request()
      return wrk.format("GET", "/api/auth/get-session", {["Cookie"] = tokens[math.random(#tokens)]})
    end
    """,
    '"userId"',
)
SIGN_IN = Road(
    "better-auth: sign in by password",
    f"""
    function road() end
    function request()
      return wrk.format("POST", "/api/auth/sign-in/email", {{["Content-Type"] = "application/json"}},
        '{{"email":"' .. an_id() .. '","password":"{PASSWORD}"}}')
    end
    """,
    '"token"',
    times=2,
)
RESET = Road(
    "better-auth: reset request",
    """
    function road() end
    function request()
      return wrk.format("POST", "/api/auth/request-password-reset", {["Content-Type"] = "application/json"},
        '{"email":"' .. an_id() .. '"}')
    end
    """,
    '"status":true',
)
ROADS = (SESSION, SIGN_IN, RESET)


class BetterAuth:
    """The two processes, the one as it comes first, and the files that the load reads: addresses, and cookies."""

    def __init__(self, folder: Path, server: URL, port: int) -> None:
        self.folder, self.ports = folder, (port, port + 1)
        self.url = server.set(database=DATABASE)
        self.secret = secrets.token_urlsafe(32)
        self.started: list[asyncio.subprocess.Process] = []

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.started]

    async def open(self, phc: str, count: int) -> None:
        """Start them on so many accounts with this hash of the password."""
        self.folder.mkdir()
        await postgres.prepare(self.url.set(database="postgres"), DATABASE, postgres.ROLE)
        await self._start(self.ports[0], joins=False)
        await self._start(self.ports[1], joins=True)
        owner = await postgres.connect(self.url)
        try:
            await self._fill(owner, phc, count)
            for port in self.ports:
                await self._look(owner, port)
        finally:
            await owner.close()

    async def close(self) -> None:
        for process in self.started:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    async def _start(self, port: int, *, joins: bool) -> None:
        parameters = {"memoryCost": OWASP.memory_cost, "timeCost": OWASP.time_cost, "parallelism": OWASP.parallelism}
        environment = {
            "PATH": os.environ["PATH"],
            "NODE_ENV": "production",
            "PGHOST": str(self.url.query.get("host") or self.url.host),
            "PGPORT": str(self.url.port or 5432),
            "PGUSER": str(self.url.username),
            "PGPASSWORD": str(self.url.password or ""),
            "PGDATABASE": DATABASE,
            "PEER_PORT": str(port),
            "PEER_SECRET": self.secret,
            "PEER_HASH": json.dumps(parameters),
            "PEER_JOINS": json.dumps(joins),
        }
        process = await asyncio.create_subprocess_exec(
            find_node(), HERE / "server.mjs", env=environment, cwd=HERE, stdout=asyncio.subprocess.PIPE
        )
        self.started.append(process)
        assert process.stdout is not None
        if await asyncio.wait_for(process.stdout.readline(), 60) != b"listening\n":
            raise SystemExit("better-auth did not start; what it said stands above.")

    async def _fill(self, owner: asyncpg.Connection, phc: str, count: int) -> None:
        async with owner.transaction():
            await owner.execute("CREATE TEMP TABLE secret AS SELECT ''::text AS phc")
            await owner.execute("UPDATE secret SET phc = $1", phc)
            await owner.execute(_FILL.replace("$1", str(int(count))))
            for statement in _ROWS:
                await owner.execute(statement)
        await owner.execute("VACUUM ANALYZE")
        rows = await owner.fetch(
            'SELECT email, token FROM "user" u JOIN session s ON s."userId" = u.id ORDER BY random() LIMIT $1', SAMPLE
        )
        self.addresses, tokens = [row[0] for row in rows], [row[1] for row in rows]
        for name, lines in (("ids", self.addresses), ("tokens", map(self._cookie, tokens)), ("secrets", ())):
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _cookie(self, token: str) -> str:
        # As better-call signs it: HMAC-SHA256, base64 with its padding, and all of it percent-encoded.
        seal = base64.b64encode(hmac.digest(self.secret.encode(), token.encode(), hashlib.sha256)).decode()
        return f"{COOKIE}={quote(f'{token}.{seal}', safe='')}"

    async def _look(self, owner: asyncpg.Connection, port: int) -> None:
        """Take each road once, and see in the database that it did what it is for."""
        place = self.ports.index(port)
        address, cookie = self.addresses[place], (self.folder / "tokens").read_text("utf-8").splitlines()[place]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/auth") as http:
            read = (await http.get("/get-session", headers={"Cookie": cookie})).raise_for_status().json()
            asked = {"email": address, "password": PASSWORD}
            signed_in = (await http.post("/sign-in/email", json=asked)).raise_for_status().json()
            # A cookie would have to come with an origin; the load sends none there.
            http.cookies.clear()
            wrong = await http.post("/sign-in/email", json=asked | {"password": "not it"})
            (await http.post("/request-password-reset", json={"email": address})).raise_for_status()
        mine = await owner.fetchval('SELECT id FROM "user" WHERE email = $1', address)
        new = await owner.fetchval('SELECT "userId" FROM session WHERE token = $1', signed_in["token"])
        resets = await owner.fetchval(
            "SELECT count(*) FROM verification WHERE identifier LIKE 'reset-password:%' AND value = $1", mine
        )
        if not (read["user"]["email"] == address and wrong.status_code == 401 and new == mine and resets == 1):
            raise SystemExit("better-auth does not do here what it is compared for.")


def find_node() -> str:
    """Return where Node is."""
    found = shutil.which("node")
    if found is None:
        raise SystemExit("Node is missing, which the other product runs on: install Node 20 or newer, with npm.")
    return found
