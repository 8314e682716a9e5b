"""Which statements of a migration would hold a table for long, or take something away that running processes use.

Read from the statements themselves; whatever is done to a table that the same migration makes is free.
"""

import re
from collections.abc import Iterator, Sequence

_TABLE = r'(?:IF (?:NOT )?EXISTS )?(?:ONLY )?"?(\w+)"?'
_CONSTRAINT = r"(?:CONSTRAINT \w+ )?"
_VOLATILE = r"(?:gen_random_uuid|uuidv[47]|random|clock_timestamp|nextval|timeofday)\s*\("
HOLDS = {
    rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON {_TABLE}": "an index is built while nobody may write",
    rf"ALTER TABLE {_TABLE} ADD COLUMN .*(?:{_VOLATILE}|GENERATED|SERIAL)": "every row is written anew",
    rf"ALTER TABLE {_TABLE} ADD COLUMN (?!.*DEFAULT).*NOT NULL": "rows that are there have no value for it",
    rf"ALTER TABLE {_TABLE} ALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE": "every row may be written anew",
    rf"ALTER TABLE {_TABLE} ALTER (?:COLUMN )?\w+ SET NOT NULL": "every row is read while nobody may write",
    rf"ALTER TABLE {_TABLE} ADD {_CONSTRAINT}(?:CHECK|FOREIGN KEY)(?!.*NOT VALID)": "every row is read",
    rf"ALTER TABLE {_TABLE} ADD {_CONSTRAINT}(?:UNIQUE|PRIMARY KEY|EXCLUDE)(?!.*USING INDEX)": "an index is built",
    rf"ALTER TABLE {_TABLE} (?:SET (?:UNLOGGED|LOGGED|TABLESPACE)|CLUSTER)": "the table is written anew",
    rf"(?:LOCK TABLE|TRUNCATE(?: TABLE)?|CLUSTER|VACUUM FULL) {_TABLE}": "nobody may write",
    rf"REINDEX (?:TABLE|INDEX) (?!CONCURRENTLY){_TABLE}": "nobody may write",
    rf"UPDATE {_TABLE} ": "all rows change in one transaction; do it in portions, beside the service",
    rf"DELETE FROM {_TABLE}": "rows go in one transaction; do it in portions, beside the service",
}
TAKES_AWAY = {
    rf"DROP TABLE {_TABLE}": "the version before uses it",
    rf"ALTER TABLE {_TABLE} DROP (?:COLUMN )?(?!CONSTRAINT)\w+": "the version before uses it",
    rf"ALTER TABLE {_TABLE} RENAME": "the version before knows it by its name",
}
_MADE = re.compile(rf"CREATE TABLE {_TABLE}", re.IGNORECASE)
_EXCLUSIVE = re.compile(rf"ALTER TABLE {_TABLE} (?!VALIDATE)", re.IGNORECASE)
_VALIDATED = re.compile(rf"ALTER TABLE {_TABLE} VALIDATE", re.IGNORECASE)


def judge(statements: Sequence[str]) -> Iterator[str]:
    """Say what is wrong with the statements of one migration, a sentence each."""
    flat = [" ".join(statement.split()) for statement in statements]
    made = {"alembic_version", *(found[1] for statement in flat if (found := _MADE.match(statement)))}
    held: set[str] = set()
    for statement in flat:
        for pattern, why in {**HOLDS, **TAKES_AWAY}.items():
            found = re.match(pattern, statement, re.IGNORECASE)
            if found and found[1] not in made:
                yield f"{found[1]}: {why}"
        if (checked := _VALIDATED.match(statement)) and checked[1] in held:
            yield f"{checked[1]}: rows are checked in the transaction that has just locked everybody out"
        if (locked := _EXCLUSIVE.match(statement)) and locked[1] not in made:
            held.add(locked[1])
        if statement.upper() == "COMMIT":
            held.clear()
