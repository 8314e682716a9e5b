"""`client add|list|sources|change|rotate|close|scopes`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.database.transactions import DatabaseSession
from identity_service.web import scopes

client_app = typer.Typer(no_args_is_help=True, help="Services and desk tools that call us.")
_ClientId = Annotated[str, typer.Argument(help="The client's id, as `client list` shows it.")]


@client_app.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="What it is called in lists and in events.")],
    scope: Annotated[list[str], typer.Option(help="A scope that it may request; repeat for more.")],
    source: Annotated[
        str | None,
        typer.Option(help="Where its references and history are kept; clients may share one. Default: from its name."),
    ] = None,
    desk: Annotated[bool, typer.Option(help="A desk tool, which acts for staff.")] = False,
    brand: Annotated[
        str | None, typer.Option(help="The brand of its new accounts and of its emails; default: `default`.")
    ] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="Its public keys, for private_key_jwt.", exists=True, dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a client, and print its secret, which is never shown again."""
    try:
        keys = None if jwks is None else json.loads(jwks.read_bytes())
    except ValueError as wrong:
        raise client_rules.MalformedKeySet from wrong
    made = connections.run_in_transaction(
        lambda s: clients.add_client(
            s, name, scope, desk=desk, source=source, brand=brand, jwks=keys, now=clock.utc_now()
        )
    )
    _print_credentials(made, as_json=as_json)


@client_app.command("list")
def list_clients(as_json: AsJson = False) -> None:
    """List every client, closed ones included."""
    rows = [
        {
            "client_id": client.id,
            "name": client.name,
            "source": client.source,
            "desk": client.desk,
            "brand": client.brand,
            "scopes": client.scopes,
            "created_at": client.created_at.isoformat(),
            "changed_at": client.changed_at and client.changed_at.isoformat(),
            "closed_at": client.closed_at and client.closed_at.isoformat(),
            "last_used_at": client.last_used_at and client.last_used_at.isoformat(),
        }
        for client in connections.run_in_transaction(clients.list_clients)
    ]
    output.print_rows(rows, as_json=as_json)


@client_app.command("sources")
def list_sources(as_json: AsJson = False) -> None:
    """List every source with its clients, closed ones included."""

    async def load(session: DatabaseSession) -> list[dict[str, object]]:
        everybody = await clients.list_clients(session)
        return [
            {
                "source": source.name,
                "clients": [client.id for client in everybody if client.source == source.name],
                "created_at": source.created_at.isoformat(),
            }
            for source in await clients.list_sources(session)
        ]

    output.print_rows(connections.run_in_transaction(load), as_json=as_json)


@client_app.command("change")
def change_client(
    client_id: _ClientId,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope that it may request from now on, and no others; repeat for more.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The source under which it writes from now on; what it wrote stays where it is.")
    ] = None,
    brand: Annotated[str | None, typer.Option(help="The brand of its accounts and emails from now on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a client's name, scopes, source or brand; its credentials stay.

    Tokens with more are refused within 10 s.
    """
    if name is None and not scope and source is None and brand is None:
        raise typer.BadParameter("Give --name, --scope, --source or --brand.")
    client = connections.run_in_transaction(
        lambda s: clients.change_client(
            s, client_id, name=name, scopes=scope or None, source=source, brand=brand, now=clock.utc_now()
        )
    )
    row = {
        "client_id": client.id, "name": client.name, "source": client.source, "brand": client.brand,
        "scopes": client.scopes,
    }  # fmt: skip
    output.print_rows([row], as_json=as_json)


@client_app.command("rotate")
def rotate_client(client_id: _ClientId, as_json: AsJson = False) -> None:
    """Give a client a new secret; the previous one stays valid for 7 days."""
    _print_credentials(
        connections.run_in_transaction(lambda s: clients.rotate_secret(s, client_id, now=clock.utc_now())),
        as_json=as_json,
    )


@client_app.command("close")
def close_client(client_id: _ClientId, as_json: AsJson = False) -> None:
    """Close a client; its tokens are refused within ten seconds."""
    now = clock.utc_now()
    connections.run_in_transaction(lambda s: clients.close_client(s, client_id, now=now))
    if as_json:
        output.print_json({"client_id": client_id, "closed_at": now.isoformat()})
    else:
        print(f"{client_id} is closed.")


@client_app.command("scopes")
def list_scopes(as_json: AsJson = False) -> None:
    """List every scope with what it allows."""
    output.print_rows([{"scope": name, "allows": allows} for name, allows in scopes.SCOPES.items()], as_json=as_json)


def _print_credentials(made: clients.Credentials, *, as_json: bool) -> None:
    if as_json:
        output.print_json(made._asdict())
    else:
        print(f"client_id      {made.client_id}")
        print(f"client_secret  {made.client_secret or '(signs with its own key)'}")
        print(f"source         {made.source}")
