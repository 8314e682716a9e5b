"""What the outbox does per second, how soon, and behind how much: `make bench-mail`, with the targets beside it.

One real `identity-service worker` on a real PostgreSQL against the cheapest relay, each a process of its own; a bare
aiosmtplib loop takes its turn with it, so that a slow or busy machine shows in both. Smaller runs, to look at a change:
BENCH_MESSAGES, BENCH_ROUNDS, BENCH_TERMINAL, BENCH_DEFERRED.
"""

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from identity_service import logs
from identity_service import settings as configuration
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.messages import actions as messages
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import queue
from identity_service.registration import actions as registration
from identity_service.values import email_addresses
from tests.bench import backlog
from tests.faults.processes import Cluster

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "2000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
PER_SECOND, PACED, ROUND_TRIP = 50, 1500, 0.02
CLAIMS, CLAIM_SIZE = 500, 20
TAKEN = queue.AttemptReport("eod", "accepted", "accepted", 250, "2.0.0", "2.0.0 ok: queued as 4F2A", relay="first")


class Bench:
    """The database, a relay's port, and what is put and asked there."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self.cluster, self.port = cluster, port

    async def open(self) -> None:
        await self.cluster.prepare()
        os.environ.update(
            {k: v for k, v in self.cluster.environment.items() if k.startswith(("IDENTITY_", "DATABASE"))}
        )
        settings = configuration.read()
        self.database = Database(settings, self.cluster.server.application)
        await key_store_flows.load_key_ring(self.database, settings.key())

    async def relay(self, wait: float = 0.0) -> asyncio.subprocess.Process:
        started = await _python("tests.bench.relay", self.port, wait)
        await started.stdout.readline()
        return started

    async def worker(self) -> asyncio.subprocess.Process:
        """Start a worker, and return it when it has shown itself."""
        found = await self.cluster.spawn("worker")
        self.cluster.workers.append(found)
        while not await self.one("SELECT count(*) FROM worker"):
            await asyncio.sleep(0.01)
        return found

    async def register(self, count: int, prefix: str) -> None:
        """Add customers; each has a welcome letter waiting (priority 5, with its events)."""
        for start in range(0, count, 100):
            async with self.database.transaction() as session:
                for number in range(start, min(start + 100, count)):
                    await registration.register_account(
                        session, _address(prefix, number), display_name="Anna", locale="en", external_ref=None,
                        source="bench", actor="client:bench", now=datetime.now(UTC),
                    )  # fmt: skip

    async def put(self, count: int, prefix: str) -> None:
        """Put letters that a person waits for (priority 0)."""
        for start in range(0, count, 100):
            async with self.database.transaction() as session:
                for number in range(start, min(start + 100, count)):
                    await self.put_one(session, prefix, number)

    async def put_one(self, session, prefix: str, number: int) -> None:
        await messages.enqueue(
            session, "test", to=_address(prefix, number), user_id=None, locale="en", cause="mail.test_requested",
            actor="operator", now=datetime.now(UTC),
        )  # fmt: skip

    async def all_taken(self) -> None:
        """Wait until nothing waits, and see that every letter was taken, once."""
        while await self.one("SELECT count(*) FROM message WHERE state IN ('queued', 'deferred', 'sending')"):
            await asyncio.sleep(0.2)
        assert not await self.one("SELECT count(*) FROM message WHERE state <> 'accepted' OR attempts <> 1")

    async def one(self, statement: str) -> float:
        async with self.database.transaction() as session:
            return (await session.execute(text(statement))).scalar_one()


async def rate(bench: Bench, fill, prefix: str) -> tuple[float, float]:
    """Return the letters a second that one worker brings and records, by the wall and by its own CPU."""
    await fill(MESSAGES, prefix)
    relay, since = await bench.relay(), await bench.one("SELECT now()")
    worker = await bench.worker()
    starting = _cpu_seconds(worker.pid)
    await bench.all_taken()
    cpu = _cpu_seconds(worker.pid) - starting
    ended = "max(finished_at) - min(started_at)"
    seconds = await bench.one(f"SELECT extract(epoch FROM {ended}) FROM attempt WHERE started_at > '{since}'")
    await bench.cluster.end(worker)
    took = await _said(relay)
    assert len(took) == MESSAGES
    return MESSAGES / float(seconds), MESSAGES / cpu


async def bare(bench: Bench, count: int, per_second: float, wait: float) -> dict:
    relay = await bench.relay(wait)
    found = await _said(await _python("tests.bench.bare", bench.port, count, per_second))
    await _said(relay)
    return found


async def paced(bench: Bench, count: int = PACED) -> list[float]:
    """Commit letters at a fixed pace; return the seconds from each commit to the relay's 250."""
    relay = await bench.relay(ROUND_TRIP)
    worker = await bench.worker()
    await bench.put(1, "warm")
    await bench.all_taken()
    committed: dict[str, float] = {}

    async def commit(number: int) -> None:
        async with bench.database.transaction() as session:
            await bench.put_one(session, "paced", number)
        committed[f"paced{number}@example.com"] = time.time()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as all_of_them:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            all_of_them.create_task(commit(number))
    await bench.all_taken()
    await bench.cluster.end(worker)
    took = await _said(relay)
    return [took[address] - moment for address, moment in committed.items()]


async def claims(bench: Bench) -> tuple[list[float], list[float]]:
    """Claim behind a large backlog; return the seconds of each claim, and of a bare round trip beside it."""
    found, trips = [], []
    for number in range(CLAIMS):
        await bench.put(CLAIM_SIZE, f"claim{number}-")
        async with bench.database.transaction() as session:
            await session.execute(text("SELECT 1"))
            since = time.perf_counter()
            await session.execute(text("SELECT 1"))
            trips.append(time.perf_counter() - since)
            since = time.perf_counter()
            claimed, _ = await queue.claim_messages(
                session, worker="bench", priority=0, limit=CLAIM_SIZE, relay="first", now=None
            )
            found.append(time.perf_counter() - since)
        assert len(claimed) == CLAIM_SIZE
        ends = [queue.AttemptResult(message, 1, TAKEN, message_rules.Transition("accepted")) for message in claimed]
        await bench.database.in_transaction(lambda s, ends=ends: queue.record_results(s, ends, now=None))
    return found, trips


def tell(what: str, ours: list[float], theirs: list[float], target: str) -> None:
    print(what)
    for name, values in (("the outbox", ours), ("beside it", theirs)):
        print(f"  {name:<11} p50 {_percentile(values, 50):8.1f} ms   p99 {_percentile(values, 99):8.1f} ms")
    print(f"  target      {target}")


def tell_rates(what: str, rounds: list[tuple[float, float, dict]]) -> None:
    wall, cpu = (statistics.median(r[i] for r in rounds) for i in (0, 1))
    alone, alone_cpu = (statistics.median(r[2][name] for r in rounds) for name in ("rate", "per_cpu_second"))
    ratio = statistics.median(r[1] / r[2]["per_cpu_second"] for r in rounds)
    print(f"{what}, letters a second, median of {len(rounds)} rounds of {MESSAGES}")
    print(f"  a worker, fully recorded  {wall:6.0f}   per second of its own CPU {cpu:6.0f}   target ≥ 300")
    print(f"  a bare aiosmtplib loop    {alone:6.0f}   per second of its own CPU {alone_cpu:6.0f}   ratio {ratio:.2f}")


@contextlib.asynccontextmanager
async def opened(folder: Path, port: int) -> AsyncIterator[Bench]:
    relays = [{"name": "first", "host": "127.0.0.1", "port": port, "tls": "none"}]
    bench = Bench(Cluster(folder, relays, port + 1), port)
    await bench.open()
    try:
        yield bench
    finally:
        await bench.database.close()
        await bench.cluster.stop()


@dataclass(frozen=True)
class Letters:
    """What `make bench` tells of letters: a second, by one worker and by the bare loop; milliseconds to the 250."""

    rates: list[float]
    bare: list[float]
    p50: float
    p99: float


async def shortly(folder: Path, port: int) -> Letters:
    async with opened(folder, port) as bench:
        rates, alone = [], []
        for number in range(3):
            rates.append((await rate(bench, bench.put, f"short{number}-"))[0])
            alone.append((await bare(bench, MESSAGES, 0, 0.0))["rate"])
        soon = await paced(bench, PACED // 2)
    return Letters(rates, alone, _percentile(soon, 50), _percentile(soon, 99))


async def main(port: int, folder: Path) -> None:
    async with opened(folder, port) as bench:
        await measure(bench)


async def measure(bench: Bench) -> None:
    for what, fill in (("Lane 0, no account", bench.put), ("Welcome letters with their events", bench.register)):
        rounds = []
        for number in range(ROUNDS):
            wall, cpu = await rate(bench, fill, f"{what[:4].strip().lower()}{number}-")
            rounds.append((wall, cpu, await bare(bench, MESSAGES, 0, 0.0)))
        tell_rates(what, rounds)
    alone = await bare(bench, PACED, PER_SECOND, ROUND_TRIP)
    soon = await paced(bench)
    what = f"From commit to the relay's 250, {PER_SECOND}/s, 20 ms a round trip (beside it: the bare loop)"
    tell(what, soon, alone["took"], "p99 < 1,500 ms")
    await backlog.fill(bench.cluster.owner)
    found, trips = await claims(bench)
    behind = f"{backlog.TERMINAL:,} ended and {backlog.DEFERRED:,} deferred"
    tell(f"A claim of {CLAIM_SIZE} behind {behind} (beside it: SELECT 1)", found, trips, "p99 < 5 ms")


async def _python(module: str, *words: object) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, *map(str, words), stdin=pipe, stdout=pipe)


async def _said(process: asyncio.subprocess.Process) -> dict:
    """Close its standard input, and return what it says at its end."""
    out, _ = await process.communicate(b"")
    assert process.returncode == 0
    return json.loads(out)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _percentile(values: list[float], percent: int) -> float:
    """Return milliseconds of seconds."""
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


def _address(prefix: str, number: int) -> email_addresses.EmailAddress:
    return email_addresses.parse(f"{prefix}{number}@example.com", special_use=True)


if __name__ == "__main__":
    logs.configure("console")
    with tempfile.TemporaryDirectory(prefix="identity-bench-", ignore_cleanup_errors=True) as place:
        asyncio.run(main(int(os.environ.get("BENCH_PORT", "21525")), Path(place)))
