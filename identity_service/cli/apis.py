"""`api set|list|remove`."""

from typing import Annotated, Any

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import resource_servers
from identity_service.clients.resource_servers import Api

api_app = typer.Typer(no_args_is_help=True, help="Other services' APIs that take our access tokens.")
_Audience = Annotated[str, typer.Argument(help="Its `aud` in tokens: an https URI, like its address.")]


@api_app.command("set")
def set_api(
    audience: _Audience,
    name: Annotated[str | None, typer.Option(help="What it is called, also to customers.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help='A scope and what it allows, like orders:read="see your orders"; repeat for more, all of them.'
        ),
    ] = None,
    service: Annotated[str | None, typer.Option(help="The client id of its service, which introspects tokens.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register another service's API, or change it; what is not given stays.

    `client add --scope` and `client sign-in --sign-in-scope` let clients have its scopes.
    """
    scopes = dict(_read_scope(text) for text in scope or ())
    api = connections.run_in_transaction(
        lambda session: resource_servers.set_api(
            session, audience, name=name, client_id=service, scopes=scopes, now=clock.utc_now()
        )
    )
    output.print_rows([_row(api)], as_json=as_json)


@api_app.command("list")
def list_apis(as_json: AsJson = False) -> None:
    """List every API with its scopes."""
    output.print_rows(
        [_row(api) for api in connections.run_in_transaction(resource_servers.list_apis)], as_json=as_json
    )


@api_app.command("remove")
def remove_api(audience: _Audience, as_json: AsJson = False) -> None:
    """Remove an API; no token for it is issued from now on."""
    now = clock.utc_now()
    connections.run_in_transaction(lambda session: resource_servers.remove_api(session, audience, now=now))
    if as_json:
        output.print_json({"audience": audience, "removed_at": now.isoformat()})
    else:
        print(f"{audience} is removed.")


def _read_scope(text: str) -> tuple[str, str]:
    name, _, description = text.partition("=")
    if not description.strip():
        raise typer.BadParameter(f'Say what the scope allows: --scope {name or "orders:read"}="see your orders"')
    return name.strip(), description.strip()


def _row(api: Api) -> dict[str, Any]:
    return {"audience": api.audience, "name": api.name, "service": api.client_id, "scopes": dict(api.scopes)}
