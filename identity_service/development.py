"""`identity-service run`: everything on one machine, from nothing, in one process.

Database, master key, one client and caught mail live in the data folder; a second start finds them again.
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from identity_service import app as web
from identity_service import doors, logs, processes, schema, tokens
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.database import Database
from identity_service.server import Server
from identity_service.settings import Relay, Settings
from identity_service.settings import read as read_settings
from identity_service.worker import Worker


async def run() -> None:
    """Start everything, print how to use it, and go on until Ctrl-C."""
    from identity_service.embedded import letters, mailbox, postgres  # noqa: PLC0415 (an extra; production does not have it)

    settings = complete(read_settings())
    logs.configure(settings.log_format)
    server = None if settings.database_url else await postgres.start(settings.data_dir)
    if server is not None:
        await schema.migrate(server.owner, postgres.ROLE)
    box = mailbox.Mailbox(settings.data_dir / "mailbox")
    smtp = await mailbox.listen(box)
    (settings.data_dir / "mailbox.port").write_text(str(box.port), encoding="utf-8")
    settings = complete(read_settings())
    database = Database(settings, server.application if server else await processes.application_url(settings))
    await processes.load_keys(database, settings.key())
    app = web.create(database, settings.key())
    app.state.mailbox = box
    app.include_router(mailbox.router)
    app.include_router(letters.router)
    await _serve(settings, database, Server(app, host=settings.host, port=settings.port))
    smtp.close()
    await database.close()


async def _serve(settings: Settings, database: Database, http: Server) -> None:
    worker = Worker(database, settings.key())

    def stop() -> None:
        http.should_exit = True
        worker.stop()

    processes.on_signal(stop)
    client = await _client(database, settings.data_dir)
    serving, working = asyncio.create_task(http.serve()), asyncio.create_task(worker.run())
    await http.started_up()
    print(_greeting(settings, client), flush=True)  # noqa: T201
    await asyncio.gather(serving, working)
    print("Stopped. The data is kept in", settings.data_dir)  # noqa: T201


async def migrate(settings: Settings) -> str:
    """Migrate the embedded database."""
    from identity_service.embedded import postgres  # noqa: PLC0415 (an extra; production does not have it)

    server = await postgres.start(settings.data_dir)
    return await schema.migrate(server.owner, postgres.ROLE)


def complete(settings: Settings) -> Settings:
    """Return the settings with everything that a developer's machine needs and production has to say itself."""
    data = settings.data_dir.resolve()
    data.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, Callable[[], Any]] = {
        "environment": lambda: "development",
        "public_url": lambda: f"http://localhost:{settings.port}",
        "master_key": lambda: SecretStr(_kept(data / "master.key", lambda: tokens.encode(secrets.token_bytes(32)))),
        "log_format": lambda: "console",
        "mail_from": lambda: "service@identity.example",
        "relays": lambda: _mailbox_relay(data),
    }
    missing = {name: make() for name, make in wanted.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={**missing, "data_dir": data})


def _mailbox_relay(data_dir: Path) -> tuple[Relay, ...]:
    """Return the mailbox of the running service, so that commands beside it hand mail to the same place."""
    port = data_dir / "mailbox.port"
    if not port.exists():
        return ()
    return (Relay(name="mailbox", host="127.0.0.1", port=int(port.read_text(encoding="utf-8")), tls="none"),)


async def _client(database: Database, data_dir: Path) -> dict[str, str]:
    """Return the development client; make it once, its secret readable by the owner alone."""
    path = data_dir / "client.json"
    if path.exists():
        kept: dict[str, str] = orjson.loads(path.read_bytes())
        known = {client.id for client in await database.short(clients.listing) if client.closed_at is None}
        if kept["client_id"] in known:
            return kept
        path.unlink()
    scopes = sorted(client_rules.SCOPES)
    made = await database.short(
        lambda session: clients.add(session, "development", scopes, desk=False, jwks=None, now=doors.utc_now())
    )
    _kept(path, lambda: orjson.dumps(made._asdict()).decode())
    return {"client_id": made.client_id, "client_secret": made.client_secret or ""}


def _kept(path: Path, make: Any) -> str:  # noqa: ANN401
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    return path.read_text(encoding="utf-8").strip()


def _greeting(settings: Settings, client: dict[str, str]) -> str:
    facts = {"BASE": settings.public_url, "DATA": str(settings.data_dir), "CLIENT": client["client_id"]}
    text = (Path(__file__).parent / "templates" / "dev" / "greeting.txt").read_text(encoding="utf-8")
    for name, value in facts.items():
        text = text.replace(f"@{name}@", value)
    return text
