"""What this machine can do at all, and a service that really runs: `serve` as a process, on a database of its own."""

import asyncio
import json
import platform
import sys
from datetime import UTC, datetime

import httpx2
import pytest
from pydantic import SecretStr

from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.settings import Settings
from tests.conftest import MASTER_KEY, Service, empty
from tests.faults.processes import Cluster

ATHERIS = sys.platform == "linux" and platform.machine() == "x86_64" and (3, 11) <= sys.version_info[:2] <= (3, 13)
"""Where atheris has a wheel; elsewhere it would have to be built with clang."""

collect_ignore = [] if ATHERIS else ["test_fuzz.py"]


@pytest.fixture(scope="session")
async def process(tmp_path_factory, unused_tcp_port_factory):
    """`identity-service serve`, started once; its log is in `process.folder`."""
    relay = {"name": "first", "host": "127.0.0.1", "port": 1, "tls": "none"}
    found = Cluster(tmp_path_factory.mktemp("abuse"), [relay], unused_tcp_port_factory())
    await found.prepare()
    found.environment |= {"IDENTITY_INSECURE_FAST_HASHING": "true", "IDENTITY_LOG_FORMAT": "json"}
    found.api = await found.spawn("serve")
    async with httpx2.AsyncClient(base_url=found.base) as http:
        for _ in range(300):
            try:
                if (await http.get("/readyz")).status_code == 200:
                    break
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
    yield found
    await found.stop()


@pytest.fixture
async def served(process):
    """The running service as a caller sees it, with empty tables; and behind it not one failure in its log."""
    settings = Settings(environment="development", public_url=process.base, master_key=SecretStr(MASTER_KEY))
    database = Database(settings, process.server.application)
    await key_store_flows.load_key_ring(database, settings.key())
    log = process.folder / "serve.log"
    before = log.stat().st_size
    async with httpx2.AsyncClient(base_url=process.base, timeout=30) as http:
        yield Service(None, http, database, None, lambda: datetime.now(UTC))
    await database.close()
    await empty(process.owner)
    lines = [json.loads(line) for line in log.read_bytes()[before:].splitlines()]
    failures = [line for line in lines if line["level"] in ("error", "critical")]
    # What an operator has set up wrongly is told loudly, and is no failure.
    assert [line for line in failures if line["event"] != "webhook.misconfigured"] == []
