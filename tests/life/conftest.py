"""The real command line, as the tests of clients have it, and one that is still at work."""

import asyncio

import pytest

from tests.clients.conftest import COMMAND, command, other, surroundings
from tests.consents.conftest import jose

__all__ = ["begun", "command", "jose", "other"]


@pytest.fixture
async def begun(service, urls, tmp_path):
    """Begin `identity-service …` as a process of its own; it is ended behind the test, if it has not ended before."""
    processes: list[asyncio.subprocess.Process] = []

    async def begin(*words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        environment = surroundings(urls, tmp_path)
        processes.append(
            await asyncio.create_subprocess_exec(COMMAND, *words, env=environment, stdout=pipe, stderr=pipe)
        )
        return processes[-1]

    yield begin
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()
