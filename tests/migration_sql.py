"""Lint the SQL of every migration with Squawk: `python -m tests.migration_sql`. Needs no database.

Alembic writes the SQL offline, a file for each migration, and Squawk reads all of them. A migration made before the
first release runs on tables without rows, so rules about locks and older clients do not apply to it.
"""

import io
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from identity_service import database_schema
from tests.test_migration_rules import BEFORE_THE_FIRST_RELEASE

NEVER = (
    "prefer-bigint-over-int",  # a counter that cannot reach two billion is an INTEGER
    "prefer-bigint-over-smallint",
    "prefer-robust-stmts",  # a migration is a transaction; outside one, CONTRIBUTING.md asks for DROP … IF EXISTS first
)
ON_ROWS = (
    "adding-foreign-key-constraint",
    "adding-not-nullable-field",
    "ban-drop-constraint",
    "constraint-missing-not-valid",
    "disallowed-unique-constraint",
    "require-concurrent-index-creation",
)
"""Rules about tables that have rows and clients."""

TIMEOUTS = "SET lock_timeout = '1s';\nSET statement_timeout = 0;\n"
"""What `identity-service migrate` sets on its connection before the first migration."""


def written() -> dict[str, str]:
    """Return the SQL of each migration by its revision, in their order."""
    return {
        script.revision: _written(f"{script.down_revision or 'base'}:{script.revision}")
        for script in reversed(list(ScriptDirectory.from_config(database_schema.alembic_config()).walk_revisions()))
    }


def _written(revisions: str) -> str:
    config = database_schema.alembic_config()
    config.output_buffer = output = io.StringIO()
    command.upgrade(config, revisions, sql=True)
    # What stands before this comment is the table in which Alembic keeps the version.
    _, found, sql = output.getvalue().partition("-- Running upgrade ")
    assert found
    return f"{TIMEOUTS}BEGIN;\n{found}{sql}"


def complaints(migrations: Mapping[str, str], *without: str) -> list[str]:
    """Return what Squawk says of these migrations, a line each; rules named in `without` do not count."""
    if not migrations:
        return []
    with tempfile.TemporaryDirectory() as folder:
        for revision, sql in migrations.items():
            Path(folder, f"{revision}.sql").write_text(sql, "utf-8")
        squawk = Path(sysconfig.get_path("scripts"), "squawk")
        options = ["--pg-version=15.0", "--reporter=gcc", *(f"--exclude={rule}" for rule in (*NEVER, *without))]
        files = [f"{revision}.sql" for revision in migrations]
        run = subprocess.run([squawk, *options, *files], cwd=folder, capture_output=True, text=True, check=False)
    said = run.stdout.splitlines()
    if run.returncode != 0 and not said:
        raise RuntimeError(run.stderr)
    return said


def main() -> int:
    """Print every complaint; return 1 if there is one."""
    migrations = written()
    early = {revision: migrations.pop(revision) for revision in BEFORE_THE_FIRST_RELEASE if revision in migrations}
    said = [*complaints(early, *ON_ROWS), *complaints(migrations)]
    for line in said:
        sys.stdout.write(f"{line}\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
