"""Several processes' worth of the application on one database, and calls that begin at once."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from unittest import mock

import httpx2

from identity_service import app as web
from identity_service.database import engine, transactions
from identity_service.database.transactions import Database
from tests.conftest import BASE, Caller, Service


@contextlib.asynccontextmanager
async def several(service: Service, caller: Caller, count: int = 4) -> AsyncIterator[list[Caller]]:
    """The caller at `count` applications, each with connections of its own, as `count` processes have them.

    Calls wait for connections and locks as long as it takes: on a busy machine some would be answered 503 otherwise.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(transactions, "QUEUE_SECONDS", 120.0))
        stack.enter_context(mock.patch.object(engine, "connection_arguments", _patient))
        callers = []
        for _ in range(count):
            settings = service.database.settings.model_copy(update={"database_pool_size": 8})
            database = Database(settings, service.database._url)
            stack.push_async_callback(database.close)
            database.keys = service.database.keys
            app = web.create_app(database, settings.key(), clock=service.clock)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 40000))
            http = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30))
            callers.append(Caller(http, caller.client_id, caller.client_secret, caller.token, caller.source))
        yield callers


def _patient(url: str, usual: Callable[[str], Any] = engine.connection_arguments) -> Any:
    target, arguments = usual(url)
    arguments["server_settings"] |= {"lock_timeout": "120000", "statement_timeout": "120000"}
    return target, {**arguments, "timeout": 120}


async def at_once(calls: Iterable[Awaitable[httpx2.Response]]) -> list[httpx2.Response]:
    """The answers of calls that all begin together."""
    return await asyncio.gather(*calls)


def codes(answers: Iterable[httpx2.Response]) -> Counter:
    """How often each status came, with the problem's code where there is one."""
    return Counter((a.status_code, a.json()["code"]) if a.status_code >= 400 else a.status_code for a in answers)
