"""Migrations: bring the database to head, tell whether it is there, and grant the application its rights.

The owner migrates; the application's role gets SELECT, INSERT, UPDATE and DELETE on ordinary tables, and INSERT and
SELECT alone on the append-only ones (their triggers refuse the rest to everybody, the owner included).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from identity_service import database, idempotency, keyring, throttle
from identity_service.accounts import tables as accounts
from identity_service.clients import tables as clients
from identity_service.consents import tables as consents
from identity_service.console import tables as console
from identity_service.contacts import tables as contacts
from identity_service.database import APPEND_ONLY, MIGRATIONS, AsyncSession, Base
from identity_service.errors import Forbidden, Problem, Unavailable
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


class HeldUp(Unavailable):
    """Somebody holds a table for longer than a second; what was done stays. Run `identity-service migrate` again."""


_VERSION = text("SELECT version_num FROM alembic_version")
_TOLD: Final[Mapping[str | None, type[Problem]]] = {"42501": MayNotMigrate, "55P03": HeldUp}


async def migrate(owner_url: str, role: str | None) -> str:
    """Bring the database to head and grant `role` its rights; several replicas may do it at once, one works.

    Return the migration it is at, which is a later one where code of tomorrow has been here.

    Safe to repeat, and safe beside running processes (REL-26): every migration is a transaction of its own, so that no
    lock outlives its step, and none is waited for longer than 1 s, because everybody else would wait behind it.

    Raises:
        MayNotMigrate: these are not the owner's rights; nothing was changed.
        HeldUp: somebody holds a table; what was done before stays.
    """
    engine = database.engine(owner_url)
    try:
        async with engine.connect() as connection:
            await _alone(connection)
            await connection.run_sync(_upgrade)
            async with connection.begin():
                if role is not None:
                    await connection.run_sync(_grant, role)
                return str(await connection.scalar(_VERSION))
    except DBAPIError as problem:
        state = getattr(problem.orig, "sqlstate", None)
        if state not in _TOLD:
            raise
        raise _TOLD[state] from problem
    finally:
        await engine.dispose()


async def _alone(connection: AsyncConnection) -> None:
    """Wait until nobody else migrates, for the rest of this connection's life.

    Asked for again and again: an index that is built concurrently waits for everybody who stands in a queue.
    """
    async with connection.begin():
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("SET lock_timeout = '1s'"))
    while True:
        async with connection.begin():
            if await connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('identity migrations'))")):
                return
        await asyncio.sleep(0.2)


async def at_head(session: AsyncSession) -> bool:
    """Tell whether the database has every migration that this code knows. One that it does not know is a newer one.

    So processes stay ready while the database goes ahead of them, and the version before can come back (REL-26).
    """
    try:
        version = await session.scalar(_VERSION)
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) in ("42P01", "42501"):
            return False
        raise
    return version is not None and await asyncio.to_thread(_is_head_or_newer, version)


def _is_head_or_newer(version: str) -> bool:
    known = [migration.revision for migration in ScriptDirectory.from_config(config()).walk_revisions()]
    return version == known[0] or version not in known


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
    with connection.begin():
        version = MigrationContext.configure(connection).get_current_revision()
    if version is None or not _is_head_or_newer(version):
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
