"""What is verified for an address without a password: a hash of a kind that such an address could have.

Imported hashes take longer or shorter than ours. If only ours were verified for unknown addresses, the time of one
wrong sign-in would tell that an account came by an import. So the kind is drawn from the mix of kinds that the table
holds: a kind says no more about an address than that some accounts have it (ATT-20, PWD-13). The draw depends on the
address alone, so that asking again takes the same time.
"""

import asyncio
import hashlib
import math
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from identity_service import logs
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem
from identity_service.passwords import legacy_schemes
from identity_service.passwords.tables import PasswordKind

REFRESH_EVERY_S: Final = 600


class Kind(NamedTuple):
    """Passwords with the same scheme and cost: how many there are, and a hash that no password matches."""

    name: str
    passwords: int
    dummy: str


class Dummies:
    """The kinds of one process; without any, every dummy is the given one."""

    def __init__(self, default: str) -> None:
        """Start with a hash of our own kind, which no password matches."""
        self._default = default
        self._kinds: list[Kind] = []

    def replace_kinds(self, kinds: list[Kind]) -> None:
        """Draw from these kinds from now on."""
        self._kinds = kinds

    def pick(self, asked: bytes) -> str:
        """Return the dummy for the keyed hash of what was asked for.

        Weighted rendezvous hashing: each kind gets a share as large as its count, and when counts change, as few
        addresses as possible change their kind.
        """
        if not self._kinds:
            return self._default
        return min(self._kinds, key=lambda kind: _score(asked, kind)).dummy


def _score(asked: bytes, kind: Kind) -> float:
    drawn = int.from_bytes(hashlib.sha256(asked + kind.name.encode()).digest()[:8])
    return -math.log((drawn + 1) / 2**64) / kind.passwords


async def count_kinds(session: DatabaseSession) -> None:
    """Write the kinds that the table of passwords holds to `password_kind`; takes a second for a million passwords.

    Workers do it every ten minutes, and an import when it ends. A kind that was known keeps its dummy.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('identity password kinds'))"))
    await session.execute(text("SET LOCAL statement_timeout = '60s'"))
    dummies = {kind.name: kind.dummy for kind in await load_kinds(session)}
    rows = (await session.execute(_KINDS)).all()
    found = [
        {
            "kind": row.kind,
            "passwords": row.passwords,
            "dummy": dummies.get(row.kind) or legacy_schemes.make_dummy(row.example),
        }
        for row in rows
    ]
    await session.execute(delete(PasswordKind))
    if found:
        await session.execute(insert(PasswordKind), found)


async def load_kinds(session: DatabaseSession) -> list[Kind]:
    """Return the kinds as they were last counted."""
    rows = await session.execute(select(PasswordKind.kind, PasswordKind.passwords, PasswordKind.dummy))
    return [Kind(*row) for row in rows]


async def keep_fresh(database: Database, dummies: Dummies) -> None:
    """Load the kinds every ten minutes, until cancelled; while the database is away, the last ones stay."""
    while True:
        await asyncio.sleep(REFRESH_EVERY_S)
        try:
            await reload_kinds(database, dummies)
        except (Problem, SQLAlchemyError, OSError) as failed:
            logs.log.warning("password.kinds_not_loaded", error=type(failed).__name__)


async def reload_kinds(database: Database, dummies: Dummies) -> None:
    """Draw from the kinds as they were last counted."""
    dummies.replace_kinds(await database.in_transaction(load_kinds))


# A kind is the scheme with its cost, and the length of the hash, which decides how much PBKDF2 computes. In argon2 and
# our own forms everything but the last two parts is cost; in the others salt and hash have fixed lengths.
_KINDS = text(
    r"""
    SELECT
        CASE
            WHEN phc LIKE '$argon2id$%' THEN left(phc, strpos(phc, ',p=') + 4)
            WHEN phc LIKE '$2%' OR phc LIKE '$wp$%' OR phc LIKE '$bcrypt-%' THEN left(phc, -53)
            WHEN phc LIKE '$P$%' OR phc LIKE '$H$%' THEN left(phc, 4)
            WHEN phc LIKE '$5$%' OR phc LIKE '$6$%' THEN substring(phc from '^\$.\$(?\:rounds=\d+)?')
            ELSE regexp_replace(phc, '[^$]*\$[^$]*$', '') || length(phc)
        END AS kind,
        count(*) AS passwords, min(phc) AS example
    FROM password GROUP BY 1
    """
)
