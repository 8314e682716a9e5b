"""Privacy facts on the column itself: what it holds, whose it is, and what erasing an account does to it.

Export, erasure and the record of processing are derived from this (PRV-09, PRV-10, PRV-15). A test fails for a column
without such a fact, so that erasing cannot miss personal data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Erase = Literal["keep", "delete", "empty"]
HOLDS: Final = "holds"
EMPTY: Final = "empty"
"""Keys in a column's `info`: what it holds, and its value after its row is emptied (NULL without this key)."""

IDENTIFIER: Final[dict[Any, Any]] = {HOLDS: "id"}
"""An identifier that we issued: User IDs, message ids, positions."""
FACT: Final[dict[Any, Any]] = {HOLDS: "fact"}
"""What happened: states, times, codes, amounts. Erasing keeps it."""
PERSONAL: Final[dict[Any, Any]] = {HOLDS: "personal"}
"""Data about a person. Erasing removes it."""
PROVING: Final[dict[Any, Any]] = {HOLDS: "proving"}
"""A hash, nonce or sealed value that proves something; never exported. In a row that stays it is useless."""
KEPT: Final[dict[Any, Any]] = {HOLDS: "kept"}
"""A keyed hash of an address; never exported, and kept after erasing so that a suppression still blocks."""


def emptied(info: Mapping[Any, Any], value: object) -> dict[Any, Any]:
    """Return `info` of a column that becomes `value` instead of NULL when its row is emptied."""
    return {**info, EMPTY: value}


@dataclass(frozen=True, slots=True)
class TablePrivacy:
    """Which column (`owner`) has the customer's User ID, and what erasing does to their rows.

    A table without such a column is reached `through` a (column, table): a foreign key to a table that has one.
    """

    owner: str | None = None
    erase: Erase = "keep"
    through: tuple[str, str] | None = None
