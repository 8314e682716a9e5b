"""The processes of production: `serve` and `worker`, how they start, what they refuse, and how they end."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from identity_service import app as web
from identity_service import doors, keyring, logs, schema
from identity_service import settings as configuration
from identity_service.database import Database, is_away, url_of
from identity_service.mail import bounce_door
from identity_service.server import Server
from identity_service.settings import Settings
from identity_service.worker import Worker

if TYPE_CHECKING:
    from identity_service.telemetry import Traces


NO_OPENTELEMETRY = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed (identity-service[telemetry])."
)


class Refused(Exception):
    """The process may not start like this."""

    def __init__(self, reasons: list[str]) -> None:
        """Take the reasons, a sentence each."""
        super().__init__("\n".join(reasons))
        self.reasons = reasons


def run(process: Coroutine[Any, Any, None]) -> None:
    """Run a process to its end, on uvloop where there is one; uvicorn sets it only for loops that it starts itself."""
    if sys.platform == "win32":
        asyncio.run(process)
        return
    import uvloop  # noqa: PLC0415 (it does not exist for Windows)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, then end what is in flight."""
    with traced(settings) as traces:
        await _serve(settings, await open_database(settings, traces), traces)


async def _serve(settings: Settings, database: Database, traces: "Traces | None") -> None:
    app = web.create(database, settings.key())
    served = app if traces is None else traces.requests(app)
    servers = [Server(served, host=settings.host, port=settings.port)]
    if settings.inner_port is not None:
        servers.append(Server(web.inner(app), host=settings.host, port=settings.inner_port, lifespan="off"))

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    on_signal(stop)
    logs.log.info("serve.started", host=settings.host, port=settings.port)
    await asyncio.gather(*(server.serve() for server in servers))
    await database.close()
    logs.log.info("serve.stopped")


async def work(settings: Settings) -> None:
    """Work until SIGTERM, then end what is in flight and hand back the rest."""
    with traced(settings) as traces:
        database = await open_database(settings, traces)
        worker = Worker(database, settings.key())
        worker.courier.watch = traces or worker.courier.watch
        on_signal(worker.stop)
        logs.log.info("worker.started", worker=worker.courier.name)
        await worker.run()
        await database.close()
    logs.log.info("worker.stopped", worker=worker.courier.name)


async def take_bounces(settings: Settings, *, lmtp: bool) -> None:
    """Take returned mail until SIGTERM."""
    database = await open_database(settings)
    stopped = asyncio.Event()
    on_signal(stopped.set)
    door = await bounce_door.listen(database, settings.bounce_host, settings.bounce_port, lmtp=lmtp)
    logs.log.info("bounces.started", host=settings.bounce_host, port=door.sockets[0].getsockname()[1])
    await stopped.wait()
    door.close()
    await database.close()
    logs.log.info("bounces.stopped")


@contextlib.contextmanager
def traced(settings: Settings) -> Iterator["Traces | None"]:
    """Send traces until the process ends; None, and nothing loaded, where no collector is named.

    Raises:
        Refused: the extra is not installed.
    """
    if not settings.otlp_endpoint:
        yield None
        return
    try:
        from identity_service import telemetry  # noqa: PLC0415 (an extra; who wants no traces pays nothing for them)
    except ModuleNotFoundError as missing:
        raise Refused([NO_OPENTELEMETRY]) from missing
    traces = telemetry.Traces(settings.otlp_endpoint)
    try:
        yield traces
    finally:
        traces.end()


async def open_database(settings: Settings, traces: "Traces | None" = None) -> Database:
    """Return the database, at head and with its keys; wait for one that is not up yet (REL-33).

    Raises:
        Refused: the settings are not those of production, or a migration is missing.
    """
    reasons = configuration.refusals(settings)
    if reasons:
        raise Refused(reasons)
    for warning in configuration.warnings():
        logs.log.warning("start.warning", what=warning)
    database = Database(
        settings, await application_url(settings), read_url=url_of(settings, "database_read_url") or None
    )
    if traces is not None:
        traces.look_at(database)
    await when_up(lambda: _check_and_load(database, settings.key()))
    return database


async def _check_and_load(database: Database, master_key: bytes) -> None:
    if not await database.short(schema.at_head):
        raise Refused([schema.MigrationsMissing.title()])
    await load_keys(database, master_key)


async def load_keys(database: Database, master_key: bytes) -> None:
    """Make the keys that are missing, and open the ring."""
    await database.short(lambda session: keyring.ensure(session, master_key, now=doors.utc_now()))
    database.info["keyring"] = await database.short(lambda session: keyring.load(session, master_key))


async def when_up(work: Callable[[], Awaitable[None]], seconds: int = 60) -> None:
    """Do what needs the database; where it is away, again every second, at most `seconds` times."""
    for waited in range(seconds):
        try:
            await work()
        except Exception as problem:
            if not is_away(problem) or waited == seconds - 1:
                raise
            logs.log.warning("start.database_away", waited_s=waited)
            await asyncio.sleep(1)
        else:
            return


async def application_url(settings: Settings) -> str:
    """Return where the application connects: DATABASE_URL, or the embedded server."""
    if settings.database_url is not None:
        return url_of(settings, "database_url")
    from identity_service.embedded import postgres  # noqa: PLC0415 (never in production: the extra is not installed)

    return (await postgres.start(settings.data_dir)).application


def on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` at SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def openapi_document() -> str:
    """Return the OpenAPI document as it is kept in `openapi/openapi.json`."""
    settings = Settings(environment="development", public_url="https://id.example.com")
    app = web.create(Database(settings, "postgresql://nobody@localhost/nothing"), bytes(32))
    return orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
