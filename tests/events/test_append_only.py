"""What is append-only: the database itself refuses every change, to the application and to its owner."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from identity_service import database_schema
from identity_service.audit import actions as audit
from identity_service.database.types import APPEND_ONLY
from tests.accounts.given import an_account
from tests.events.given import sealed_events

FEEDBACK = """
    INSERT INTO feedback (id, type, source, source_event_id, occurred_at, recorded_at)
    VALUES (gen_random_uuid(), 'delivered', 'dsn', 'x', now(), now())
"""
CHECK = """
    INSERT INTO permission_check (id, client_id, purpose, occurred_at, user_ids, allowed, with_addresses)
    VALUES (gen_random_uuid(), 'shop', 'email', now(), '{000000000000}', '{f}', 0)
"""
WORDS = "INSERT INTO brand_words VALUES ('acme', 'de', 'v', 'reset', '{}', now())"
TABLES = sorted(table.name for table in database_schema.METADATA.sorted_tables if table.info.get(APPEND_ONLY))
COLUMN = {
    "brand_words": "sentences = '{}'",
    "checkpoint": "seal = ''",
    "consent_entry": "decision = 'granted'",
    "consent_wording": "text = 'anything'",
    "event": "name = 'account.updated'",
    "feedback": "type = 'bounced'",
    "permission_check": "allowed = '{t}'",
    "sealed_event": "seal = ''",
}
CHANGES = {
    "update": "UPDATE {table} SET {column}",
    "the same again": "UPDATE {table} SET {key} = {key}",
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table} CASCADE",
    "merge": "MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
}
KEY = {
    "brand_words": "brand",
    "sealed_event": "position",
    "checkpoint": "position",
    "event": "actor",
    "consent_entry": "actor",
}
ROWS = "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM {table} t"


@pytest.fixture
async def kept(service, caller) -> dict[str, str]:
    """A row in each of the tables, and what stands there."""
    user_id = await an_account(caller, email="anna@example.com")
    asked = {"granted": True, "wording": "email-2026-11"}
    assert (await caller.put(f"/v1/accounts/{user_id}/consents/email", asked)).status_code == 202
    await sealed_events(service, 1)
    await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=service.clock()))
    async with service.database.transaction() as session:
        await session.execute(text(FEEDBACK))
        await session.execute(text(CHECK))
        await session.execute(text(WORDS))
    found = {table: (await service.rows(ROWS.format(table=table)))[0][0] for table in TABLES}
    assert all(found.values())
    return found


def test_these_are_only_ever_added_to():
    """AUD-01."""
    assert sorted(COLUMN) == TABLES


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["application", "owner"])
async def test_nothing_changes_what_happened(service, owner, kept, table, change, role):
    """AUD-01, ASVS 13.2.2: the application lacks the right, the owner meets the trigger."""
    engine = service.database.engine if role == "application" else owner
    statement = CHANGES[change].format(table=table, column=COLUMN[table], key=KEY.get(table, "id"))
    with pytest.raises(DBAPIError) as refused:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    assert refused.value.orig.sqlstate == "42501"
    told = str(refused.value.orig)
    assert ("permission denied" if role == "application" else "append-only") in told
    assert (await service.rows(ROWS.format(table=table)))[0][0] == kept[table]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TRIGGER {table}_append_only ON {table}",
        "DROP TABLE {table} CASCADE",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "SET session_replication_role = replica",
    ],
    ids=["disable", "drop trigger", "drop table", "function", "replica"],
)
async def test_the_application_cannot_take_the_guard_away(service, kept, table, statement):
    """AUD-01, ASVS 13.2.2: no DDL, and no session that goes around triggers."""
    with pytest.raises(DBAPIError) as refused:
        await service.rows(statement.format(table=table))
    assert refused.value.orig.sqlstate == "42501"
    assert (await service.rows(ROWS.format(table=table)))[0][0] == kept[table]


@pytest.mark.parametrize("table", TABLES)
async def test_the_application_cannot_give_itself_the_right(service, kept, table):
    """AUD-01: PostgreSQL only warns that nothing was granted, so it is asked."""
    async with service.database.engine.begin() as connection:
        await connection.execute(text(f"GRANT ALL ON {table} TO CURRENT_USER"))
    rights = "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM information_schema.table_privileges"
    mine = f"{rights} WHERE table_name = :table AND grantee = current_user"
    assert await service.rows(mine, table=table) == [("INSERT SELECT",)]


async def test_the_application_is_neither_owner_nor_superuser(service):
    """ASVS 13.2.2."""
    owns = "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    able = "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
    assert await service.rows(owns) == [(0,)]
    assert await service.rows(f"{able} WHERE rolname = current_user") == [(False,) * 5]


@pytest.mark.parametrize("table", TABLES)
async def test_each_has_both_guards_and_they_are_on(service, table):
    """AUD-01: a table that says `append only` and has no trigger would be a promise alone."""
    triggers = (
        "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal"
    )
    found = await service.rows(f"{triggers} ORDER BY tgname", table=table)
    assert found == [(f"{table}_append_only", "O"), (f"{table}_no_truncate", "O")]
