"""Clocks jump an hour ahead and an hour back, of the API, of a worker, of the database: real processes, libfaketime.

The fault is made by a system tool, not by a double (FACT-12).
"""

import contextlib
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.faults.afterwards import FORGOTTEN
from tests.faults.calls import Calls, judged
from tests.faults.conftest import Beside, Road
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay
from tests.resets.given import GOOD, OTHER, a_password, a_reset, choose

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
JUMPS = ("+3600", "+0", "-3600", "+0")
CALLS = 8
needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian: faketime)")


class Wall:
    """A clock on the wall that is moved while processes look at it; how long something takes is measured truly."""

    def __init__(self, folder: Path, name: str) -> None:
        self.file = folder / f"{name}.clock"
        self.show("+0")
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def show(self, offset: str) -> None:
        self.file.write_text(offset)
        self.file.chmod(0o644)


async def sealed_in_order(cluster: Cluster) -> bool:
    """Tell whether every event has its place, without a gap."""
    async with cluster.owner.connect() as connection:
        counted = "SELECT (SELECT count(*) FROM event), count(*), coalesce(max(position), 0) FROM sealed_event"
        events, sealed, last = (await connection.execute(text(counted))).one()
    return events == sealed == last


async def ahead(cluster: Cluster) -> float:
    """Return by how many seconds the database's clock is ahead of ours."""
    async with cluster.owner.connect() as connection:
        seconds = await connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
    return float(seconds) - time.time()


@needs_faketime
async def test_the_clock_of_the_api_jumps(beside: Beside):
    """REL-13, REL-14: a token that has expired is refused, a new one is good at once; nothing is lost or doubled."""
    wall = Wall(beside.folder, "api")
    beside.api = await beside.spawn("serve", **wall.environment)
    beside.workers.append(await beside.spawn("worker"))
    async with contextlib.aclosing(await beside.client()) as http:
        calls = Calls(http)
        await calls.more(CALLS)
        for offset in JUMPS:
            wall.show(offset)
            answer = await http.post("/v1/accounts", json={})
            assert answer.status_code == 401 or offset != "+3600", answer.text
            await beside.renew_token(http)
            await calls.more(CALLS)
    assert calls.told == {201: CALLS * (1 + len(JUMPS))}
    # A letter that was written while the clock was ahead does not wait for that moment.
    async with beside.owner.connect() as connection:
        waits = "SELECT count(*) FROM message WHERE state = 'queued' AND next_attempt_at > now()"
        assert await connection.scalar(text(waits)) == 0
    assert await judged(beside, calls, beside.relay) == []


@needs_faketime
async def test_the_clocks_of_two_workers_jump_apart(beside: Beside):
    """REL-13: leases are counted by the database's clock, so nobody takes a letter that another one holds."""
    walls = [Wall(beside.folder, name) for name in ("one", "two")]
    beside.api = await beside.spawn("serve")
    for wall in walls:
        beside.workers.append(await beside.spawn("worker", **wall.environment))
    async with contextlib.aclosing(await beside.client()) as http:
        calls = Calls(http)
        for one, two in zip(JUMPS, reversed(JUMPS), strict=True):
            walls[0].show(one)
            walls[1].show(two)
            await calls.more(CALLS)
    assert await judged(beside, calls, beside.relay) == []
    recipients = [recipient for _, recipient, _ in beside.relay.mails]
    assert len(recipients) == len(set(recipients)) == len(calls.acknowledged)
    async with beside.owner.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM attempt WHERE outcome <> 'accepted'")) == 0


@needs_faketime
async def test_the_clock_of_the_database_jumps(tmp_path, unused_tcp_port, monkeypatch):
    """REL-13: a lease that ends early is told as a letter that may come twice; the feed keeps its order."""
    wall = Wall(tmp_path, "database")
    relay = await FaultRelay().start()
    listed = [{"name": "a", "host": "127.0.0.1", "port": relay.port, "tls": "none"}]
    cluster = Cluster(tmp_path, listed, unused_tcp_port)
    with monkeypatch.context() as patched:
        for name, value in wall.environment.items():
            patched.setenv(name, value)
        await cluster.prepare()
    for name in wall.environment:
        cluster.environment.pop(name)
    cluster.api = await cluster.spawn("serve")
    cluster.workers.append(await cluster.spawn("worker"))
    try:
        async with contextlib.aclosing(await cluster.client()) as http:
            calls = Calls(http)
            for offset in JUMPS:
                wall.show(offset)
                assert abs(await ahead(cluster) - int(offset)) < 60
                await calls.more(CALLS)
        assert await judged(cluster, calls, relay, over=FORGOTTEN) == []
        assert await sealed_in_order(cluster)
    finally:
        await cluster.stop()
        await relay.stop()


async def test_a_link_that_was_used_stays_so_when_the_clock_falls_back(service, caller):
    """REL-13: by an hour."""
    await a_password(service, caller)
    reset = await a_reset(service)
    assert (await choose(reset.browser, reset.link, OTHER)).url.path == "/reset/done"
    service.clock.advance(hours=-1)
    await choose(reset.browser, reset.link, GOOD)
    assert "The one you just typed was not saved." in reset.browser.text


async def test_a_message_that_has_expired_stays_so_when_the_clock_falls_back(service, road: Road):
    """REL-13: by an hour."""
    await road.put()
    await road.past_deadline()
    assert (await road.message())["state"] == "expired"
    service.clock.advance(hours=-1)
    await road.turn()
    await road.tend()
    assert (await road.message())["state"] == "expired"
    assert road.a.mails == []
