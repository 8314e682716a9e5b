"""`client add|sign-in|list|sources|change|rotate|close|scopes`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from identity_service import clock
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import registration
from identity_service.clients import rules as client_rules
from identity_service.database.transactions import DatabaseSession
from identity_service.key_store import actions as key_store
from identity_service.web import scopes

client_app = typer.Typer(no_args_is_help=True, help="Services and desk tools that call us.")
_ClientId = Annotated[str, typer.Argument(help="The client's id, as `client list` shows it.")]


_Source = Annotated[
    str | None,
    typer.Option(help="Where its references and history are kept; clients may share one. Default: from its name."),
]
_Brand = Annotated[
    str | None, typer.Option(help="The brand of its new accounts and of its emails; default: `default`.")
]
_Keys = Annotated[Path | None, typer.Option(help="Its public keys, for private_key_jwt.", exists=True, dir_okay=False)]
_KeysUri = Annotated[
    str | None, typer.Option("--jwks-uri", help="Where it publishes its public keys, for private_key_jwt.")
]
_Kind = Annotated[str, typer.Option(help="confidential: on a server; public: in a browser; native: on a device.")]
_RedirectUris = Annotated[
    list[str] | None,
    typer.Option("--redirect-uri", help="Where it gets customers back after a sign-in; repeat for more, all of them."),
]
_LogoutUris = Annotated[
    list[str] | None, typer.Option("--logout-uri", help="Where it gets them back after signing out; repeat for more.")
]
_SignInScopes = Annotated[
    list[str] | None,
    typer.Option(
        "--sign-in-scope",
        help="What it may ask customers for: openid, profile, email, offline_access, scopes of APIs. [the first four]",
    ),
]
_FirstParty = Annotated[
    bool | None, typer.Option("--first-party/--third-party", help="Ours, or another company's, which asks on a page.")
]
_Backchannel = Annotated[
    str | None, typer.Option("--backchannel-logout-uri", help="Where it is told that a customer signed out.")
]
_Algorithm = Annotated[
    str | None, typer.Option("--id-token-alg", help="ES256, or RS256 for a library that can do nothing else. [ES256]")
]
_Mode = Annotated[str | None, typer.Option("--response-mode", help="query or form_post. [query]")]
_Pkce = Annotated[
    bool | None, typer.Option("--pkce/--no-pkce", help="An old library on a server may go without PKCE. [pkce]")
]
_Par = Annotated[bool | None, typer.Option("--par/--no-par", help="It must push its requests (RFC 9126). [no-par]")]


@client_app.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="What it is called in lists, in events, and to customers.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope that it may request; repeat for more.")] = None,
    source: _Source = None,
    desk: Annotated[bool, typer.Option(help="A desk tool, which acts for staff.")] = False,
    brand: _Brand = None,
    jwks: _Keys = None,
    jwks_uri: _KeysUri = None,
    kind: _Kind = "confidential",
    redirect_uri: _RedirectUris = None,
    logout_uri: _LogoutUris = None,
    as_json: AsJson = False,
) -> None:
    """Add a client, and print its secret, which is never shown again.

    With --redirect-uri it signs customers in; `client sign-in` changes how.
    """
    if not scope and not redirect_uri:
        raise typer.BadParameter("Give --scope for our API, or --redirect-uri to sign customers in, or both.")
    if jwks is not None and jwks_uri is not None:
        raise typer.BadParameter("Give --jwks or --jwks-uri, not both.")
    keys = _read_keys(jwks)
    sign_in = {"kind": kind, "redirect_uris": _set(redirect_uri), "logout_uris": _set(logout_uri)}

    async def add(session: DatabaseSession) -> clients.Credentials:
        made = await clients.add_client(
            session, name, scope or [], desk=desk, source=source, brand=brand, jwks=keys, jwks_uri=jwks_uri,
            has_secret=kind == "confidential", now=clock.utc_now(),
        )  # fmt: skip
        if redirect_uri:
            await _set_sign_in(session, made.client_id, sign_in)
        return made

    _print_credentials(connections.run_in_transaction(add), as_json=as_json)


@client_app.command("sign-in")
def set_sign_in(
    client_id: _ClientId,
    redirect_uri: _RedirectUris = None,
    logout_uri: _LogoutUris = None,
    sign_in_scope: _SignInScopes = None,
    first_party: _FirstParty = None,
    backchannel_logout_uri: _Backchannel = None,
    id_token_alg: _Algorithm = None,
    response_mode: _Mode = None,
    pkce: _Pkce = None,
    par: _Par = None,
    as_json: AsJson = False,
) -> None:
    """Show how a client signs customers in, or change it; what is not given stays.

    Its sign-ins end when it loses a redirect URI or a scope.
    """
    wanted = {
        "redirect_uris": _set(redirect_uri), "logout_uris": _set(logout_uri), "scopes": _set(sign_in_scope),
        "first_party": first_party, "backchannel_logout_uri": backchannel_logout_uri, "id_token_alg": id_token_alg,
        "response_mode": response_mode, "needs_pkce": pkce, "needs_par": par,
    }  # fmt: skip
    application = connections.run_in_transaction(lambda session: _set_sign_in(session, client_id, wanted))
    row = {**application._asdict(), "apis": list(application.apis)}
    lists = {name: sorted(value) for name, value in row.items() if isinstance(value, frozenset)}
    output.print_rows([{**row, **lists}], as_json=as_json)


async def _set_sign_in(session: DatabaseSession, client_id: str, wanted: dict[str, Any]) -> client_rules.Application:
    """Register or change it; the first application that needs RS256 gets us the key for it."""
    now = clock.utc_now()
    application = await registration.set_sign_in(session, client_id, now=now, **wanted)
    if application.id_token_alg == "RS256":  # noqa: S105
        await key_store.ensure_rsa_key(session, connections.load_settings().key(), now=now)
    return application


def _read_keys(jwks: Path | None) -> dict[str, Any] | None:
    try:
        return None if jwks is None else json.loads(jwks.read_bytes())
    except ValueError as wrong:
        raise client_rules.MalformedKeySet from wrong


def _set(given: list[str] | None) -> frozenset[str] | None:
    return frozenset(given) if given else None


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
        print(f"client_secret  {made.client_secret or '(none: it has its own key, or is public)'}")
        print(f"source         {made.source}")
