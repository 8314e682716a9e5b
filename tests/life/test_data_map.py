"""PRV-09, PRV-10: one map knows every column, what it holds and what becomes of it; a new column has to be entered."""

import pytest
from sqlalchemy import Column, MetaData, String, Table

from identity_service import database_schema
from identity_service.privacy import inventory
from identity_service.privacy.inventory import INVENTORY
from tests import export_schema

KINDS = {"id", "fact", "personal", "proving", "kept"}
IN_TRANSIT = {"import_row", "authorization_request"}
"""Lines of a file that is being taken over, and requests of applications: they belong to nobody yet, and go when the
import, or their hour, ends."""


def unmapped(metadata: MetaData) -> set[str]:
    """Columns that the map does not have, and entries for columns that there are not, as `table.column`."""
    there = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns}
    mapped = {f"{name}.{column}" for name, entry in INVENTORY.items() for column in entry.columns}
    return there ^ mapped


def test_every_column_of_every_table_is_mapped():
    """PRV-15, ASVS 14.1.1: a name of ours, a fact, personal, proving, or kept for suppression alone."""
    assert unmapped(database_schema.METADATA) == set()


async def test_the_database_has_no_table_besides(service):
    """What a migration made alone would be forgotten by erasing."""
    rows = await service.rows(
        "SELECT table_name, column_name FROM information_schema.columns c JOIN pg_tables t ON t.tablename = table_name "
        "WHERE c.table_schema = 'public' AND t.schemaname = 'public' AND table_name <> 'alembic_version'"
    )
    assert {tuple(row) for row in rows} == {
        (name, column) for name, entry in INVENTORY.items() for column in entry.columns
    }


def planted(table: str, *columns: str) -> MetaData:
    """The real tables, and one that somebody has added a column to."""
    copy = MetaData()
    for real in database_schema.METADATA.sorted_tables:
        real.to_metadata(copy)
    Table(table, copy, *(Column(name, String) for name in columns), extend_existing=True)
    return copy


@pytest.mark.parametrize(("table", "column"), [("account", "birthday"), ("contact_note", "text")])
def test_a_new_column_without_an_entry_is_found(table, column):
    """Planted: a column in a table that is mapped, and a whole table that is not."""
    assert unmapped(planted(table, column)) == {f"{table}.{column}"}


@pytest.mark.parametrize("name", INVENTORY)
def test_an_entry_makes_sense(name):
    """Personal columns never stay, an owner is a column, and what is emptied can be empty."""
    entry, table = INVENTORY[name], database_schema.METADATA.tables[name]
    assert set(entry.columns.values()) <= KINDS
    assert name in IN_TRANSIT or not (entry.of("personal") and entry.erase == "keep")
    assert entry.owner is None or (entry.owner in table.c and entry.through is None)
    if entry.erase == "empty":
        for column in entry.of("personal"):
            assert table.c[column].nullable or column in entry.empty, f"{name}.{column} cannot be empty"
    if entry.through is not None:
        column, parent = entry.through
        assert column in table.c
        assert INVENTORY[parent].owner is not None


@pytest.mark.parametrize(
    "name", [name for name, entry in INVENTORY.items() if entry.of("personal") and name not in IN_TRANSIT]
)
def test_what_is_personal_is_reached_by_export_and_erasure(name):
    assert name in inventory.customer_tables()


@pytest.mark.parametrize(
    "name", [table.name for table in database_schema.METADATA.sorted_tables if "user_id" in table.c]
)
def test_a_table_that_names_a_customer_is_his(name):
    assert INVENTORY[name].owner == "user_id"


def test_the_schema_of_the_export_is_fresh():
    """PRV-11: `make openapi` renews it."""
    assert export_schema.FILE.read_text("utf-8") == export_schema.written()
