"""`keys rotate|revoke|rewrap|list`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from identity_service import clock
from identity_service import settings as configuration
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.console import actions as console
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.key_store import actions as key_store
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.second_factors import actions as second_factors

keys_app = typer.Typer(no_args_is_help=True, help="The key ring.")


@keys_app.command("rotate")
def rotate_keys(
    algorithm: Annotated[
        str, typer.Option(help="ES256 or EdDSA; RS256 for ID tokens of applications that need it.")
    ] = "ES256",
    as_json: AsJson = False,
) -> None:
    """Publish a new signing key; it begins to sign when cached key sets have expired."""
    if algorithm not in ("ES256", "EdDSA", "RS256"):
        raise typer.BadParameter("The algorithm must be ES256, EdDSA or RS256.")

    async def rotate(session: DatabaseSession) -> dict[str, str]:
        now, master = clock.utc_now(), connections.load_settings().key()
        key_id, active_from = await key_store.rotate_signing_key(session, master, algorithm=algorithm, now=now)
        await events.record_event(session, "keys.rotated", actor=clients.OPERATOR, data={"kid": key_id}, now=now)
        return {"kid": key_id, "signs_from": active_from.isoformat()}

    output.print_rows([connections.run_in_transaction(rotate)], as_json=as_json)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")],
    since: Annotated[
        datetime | None, typer.Option(help="When it leaked, in UTC; what it signed from then on is not ours. [now]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key that leaked, and use another one at once. Then restart every process."""
    now = clock.utc_now()
    moment = now if since is None else since.replace(tzinfo=UTC)
    if moment > now:
        raise typer.BadParameter("The moment must not be in the future.")

    async def revoke(session: DatabaseSession) -> dict[str, str]:
        master = connections.load_settings().key()
        purpose, successor = await key_store.revoke_key(session, master, key_id, since=moment, now=now)
        if purpose == "link":
            await one_time_tokens.end_tokens(session, now=now)
        if purpose == "internal":
            ring = await key_store.load_keys(session, master)
            await console.reseal_second_factors(session, ring)
            await second_factors.reseal(session, ring)
        data = {"kid": key_id, "purpose": purpose, "since": moment.isoformat(), "successor": successor}
        await events.record_event(session, "keys.revoked", actor=clients.OPERATOR, data=data, now=now)
        return {name: value or "" for name, value in data.items()}

    output.print_rows([connections.run_in_transaction(revoke)], as_json=as_json)


@keys_app.command("rewrap")
def rewrap_keys(
    new_key_file: Annotated[
        Path, typer.Argument(help="A file with the new master key: 32 bytes in base64url.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Encrypt the key ring under a new IDENTITY_MASTER_KEY; the keys themselves stay. Then set it and restart."""
    try:
        new = configuration.read_master_key(new_key_file.read_text(encoding="utf-8").strip())
    except ValueError as wrong:
        output.fail(f"The new master key {wrong}")

    async def rewrap(session: DatabaseSession) -> int:
        count = await key_store.rewrap_keys(session, connections.load_settings().key(), new)
        await events.record_event(
            session, "keys.rewrapped", actor=clients.OPERATOR, data={"keys": count}, now=clock.utc_now()
        )
        return count

    count = connections.run_in_transaction(rewrap)
    if as_json:
        output.print_json({"keys": count})
    else:
        print(f"{count} keys are encrypted under the new master key.")


@keys_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List ids, purposes and algorithms of the key ring, without the keys themselves."""
    output.print_rows(connections.run_in_transaction(key_store.list_keys), as_json=as_json)
