"""What every route may depend on: the request's transaction, time, settings and keys, and the caller's network."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from identity_service import logs
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys.ring import KeyRing
from identity_service.settings import Settings as AllSettings
from identity_service.web import networks


def database_of(request: Request) -> Database:
    """Return the process's database."""
    database: Database = request.app.state.database
    return database


async def _session(request: Request) -> AsyncIterator[DatabaseSession]:
    async with database_of(request).transaction() as session:
        request.state.session, session.brand = session, getattr(request.state, "brand", None)
        yield session


def set_brand(request: Request, key: str | None) -> None:
    """Let what this request causes belong to a brand: that of its client, or of the host whose page was sent."""
    request.state.brand = key
    session: DatabaseSession | None = getattr(request.state, "session", None)
    if session is not None:
        session.brand = key


def now_of(request: Request) -> datetime:
    """Return the application's time in UTC; tests set its clock."""
    clock: Callable[[], datetime] = request.app.state.clock
    return clock()


def key_ring_of(request: Request) -> KeyRing:
    """Return the process's key ring."""
    keys: KeyRing = database_of(request).keys
    return keys


# `async` without an await: FastAPI runs a plain function in a thread, which takes longer than the function.
async def _now(request: Request) -> datetime:
    return now_of(request)


async def _settings(request: Request) -> AllSettings:
    return database_of(request).settings


async def _keys(request: Request) -> KeyRing:
    return key_ring_of(request)


Session = Annotated[DatabaseSession, Depends(_session, scope="function")]
"""The request's transaction, committed before the response is sent."""
Now = Annotated[datetime, Depends(_now)]
Settings = Annotated[AllSettings, Depends(_settings)]
Keys = Annotated[KeyRing, Depends(_keys)]


def client_network(request: Request) -> str:
    """Return the caller's network, as `networks.read_network` reads it; `unknown` if the address is none.

    Behind n = `trusted_proxy_count` proxies the address is the n-th from the right in X-Forwarded-For; with n = 0 the
    header is ignored.
    """
    settings = database_of(request).settings
    address = request.client.host if request.client else ""
    if settings.trusted_proxy_count:
        hops = [hop for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
        if len(hops) >= settings.trusted_proxy_count:
            address = hops[-settings.trusted_proxy_count]
    network = networks.read_network(address)
    if network is None:
        logs.log.warning("request.unreadable_peer")
    return network or "unknown"
