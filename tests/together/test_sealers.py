"""AUD-02: sealers in processes of their own, several at once, killed in the middle; the chain does not notice."""

import asyncio
import contextlib
import sys

import pytest

from tests.events import chain
from tests.events.given import events

SEALED = "SELECT count(*) FROM sealed_event"


class Sealers:
    """Processes that seal, and their ends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, limit: int, *options: str) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "tests.together.sealer", self.url, str(limit), *options)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.running.append(process)
        return process

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """kill -9."""
        self.running.remove(process)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
async def sealers(urls):
    found = Sealers(urls.application)
    yield found
    for process in list(found.running):
        await found.kill(process)


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    """Read until the process says it."""
    async with asyncio.timeout(60):
        while (line := await process.stdout.readline()).strip() != word.encode():
            assert line, "the sealer ended"


async def seals(process: asyncio.subprocess.Process) -> int:
    """Read until it has sealed something; return how many."""
    async with asyncio.timeout(60):
        while (line := await process.stdout.readline()).strip() == b"0":
            pass
        assert line, "the sealer ended"
    return int(line)


async def until(service, sealed: int) -> None:
    async with asyncio.timeout(60):
        while (await service.rows(SEALED))[0][0] < sealed:  # noqa: ASYNC110 (other processes work, the rows tell)
            await asyncio.sleep(0.02)


async def test_a_sealer_killed_before_its_commit_leaves_nothing_and_is_replaced(service, sealers):
    """AUD-02: kill -9 with the work done and not committed; its lease ends with its connection."""
    await events(service, 5)
    dying = await sealers.start(3, "hold")
    await says(dying, "holding")
    assert await service.seal() == 0
    await sealers.kill(dying)
    async with asyncio.timeout(30):
        while not (sealed := await service.seal()):  # noqa: ASYNC110 (the server notices when it does)
            await asyncio.sleep(0.02)
    assert sealed == 5
    assert len(await chain.sealed(service)) == 5


async def test_a_sealer_that_is_held_up_keeps_the_others_out_not_the_writers(service, sealers):
    """AUD-02: one lease; the others go home at once, and no writer waits."""
    await events(service, 2)
    await says(await sealers.start(1, "hold"), "holding")
    other = await sealers.start(100)
    await says(other, "0")
    await events(service, 2)
    await says(other, "0")
    assert await service.rows(SEALED) == [(0,)]


async def write(service, writer: int, enough: asyncio.Event) -> int:
    """Write events until it is enough, 100 at the least; return how many."""
    number = 0
    while number < 100 or not enough.is_set():
        await events(service, 1, writer=writer, number=number)
        number += 1
    return number


async def test_sealers_are_killed_and_started_while_events_come(service, sealers):
    """AUD-02: two sealers, kill -9 each in turn, while six write: each event has its place, once, and the chain holds.

    Events come until the last was killed: a sealer that starts late finds work, however slow the machine.
    """
    enough = asyncio.Event()
    writing = asyncio.gather(*(write(service, writer, enough) for writer in range(6)))
    pair = [await sealers.start(7), await sealers.start(7)]
    for turn in range(4):
        assert 0 < await seals(pair[turn % 2]) <= 7
        await sealers.kill(pair[turn % 2])
        pair[turn % 2] = await sealers.start(7)
    enough.set()
    written = {(writer, number) for writer, count in enumerate(await writing) for number in range(count)}
    await until(service, len(written))
    rows = await chain.sealed(service)
    assert {(row.data["writer"], row.data["number"]) for row in rows} == written
    assert len(rows) == len(written) >= 600
