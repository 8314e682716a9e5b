"""The web application: the list of routers, and the state of one process."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import State
from starlette.types import ASGIApp

from identity_service import __version__, metrics
from identity_service import clock as system_clock
from identity_service.accounts import api as accounts_api
from identity_service.accounts import references_api
from identity_service.addresses import api as addresses_api
from identity_service.approvals import api as approvals_api
from identity_service.audit import api as audit_api
from identity_service.brand_records import flows as brand_records
from identity_service.business import api as business_api
from identity_service.clients import actions as clients
from identity_service.clients import api as clients_api
from identity_service.clients import dependencies as clients_dependencies
from identity_service.consents import api as consents_api
from identity_service.consents import pages as receipt_pages
from identity_service.consents import wordings_api
from identity_service.console import account_pages, list_pages, operations_pages
from identity_service.console import pages as console_pages
from identity_service.console import passkey_pages as console_passkey_pages
from identity_service.contacts import api as contacts_api
from identity_service.contacts import desk_api
from identity_service.database.transactions import Database
from identity_service.database_schema import at_head
from identity_service.events import api as events_api
from identity_service.history import api as history_api
from identity_service.key_store import actions as key_store
from identity_service.merges import api as merges_api
from identity_service.messages import api as messages_api
from identity_service.messages import heartbeat, transparency_api
from identity_service.messages.inbound import api as webhooks_api
from identity_service.one_time_tokens import pages as tracking_pages
from identity_service.openid import api as openid_api
from identity_service.openid import pages as openid_pages
from identity_service.passwords import api as passwords_api
from identity_service.passwords import dummies
from identity_service.passwords.hashing import Hasher
from identity_service.portal import address_pages as portal_address_pages
from identity_service.portal import changes as portal_changes
from identity_service.portal import ended_pages, number_pages
from identity_service.portal import pages as portal_pages
from identity_service.portal import passkey_pages as portal_passkey_pages
from identity_service.portal import recovery_pages as portal_recovery_pages
from identity_service.portal import second_factor_pages as portal_second_factor_pages
from identity_service.portal import support_pages as portal_support_pages
from identity_service.privacy import api as privacy_api
from identity_service.recovery import pages as recovery_pages
from identity_service.recovery import support_pages as recovery_support_pages
from identity_service.registration import api as registration_api
from identity_service.registration import pages as registration_pages
from identity_service.registration import passkey_pages as new_passkey_pages
from identity_service.registration import recovery_pages as new_recovery_pages
from identity_service.resets import api as resets_api
from identity_service.resets import pages as reset_pages
from identity_service.settings import Settings
from identity_service.sign_in import pages as sign_in_pages
from identity_service.sign_in import passkey_pages as sign_in_passkey_pages
from identity_service.sign_in import second_factor_pages
from identity_service.verification import api as verification_api
from identity_service.web import (
    authentication,
    brand_assets,
    contract,
    dependencies,
    idempotency,
    pages,
    problems,
    routing,
    security_txt,
    streams,
)
from identity_service.web.middleware import HttpMiddleware
from identity_service.web.rate_limits import RateLimiter

STATIC = Path(__file__).parent / "static"
ROUTERS = (
    clients_api.router,
    openid_api.router,
    openid_pages.router,
    openid_pages.own_pages,
    verification_api.router,
    registration_api.router,
    business_api.router,
    merges_api.router,
    addresses_api.router,
    privacy_api.router,
    approvals_api.router,
    history_api.router,
    contacts_api.router,
    desk_api.router,
    console_pages.router,
    console_passkey_pages.router,
    account_pages.router,
    list_pages.router,
    operations_pages.router,
    accounts_api.router,
    references_api.router,
    events_api.router,
    audit_api.router,
    messages_api.router,
    webhooks_api.router,
    consents_api.router,
    wordings_api.router,
    transparency_api.router,
    receipt_pages.router,
    passwords_api.router,
    resets_api.router,
    reset_pages.router,
    second_factor_pages.router,
    sign_in_pages.router,
    sign_in_passkey_pages.router,
    tracking_pages.router,
    portal_pages.router,
    portal_passkey_pages.router,
    portal_recovery_pages.router,
    portal_support_pages.router,
    recovery_support_pages.router,
    recovery_pages.router,
    portal_second_factor_pages.router,
    portal_address_pages.router,
    number_pages.router,
    portal_changes.router,
    ended_pages.router,
    registration_pages.router,
    new_passkey_pages.router,
    new_recovery_pages.router,
    brand_assets.router,
)
"""Every router. Order matters: fixed paths before parameterised ones."""
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own telemetry would export paths, queries and rejected input (LOG-03, LOG-07); see `telemetry.py`."""
DESCRIPTION = (
    "Customer identities: a User ID in one second, no marketing by promise, and mail that is never lost. "
    "Errors are application/problem+json (RFC 9457); input is never echoed."
)


def create_app(
    database: Database, master_key: bytes, *, clock: Callable[[], datetime] = system_clock.utc_now
) -> FastAPI:
    """Return the application; its lifespan loads the keys and reloads them and the revocations."""
    app = build_app(development=database.settings.development)
    attach_state(app, database, master_key, clock=clock)
    return app


def build_app(*, development: bool) -> FastAPI:
    """Return the application with every route; `attach_state` must follow before the first request."""
    app = FastAPI(
        title="identity-service", version=__version__, description=DESCRIPTION, lifespan=_lifespan,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY,
        generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    for router in ROUTERS:
        app.include_router(router)
    for install in (problems.install, idempotency.install, clients_dependencies.install):
        install(app)
    app.add_api_route("/livez", livez, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)
    app.add_api_route(security_txt.PATH, security_txt.show, include_in_schema=False)
    app.add_api_route("/robots.txt", robots, include_in_schema=False)
    app.add_api_route("/favicon.ico", favicon, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.openapi = lambda: openapi_schema(app)  # type: ignore[method-assign]
    if development:
        add_internal_routes(app)
    app.add_middleware(HttpMiddleware)
    return app


def attach_state(app: FastAPI, database: Database, master_key: bytes, *, clock: Callable[[], datetime]) -> None:
    """Attach the database, keys and limits to the application."""
    app.state = State()
    app.state.database, app.state.clock = database, clock
    app.state.throttle, app.state.body_seconds = RateLimiter(database), routing.BODY_SECONDS
    app.state.streams = streams.OpenStreams()
    app.state.hasher = Hasher(database.settings)
    app.state.metrics = metrics.Metrics(database, app.state.hasher)
    app.state.gate = authentication.TokenVerifier(
        database, clock, load_clients=clients.load_states,
        load_keys=lambda session: key_store.load_keys(session, master_key),
    )  # fmt: skip


def add_internal_routes(app: FastAPI) -> None:
    """Add `/metrics`, `/openapi.json` and `/docs`; in production only the internal port serves them."""
    app.add_api_route("/metrics", metrics.show_metrics, include_in_schema=False)
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    app.add_api_route("/docs", documentation, include_in_schema=False)


def internal_app(app: FastAPI) -> ASGIApp:
    """Return the application of the internal port: documentation, metrics and health."""
    internal = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=_NO_TELEMETRY)
    internal.state = app.state
    internal.openapi = app.openapi  # type: ignore[method-assign]
    add_internal_routes(internal)
    internal.mount("/static", StaticFiles(directory=STATIC), name="static")
    internal.add_api_route("/livez", livez, include_in_schema=False)
    internal.add_api_route("/readyz", readyz, include_in_schema=False)
    problems.install(internal)
    internal.add_middleware(HttpMiddleware)
    return internal


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    verifier: authentication.TokenVerifier = app.state.gate
    await verifier.reload()
    await brand_records.load(app.state.database)
    await dummies.reload_kinds(app.state.database, app.state.hasher.dummies)
    refreshing = dummies.keep_fresh(app.state.database, app.state.hasher.dummies)
    proving = brand_records.keep_fresh(app.state.database)
    tasks = [asyncio.create_task(task) for task in (verifier.keep_fresh(), refreshing, proving)]
    # Start-up objects live as long as the process: the garbage collector skips them (p99 of reads: 35 to 6 ms).
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        app.state.hasher.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def livez() -> JSONResponse:
    """Return 200: the process answers."""
    return JSONResponse({"status": "ok"})


async def robots() -> PlainTextResponse:
    """Let search engines read the first page alone (RFC 9309); the others are of one customer each."""
    return PlainTextResponse("User-agent: *\nAllow: /$\nDisallow: /\n")


async def favicon() -> RedirectResponse:
    """Lead browsers that ask for the picture by its old name to ours."""
    return RedirectResponse("/static/icon.svg", 301)


async def readyz(request: Request) -> Response:
    """Return 200 if the database answers and its migrations are at head, else 503; also the number of workers."""
    database = dependencies.database_of(request)
    found: dict[str, Any] = {"database": "away", "migrations": "unknown", "workers": 0}
    try:
        async with asyncio.timeout(3):
            found["migrations"] = "head" if await database.in_transaction(at_head) else "missing"
            found["workers"] = await database.in_transaction(heartbeat.count_alive)
            found["database"] = "ok"
    except Exception:  # noqa: BLE001, S110
        # Any failure means the same: this process is not ready.
        pass
    ready = found["database"] == "ok" and found["migrations"] == "head"
    found["mail"] = "ok" if found["workers"] else "nobody is sending"
    headers = {} if ready else {"Retry-After": "2"}
    return JSONResponse({"status": "ok" if ready else "not ready", **found}, 200 if ready else 503, headers)


def openapi_schema(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; nothing in it depends on the clock or the environment."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})[problems.SCHEMA] = _problem_schema()
        components["schemas"].pop("HTTPValidationError", None)
        components["schemas"].pop("ValidationError", None)
        components.setdefault("securitySchemes", {}).update(
            clientSecretBasic={"type": "http", "scheme": "basic"}, customerToken={"type": "http", "scheme": "bearer"}
        )
        contract.complete_contract(schema, server=app.state.database.settings.public_url)
        app.openapi_schema = schema
    return app.openapi_schema


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    error = {
        "type": "object",
        "description": "One place: `pointer` (RFC 6901) in the body, or `parameter` of query, path or header.",
        "required": ["code", "detail"],
        "properties": {
            "pointer": text,
            "parameter": text,
            "in": {"type": "string", "enum": ["query", "path", "header"]},
            "code": {"type": "string", "enum": list(problems.SHAPE_CODES)},
            "detail": text,
        },
    }
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
            **contract.PROBLEM_MEMBERS,
        },
    }


async def documentation(request: Request) -> HTMLResponse:
    """Return the API documentation as a page that loads nothing from other hosts."""
    return HTMLResponse(pages.documentation(request.app.openapi()))


def openapi_document() -> str:
    """Return the OpenAPI document in the form stored in `openapi/openapi.json`: indented, keys sorted."""
    settings = Settings(environment="development", public_url="https://id.example.com")
    app = create_app(Database(settings, "postgresql://nobody@localhost/nothing"), bytes(32))
    return orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
