"""How a command runs: beside a running service, on the same database, with output for people or as JSON."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, NoReturn

import orjson
import typer

from identity_service import development, processes, schema
from identity_service import settings as configuration
from identity_service.database import AsyncSession, Database
from identity_service.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def local() -> Settings:
    """Return the settings; without a DATABASE_URL they are those of `identity-service run`."""
    settings = configuration.read()
    return settings if settings.database_url is not None else development.complete(settings)


def do(work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Do one thing in one transaction."""

    async def do() -> Any:  # noqa: ANN401
        async with opened(local()) as database:
            return await database.short(work)

    return asyncio.run(do())


def do_with_keys(work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Do one thing in one transaction, with the key ring."""

    async def do() -> Any:  # noqa: ANN401
        async with with_keys(local()) as database:
            return await database.short(work)

    return asyncio.run(do())


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Open the service's database, at head."""
    database = Database(settings, await processes.application_url(settings))
    try:
        if not await database.short(schema.at_head):
            raise schema.MigrationsMissing
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def with_keys(settings: Settings) -> AsyncIterator[Database]:
    """Open the service's database with the key ring."""
    async with opened(settings) as database:
        await processes.load_keys(database, settings.key())
        yield database


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows, a line each, or as JSON."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(
            "  ".join(f"{name}={' '.join(value) if isinstance(value, list) else value}" for name, value in row.items())
        )


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print JSON."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def fail(sentence: str) -> NoReturn:
    """Say why nothing was done, and end with status 1."""
    print(sentence, file=sys.stderr)
    raise SystemExit(1)
