"""The command line. Every command works beside a running service, on the same database.

Everything that prints also prints `--json`; exit status 0 done, 1 refused or failed, 2 wrong usage.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from identity_service import development, doors, email_addresses, keyring, logs, processes, schema, user_ids
from identity_service import settings as configuration
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.database import AsyncSession, Database, is_away, url_of
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.mail import doctor, trial
from identity_service.settings import Settings
from identity_service.worker import COMPOSERS

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Customer identities."
)
client_app = typer.Typer(no_args_is_help=True, help="Services and desk tools that may call us.")
keys_app = typer.Typer(no_args_is_help=True, help="The key ring.")
mail_app = typer.Typer(no_args_is_help=True, help="Mail: is it well, and does it flow.")
id_app = typer.Typer(no_args_is_help=True, help="User IDs, without a database.")
app.add_typer(client_app, name="client")
app.add_typer(keys_app, name="keys")
app.add_typer(id_app, name="user-id")
app.add_typer(mail_app, name="mail")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line; what is refused is said in a sentence, without a traceback."""
    try:
        app()
    except (Problem, keyring.WrongMasterKey) as refused:
        _fail(
            str(refused)
            if isinstance(refused, Problem)
            else "The key ring was sealed with another IDENTITY_MASTER_KEY."
        )
    except ValidationError as wrong:
        _fail("\n".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()))
    except processes.Refused as refused:
        _fail("\n".join(refused.reasons))
    except Exception as problem:
        if not is_away(problem):
            raise
        _fail("The database does not answer.")


@app.command()
def run() -> None:
    """Do everything on this machine: database, mailbox, migrations, keys, web application and worker."""
    asyncio.run(development.run())


@app.command()
def serve() -> None:
    """Serve the web application."""
    processes.run(processes.serve(_strict()))


@app.command()
def worker() -> None:
    """Bring letters to relays, and seal events."""
    processes.run(processes.work(_strict()))


@app.command()
def bounces(
    lmtp: Annotated[bool, typer.Option(help="Speak LMTP instead of SMTP.")] = False,
) -> None:
    """Take returned mail, behind the mail exchanger of the bounce domain."""
    processes.run(processes.take_bounces(_strict(), lmtp=lmtp))


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration; safe to run several times and at once."""
    asyncio.run(_migrate(_strict()))
    print("The database is at the newest migration:", schema.head())


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    print(processes.openapi_document())


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """Print every variable, its value and its reason; secrets are hidden."""
    rows = configuration.explained(_local())
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        print(f"{row['variable']}={row['value']}  ({row['source']})\n    {row['reason']}")


@client_app.command("add")
def add_client(
    name: str,
    scope: Annotated[list[str], typer.Option(help="A scope it may ask for; repeat for more.")],
    desk: Annotated[bool, typer.Option(help="A desk tool, which acts for staff.")] = False,
    jwks: Annotated[Path | None, typer.Option(help="Its public keys, for private_key_jwt.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a client; its secret is shown this once."""
    keys = None if jwks is None else json.loads(jwks.read_text(encoding="utf-8"))
    made = _do(lambda s: clients.add(s, name, scope, desk=desk, jwks=keys, now=doors.utc_now()))
    _print_credentials(made, as_json=as_json)


@client_app.command("list")
def list_clients(as_json: AsJson = False) -> None:
    """List every client there is or was."""
    rows = [
        {
            "client_id": client.id,
            "name": client.name,
            "desk": client.desk,
            "scopes": client.scopes,
            "created_at": client.created_at.isoformat(),
            "closed_at": client.closed_at and client.closed_at.isoformat(),
            "last_used_at": client.last_used_at and client.last_used_at.isoformat(),
        }
        for client in _do(clients.listing)
    ]
    _print_rows(rows, as_json=as_json)


@client_app.command("rotate")
def rotate_client(client_id: str, as_json: AsJson = False) -> None:
    """Give a client a second secret; the one before goes on for 7 days."""
    _print_credentials(_do(lambda s: clients.rotate(s, client_id, now=doors.utc_now())), as_json=as_json)


@client_app.command("close")
def close_client(client_id: str) -> None:
    """Close a client; its tokens are dead within ten seconds."""
    _do(lambda s: clients.close(s, client_id, now=doors.utc_now()))
    print(f"{client_id} is closed.")


@client_app.command("scopes")
def list_scopes(as_json: AsJson = False) -> None:
    """List the scopes there are."""
    _print_rows([{"scope": name, "allows": what} for name, what in client_rules.SCOPES.items()], as_json=as_json)


@keys_app.command("rotate")
def rotate_keys(
    algorithm: Annotated[str, typer.Option(help="ES256 or EdDSA.")] = "ES256",
    as_json: AsJson = False,
) -> None:
    """Publish a new signing key; it begins to sign when every cache has seen it."""
    if algorithm not in ("ES256", "EdDSA"):
        raise typer.BadParameter("ES256 or EdDSA")

    async def rotate(session: AsyncSession) -> dict[str, str]:
        now, master = doors.utc_now(), _local().key()
        key_id, active_from = await keyring.rotate(session, master, algorithm=algorithm, now=now)
        await events.record(session, "keys.rotated", actor=clients.OPERATOR, data={"kid": key_id}, now=now)
        return {"kid": key_id, "signs_from": active_from.isoformat()}

    _print_rows([_do(rotate)], as_json=as_json)


@keys_app.command("rewrap")
def rewrap_keys(
    new_key_file: Annotated[Path, typer.Argument(help="A file with the new master key: 32 bytes in base64url.")],
) -> None:
    """Seal the key ring with a new IDENTITY_MASTER_KEY; the keys themselves stay. Then set it and restart."""
    try:
        new = configuration.read_master_key(new_key_file.read_text(encoding="utf-8").strip())
    except ValueError as wrong:
        _fail(f"The new master key {wrong}")

    async def rewrap(session: AsyncSession) -> int:
        count = await keyring.rewrap(session, _local().key(), new)
        await events.record(
            session, "keys.rewrapped", actor=clients.OPERATOR, data={"keys": count}, now=doors.utc_now()
        )
        return count

    print(f"{_do(rewrap)} keys are sealed with the new master key.")


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys of the ring; never the keys themselves."""
    _print_rows(_do(keyring.listing), as_json=as_json)


@mail_app.command("doctor")
def examine_mail(as_json: AsJson = False) -> None:
    """Look at everything a letter needs: relays, DNS, the way back. Exit status 1: no relay takes mail."""

    async def examine() -> list[doctor.Finding]:
        found = []
        async with _with_keys(_local()) as database:
            key: keyring.Keyring = database.info["keyring"]
            async for finding in doctor.examine(database.settings, key.internal()):
                found.append(finding)
                if not as_json:
                    print(f"{finding.verdict:<8} {finding.what:<26} {finding.detail}", flush=True)
        return found

    findings = asyncio.run(examine())
    if as_json:
        _print_json([finding._asdict() for finding in findings])
    raise typer.Exit(0 if doctor.will_flow(findings) else 1)


@mail_app.command("send-test")
def send_test(address: str) -> None:
    """Send a test letter down the road that every letter takes, and print what is said on the way."""

    async def send() -> str:
        last = ""
        async with _with_keys(_local()) as database:
            to = email_addresses.parse(address, special_use=database.settings.development)
            async for line in trial.send(database, COMPOSERS, to, client=clients.OPERATOR):
                last = line
                print(line, flush=True)
        return last

    raise typer.Exit(0 if trial.went_well(asyncio.run(send())) else 1)


@id_app.command("new")
def new_id(as_json: AsJson = False) -> None:
    """Print a fresh User ID; nothing is stored."""
    fresh = user_ids.show(user_ids.issue())
    print(json.dumps({"user_id": fresh}) if as_json else fresh)


@id_app.command("check")
def check_id(text: str, as_json: AsJson = False) -> None:
    """Say whether a User ID can be right, and what may have been meant."""
    try:
        good = user_ids.show(user_ids.parse(text))
    except user_ids.MalformedUserId as wrong:
        if as_json:
            _print_json({"valid": False, "detail": wrong.detail, **wrong.members})
        else:
            print(wrong.detail)
            for suggestion in wrong.members["suggestions"]:
                print(f"  perhaps {suggestion['user_id']}: {suggestion['reason']}")
        raise typer.Exit(1) from None
    print(json.dumps({"valid": True, "user_id": good}) if as_json else good)


@id_app.command("spell")
def spell_id(text: str, as_json: AsJson = False) -> None:
    """Spell a User ID for the telephone."""
    words = user_ids.spell(user_ids.parse(text))
    print(json.dumps(words) if as_json else ", ".join(words))


def _strict() -> Settings:
    settings = configuration.read()
    logs.configure(settings.log_format)
    return settings


def _local() -> Settings:
    """Return the settings; without a DATABASE_URL they are those of `identity-service run`."""
    settings = configuration.read()
    return settings if settings.database_url is not None else development.complete(settings)


def _do(work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Do one thing in one transaction."""

    async def do() -> Any:  # noqa: ANN401
        async with _opened(_local()) as database:
            return await database.short(work)

    return asyncio.run(do())


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings, await processes.application_url(settings))
    try:
        if not await database.short(schema.at_head):
            raise schema.MigrationsMissing
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _with_keys(settings: Settings) -> AsyncIterator[Database]:
    async with _opened(settings) as database:
        await processes.load_keys(database, settings.key())
        yield database


async def _migrate(settings: Settings) -> None:
    if settings.database_url is None:
        await development.migrate(settings)
        return
    application = url_of(settings, "database_url")
    owner = url_of(settings, "database_owner_url") or application
    role = make_url(application).username
    await schema.migrate(owner, role if role != make_url(owner).username else None)


def _print_credentials(made: clients.Credentials, *, as_json: bool) -> None:
    if as_json:
        _print_json(made._asdict())
    else:
        print(f"client_id      {made.client_id}")
        print(f"client_secret  {made.client_secret or '(signs with its own key)'}")


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        print(
            "  ".join(f"{name}={' '.join(value) if isinstance(value, list) else value}" for name, value in row.items())
        )


def _print_json(value: Any) -> None:  # noqa: ANN401
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _fail(sentence: str) -> Any:  # noqa: ANN401
    print(sentence, file=sys.stderr)
    raise SystemExit(1)
