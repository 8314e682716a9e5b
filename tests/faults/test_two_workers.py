"""Two worker processes beside each other: each seals, reaps and expires, and each thing still happens once."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from identity_service.database.transactions import Database
from identity_service.events import actions as events
from identity_service.key_store import flows as key_store_flows
from identity_service.messages import actions as messages
from identity_service.messages.delivery import queue
from identity_service.settings import Settings, read_master_key
from identity_service.values import email_addresses
from tests.conftest import MASTER_KEY
from tests.faults.processes import Cluster

EVENTS, LEASED, LATE = 300, 30, 30
NOTHING_LISTENS = {"name": "a", "host": "127.0.0.1", "port": 1, "tls": "none"}


async def test_two_schedulers_and_two_sealers_do_each_thing_once(tmp_path, unused_tcp_port):
    """REL-36: no gap in the feed; a dead worker's letters are taken back once, late ones end once."""
    cluster = Cluster(tmp_path, [NOTHING_LISTENS], unused_tcp_port)
    await cluster.prepare()
    database = await opened(cluster)
    try:
        await leave_behind(database)
        cluster.workers += [await cluster.spawn("worker") for _ in range(2)]
        await asyncio.gather(*(record(database, number) for number in range(EVENTS)))
        await until(database, "SELECT count(*) = 2 FROM worker")
        await until(database, "SELECT count(*) = 0 FROM message WHERE state IN ('queued', 'sending')")
        await until(database, "SELECT (SELECT count(*) FROM event) = (SELECT count(*) FROM sealed_event)")
        assert await one(database, "SELECT max(position) - count(*) FROM sealed_event") == 0
        assert await one(database, "SELECT count(*) FROM event WHERE name = 'account.registered'") == EVENTS
        lost = "SELECT count(*) FROM attempt WHERE worker = 'w-dead' AND outcome = 'lost'"
        assert await one(database, lost) == LEASED
        assert await one(database, "SELECT count(*) FROM event WHERE name = 'mail.expired'") == LATE
        assert await one(database, "SELECT count(*) FROM message WHERE state = 'expired'") == LATE
    finally:
        await database.close()
        await cluster.stop()


async def opened(cluster: Cluster) -> Database:
    settings = Settings(environment="development", mail_from="service@identity.example")
    database = Database(settings, cluster.server.application)
    await key_store_flows.load_key_ring(database, read_master_key(MASTER_KEY))
    return database


async def leave_behind(database: Database) -> None:
    """Leave what a worker held that died ten minutes ago, and letters whose deadline has passed."""
    then = datetime.now(UTC) - timedelta(minutes=10)
    async with database.transaction() as session:
        for number in range(LEASED):
            await put(session, "welcome", f"leased{number}", then)
        await queue.claim_messages(session, worker="w-dead", priority=5, limit=LEASED, relay="a", now=then)
        for number in range(LATE):
            await put(session, "test", f"late{number}", then - timedelta(hours=1))


async def put(session, kind: str, name: str, now: datetime) -> None:
    to = email_addresses.parse(f"{name}@example.com", special_use=True)
    await messages.enqueue(
        session,
        kind,
        to=to,
        user_id=uuid.uuid4().hex[:12],
        locale="en",
        cause="account.registered",
        actor="operator",
        now=now,
    )


async def record(database: Database, number: int) -> None:
    async with database.transaction() as session:
        data = {"kind": "consumer", "by": "nothing", "marketing": "never"}
        await events.record_event(
            session, "account.registered", user_id=f"{number}", actor="operator", data=data, now=datetime.now(UTC)
        )


async def until(database: Database, statement: str) -> None:
    for _ in range(400):
        if await one(database, statement):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(statement)


async def one(database: Database, statement: str):
    async with database.transaction() as session:
        return (await session.execute(text(statement))).scalar_one()
