"""How fast every road is, beside its limits in the same run: `make bench` prints tables in Markdown.

A real PostgreSQL, real `identity-service serve` processes, and wrk for the load; all share this machine's cores, so a
figure counts beside its limit alone, and ratios are made of what took turns. Set BENCH_ACCOUNTS (10,000 or more),
BENCH_SECONDS (whole ones, of a reading), BENCH_ROUNDS (of the ratios), BENCH_REQUESTS (of the memory's row),
BENCH_ROADS (parts of names, to look at some alone), BENCH_GROWTH (the most accounts: 1,000,000; 10000000: that many,
too; 0: no more), BENCH_IMPORT (how many customers come over from a file).
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from identity_service import logs
from tests.bench import importing, machine, mail, roads, targets, wrk
from tests.bench.limits import Limits
from tests.bench.roads import Road
from tests.bench.stage import Stage, a_seed, free_ports
from tests.bench.wrk import Reading

ACCOUNTS = max(10_000, int(os.environ.get("BENCH_ACCOUNTS", "10000")))
SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "100000"))
ROADS = os.environ.get("BENCH_ROADS", "")
GROWTH = int(os.environ.get("BENCH_GROWTH", "1000000"))
LARGER = [n for n in (100_000, 1_000_000, 10_000_000) if ACCOUNTS < n <= GROWTH]
CUSTOMERS = int(os.environ.get("BENCH_IMPORT", "50000"))
CONNECTIONS = (1, 16, 64)
GROWING = 3

HEAD = """
| road | accounts | processes | connections | req/s | p50 ms | p99 ms | CPU ms a request | failed |
|---|--:|--:|--:|--:|--:|--:|--:|---|"""


class Speed:
    """One run: what is read, and what is told of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.limits = stage, Limits(stage)
        self.broken: Counter[str] = Counter()

    async def read(self, road: Road, connections: int, seconds: float = 0.0, *, check: bool = False) -> Reading:
        """Drive a road on every process there is, when the last one's queue is worked off."""
        stage = self.stage
        await stage.settle()
        return await self._drive(road, connections, seconds or SECONDS * road.times, check=check)

    async def _drive(self, road: Road, connections: int, seconds: float, *, check: bool) -> Reading:
        stage = self.stage
        await stage.renew_tokens()
        if road in roads.AT_A_SHOP:
            await stage.shop.renew()
        found = await wrk.run(
            road, stage.folder, stage.ports, stage.pids, connections=connections, seconds=seconds, seed=a_seed(),
            check=check,
        )  # fmt: skip
        if found.failed:
            self.broken[road.name] += found.failed
        return found

    async def warm(self, road: Road) -> int:
        """Drive a road until it is warm, and look into every answer; return how many were not as they must be."""
        connections = min(4, max(road.connections)) * len(self.stage.ports)
        return (await self.read(road, connections, 1.0, check=True)).failed

    async def table(self, chosen: list[Road]) -> None:
        """Tell every road, and then the limits, at each number of connections, with one process and with two."""
        print(HEAD)
        for processes in (1, 2):
            await self.stage.serve(processes)
            for road in (*chosen, roads.CONSTANT):
                unlike = await self.warm(road)
                for connections in road.connections[processes - 1 :]:
                    found = await self.read(road, connections, SECONDS + road.times - 1)
                    self.tell(road.name, connections, replace(found, failed=found.failed + unlike))
            for name, limit in self.bare().items():
                for connections in CONNECTIONS if processes == 1 else ():
                    self.tell(name, connections, await limit(connections, SECONDS))
        await self.stage.serve(1)

    def bare(self) -> dict[str, Callable[[int, float], Awaitable[Reading]]]:
        return {
            "limit: pgbench, verify's statement": self.limits.lookup,
            "limit: pgbench, account, consent and message in one CTE": self.limits.three_rows,
            "limit: argon2id in bare threads": self.limits.hashes,
            "limit: pgbench, a sign-in's statements": self.limits.sign_in_rows,
            "limit: pgbench, a refresh's statement": self.limits.refresh_row,
            "limit: two ES256 signatures": self.limits.signatures,
        }

    def tell(self, name: str, connections: int, found: Reading) -> None:
        p99, cpu = ("–" if value is None else f"{value:.2f}" for value in (found.p99, found.cpu))
        failed = f"**{found.failed}**" if found.failed else f"{found.busy} busy" if found.busy else "0"
        cells = (name, f"{self.stage.accounts:,}", len(self.stage.served), connections, f"{found.rate:,.0f}")
        print(f"| {' | '.join(map(str, cells))} | {found.p50:.2f} | {p99} | {cpu} | {failed} |", flush=True)

    async def round(self, number: int) -> dict[targets.Target, float]:
        """Let everything that is compared take its turn, every second time backwards; return the ratios."""
        turns: list[tuple[str, Callable[[], Awaitable[Reading]]]] = [
            ("constant", lambda: self.read(roads.CONSTANT, 16)),
            ("verify", lambda: self.read(roads.VERIFY, 16)),
            ("lookup", lambda: self.limits.lookup(16, SECONDS)),
            ("batch_100", lambda: self.read(roads.BATCH_100, 16)),
            ("batch_1000", lambda: self.read(roads.BATCH_1000, 16)),
            ("register", lambda: self.read(roads.REGISTER, 16)),
            ("three_rows", lambda: self.limits.three_rows(16, SECONDS)),
            ("sign_in", lambda: self.read(roads.PASSWORD_CHECK, 16)),
            ("hashes", lambda: self.limits.hashes(16, SECONDS)),
            ("beside_sign_ins", lambda: self.beside(roads.PASSWORD_CHECK, 64)),
            ("verify_again", lambda: self.read(roads.VERIFY, 16)),
            ("beside_permissions", lambda: self.beside(roads.PERMISSIONS, 1)),
            ("permissions", lambda: self.read(roads.PERMISSIONS, 1)),
            ("thousand", lambda: self.read(roads.BATCH_1000, 1)),
            ("grants", lambda: self.read(roads.TOKEN, 16)),
            ("at_a_shop", lambda: self.read(roads.SIGN_IN_AT_A_SHOP, 16)),
            ("sign_in_rows", lambda: self.limits.sign_in_rows(16, SECONDS)),
            ("signatures", lambda: self.limits.signatures(16, SECONDS)),
            ("refresh_row", lambda: self.limits.refresh_row(16, SECONDS)),
            ("refresh", lambda: self.read(roads.REFRESH, 16)),
        ]
        seen = {name: await turn() for name, turn in (turns if number % 2 == 0 else reversed(turns))}
        return _ratios(seen)

    async def beside(self, load: Road, connections: int) -> Reading:
        """Verify while another road is under load; the load begins before and ends after."""
        await self.stage.settle()
        other = asyncio.create_task(self._drive(load, connections, SECONDS + 1.0, check=False))
        await asyncio.sleep(0.5)
        found = await self._drive(roads.VERIFY, 16, SECONDS, check=False)
        await other
        return found

    async def ratios(self) -> None:
        """Tell the ratios, with what they are to be."""
        for road in (*roads.ALL, roads.CONSTANT):
            await self.warm(road)
        rounds = [await self.round(number) for number in range(ROUNDS)]
        print(f"\nRatios, one process, 16 connections, median of {ROUNDS} rounds (range)\n\n{targets.HEAD}")
        for target in rounds[0]:
            print(target.row([found[target] for found in rounds]), flush=True)

    async def memory(self) -> None:
        """Tell what a fresh process holds after many requests of every kind."""
        await self.stage.serve(0)
        await self.stage.serve(1)
        asked, held = 0.0, []
        for wanted in (REQUESTS / 10, REQUESTS):
            while asked < wanted:
                found = await self.read(roads.MIXED, 16, 3.0)
                asked += found.rate * 3.0
            held.append(wrk.resident_mib(self.stage.pids[0]))
        print(targets.MEMORY.row([held[1] / held[0]]))
        print(f"\nThe process held {held[0]:.0f} MiB, then {held[1]:.0f} MiB after {asked:,.0f} requests.")

    async def customers(self) -> None:
        """Tell how fast customers come over from a file, and what the process holds meanwhile."""
        found = await importing.measure(self.stage, CUSTOMERS)
        print(f"\n{targets.HEAD}")
        print(targets.IMPORT.row([found.rate / targets.IMPORT_ROWS]))
        print(targets.IMPORT_MEMORY.row([found.end / found.tenth]))
        print(
            f"\nThe import took {found.rate:,.0f} of {CUSTOMERS:,} rows a second, a bare COPY {found.copied:,.0f}; its "
            f"process held {found.tenth:.0f} MiB after a tenth of them, then {found.end:.0f} MiB.",
            flush=True,
        )

    async def growth(self, chosen: list[Road]) -> None:
        """Tell every road again as the accounts grow, with their history."""
        before = await self.middle()
        print(HEAD)
        for count in LARGER:
            await self.stage.fill(count)
            for road in (road for road in chosen if road.grows):
                unlike = await self.warm(road)
                found = await self.read(road, connections := min(16, max(road.connections)))
                self.tell(road.name, connections, replace(found, failed=found.failed + unlike))
            self.tell("limit: pgbench, verify's statement", 16, await self.limits.lookup(16, SECONDS))
        after = await self.middle()
        print(f"\n{targets.HEAD}\n{targets.GROWTH.row([after / before])}")

    async def middle(self) -> float:
        """Return the p50 of verify, the median of some readings."""
        await self.warm(roads.VERIFY)
        return statistics.median([(await self.read(roads.VERIFY, 16)).p50 for _ in range(GROWING)])


def _ratios(seen: dict[str, Reading]) -> dict[targets.Target, float]:
    verify = seen["verify"].rate
    return {
        targets.LOOKUP: verify / seen["lookup"].rate,
        targets.CONSTANT: verify / seen["constant"].rate,
        targets.BATCH_100: seen["batch_100"].rate * roads.BATCH_100.ids / verify,
        targets.BATCH_1000: seen["batch_1000"].rate * roads.BATCH_1000.ids / verify,
        targets.REGISTER: seen["register"].rate / seen["three_rows"].rate,
        targets.SIGN_IN: seen["sign_in"].rate / seen["hashes"].rate,
        targets.BESIDE_SIGN_INS: _p99(seen["beside_sign_ins"]) / _p99(seen["verify_again"]),
        targets.BESIDE_PERMISSIONS: _p99(seen["beside_permissions"]) / _p99(seen["verify_again"]),
        targets.PERMISSIONS: seen["permissions"].p50 / seen["thousand"].p50,
        targets.GRANTS: _per_cpu_second(seen["grants"]) / targets.KEYCLOAK_GRANTS,
        targets.SIGN_INS: _per_cpu_second(seen["sign_in"]) / targets.KEYCLOAK_SIGN_INS,
        targets.SHOP: seen["at_a_shop"].rate / roads.SIGN_IN_AT_A_SHOP.steps / _both(seen, "sign_in_rows"),
        targets.REFRESH: seen["refresh"].rate / _both(seen, "refresh_row"),
        targets.REFRESHES: _per_cpu_second(seen["refresh"]) / targets.KEYCLOAK_REFRESHES,
    }


def _both(seen: dict[str, Reading], rows: str) -> float:
    """Return how often a second the rows are written and two tokens signed, one after the other."""
    return 1 / (1 / seen[rows].rate + 1 / seen["signatures"].rate)


def _p99(found: Reading) -> float:
    return found.p99 or 0.0


def _per_cpu_second(found: Reading) -> float:
    return 1000 / (found.cpu or 1.0)


async def letters(folder: Path) -> None:
    """Tell how fast letters are brought, and how soon, on a database of their own."""
    found = await mail.shortly(folder / "mail", free_ports(2))
    print(f"\n{targets.HEAD}")
    print(targets.LETTERS.row([rate / targets.LETTERS_A_SECOND for rate in found.rates]))
    print(targets.LETTERS_SOON.row([found.p99 / targets.LETTER_MS]))
    print(
        f"\nA worker brought {statistics.median(found.rates):,.0f} letters a second, a bare aiosmtplib loop "
        f"{statistics.median(found.bare):,.0f}; at 50 a second p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms.",
        flush=True,
    )


async def main(folder: Path) -> int:
    """Measure everything; return 1 where an answer was not as it must be."""
    wrk.find()
    chosen = [road for road in roads.ALL if ROADS in road.name]
    stage = Stage(folder, free_ports(2))
    await stage.open()
    try:
        await stage.fill(ACCOUNTS)
        speed = Speed(stage)
        await speed.limits.prepare()
        print(machine.told())
        await speed.table(chosen)
        if not ROADS:
            await speed.ratios()
            await speed.memory()
        if LARGER and any(road.grows for road in chosen):
            await speed.growth(chosen)
        if not ROADS:
            await speed.customers()
        broken = dict(speed.broken) or "none"
        print(f"\nLoad average after: {machine.load()}. Answers that were not as they must be: {broken}.")
    finally:
        await stage.close()
    if not ROADS:
        await letters(folder)
    return 1 if speed.broken else 0


if __name__ == "__main__":
    logs.configure("json", stream=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        sys.exit(asyncio.run(main(Path(place))))
