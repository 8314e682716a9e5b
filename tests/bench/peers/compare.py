"""How fast we are beside others in the same run: `make bench-peers` prints tables in Markdown.

better-auth in Node (as it comes, and with its option to join tables), `identity-service serve`, and where the CPU has
AVX2 a second `serve` whose argon2 was built for it. One process each, all on one real PostgreSQL and on this machine's
cores, which wrk shares; each is driven alone, at 16 connections, in turns, every second round backwards. Every answer
is looked into before and after the rounds, and its status in them. Set BENCH_ACCOUNTS, BENCH_SECONDS (of a reading),
BENCH_ROUNDS.

What is not equal:

- A verify finds an account by User ID and what it says of itself, for a service, whose signed token was checked before
  and is remembered: one statement. Theirs finds the session of a cookie, whose seal it checks each time, with its user.
- Our reset request writes events, the letter into the outbox and what its page shows, and counts against the limit of
  the client, by address also of the address, in the database. Theirs writes one row, and its letter goes nowhere.
- Our password check tells a service that it fits; the try is counted before and forgotten after, in transactions of
  their own. Their sign-in writes a session and sets its cookie. Ours hashes in as many threads as there are cores, at
  the lowest priority, so on a machine that does other things it loses more; theirs in libuv's four, at the usual one.
- We write a log line for each request, theirs none. Our limits are on, and the load comes from 64 clients so that none
  is hit; theirs count by network, and are off.
"""

import asyncio
import math
import os
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import make_url

from identity_service import logs
from identity_service.passwords import cpu as passwords_cpu
from tests.bench import machine, roads, targets, wrk
from tests.bench.peers import better_auth
from tests.bench.peers.better_auth import BetterAuth
from tests.bench.peers.foreign import Foreign
from tests.bench.roads import PASSWORD, Road
from tests.bench.stage import Stage, a_seed, free_ports, ready, settle
from tests.bench.wrk import Reading

ACCOUNTS = int(os.environ.get("BENCH_ACCOUNTS", "100000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
CONNECTIONS = 16
MARCH = "x86-64-v3"
BUILT = Path(os.environ.get("ARGON2_BUILT", f".argon2/{MARCH}")).absolute()
JOINED = ", joined"
QUIET = 0.3
"""Cores that others may use."""
WARMINGS, RESTS, GAIN = 30, 3, 0.97
"""So many readings at most, and so many in which the CPU of a request did not go below that part of the least."""

HEAD = "| road | req/s | p50 ms | p99 ms | CPU ms a request |\n|---|--:|--:|--:|--:|"

# As better-auth is asked, too. An address has three letters an hour: of so many, hardly one is asked for that often.
RESET_BY_ADDRESS = Road(
    "reset request by address",
    f"""
    function road() end
    function request()
      return post("/v1/resets", '{{"email":"c' .. math.random(0, {ACCOUNTS - 1}) .. '@example.com"}}')
    end
    """,
    '"tracking_url"',
)


class Turn(NamedTuple):
    """A road of one of the servers."""

    folder: Path
    port: int
    pid: int
    road: Road
    note: str = ""

    @property
    def name(self) -> str:
        return self.road.name + self.note


class Comparison:
    """The servers, and what was seen of them."""

    def __init__(self, stage: Stage, peer: BetterAuth) -> None:
        self.stage, self.peer = stage, peer
        self.built: asyncio.subprocess.Process | None = None
        self.broken: Counter[str] = Counter()

    async def open(self) -> None:
        """Start all of them on accounts that are as many for each, with one hash of one password."""
        await self.stage.fill(ACCOUNTS)
        await self.stage.serve(1)
        await self.peer.open(await self.stage.hasher.hash(PASSWORD), ACCOUNTS)
        lacking = passwords_cpu.cpu_problem(MARCH, Path("/proc/cpuinfo"))
        if lacking is not None:
            print(f"No {MARCH} build is compared here: {lacking}")
            return
        port = str(self.stage.port + 1)
        more = {"PYTHONPATH": str(BUILT), "ARGON2_MARCH": MARCH, "IDENTITY_PORT": port}
        self.built = await self.stage.cluster.spawn("serve", **more)
        await ready(int(port))
        if not _loaded(self.built.pid, BUILT):
            raise SystemExit(f"The process did not load argon2 from {BUILT}.")

    async def close(self) -> None:
        if self.built is not None:
            await self.stage.cluster.end(self.built)
        await self.peer.close()

    def turns(self) -> dict[str, Turn]:
        """Return what takes turns, in an order in which what is compared stands side by side."""
        ours = (self.stage.folder, self.stage.port, self.stage.pids[0])
        theirs, joined = (
            (self.peer.folder, port, pid) for port, pid in zip(self.peer.ports, self.peer.pids, strict=True)
        )
        found = {
            "verify": Turn(*ours, roads.VERIFY),
            "their_read": Turn(*theirs, better_auth.SESSION),
            "their_joined_read": Turn(*joined, better_auth.SESSION, JOINED),
            "reset": Turn(*ours, roads.RESET, " by User ID"),
            "their_reset": Turn(*theirs, better_auth.RESET),
            "their_joined_reset": Turn(*joined, better_auth.RESET, JOINED),
            "reset_by_address": Turn(*ours, RESET_BY_ADDRESS),
            "check": Turn(*ours, roads.PASSWORD_CHECK),
            "their_sign_in": Turn(*theirs, better_auth.SIGN_IN),
        }
        if self.built is not None:
            place = (self.stage.folder, self.stage.port + 1, self.built.pid)
            found["built_check"] = Turn(*place, roads.PASSWORD_CHECK, f", argon2 built for {MARCH}")
        return found

    def pids(self) -> list[int]:
        built = [] if self.built is None else [self.built.pid]
        return [*self.stage.pids, *built, *self.peer.pids]

    async def read(self, turn: Turn, seconds: float = 0.0, *, check: bool = False) -> Reading:
        """Drive a road, when every server has worked off what it had."""
        await settle(self.pids())
        await self.stage.renew_tokens()
        found = await wrk.run(
            turn.road, turn.folder, [turn.port], [turn.pid], connections=CONNECTIONS,
            seconds=seconds or SECONDS * turn.road.times, seed=a_seed(), check=check,
        )  # fmt: skip
        if found.failed:
            self.broken[turn.name] += found.failed
        return found

    async def warm(self, turn: Turn) -> None:
        """Drive a road until its requests take no less CPU than before, and look into every answer meanwhile.

        The rate would not tell: V8 compiles for ten seconds and more, and then a request takes less than half the CPU.
        """
        best, since = math.inf, 0
        for _ in range(WARMINGS):
            cpu = (await self.read(turn, turn.road.times, check=True)).cpu or 0.0
            best, since = (cpu, 0) if cpu < best * GAIN else (best, since + 1)
            if since == RESTS:
                return

    async def rounds(self) -> None:
        """Let all take turns, and tell what was seen and what it comes to."""
        turns = self.turns()
        for turn in turns.values():
            await self.warm(turn)
        foreign = Foreign(self.pids(), self._postmaster())
        seen, others = [], []
        for number in range(ROUNDS):
            order = list(turns) if number % 2 == 0 else list(reversed(turns))
            seen.append({name: await self.read(turns[name]) for name in order})
            others.append(foreign.cores())
        for turn in turns.values():
            await self.read(turn, 1.0, check=True)
        print(f"\nMedians of {ROUNDS} rounds\n\n{HEAD}")
        for name, turn in turns.items():
            print(_row(turn.name, [one[name] for one in seen]))
        print(f"\nRatios, the median of {ROUNDS} rounds (range)\n\n{targets.HEAD}")
        ratios = [_ratios(one) for one in seen]
        for target in ratios[0]:
            print(target.row([found[target] for found in ratios]))
        taken = statistics.median(others)
        print(
            f"\nOthers used {taken:.2f} of the {os.cpu_count()} cores meanwhile."
            + (f" Above {QUIET} the rates say little: run it again." if taken > QUIET else "")
        )

    def _postmaster(self) -> int:
        pid = self.stage.cluster.server.data / "postmaster.pid"
        return int(pid.read_text(encoding="utf-8").split()[0])


def _loaded(pid: int, folder: Path) -> bool:
    return str(folder) in Path(f"/proc/{pid}/maps").read_text("utf-8")


def _row(name: str, found: list[Reading]) -> str:
    rate, p50, p99, cpu = (
        statistics.median([getattr(one, figure) or 0.0 for one in found]) for figure in ("rate", "p50", "p99", "cpu")
    )
    return f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {cpu:.2f} |"


def _ratios(seen: dict[str, Reading]) -> dict[targets.Target, float]:
    found = {
        targets.PEER_READ: seen["verify"].rate / seen["their_read"].rate,
        targets.PEER_READ_JOINED: seen["verify"].rate / seen["their_joined_read"].rate,
        targets.PEER_READ_P99: _p99(seen["verify"]) / _p99(seen["their_read"]),
        targets.PEER_READ_P99_JOINED: _p99(seen["verify"]) / _p99(seen["their_joined_read"]),
        targets.PEER_RESET: seen["reset"].rate / seen["their_reset"].rate,
        targets.PEER_RESET_JOINED: seen["reset"].rate / seen["their_joined_reset"].rate,
        targets.PEER_RESET_BY_ADDRESS: seen["reset_by_address"].rate / seen["their_reset"].rate,
    }
    if "built_check" in seen:
        found[targets.BUILD] = seen["built_check"].rate / seen["check"].rate
        found[targets.PEER_SIGN_IN] = seen["built_check"].rate / seen["their_sign_in"].rate
    return found


def _p99(found: Reading) -> float:
    assert found.p99 is not None
    return found.p99


async def main(folder: Path) -> int:
    """Compare everything; return 1 where an answer was not as it must be."""
    wrk.find()
    better_auth.find_node()
    port = free_ports(4)
    stage = Stage(folder, port)
    await stage.open()
    compared = Comparison(stage, BetterAuth(folder / "better-auth", make_url(stage.cluster.server.owner), port + 2))
    try:
        await compared.open()
        print(f"{machine.told()}. One process each, {CONNECTIONS} connections, {ACCOUNTS:,} accounts.", flush=True)
        await compared.rounds()
        broken = dict(compared.broken) or "none"
        print(f"\nLoad average after: {machine.load()}. Answers that were not as they must be: {broken}.")
    finally:
        await compared.close()
        await stage.close()
    return 1 if compared.broken else 0


if __name__ == "__main__":
    logs.configure("json", stream=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        sys.exit(asyncio.run(main(Path(place))))
