"""A second process beside the first, the real command line, and a key ring that is put back behind the test."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import insert, select, text

from identity_service import app as web
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.key_store.tables import EncryptionKey
from tests import commands
from tests.conftest import BASE, MASTER_KEY, Service

COMMAND = Path(sys.executable).parent / "identity-service"


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
async def other(service, urls, settings, clock):
    """Another process: its own application, connections and memory, on the same database, under the same clock."""
    found = Database(settings, urls.application)
    await key_store_flows.load_key_ring(found, settings.key())
    app = web.create_app(found, settings.key(), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.8", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
            yield Service(app, http, found, None, clock)
    await found.close()


@pytest.fixture
async def ring(service, owner):
    """What happens to the keys in this test is undone behind it; other tests go on with those of before."""
    columns = EncryptionKey.__table__
    async with owner.begin() as connection:
        before = [dict(row) for row in (await connection.execute(select(columns))).mappings()]
    yield before
    async with owner.begin() as connection:
        await connection.execute(text("DELETE FROM encryption_key"))
        await connection.execute(insert(columns), before)


def surroundings(urls, folder: Path) -> dict[str, str]:
    """The environment of a process beside the service, on the same database."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("IDENTITY_", "DATABASE_"))},
        "DATABASE_URL": urls.application,
        "IDENTITY_MASTER_KEY": MASTER_KEY,
        "IDENTITY_PUBLIC_URL": BASE,
        "IDENTITY_DATA_DIR": str(folder),
    }


@pytest.fixture
def command(service, urls, tmp_path):
    """Run `identity-service …` as a process of its own, beside the service, on the same database."""

    async def run(*words: str, **more: str) -> Ended:
        now = {commands.NOW: service.clock().isoformat()}
        process = await asyncio.create_subprocess_exec(
            *commands.command_line(*words), env={**surroundings(urls, tmp_path), **more, **commands.where(), **now},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return Ended(process.returncode, out.decode(), err.decode())

    return run
