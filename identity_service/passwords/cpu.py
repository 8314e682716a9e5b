"""Check whether this CPU can run the argon2 build of the image.

An image may contain argon2 built for newer CPUs (Dockerfile, ARGON2_MARCH). On an older CPU the first hash would end
the process with an illegal instruction, which no `except` catches, so creating the hasher fails instead.
"""

from pathlib import Path
from typing import Final

_V2: Final = frozenset({"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_V3: Final = _V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
_V4: Final = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
LEVELS: Final = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
"""The CPU flags of each level (x86-64 psABI), as `/proc/cpuinfo` names them."""


class UnsuitableCpu(Exception):
    """This CPU cannot run the argon2 build of this image; the message names the missing flags."""


def cpu_problem(march: str, cpuinfo: Path) -> str | None:
    """Return why argon2 built for `march` cannot run here, or None if it can or `march` is empty."""
    if not march:
        return None
    if march not in LEVELS:
        return f"ARGON2_MARCH is {march!r}; it must be one of {', '.join(LEVELS)}, or empty."
    missing = LEVELS[march] - _flags(cpuinfo)
    if not missing:
        return None
    return (
        f"This image has argon2 for {march} CPUs, and this one lacks {', '.join(sorted(missing))}: use another image."
    )


def _flags(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
