"""The processes of production, `serve`, `worker` and `bounces`: start, checks and shutdown."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from identity_service import app as web
from identity_service import database_schema, logs, start_checks
from identity_service.brand_records import flows as brand_records
from identity_service.cli import defaults
from identity_service.database.engine import url_of
from identity_service.database.failures import is_unavailable
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from identity_service.messages.inbound import bounce_server
from identity_service.settings import Settings
from identity_service.web.server import Server
from identity_service.worker import Worker

if TYPE_CHECKING:
    from identity_service.telemetry import Traces


NO_OPENTELEMETRY = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed (identity-service[telemetry])."
)


def run_process(process: Coroutine[Any, Any, None]) -> None:
    """Run a process to its end, on uvloop except on Windows; uvicorn sets it only for loops that it starts itself."""
    if sys.platform == "win32":
        asyncio.run(process)
        return
    import uvloop  # noqa: PLC0415 (not available on Windows)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process)


def check_port(host: str, port: int, name: str) -> None:
    """Raise `StartRefused` if the port cannot be opened; `name` is the variable that sets it."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise start_checks.StartRefused([f"Port {port} is in use. Set {name} to another one."]) from problem
        raise start_checks.StartRefused(
            [f"Port {port} of {host} cannot be opened: {os.strerror(problem.errno or 0)}. Look at {name}."]
        ) from problem


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, then finish the requests in progress."""
    with traced(settings) as traces:
        await _serve(settings, await open_database(settings, traces), traces)


async def _serve(settings: Settings, database: Database, traces: "Traces | None") -> None:
    check_port(settings.host, settings.port, "IDENTITY_PORT")
    if settings.internal_port is not None:
        check_port(settings.host, settings.internal_port, "IDENTITY_INTERNAL_PORT")
    app = web.create_app(database, settings.key())
    served = app if traces is None else traces.requests(app)
    servers = [Server(served, host=settings.host, port=settings.port)]
    if settings.internal_port is not None:
        servers.append(Server(web.internal_app(app), host=settings.host, port=settings.internal_port, lifespan="off"))

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    on_signal(stop)
    logs.log.info("serve.started", host=settings.host, port=settings.port)
    await asyncio.gather(*(server.serve() for server in servers))
    await database.close()
    logs.log.info("serve.stopped")


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM, then finish the deliveries in progress and release other claimed messages."""
    with traced(settings) as traces:
        database = await open_database(settings, traces)
        worker = Worker(database, settings.key())
        worker.sender.watch = traces or worker.sender.watch
        on_signal(worker.stop)
        logs.log.info("worker.started", worker=worker.sender.name)
        await worker.run()
        await database.close()
    logs.log.info("worker.stopped", worker=worker.sender.name)


async def run_bounce_server(settings: Settings, *, lmtp: bool) -> None:
    """Receive returned mail until SIGTERM."""
    check_port(settings.bounce_host, settings.bounce_port, "IDENTITY_BOUNCE_PORT")
    database = await open_database(settings)
    stopped = asyncio.Event()
    on_signal(stopped.set)
    server = await bounce_server.listen_for_bounces(database, settings.bounce_host, settings.bounce_port, lmtp=lmtp)
    logs.log.info("bounce-server.started", host=settings.bounce_host, port=server.sockets[0].getsockname()[1])
    await stopped.wait()
    server.close()
    await server.wait_closed()
    await database.close()
    logs.log.info("bounce-server.stopped")


@contextlib.contextmanager
def traced(settings: Settings) -> Iterator["Traces | None"]:
    """Export traces until the process ends; yield None, and import nothing, if no collector is set.

    Raises:
        StartRefused: the extra is not installed.
    """
    if not settings.otlp_endpoint:
        yield None
        return
    try:
        from identity_service import telemetry  # noqa: PLC0415 (an extra, imported only if used)
    except ModuleNotFoundError as missing:
        raise start_checks.StartRefused([NO_OPENTELEMETRY]) from missing
    traces = telemetry.Traces(settings.otlp_endpoint)
    try:
        yield traces
    finally:
        traces.end()


async def open_database(settings: Settings, traces: "Traces | None" = None) -> Database:
    """Return the database, at head and with its key ring; wait until it answers (REL-33).

    Raises:
        StartRefused: the settings are not fit for production, or a migration is missing.
    """
    reasons = start_checks.refusals(settings)
    if reasons:
        raise start_checks.StartRefused(reasons)
    for warning in start_checks.warnings():
        logs.log.warning("start.warning", what=warning)
    database = Database(
        settings, await defaults.application_url(settings), read_url=url_of(settings, "database_read_url") or None
    )
    if traces is not None:
        traces.look_at(database)
    await when_up(lambda: _check_and_load(database, settings.key()))
    return database


async def _check_and_load(database: Database, master_key: bytes) -> None:
    if not await database.in_transaction(database_schema.at_head):
        raise start_checks.StartRefused([database_schema.MigrationsMissing.title()])
    await key_store_flows.load_key_ring(database, master_key)
    await brand_records.start(database)


async def when_up(work: Callable[[], Awaitable[None]], seconds: int = 60) -> None:
    """Run `work`; retry every second while the database is unavailable, at most `seconds` attempts."""
    for waited in range(seconds):
        try:
            await work()
        except Exception as problem:
            if not is_unavailable(problem) or waited == seconds - 1:
                raise
            logs.log.warning("start.database_unavailable", waited_s=waited)
            await asyncio.sleep(1)
        else:
            return


def on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` at SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
