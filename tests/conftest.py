"""A real PostgreSQL, a real SMTP mailbox, the real application; only the clock is ours.

With TEST_DATABASE_URL (a superuser's) that server is used, else the embedded one. Every test commits for real and
finds empty tables: they are emptied behind it, with triggers off, which only the owner can do.
"""

import io
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url

from identity_service import app as web
from identity_service import database_schema, logs
from identity_service.clients import actions as clients
from identity_service.database import engine as database_engine
from identity_service.database.transactions import Database
from identity_service.dev import mailbox, postgres
from identity_service.events import actions as events
from identity_service.key_store import flows as key_store_flows
from identity_service.messages import rendering
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.delivery.smtp import Timeouts
from identity_service.settings import Relay, Settings
from identity_service.web import scopes as client_rules
from identity_service.worker import Worker

pytest_plugins = ("tests.no_skips", "tests.ran")

MASTER_KEY = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
BASE = "https://id.example.com"
_NUMBERS = count(1)
QUICK = Timeouts(tcp=1.0, greeting=0.4, command=0.4, closing=0.2, after_dot=0.4)


class Clock:
    """The application's clock: stands still at the real time of the test's start until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


class Urls(NamedTuple):
    owner: str
    application: str


class Log:
    """What was written, and a clock for the sampler that stands still until it is moved."""

    def __init__(self) -> None:
        self.stream, self.seconds = io.StringIO(), 0.0

    def configure(self, log_format: str = "json", level: int = logging.INFO) -> None:
        logs.configure(log_format, stream=self.stream, clock=lambda: self.seconds, level=level)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict]:
        assert self.text.endswith("\n")
        return [json.loads(line) for line in self.text[:-1].split("\n")]


class Service:
    """The application and a client that calls it over HTTP semantics, beside its database, mailbox and clock."""

    def __init__(self, app, http, database, box, clock) -> None:
        self.app, self.http, self.database, self.mailbox, self.clock = app, http, database, box, clock

    async def caller(
        self, *scopes: str, name: str = "shop", desk: bool = False, source: str | None = None, clerk: str | None = None
    ) -> "Caller":
        """Add a client through the action, by default with a source of its own, and get a token."""
        scopes, source = scopes or tuple(client_rules.SCOPES), source or f"source_{next(_NUMBERS)}"
        made = await self.database.in_transaction(
            lambda s: clients.add_client(s, name, list(scopes), desk=desk, source=source, jwks=None, now=self.clock())
        )
        answer = await self.http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.client_id, made.client_secret)
        )
        assert answer.status_code == 200, answer.text
        return Caller(self.http, made.client_id, made.client_secret, answer.json()["access_token"], source, clerk)

    def sender(self, *relays: Relay) -> OutboxSender:
        if relays:
            settings = self.database.settings.model_copy(update={"relays": relays})
            database = Database(settings, self.database._url)
            database.keys = self.database.keys
        else:
            database = self.database
        return OutboxSender(database, rendering.load_builders(), clock=self.clock, timeouts=QUICK)

    async def deliver(self) -> int:
        """Take every letter that is due through one turn."""
        sender = self.sender()
        try:
            return await sender.once()
        finally:
            await sender.relays.close()

    async def forget(self) -> None:
        """Let the worker forget what has had its time."""
        await Worker(self.database, b"")._purge()

    def letter(self, to: str, subject: str) -> dict:
        """Return the newest caught letter to an address whose subject has these words."""
        return next(letter for letter in self.mailbox.letters(to) if subject in letter["subject"])

    async def seal(self) -> int:
        return await self.database.in_transaction(events.seal_events)

    async def rows(self, statement: str, **values) -> list:
        async with self.database.transaction() as session:
            return (await session.execute(text(statement), values)).all()


class Caller:
    """One client with a token; a desk tool names its clerk in every request."""

    def __init__(self, http, client_id, client_secret, token, source, clerk=None) -> None:
        self.http, self.client_id, self.client_secret, self.token = http, client_id, client_secret, token
        self.source, self.clerk = source, clerk

    @property
    def headers(self) -> dict[str, str]:
        named = {} if self.clerk is None else {"X-Clerk-ID": self.clerk}
        return {"Authorization": f"Bearer {self.token}", **named}

    async def get(self, path: str, **options) -> httpx2.Response:
        return await self.http.get(path, **self._with_headers(options))

    async def post(self, path: str, json=None, **options) -> httpx2.Response:
        return await self.http.post(path, json=json, **self._with_headers(options))

    async def put(self, path: str, json=None, **options) -> httpx2.Response:
        return await self.http.put(path, json=json, **self._with_headers(options))

    async def patch(self, path: str, json=None, **options) -> httpx2.Response:
        return await self.http.patch(path, json=json, **self._with_headers(options))

    def _with_headers(self, options: dict) -> dict:
        return {**options, "headers": {**self.headers, **options.get("headers", {})}}


class Fresh:
    """A database of its own without a table, its owner and the application's role."""

    def __init__(self, urls: Urls) -> None:
        self.urls, self.role = urls, make_url(urls.application).username
        self.engine = database_engine.create_engine(urls.owner, size=2)

    async def migrate(self) -> None:
        await database_schema.migrate(self.urls.owner, self.role)

    async def rows(self, statement: str, **values) -> list[tuple]:
        async with self.engine.begin() as connection:
            return [tuple(row) for row in await connection.execute(text(statement), values)]

    async def alembic(self, work):
        # Each migration is a transaction of its own, as in `migrate`; some need to be outside of any.
        async with self.engine.connect() as connection:
            done = await connection.run_sync(work)
            await connection.commit()
            return done


@pytest.fixture(scope="session")
async def urls(tmp_path_factory) -> AsyncIterator[Urls]:
    logs.configure("json")
    given = os.environ.get("TEST_DATABASE_URL")
    if given is None:
        server = await postgres.start(tmp_path_factory.mktemp("data"))
        found = Urls(server.owner, server.application)
    else:
        name = f"identity_test_{os.getpid()}"
        owner = make_url(given)
        await postgres.prepare(owner, name, "identity_app_test", password="only-for-tests")
        mine = owner.set(database=name)
        application = mine.set(username="identity_app_test", password="only-for-tests")
        found = Urls(*(url.render_as_string(hide_password=False) for url in (mine, application)))
    await database_schema.migrate(found.owner, make_url(found.application).username)
    yield found
    if given is not None:
        connection = await postgres.connect(make_url(given))
        await connection.execute(f'DROP DATABASE "{make_url(found.owner).database}" WITH (FORCE)')
        await connection.close()


@pytest.fixture(scope="session")
async def owner(urls: Urls):
    """An engine as the owner of the database: it goes around the application."""
    engine = database_engine.create_engine(urls.owner, size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
async def fresh(urls: Urls) -> AsyncIterator[Fresh]:
    """A database of its own, which no migration has seen yet."""
    owner, application = make_url(urls.owner), make_url(urls.application)
    name = f"{owner.database}_{next(_NUMBERS)}"
    await postgres.prepare(owner, name, application.username, application.password)
    mine = [url.set(database=name).render_as_string(hide_password=False) for url in (owner, application)]
    found = Fresh(Urls(*mine))
    yield found
    await found.engine.dispose()
    connection = await postgres.connect(owner)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[mailbox.Mailbox]:
    found = mailbox.Mailbox(tmp_path / "mailbox")
    server = await mailbox.listen(found)
    yield found
    server.close()


@pytest.fixture
def settings(box: mailbox.Mailbox, tmp_path: Path) -> Settings:
    return Settings(
        environment="development",
        data_dir=tmp_path,
        public_url=BASE,
        master_key=SecretStr(MASTER_KEY),
        relays=(Relay(name="first", host="127.0.0.1", port=box.port, tls="none"),),
        mail_from="service@identity.example",
        mail_from_name="Example Shop",
        insecure_fast_hashing=True,
    )


@pytest.fixture
async def database(urls: Urls, settings: Settings, owner) -> AsyncIterator[Database]:
    found = Database(settings, urls.application)
    await key_store_flows.load_key_ring(found, settings.key())
    yield found
    await found.close()
    await empty(owner)


@pytest.fixture(scope="session")
def house() -> FastAPI:
    """The doors, built once: reading the types of all of them takes longer than most tests."""
    return web.build_app(development=True)


@pytest.fixture
async def service(database: Database, box: mailbox.Mailbox, clock: Clock, house: FastAPI) -> AsyncIterator[Service]:
    app = house if database.settings.development else web.build_app(development=False)
    web.attach_state(app, database, database.settings.key(), clock=clock)
    doors = list(app.router.routes)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
            yield Service(app, http, database, box, clock)
    app.router.routes[:] = doors


@pytest.fixture
async def caller(service: Service) -> Caller:
    """A client with every scope."""
    return await service.caller()


@pytest.fixture
def log() -> Iterator[Log]:
    """Every line that is logged from here on."""
    found = Log()
    found.configure()
    yield found
    logs.configure("json")


_EMPTIED = "; ".join(
    f"DELETE FROM {table.name}"
    for table in database_schema.METADATA.sorted_tables
    if table.name not in ("feed_state", "encryption_key", "message_kind")
)
# The key that signs by RSA is made when the first application asks for it.
_EMPTIED += "; DELETE FROM encryption_key WHERE purpose = 'id_token'"


async def empty(engine) -> None:
    """Empty every table, triggers and keys aside, in one way to the server and back."""
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        await raw.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {_EMPTIED}; COMMIT")
