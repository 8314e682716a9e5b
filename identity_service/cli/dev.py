"""`identity-service run`: the whole service on one machine in one process, without any setup.

Database, master key, one client and caught email are stored in the data folder and used again by the next start.
"""

import asyncio
from pathlib import Path

import orjson

from identity_service import app as web
from identity_service import clock, database_schema, logs
from identity_service.brand_records import flows as brand_records
from identity_service.cli import defaults, processes
from identity_service.clients import actions as clients
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.settings import Settings
from identity_service.settings import read as read_settings
from identity_service.web import scopes as client_rules
from identity_service.web.server import Server
from identity_service.worker import Worker


async def run_everything() -> None:
    """Start everything, print how to use it, and serve until Ctrl-C."""
    from identity_service.dev import design, mailbox, phone, postgres, previews  # noqa: PLC0415 (production has it not)

    plain = read_settings()
    processes.check_port(plain.host, plain.port, "IDENTITY_PORT")
    settings = defaults.with_dev_defaults(plain)
    logs.configure(settings.log_format, with_messages=settings.development)
    server = None if settings.database_url else await postgres.start(settings.data_dir)
    if server is not None:
        await database_schema.migrate(server.owner, postgres.ROLE)
    box = mailbox.Mailbox(settings.data_dir / "mailbox")
    smtp = await mailbox.listen(box)
    defaults.keep_ports(settings.data_dir, mailbox=box.port, public=plain.port)
    settings, telephone = defaults.with_dev_defaults(read_settings()), phone.Phone()
    settings = settings.model_copy(update=telephone.settings(settings))
    database = Database(settings, server.application if server else await defaults.application_url(settings))
    with processes.traced(settings) as traces:
        if traces is not None:
            traces.look_at(database)
        await key_store_flows.load_key_ring(database, settings.key())
        await brand_records.start(database)
        app = web.create_app(database, settings.key())
        app.state.mailbox, app.state.phone = box, telephone
        for shown in (mailbox, phone, previews, design):
            app.include_router(shown.router)
        served = app if traces is None else traces.requests(app)
        worker = Worker(database, settings.key())
        worker.sender.watch = traces or worker.sender.watch
        await _serve(settings, database, Server(served, host=settings.host, port=settings.port), worker)
    smtp.close()
    await database.close()


async def _serve(settings: Settings, database: Database, http: Server, worker: Worker) -> None:

    def stop() -> None:
        http.should_exit = True
        worker.stop()

    processes.on_signal(stop)
    client = await _dev_client(database, settings.data_dir)
    serving, working = asyncio.create_task(http.serve()), asyncio.create_task(worker.run())
    await http.started_up()
    print(greeting(settings, client), flush=True)
    await asyncio.gather(serving, working)
    print("Stopped. The data is kept in", settings.data_dir)


async def migrate_embedded(settings: Settings) -> str:
    """Migrate the embedded database."""
    from identity_service.dev import postgres  # noqa: PLC0415 (an extra; production does not have it)

    server = await postgres.start(settings.data_dir)
    return await database_schema.migrate(server.owner, postgres.ROLE)


async def _dev_client(database: Database, data_dir: Path) -> dict[str, str]:
    """Return the development client; create it once, with a file that only its owner can read."""
    path = data_dir / "client.json"
    if path.exists():
        stored: dict[str, str] = orjson.loads(path.read_bytes())
        known = {
            client.id for client in await database.in_transaction(clients.list_clients) if client.closed_at is None
        }
        if stored["client_id"] in known:
            return stored
        path.unlink()
    scopes = sorted(client_rules.SCOPES)
    made = await database.in_transaction(
        lambda session: clients.add_client(
            session,
            "development",
            scopes,
            desk=False,
            source="development",
            jwks=None,
            now=clock.utc_now(),
        )
    )
    defaults.stored_secret(path, lambda: orjson.dumps(made._asdict()).decode())
    return {"client_id": made.client_id, "client_secret": made.client_secret or ""}


def greeting(settings: Settings, client: dict[str, str]) -> str:
    """Return what `run` prints: URLs and the first requests to try."""
    facts = {"BASE": settings.public_url, "DATA": str(settings.data_dir), "CLIENT": client["client_id"]}
    text = (Path(__file__).parent.parent / "templates" / "dev" / "greeting.txt").read_text(encoding="utf-8")
    for name, value in facts.items():
        text = text.replace(f"@{name}@", value)
    return text
