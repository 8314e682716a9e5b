"""`run`, `serve`, `worker`, `bounce-server`, `migrate`, `openapi`: what an installation consists of."""

import asyncio
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from identity_service import app as identity_service_app
from identity_service import database_schema, logs
from identity_service import settings as configuration
from identity_service.cli import dev, output, processes
from identity_service.cli.output import AsJson
from identity_service.database.engine import url_of
from identity_service.messages import words
from identity_service.settings import Settings


def run() -> None:
    """Run everything on this machine: database, mailbox, migrations, keys, web application and worker."""
    asyncio.run(dev.run_everything())


def serve() -> None:
    """Serve the web application."""
    processes.run_process(processes.serve(_configured_settings()))


def worker() -> None:
    """Deliver messages, seal events and delete expired rows."""
    processes.run_process(processes.run_worker(_configured_settings()))


def bounce_server(
    lmtp: Annotated[bool, typer.Option(help="Speak LMTP instead of SMTP.")] = False,
) -> None:
    """Receive returned mail, behind the mail exchanger of the bounce domain."""
    processes.run_process(processes.run_bounce_server(_configured_settings(), lmtp=lmtp))


def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the newest migration; safe to repeat and to run concurrently."""
    migration = asyncio.run(_migrate(_configured_settings()))
    if as_json:
        output.print_json({"migration": migration})
    else:
        print("The database is at the newest migration:", migration)


def openapi() -> None:
    """Print the OpenAPI document."""
    print(identity_service_app.openapi_document())


def _configured_settings() -> Settings:
    settings = configuration.read()
    words.check_brands(settings)
    logs.configure(settings.log_format, with_messages=settings.development)
    return settings


async def _migrate(settings: Settings) -> str:
    if settings.database_url is None:
        return await dev.migrate_embedded(settings)
    application = url_of(settings, "database_url")
    owner = url_of(settings, "database_owner_url") or application
    role = make_url(application).username
    return await database_schema.migrate(owner, role if role != make_url(owner).username else None)
