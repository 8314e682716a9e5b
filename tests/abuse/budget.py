"""How long abuse goes on: a short form in `make test`, `ABUSE_SECONDS` a part in `make abuse`."""

import os

SECONDS = float(os.environ.get("ABUSE_SECONDS", "0"))
"""Seconds for each part that searches; 0 is the short form."""


def examples(short: int, per_second: float) -> int:
    """Return how many examples fit: `short` in the short form, else what a machine does in the time that is given."""
    return max(short, int(SECONDS * per_second))
