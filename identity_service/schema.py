"""Migrations: bring the database to head, tell whether it is there, and grant the application its rights.

The owner migrates; the application's role gets SELECT, INSERT, UPDATE and DELETE on ordinary tables, and INSERT and
SELECT alone on the append-only ones (their triggers refuse the rest to everybody, the owner included).
"""

import asyncio
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from identity_service import database, idempotency, keyring, throttle
from identity_service.accounts import tables as accounts
from identity_service.clients import tables as clients
from identity_service.consents import tables as consents
from identity_service.console import tables as console
from identity_service.contacts import tables as contacts
from identity_service.database import APPEND_ONLY, MIGRATIONS, AsyncSession, Base
from identity_service.errors import Forbidden, Problem
from identity_service.events import tables as events
from identity_service.history import tables as history
from identity_service.life import tables as life
from identity_service.mail import tables as mail
from identity_service.passwords import tables as passwords
from identity_service.proofs import tables as proofs
from identity_service.signin import tables as signin

METADATA = Base.metadata
"""Every table of the service; importing this module has read them all."""

ALL = (
    accounts,
    clients,
    consents,
    console,
    contacts,
    events,
    history,
    idempotency,
    keyring,
    life,
    mail,
    passwords,
    proofs,
    signin,
    throttle,
)


class MigrationsMissing(Problem):
    """The database is not at the newest migration; run `identity-service migrate` first."""

    status = 503


class MayNotMigrate(Forbidden):
    """This role may not change the tables; set DATABASE_OWNER_URL to the role that owns the database."""


async def migrate(owner_url: str, role: str | None) -> None:
    """Bring the database to head and grant `role` its rights; several replicas may do it at once, one works.

    Safe to repeat. Waits at most 2 s for a lock, so that no running request is held up (REL-26).

    Raises:
        MayNotMigrate: these are not the owner's rights; nothing was changed.
    """
    engine = database.engine(owner_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('identity migrations'))"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            await connection.run_sync(_upgrade)
            if role is not None:
                await connection.run_sync(_grant, role)
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) != "42501":
            raise
        raise MayNotMigrate from problem
    finally:
        await engine.dispose()


async def at_head(session: AsyncSession) -> bool:
    """Tell whether the database has every migration that this code knows."""
    try:
        version = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) in ("42P01", "42501"):
            return False
        raise
    return bool(version == await asyncio.to_thread(head))


def head() -> str:
    """Return the newest migration."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    assert revision is not None  # noqa: S101
    return revision


def config(**attributes: Any) -> Config:  # noqa: ANN401
    """Return Alembic's configuration for the migrations beside this code."""
    alembic = Config(attributes=attributes)
    alembic.set_main_option("script_location", str(MIGRATIONS))
    return alembic


def _upgrade(connection: Connection) -> None:
    command.upgrade(config(connection=connection), "head")


def _grant(connection: Connection, role: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}"))
    for table in METADATA.sorted_tables:
        rights = "SELECT, INSERT" if table.info.get(APPEND_ONLY) else "SELECT, INSERT, UPDATE, DELETE"
        connection.execute(text(f"REVOKE ALL ON {table.name} FROM {quoted}"))
        connection.execute(text(f"GRANT {rights} ON {table.name} TO {quoted}"))
