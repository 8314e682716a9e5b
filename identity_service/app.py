"""The web application: every door in one list, and what one process keeps open while it serves."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import State
from starlette.types import ASGIApp

from identity_service import __version__, doors, idempotency, metrics, pages, problems, security_txt
from identity_service.accounts import api as accounts
from identity_service.clients import access
from identity_service.clients import api as clients_api
from identity_service.consents import api as consents
from identity_service.consents import pages as receipt_pages
from identity_service.console import account_door, watch_door
from identity_service.console import pages as console
from identity_service.contacts import api as contacts
from identity_service.database import Database
from identity_service.envelope import Envelope
from identity_service.events import api as events
from identity_service.history import api as history
from identity_service.life import api as life
from identity_service.life import approvals_door, changes_door, me, me_door
from identity_service.life import pages as life_pages
from identity_service.mail import api as mail
from identity_service.mail import hook_door
from identity_service.mail import upkeep as mail_upkeep
from identity_service.passwords import api as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.proofs import pages as proof_pages
from identity_service.resets import api as resets
from identity_service.resets import pages as reset_pages
from identity_service.schema import at_head
from identity_service.signin import pages as signin_pages
from identity_service.throttle import Throttle

STATIC = Path(__file__).parent / "static"
ROUTERS = (
    clients_api.router,
    accounts.hot,
    life.router,
    changes_door.router,
    approvals_door.router,
    history.router,
    contacts.router,
    console.router,
    account_door.router,
    watch_door.router,
    accounts.router,
    events.router,
    mail.router,
    hook_door.router,
    consents.router,
    consents.open_router,
    receipt_pages.router,
    passwords.router,
    resets.router,
    reset_pages.router,
    signin_pages.router,
    proof_pages.router,
    me.router,
    me_door.router,
    life_pages.router,
)
"""Every door; a fixed path stands before one with a place in it."""
_SAYS_NOTHING: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""What FastAPI would tell of itself has paths, queries and refused input in it (LOG-03, LOG-07); see `telemetry.py`."""
DESCRIPTION = (
    "Customer identities: a User ID in one second, no marketing by promise, and mail that is never lost. "
    "Errors are application/problem+json (RFC 9457); input is never echoed."
)


def create(database: Database, master_key: bytes, *, clock: Callable[[], datetime] = doors.utc_now) -> FastAPI:
    """Return the application; its lifespan loads the keys and keeps them and the dead tokens fresh."""
    app = build(development=database.settings.development)
    furnish(app, database, master_key, clock=clock)
    return app


def build(*, development: bool) -> FastAPI:
    """Return the application with every door, and nothing behind them yet."""
    app = FastAPI(
        title="identity-service", version=__version__, description=DESCRIPTION, lifespan=_lifespan,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, telemetry=_SAYS_NOTHING,
        generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    for router in ROUTERS:
        app.include_router(router)
    for install in (problems.install, idempotency.install, clients_api.install):
        install(app)
    app.add_api_route("/livez", livez, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)
    app.add_api_route(security_txt.PATH, security_txt.show, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    if development:
        add_inner_doors(app)
    app.add_middleware(Envelope)
    return app


def furnish(app: FastAPI, database: Database, master_key: bytes, *, clock: Callable[[], datetime]) -> None:
    """Put behind the doors what they answer from."""
    app.state = State()
    app.state.database, app.state.clock = database, clock
    app.state.throttle, app.state.body_seconds = Throttle(database), doors.BODY_SECONDS
    app.state.hasher = Hasher(database.settings)
    app.state.metrics = metrics.Metrics(database, app.state.hasher)
    app.state.gate = access.Gate(database, clock, master_key)


def add_inner_doors(app: FastAPI) -> None:
    """Add what is shown to developers and to Prometheus, and in production on the inner port alone."""
    app.add_api_route("/metrics", metrics.show, include_in_schema=False)
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    app.add_api_route("/docs", documentation, include_in_schema=False)


def inner(app: FastAPI) -> ASGIApp:
    """Return the application of the inner port: documentation, metrics and health."""
    inside = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=_SAYS_NOTHING)
    inside.state = app.state
    inside.openapi = app.openapi  # type: ignore[method-assign]
    add_inner_doors(inside)
    inside.mount("/static", StaticFiles(directory=STATIC), name="static")
    inside.add_api_route("/livez", livez, include_in_schema=False)
    inside.add_api_route("/readyz", readyz, include_in_schema=False)
    problems.install(inside)
    inside.add_middleware(Envelope)
    return inside


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gate: access.Gate = app.state.gate
    await gate.reload()
    fresh = asyncio.create_task(gate.keep_fresh())
    # What is alive now stays alive: keep the collector from looking at it again (p99 of reads 35 to 6 ms).
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        app.state.hasher.close()
        fresh.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fresh


async def livez() -> JSONResponse:
    """Tell that the process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Tell whether this process can serve: database, migrations at head; and how many workers bring letters."""
    database = doors.database_of(request)
    found: dict[str, Any] = {"database": "away", "migrations": "unknown", "workers": 0}
    try:
        async with asyncio.timeout(3):
            found["migrations"] = "head" if await database.short(at_head) else "missing"
            found["workers"] = await database.short(mail_upkeep.alive)
            found["database"] = "ok"
    except Exception:  # noqa: BLE001, S110
        # Whatever it was, the answer is that this process is not ready.
        pass
    ready = found["database"] == "ok" and found["migrations"] == "head"
    found["mail"] = "ok" if found["workers"] else "nobody is sending"
    headers = {} if ready else {"Retry-After": "2"}
    return JSONResponse({"status": "ok" if ready else "not ready", **found}, 200 if ready else 503, headers)


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: sorted, and free of anything that depends on clock or environment."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})[problems.SCHEMA] = _problem_schema()
        components["schemas"].pop("HTTPValidationError", None)
        components["schemas"].pop("ValidationError", None)
        components.setdefault("securitySchemes", {})["clientSecretBasic"] = {"type": "http", "scheme": "basic"}
        app.openapi_schema = schema
    return app.openapi_schema


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    error = {"type": "object", "properties": {"pointer": text, "code": text, "detail": text}}
    return {
        "type": "object",
        "description": "A failure (RFC 9457); `code` is stable, `detail` is for people.",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": text,
            "status": {"type": "integer"},
            "code": text,
            "detail": text,
            "request_id": text,
            "errors": {"type": "array", "items": error},
        },
    }


async def documentation(request: Request) -> HTMLResponse:
    """Show the API; the page loads nothing from elsewhere."""
    return HTMLResponse(pages.documentation(request.app.openapi()))
