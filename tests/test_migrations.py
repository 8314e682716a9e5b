"""Migrations: from empty to head and back, no drift from the tables, and a role that has its rights alone."""

import asyncio
import json
import re

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from identity_service import database_schema, start_checks
from identity_service.cli import processes
from identity_service.database import engine
from identity_service.database.transactions import Database
from identity_service.database.types import APPEND_ONLY
from identity_service.database_schema import MIGRATIONS
from tests.conftest import Fresh
from tests.given import PRODUCTION, run

LEDGERS = {
    "brand_words", "event", "sealed_event", "feedback", "checkpoint", "consent_entry", "consent_wording",
    "permission_check",
}  # fmt: skip
TABLES = sorted(database_schema.METADATA.tables)


def drift(connection) -> list:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
    return compare_metadata(context, database_schema.METADATA)


IN_THE_CATALOGUE = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' AND contype <> 'n'
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT table_name, column_name, concat_ws(' ', data_type, is_nullable, column_default, identity_generation)
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""


async def test_an_empty_database_comes_to_head_and_stays_there(fresh: Fresh):
    """REL-26: and a second run changes nothing."""
    await fresh.migrate()
    before = sorted(await fresh.rows(IN_THE_CATALOGUE))
    await fresh.migrate()
    assert await fresh.rows("SELECT version_num FROM alembic_version") == [(database_schema.head_revision(),)]
    assert sorted(await fresh.rows(IN_THE_CATALOGUE)) == before
    tables = {name for (name,) in await fresh.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {*TABLES, "alembic_version"}


async def test_the_migrations_make_what_the_tables_say(fresh: Fresh):
    await fresh.migrate()
    assert await fresh.alembic(drift) == []


async def test_constraints_indexes_and_defaults_are_those_of_the_tables(fresh: Fresh):
    """What Alembic does not compare: CHECKs, partial indexes and defaults, letter by letter."""
    await fresh.migrate()
    migrated = sorted(await fresh.rows(IN_THE_CATALOGUE))

    def anew(connection) -> None:
        database_schema.METADATA.drop_all(connection)
        database_schema.METADATA.create_all(connection)

    await fresh.alembic(anew)
    assert sorted(await fresh.rows(IN_THE_CATALOGUE)) == migrated


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE account ADD COLUMN colour text",
        "ALTER TABLE account ALTER COLUMN version TYPE bigint",
        "DROP INDEX ix_message_lease",
        "ALTER TABLE client DROP COLUMN desk",
    ],
)
async def test_a_planted_drift_is_found(fresh: Fresh, change):
    await fresh.migrate()
    await fresh.alembic(lambda connection: connection.execute(text(change)))
    assert await fresh.alembic(drift) != []


async def test_it_goes_back_to_nothing_and_comes_again(fresh: Fresh):
    await fresh.migrate()
    made = sorted(await fresh.rows(IN_THE_CATALOGUE))
    await fresh.alembic(
        lambda connection: command.downgrade(database_schema.alembic_config(connection=connection), "base")
    )
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'"
    assert await fresh.rows(left) == []
    assert await fresh.rows("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []
    await fresh.migrate()
    assert sorted(await fresh.rows(IN_THE_CATALOGUE)) == made


async def test_several_replicas_may_migrate_at_once(fresh: Fresh):
    """REL-26: one works, the others wait and find it done."""
    await asyncio.gather(*(fresh.migrate() for _ in range(4)))
    assert await fresh.rows("SELECT version_num FROM alembic_version") == [(database_schema.head_revision(),)]
    assert await fresh.alembic(drift) == []


def test_the_migrations_stand_in_one_line_and_import_none_of_todays_code():
    """A revision is a record: it must still run when the code it was written beside is gone."""
    assert len(ScriptDirectory.from_config(database_schema.alembic_config()).get_heads()) == 1
    for path in (MIGRATIONS / "versions").glob("*.py"):
        assert not re.search(r"^\s*(from|import) identity_service", path.read_text("utf-8"), re.MULTILINE), path.name


RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def test_the_ledgers_are_those_that_are_meant():
    assert {name for name, table in database_schema.METADATA.tables.items() if table.info.get(APPEND_ONLY)} == LEDGERS


async def test_the_applications_role_has_exactly_the_rights_it_should(fresh: Fresh):
    """ASVS 13.2.2: ledgers and events are only read and added to."""
    await fresh.migrate()
    asked = "SELECT has_table_privilege(CAST(:role AS name), CAST(:name AS text), CAST(:right AS text))"
    for name in (*TABLES, "alembic_version"):
        held = {r for r in RIGHTS if (await fresh.rows(asked, role=fresh.role, name=name, right=r))[0][0]}
        more = set() if name in LEDGERS else {"UPDATE", "DELETE"}
        read_only = name in ("alembic_version", "message_kind", "feed_state")
        assert held == ({"SELECT"} if read_only else {"SELECT", "INSERT"} | more), name
    powers = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = :r"
    )
    assert await fresh.rows(powers, r=fresh.role) == [(False,) * 5]
    owned = "SELECT count(*) FROM pg_class WHERE relowner = CAST(:r AS text)::regrole"
    assert await fresh.rows(owned, r=fresh.role) == [(0,)]


async def test_rights_that_were_given_by_hand_are_taken_back(fresh: Fresh):
    """What somebody granted in a hurry does not outlive the next migration."""
    await fresh.migrate()
    await fresh.alembic(lambda connection: connection.execute(text(f'GRANT ALL ON event TO "{fresh.role}"')))
    await fresh.migrate()
    for right, held in {"INSERT": True, "UPDATE": False, "DELETE": False, "TRUNCATE": False}.items():
        assert await fresh.rows(f"SELECT has_table_privilege('{fresh.role}', 'event', '{right}')") == [(held,)]


FORBIDDEN = [
    *(f"UPDATE {name} SET {column} = {column}" for name, column in
      [("event", "name"), ("sealed_event", "seal"), ("feedback", "type")]),
    *(f"DELETE FROM {name}" for name in sorted(LEDGERS)),
    *(f"TRUNCATE {name} CASCADE" for name in sorted(LEDGERS)),
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE account ADD COLUMN mine text",
    "ALTER TABLE event DISABLE TRIGGER ALL",
    "DROP TABLE account",
    "DROP TRIGGER event_append_only ON event",
    "UPDATE alembic_version SET version_num = '0000'",
    "SET session_replication_role = replica",
]  # fmt: skip


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_what_the_application_must_never_do_is_denied_by_the_database(database: Database, statement):
    """ASVS 13.2.2, AUD-01: UPDATE and DELETE on ledgers, and any DDL."""
    async with database.transaction() as session:
        with pytest.raises(DBAPIError) as denied:
            await session.execute(text(statement))
        await session.rollback()
    assert denied.value.orig.sqlstate == "42501"


async def test_not_even_the_owner_rewrites_a_ledger(service, owner):
    """AUD-01: a trigger holds what a grant cannot, against a slip of the owner's hand."""
    await service.caller(name="somebody who writes an event")
    for statement in ("UPDATE event SET name = 'x'", "DELETE FROM event", "TRUNCATE event CASCADE"):
        with pytest.raises(DBAPIError, match=r"\w+ is append-only"):
            async with owner.begin() as connection:
                await connection.execute(text(statement))


@pytest.mark.parametrize("state", ["empty", "not granted", "older"])
async def test_a_process_does_not_start_where_a_migration_is_missing(fresh: Fresh, settings, state):
    """REL-26: it says the command that helps."""
    if state != "empty":
        await database_schema.migrate(fresh.urls.owner, None if state == "not granted" else fresh.role)
    if state == "older":
        await fresh.alembic(lambda c: c.execute(text("DELETE FROM alembic_version")))
    known = settings.model_copy(update={"database_url": SecretStr(fresh.urls.application)})
    with pytest.raises(start_checks.StartRefused, match="run `identity-service migrate` first"):
        await processes.open_database(known)


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("bounce-server",), ("client", "list"), ("keys", "list")])
async def test_the_command_line_refuses_an_empty_database_in_a_sentence(fresh: Fresh, tmp_path, command):
    ended = await asyncio.to_thread(
        run, *command, folder=tmp_path, **{**PRODUCTION, "DATABASE_URL": fresh.urls.application}
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == database_schema.MigrationsMissing.title()


async def test_migrate_brings_the_database_to_head_and_grants_the_applications_role(fresh: Fresh, tmp_path):
    """ASVS 13.2.2: only `migrate` uses DATABASE_OWNER_URL; twice is as good as once."""
    environment = {
        **PRODUCTION, "DATABASE_URL": fresh.urls.application, "DATABASE_OWNER_URL": fresh.urls.owner,
    }  # fmt: skip
    ended = await asyncio.to_thread(run, "migrate", folder=tmp_path, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"The database is at the newest migration: {database_schema.head_revision()}\n"
    ended = await asyncio.to_thread(run, "migrate", "--json", folder=tmp_path, **environment)
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"migration": database_schema.head_revision()})
    connection = await asyncpg.connect(**engine.asyncpg_arguments(fresh.urls.application))
    assert await connection.fetchval("SELECT count(*) FROM account") == 0
    await connection.close()


async def test_migrate_says_in_a_sentence_that_the_role_may_not(fresh: Fresh, tmp_path):
    """DATABASE_OWNER_URL forgotten: the application's role makes no tables, and nothing is half done."""
    ended = await asyncio.to_thread(
        run, "migrate", folder=tmp_path, **{**PRODUCTION, "DATABASE_URL": fresh.urls.application}
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "DATABASE_OWNER_URL" in ended.stderr
    assert await fresh.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
