"""Every migration from now on is judged by its statements: no long lock, and nothing taken away (REL-26)."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import event

from identity_service import database_schema
from tests.conftest import Fresh
from tests.migration_rules import judge

BEFORE_THE_FIRST_RELEASE = ("0001",)
"""No installation has rows that these would hold: whoever starts with 0.1.0 runs them on empty tables."""

PLANTS = [
    "CREATE INDEX ix_account_colour ON account (colour)",
    "CREATE UNIQUE INDEX uq_account_colour ON account (colour)",
    "ALTER TABLE account ADD COLUMN number UUID DEFAULT gen_random_uuid() NOT NULL",
    "ALTER TABLE account ADD COLUMN number BIGINT GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE account ADD COLUMN number INTEGER NOT NULL",
    "ALTER TABLE account ALTER COLUMN version TYPE BIGINT",
    "ALTER TABLE account ALTER COLUMN colour SET NOT NULL",
    "ALTER TABLE account ADD CONSTRAINT ck_account_colour CHECK (colour <> '')",
    "ALTER TABLE account ADD CONSTRAINT fk FOREIGN KEY(colour) REFERENCES colour (id)",
    "ALTER TABLE account ADD CONSTRAINT uq_account_colour UNIQUE (colour)",
    "ALTER TABLE account DROP COLUMN locale",
    "ALTER TABLE account RENAME TO customer",
    "ALTER TABLE account RENAME locale TO language",
    "DROP TABLE account",
    "TRUNCATE account",
    "LOCK TABLE account",
    "UPDATE account SET locale = 'en'",
    "DELETE FROM account",
]
RIGHT = [
    "CREATE INDEX CONCURRENTLY ix_account_colour ON account (colour)",
    "ALTER TABLE account ADD COLUMN colour VARCHAR",
    "ALTER TABLE account ADD COLUMN colour VARCHAR DEFAULT 'none' NOT NULL",
    "ALTER TABLE account ADD COLUMN seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
    "ALTER TABLE account ADD CONSTRAINT ck_account_colour CHECK (colour <> '') NOT VALID",
    "ALTER TABLE account ADD CONSTRAINT uq_account_colour UNIQUE USING INDEX ix_account_colour",
    "ALTER TABLE account VALIDATE CONSTRAINT ck_account_colour",
    "ALTER TABLE account DROP CONSTRAINT ck_account_colour",
    "UPDATE alembic_version SET version_num='0009' WHERE alembic_version.version_num = '0008'",
]


async def statements(fresh: Fresh, revision: str) -> list[str]:
    """Apply one migration, and return what it said to the database."""
    said: list[str] = []

    def apply(connection) -> None:
        event.listen(connection, "before_cursor_execute", lambda *given: said.append(given[2]))
        event.listen(connection, "commit", lambda *_: said.append("COMMIT"))
        command.upgrade(database_schema.alembic_config(connection=connection), revision)

    async with fresh.engine.connect() as connection:
        await connection.run_sync(apply)
    return said


async def test_no_migration_holds_a_table_or_takes_one_away(fresh: Fresh):
    """REL-26: expand first, contract a version later, and then by name in this file."""
    for script in reversed(list(ScriptDirectory.from_config(database_schema.alembic_config()).walk_revisions())):
        said = await statements(fresh, script.revision)
        assert said, script.revision
        if script.revision not in BEFORE_THE_FIRST_RELEASE:
            assert list(judge(said)) == [], script.revision


async def test_the_statements_that_are_judged_are_those_that_are_run(fresh: Fresh):
    said = [" ".join(statement.split()) for statement in await statements(fresh, "0001")]
    assert any(statement.startswith("CREATE TABLE account (") for statement in said)
    assert any(statement.startswith("CREATE TRIGGER message_step ") for statement in said)


@pytest.mark.parametrize("statement", PLANTS)
def test_a_planted_statement_is_found(statement):
    assert [sentence.split(":")[0] for sentence in judge([statement])] == ["account"]


@pytest.mark.parametrize("statement", RIGHT)
def test_what_holds_nobody_passes(statement):
    assert list(judge([statement])) == []


@pytest.mark.parametrize("statement", PLANTS)
def test_a_table_of_the_same_migration_may_be_held(statement):
    assert list(judge(["CREATE TABLE account (id int)", statement])) == []


def test_rows_are_not_checked_in_the_transaction_that_locked_everybody_out():
    add, validate = RIGHT[4], RIGHT[6]
    assert list(judge([add, validate])) != []
    assert list(judge([add, "COMMIT", validate])) == []
