"""How much CPU others took from the comparison: what neither the servers, nor PostgreSQL, nor the load used.

Where two cores are shared with somebody else, rates tell who gets more of what is left, and not who is faster.
"""

import contextlib
import os
import resource
import time
from pathlib import Path

import psutil

TICK = os.sysconf("SC_CLK_TCK")


class Foreign:
    """From one look to the next. `pids`: the servers that are compared; `postmaster`: of the database they share."""

    def __init__(self, pids: list[int], postmaster: int) -> None:
        self.pids, self.postmaster = pids, postmaster
        self.before = self._look()

    def cores(self) -> float:
        """Return how many cores others used since the look before."""
        (since, all_then, own_then), (now, all_now, own_now) = self.before, self._look()
        self.before = now, all_now, own_now
        return max(0.0, (all_now - all_then) - (own_now - own_then)) / (now - since)

    def _look(self) -> tuple[float, float, float]:
        # user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); what idles and waits is nobody's.
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]]
        return time.monotonic(), (sum(fields) - fields[3] - fields[4]) / TICK, self._own()

    def _own(self) -> float:
        here, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        times = [psutil.Process(pid).cpu_times() for pid in self.pids]
        postgres = psutil.Process(self.postmaster)
        for one in postgres.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                times.append(one.cpu_times())
        # Backends that have ended are counted with the process that started them.
        whole = postgres.cpu_times()
        used = sum(one.user + one.system for one in times) + sum(whole[:4])
        return used + here.ru_utime + here.ru_stime + ended.ru_utime + ended.ru_stime
