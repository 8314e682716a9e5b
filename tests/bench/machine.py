"""What a run was measured on, as far as it changes what is measured."""

import os
from pathlib import Path

AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def load() -> str:
    """Return the load averages of the last one, five and fifteen minutes."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


def told() -> str:
    """Return the cores, the load, and whether the kernel makes a group of every PostgreSQL process."""
    grouped = AUTOGROUP.exists() and AUTOGROUP.read_text().strip() == "1"
    autogroups = (
        ", kernel.sched_autogroup_enabled is on, so some answers will wait for up to a second" if grouped else ""
    )
    return f"{os.cpu_count()} cores, shared with the load and PostgreSQL; load average before: {load()}{autogroups}"
