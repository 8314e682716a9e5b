"""NOM-06: a replica lags, so it never says yes; permissions are asked of the primary whatever stands there."""

import httpx2
import pytest
from sqlalchemy import insert, select
from sqlalchemy.engine import make_url

from identity_service import app as web
from identity_service import database_schema
from identity_service.accounts.tables import Account
from identity_service.consents.tables import ConsentState
from identity_service.database import engine as database_engine
from identity_service.database.transactions import Database
from identity_service.dev import postgres
from identity_service.key_store import flows as key_store_flows
from tests.conftest import BASE, Caller, Service
from tests.consents.given import a_customer, allowed, withdraw

NAME = "identity_behind"


def _there(url: str) -> str:
    return make_url(url).set(database=NAME).render_as_string(hide_password=False)


@pytest.fixture
async def behind(urls, owner):
    """A second database, which has what the test copies into it and no more: the replica as it was a while ago."""
    connection = await postgres.connect(make_url(urls.owner))
    await connection.execute(f'DROP DATABASE IF EXISTS "{NAME}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{NAME}"')
    await database_schema.migrate(_there(urls.owner), make_url(urls.application).username)
    engine = database_engine.create_engine(_there(urls.owner), size=1)

    async def copy() -> None:
        async with engine.begin() as there:
            # A replica fires no triggers: what they check was checked at the primary.
            await there.exec_driver_sql("ALTER TABLE consent_state DISABLE TRIGGER USER")
        for table in (Account.__table__, ConsentState.__table__):
            async with owner.connect() as here, engine.begin() as there:
                rows = (await here.execute(select(table))).mappings().all()
                for row in rows:
                    await there.execute(insert(table).values(dict(row)))

    yield copy
    await engine.dispose()
    await connection.execute(f'DROP DATABASE "{NAME}" WITH (FORCE)')
    await connection.close()


@pytest.fixture
async def lagging(service, urls, settings, clock, behind):
    """A process that verifies against the replica."""
    found = Database(settings, urls.application, read_url=_there(urls.application))
    await key_store_flows.load_key_ring(found, settings.key())
    app = web.create_app(found, settings.key(), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.8", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
            yield Service(app, http, found, None, clock)
    await found.close()


async def marketing(caller: Caller, user_id: str) -> str:
    answer = await caller.post("/v1/accounts/verifications", {"user_ids": [user_id]})
    return answer.json()["results"][0]["marketing"]


async def test_a_replicas_yes_becomes_ask_and_the_withdrawal_counts_at_once(service, caller, lagging, behind):
    customer = await a_customer(caller, service)
    await customer.grants()
    await behind()
    there = await lagging.caller(name="far")
    assert await marketing(caller, customer.user_id) == "allowed"
    assert await marketing(there, customer.user_id) == "ask"
    assert await allowed(there, customer.user_id) == [customer.user_id]
    await withdraw(caller, customer.user_id)
    assert await marketing(caller, customer.user_id) == "never"
    assert await marketing(there, customer.user_id) == "ask"
    assert await allowed(there, customer.user_id) == []


async def test_what_the_replica_does_not_know_yet_is_asked_of_the_primary(service, caller, lagging):
    customer = await a_customer(caller, service)
    there = await lagging.caller(name="far")
    assert await marketing(there, customer.user_id) == "never"
    await customer.grants()
    assert await marketing(there, customer.user_id) == "allowed"


async def test_a_replicas_no_stays_a_no(service, caller, lagging, behind):
    """A grant that the replica has not seen is a no for a while, which is the safe side."""
    customer = await a_customer(caller, service)
    await behind()
    await customer.grants()
    there = await lagging.caller(name="far")
    assert await marketing(there, customer.user_id) == "never"
