"""Drive a road with wrk (a load generator in C, with Lua scripts), and read what came of it.

The scripts are written for each run: which ports, which road, which seed, and whether every answer is looked into. A
thread of wrk talks to one process of ours, so that two processes need no proxy that would be measured too.
"""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.roads import Road

_FRAME = """
local ports = {%(ports)s}
local all = {}

function setup(thread)
  table.insert(all, thread)
  thread:set("number", #all)
  thread:set("threads", #ports)
  thread.addr = wrk.lookup("127.0.0.1", ports[#all])[1]
end

local function lines(path)
  local found = {}
  for line in io.lines(path) do table.insert(found, line) end
  return found
end

function init()
  folder = "%(folder)s"
  local seed = "%(seed)d-" .. number
  ids, tokens, secrets = lines(folder .. "/ids"), lines(folder .. "/tokens"), lines(folder .. "/secrets")
  math.randomseed(%(seed)d * 8 + number)
  turn, wrong, busy = 0, 0, 0
  road(seed)
end

function an_id() return ids[math.random(#ids)] end

function some_ids(count)
  local start, found = math.random(#ids), {}
  for i = 1, count do found[i] = ids[(start + i) %% #ids + 1] end
  return '["' .. table.concat(found, '","') .. '"]'
end

function post(path, body)
  turn = turn + 1
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = tokens[turn %% #tokens + 1]}
  return wrk.format("POST", path, headers, body)
end

%(road)s

%(check)s

function done(summary, latency)
  local failed, unlike, full = summary.errors, 0, 0
  for _, thread in ipairs(all) do unlike, full = unlike + thread:get("wrong"), full + thread:get("busy") end
  print(string.format(
    'RESULT {"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, '
      .. '"refused": %%d, "broken": %%d, "unlike": %%d, "busy": %%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout, unlike, full))
end
"""
_CHECK = """
local may_be_busy, wait = %(may_be_busy)s, 0

function response(status, headers, body)
  if took then
    took(status, headers, body)
  elseif may_be_busy and status == 503 then
    busy, wait = busy + 1, tonumber(headers["Retry-After"] or headers["retry-after"]) * 1000
  elseif status >= 300 or not body:find('%(expects)s', 1, true) then
    wrong = wrong + 1
  end
end

-- Whoever is told to come back later does so.
if may_be_busy then
  function delay()
    local told = wait
    wait = 0
    return told
  end
end
"""


@dataclass(frozen=True)
class Reading:
    """What one run showed; times in ms, CPU of the API processes in ms a request, None where nobody could see it.

    `rate` is of good answers. `busy` is how many were told that the queue is full: a limit, and no failure.
    """

    rate: float
    p50: float
    p99: float | None = None
    cpu: float | None = None
    failed: int = 0
    busy: int = 0


def find() -> str:
    """Return where wrk is."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is missing, which makes the load: install it (Debian and Ubuntu: apt-get install wrk).")
    return found


async def run(
    road: Road, folder: Path, ports: list[int], pids: list[int], *, connections: int, seconds: float, seed: int,
    check: bool = False,
) -> Reading:  # fmt: skip
    """Drive a road for some seconds; with `check`, look into every answer, which costs the generator time."""
    script = folder / f"{seed}.lua"
    check = check or road.may_be_busy or "function took" in road.lua
    look = _CHECK % {"may_be_busy": str(road.may_be_busy).lower(), "expects": road.expects} if check else ""
    facts = {"ports": ", ".join(map(str, ports)), "folder": folder, "seed": seed, "road": road.lua, "check": look}
    script.write_text(_FRAME % facts, encoding="utf-8")
    words = (f"-t{len(ports)}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script))
    before = cpu_seconds(pids)
    process = await asyncio.create_subprocess_exec(
        find(), *words, f"http://127.0.0.1:{ports[0]}/", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    spent = cpu_seconds(pids) - before
    told = [line for line in out.decode().splitlines() if line.startswith("RESULT ")]
    if process.returncode or not told:
        raise SystemExit(f"wrk could not drive {road.name}:\n{out.decode()}")
    return _reading(json.loads(told[0].removeprefix("RESULT ")), spent, check=check)


def _reading(seen: dict, spent: float, *, check: bool) -> Reading:
    failed = seen["broken"] + (seen["unlike"] if check else seen["refused"])
    good = max(0, seen["requests"] - failed - seen["busy"])
    cpu = spent * 1000 / max(1, seen["requests"])
    return Reading(good / seen["seconds"], seen["p50"], seen["p99"], cpu, failed, seen["busy"])


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU that processes have used, in seconds."""
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    # Fields 14 and 15 are counted behind the name, which may hold blanks (proc(5)); a tick is 10 ms on Linux.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mib(pid: int) -> float:
    """Return the memory that a process holds, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20
