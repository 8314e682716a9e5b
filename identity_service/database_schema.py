"""Migrations: bring the database to head, check that it is there, and grant the application its rights.

The owner migrates; the application's role gets SELECT, INSERT, UPDATE and DELETE on ordinary tables, and INSERT and
SELECT alone on the append-only ones (their triggers refuse the rest for every role, the owner included, unless the
owner disables them). Of the row that sealers lock it may change nothing.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from identity_service.account_access import tables as account_access
from identity_service.accounts import tables as accounts
from identity_service.addresses import tables as addresses
from identity_service.approvals import tables as approvals
from identity_service.audit import tables as audit
from identity_service.brand_records import tables as brand_records
from identity_service.business import tables as business
from identity_service.clients import tables as clients
from identity_service.consents import tables as consents
from identity_service.console import tables as console
from identity_service.contacts import tables as contacts
from identity_service.database import engine as database_engine
from identity_service.database.transactions import DatabaseSession
from identity_service.database.types import APPEND_ONLY, LOCK_ONLY, READ_ONLY, Base
from identity_service.errors import Forbidden, Problem, Unavailable
from identity_service.events import tables as events
from identity_service.history import tables as history
from identity_service.imports import tables as imports
from identity_service.key_store import tables as key_store
from identity_service.merges import tables as merges
from identity_service.messages import kinds
from identity_service.messages import tables as messages
from identity_service.one_time_tokens import tables as one_time_tokens
from identity_service.openid import tables as openid
from identity_service.passwords import tables as passwords
from identity_service.phone_numbers import tables as phone_numbers
from identity_service.recovery import tables as recovery
from identity_service.recovery_codes import tables as recovery_codes
from identity_service.second_factors import tables as second_factors
from identity_service.sign_in import tables as sign_in
from identity_service.web import idempotency, rate_limits

METADATA = Base.metadata
"""Every table of the service: importing this module imports every `tables.py`."""

ALL = (
    account_access,
    accounts,
    addresses,
    approvals,
    audit,
    brand_records,
    business,
    clients,
    consents,
    console,
    contacts,
    events,
    history,
    idempotency,
    imports,
    key_store,
    merges,
    messages,
    one_time_tokens,
    openid,
    passwords,
    phone_numbers,
    rate_limits,
    recovery,
    recovery_codes,
    second_factors,
    sign_in,
)


class MigrationsMissing(Problem):
    """The database is not at the newest migration; run `identity-service migrate` first."""

    status = 503


class MayNotMigrate(Forbidden):
    """This role may not change the tables; set DATABASE_OWNER_URL to the role that owns the database."""


class LockTimeout(Unavailable):
    """A table stayed locked for more than a second; finished steps are kept. Run `identity-service migrate` again."""


_ADD_KINDS = text("INSERT INTO message_kind (name, purpose) VALUES (:name, :purpose) ON CONFLICT DO NOTHING")
_VERSION = text("SELECT version_num FROM alembic_version")
_BY_SQLSTATE: Final[Mapping[str | None, type[Problem]]] = {"42501": MayNotMigrate, "55P03": LockTimeout}


async def migrate(owner_url: str, role: str | None) -> str:
    """Bring the database to head and grant `role` its rights; of several concurrent callers one does the work.

    Return the migration that the database is at, which may be newer than this code knows.

    Safe to repeat, and safe beside running processes (REL-26): every migration is a transaction of its own, so no lock
    outlives its step; and it waits at most 1 s for a lock, because other sessions queue behind a waiting DDL statement.

    Raises:
        MayNotMigrate: the role does not own the tables; nothing was changed.
        LockTimeout: another session has locked a table; finished steps are kept.
    """
    engine = database_engine.create_engine(owner_url)
    try:
        async with engine.connect() as connection:
            await _take_migration_lock(connection)
            await connection.run_sync(_upgrade)
            async with connection.begin():
                await connection.execute(
                    _ADD_KINDS, [{"name": n, "purpose": k.purpose} for n, k in kinds.KINDS.items()]
                )
                if role is not None:
                    await connection.run_sync(_grant, role)
                return str(await connection.scalar(_VERSION))
    except DBAPIError as problem:
        state = getattr(problem.orig, "sqlstate", None)
        if state not in _BY_SQLSTATE:
            raise
        raise _BY_SQLSTATE[state] from problem
    finally:
        await engine.dispose()


async def _take_migration_lock(connection: AsyncConnection) -> None:
    """Wait for the advisory lock of migrations and hold it until this connection closes.

    By polling: a session blocked on the lock would hold a snapshot, and `CREATE INDEX CONCURRENTLY` waits for those.
    """
    async with connection.begin():
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("SET lock_timeout = '1s'"))
    while True:
        async with connection.begin():
            if await connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('identity migrations'))")):
                return
        await asyncio.sleep(0.2)


async def at_head(session: DatabaseSession) -> bool:
    """Return whether the database has every migration that this code knows; an unknown one counts as newer.

    So processes stay ready when the database is migrated before them, and the previous version can be rolled back to
    (REL-26).
    """
    try:
        version = await session.scalar(_VERSION)
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) in ("42P01", "42501"):
            return False
        raise
    return version is not None and await asyncio.to_thread(_is_head_or_newer, version)


def _is_head_or_newer(version: str) -> bool:
    known = [migration.revision for migration in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    return version == known[0] or version not in known


def head_revision() -> str:
    """Return the id of the newest migration that this code knows."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert revision is not None  # noqa: S101
    return revision


def alembic_config(**attributes: Any) -> Config:  # noqa: ANN401
    """Return Alembic's configuration for the migrations beside this code."""
    alembic = Config(attributes=attributes)
    alembic.set_main_option("script_location", str(MIGRATIONS))
    return alembic


def _upgrade(connection: Connection) -> None:
    with connection.begin():
        version = MigrationContext.configure(connection).get_current_revision()
    if version is None or not _is_head_or_newer(version):
        command.upgrade(alembic_config(connection=connection), "head")


def _grant(connection: Connection, role: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    connection.execute(text(f"GRANT EXECUTE ON FUNCTION record_restore(bigint) TO {quoted}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}"))
    for table in METADATA.sorted_tables:
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if table.info.get(APPEND_ONLY):
            rights = "SELECT, INSERT"
        elif table.info.get(READ_ONLY):
            rights = "SELECT"
        elif table.info.get(LOCK_ONLY):
            # SELECT … FOR UPDATE needs the right to change a column; a constraint leaves the key one value.
            rights = "SELECT, UPDATE (id)"
        connection.execute(text(f"REVOKE ALL ON {table.name} FROM {quoted}"))
        connection.execute(text(f"GRANT {rights} ON {table.name} TO {quoted}"))


PACKAGE = Path(__file__).resolve().parent
MIGRATIONS = PACKAGE / "migrations" if (PACKAGE / "migrations").is_dir() else PACKAGE.parent / "migrations"
