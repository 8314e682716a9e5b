"""The targets, as ratios of what took turns in one run; and how a row says whether it keeps its floor."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

KEYCLOAK_GRANTS, KEYCLOAK_SIGN_INS, KEYCLOAK_REFRESHES = 120, 15, 120
"""A second and vCPU, as Keycloak publishes them for sizing; theirs is a service whose database is counted apart."""
IMPORT_ROWS = 10_000
"""A second: a million customers come over in less than two minutes."""

LETTERS_A_SECOND, LETTER_MS = 300, 1500


@dataclass(frozen=True)
class Target:
    """`most`: the ratio is to be at most this; otherwise at least."""

    number: int
    what: str
    against: str
    floor: float
    aim: float
    most: bool = False

    def row(self, ratios: Sequence[float]) -> str:
        """Return a row of the table: median, range, and whether the floor is kept."""
        middle = statistics.median(ratios)
        kept = middle <= self.floor if self.most else middle >= self.floor
        sign = "≤" if self.most else "≥"
        seen = f"{_short(middle)} ({_short(min(ratios))}–{_short(max(ratios))})"
        told = "kept" if kept else "**missed**"
        bounds = f"{sign} {self.floor:g} | {sign} {self.aim:g}"
        return f"| {self.number} | {self.what} | {self.against} | {seen} | {bounds} | {told} |"


HEAD = "| # | what | against | ratio | floor | aim | |\n|--:|---|---|---|---|---|---|"

PEER_READ = Target(1, "verify one: rate", "better-auth, session and user", 3.5, 6)
PEER_READ_JOINED = replace(PEER_READ, against="better-auth, both in one statement")
PEER_READ_P99 = Target(2, "verify one: p99", "better-auth, session and user", 0.333, 0.2, most=True)
PEER_READ_P99_JOINED = replace(PEER_READ_P99, against="better-auth, both in one statement")
LOOKUP = Target(3, "verify one: rate", "pgbench, the same statement", 0.10, 0.15)
CONSTANT = Target(4, "verify one: rate", "same server, constant answer", 0.30, 0.45)
BATCH_100 = Target(5, "verify 100: IDs/s", "verify one", 12, 17)
BATCH_1000 = Target(6, "verify 1,000: IDs/s", "verify one", 16, 22)
REGISTER = Target(7, "register: rate", "pgbench, three rows in one CTE", 0.04, 0.06)
PEER_RESET = Target(8, "reset request by User ID: rate", "better-auth, by address", 1, 1.5)
PEER_RESET_JOINED = replace(PEER_RESET, against="better-auth, by address, joined")
PEER_RESET_BY_ADDRESS = replace(PEER_RESET, what="reset request by address: rate")
SIGN_IN = Target(9, "password check: rate", "raw argon2id, same parameters and threads", 0.85, 0.92)
BUILD = Target(10, "password check, x86-64-v3 build: rate", "stock wheel", 1.3, 1.5)
PEER_SIGN_IN = Target(11, "password check, x86-64-v3 build: rate", "better-auth, sign in", 0.8, 1)
BESIDE_SIGN_INS = Target(12, "verify p99 beside 64 password checks", "alone", 3, 1.5, most=True)
BESIDE_PERMISSIONS = Target(13, "verify p99 beside a permission check", "alone", 4, 2, most=True)
PERMISSIONS = Target(14, "permission check of 10,000: time", "verify 1,000", 5, 4, most=True)
GRANTS = Target(15, "token grants a CPU second", f"Keycloak's {KEYCLOAK_GRANTS}", 2, 4)
SIGN_INS = Target(16, "password checks a CPU second", f"Keycloak's {KEYCLOAK_SIGN_INS}", 2, 3.5)
GROWTH = Target(18, "verify one: p50 at the most accounts", "at the fewest", 1.2, 1.05, most=True)
MEMORY = Target(19, "memory after all mixed requests", "after a tenth of them", 1.05, 1.0, most=True)

LETTERS = Target(17, "letters a second of one worker, fully recorded", f"{LETTERS_A_SECOND}", 1, 2)
LETTERS_SOON = Target(17, "commit to the relay's 250 at 50/s, p99", f"{LETTER_MS:,} ms", 1, 0.47, most=True)
IMPORT = Target(20, "import: rows a second", f"{IMPORT_ROWS:,}", 1, 3)
IMPORT_MEMORY = Target(20, "memory at the end of an import", "after a tenth of it", 1.05, 1.0, most=True)

SHOP = Target(21, "whole sign-ins at a shop: rate", "pgbench, its statements, and two signatures", 0.04, 0.06)
REFRESH = Target(22, "refresh: rate", "pgbench, its statement, and two signatures", 0.04, 0.06)
REFRESHES = Target(23, "refreshes a CPU second", f"Keycloak's {KEYCLOAK_REFRESHES}", 2, 4)


def _short(value: float) -> str:
    return f"{value:.3f}" if value < 0.2 else f"{value:.2f}"
