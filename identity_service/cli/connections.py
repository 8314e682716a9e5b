"""The settings, database and key ring of a command; it may run beside a running service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from identity_service import database_schema
from identity_service import settings as configuration
from identity_service.brand_records import flows as brand_records
from identity_service.cli import defaults
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.key_store import flows as key_store_flows
from identity_service.settings import Settings


def load_settings() -> Settings:
    """Return the settings; without DATABASE_URL with the defaults of `identity-service run`."""
    settings = configuration.read()
    return settings if settings.database_url is not None else defaults.with_dev_defaults(settings)


def run_in_transaction(work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Run `work` in one transaction and return its result; MigrationsMissing if the database is not at head."""

    async def connect_and_run() -> Any:  # noqa: ANN401
        async with open_at_head(load_settings()) as database:
            return await database.in_transaction(work)

    return asyncio.run(connect_and_run())


def run_with_keys(work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Run `work` like `run_in_transaction`, with the key ring loaded."""

    async def connect_and_run() -> Any:  # noqa: ANN401
        async with open_with_keys(load_settings()) as database:
            return await database.in_transaction(work)

    return asyncio.run(connect_and_run())


@contextlib.asynccontextmanager
async def open_at_head(settings: Settings) -> AsyncIterator[Database]:
    """Open the service's database; MigrationsMissing if it is not at head."""
    database = Database(settings, await defaults.application_url(settings))
    try:
        if not await database.in_transaction(database_schema.at_head):
            raise database_schema.MigrationsMissing
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_with_keys(settings: Settings) -> AsyncIterator[Database]:
    """Open the service's database at head, with the key ring loaded."""
    async with open_at_head(settings) as database:
        await key_store_flows.load_key_ring(database, settings.key())
        await brand_records.start(database)
        yield database
