"""Add, change, rotate and close clients and their sources; load what every process must know of them."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import entry_points
from identity_service.clients import redirect_uris, rules
from identity_service.clients.tables import (
    Client,
    ClientSecret,
    OpenidClient,
    RedirectUri,
    ResourceScope,
    RevokedToken,
    Source,
    UsedAssertion,
)
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.keys import hashing
from identity_service.web.rules import ClientStates, Registration

OPERATOR = "operator"


class Credentials(NamedTuple):
    """A client's credentials; the secret is never shown again (None for a client with its own keys)."""

    client_id: str
    client_secret: str | None
    source: str


async def add_client(
    session: DatabaseSession,
    name: str,
    scopes: Sequence[str],
    *,
    desk: bool,
    source: str | None = None,
    brand: str | None = None,
    jwks: dict[str, Any] | None,
    jwks_uri: str | None = None,
    has_secret: bool = True,
    now: datetime,
) -> Credentials:
    """Add a client with a new secret, with its own public keys (or where it publishes them), or with neither.

    Its references and history are kept under `source`, which it may share with other clients; without one, under a
    new source named like the client.

    Raises:
        rules.UnknownScope, rules.MalformedClientName, rules.MalformedSource, rules.SourceTaken, rules.MalformedKeySet,
        rules.UnknownBrand, redirect_uris.MalformedRedirectUri
    """
    rules.check_name(name)
    if jwks_uri is not None:
        redirect_uris.check_registered(jwks_uri, native=False, development=session.settings.development)
    rules.check_scopes(scopes, await _scopes_of_apis(session))
    rules.check_brand(brand, session.settings.brands.by_key)
    kept_under = await _find_source(session, name, source, now=now)
    client_id = f"cli_{secrets.token_hex(8)}"
    keys = {"jwks": None if jwks is None else read_key_set(jwks), "jwks_uri": jwks_uri}
    row = {"id": client_id, "name": name, "source": kept_under, "scopes": sorted(set(scopes)), **keys}
    await session.execute(insert(Client), {**row, "desk": desk, "brand": brand, "created_at": now})
    secret = await _add_secret(session, client_id, now) if has_secret and jwks is None and jwks_uri is None else None
    data = {"client_id": client_id, "source": kept_under, "desk": desk, "scopes": sorted(set(scopes))}
    await events.record_event(session, "client.added", actor=OPERATOR, data=data, now=now)
    return Credentials(client_id, secret, kept_under)


async def _find_source(session: DatabaseSession, name: str, source: str | None, *, now: datetime) -> str:
    """Return the source of a new client: the one that was named, or a new one named like the client."""
    kept_under = source or rules.source_from(name)
    if not await add_source(session, kept_under, now=now) and source is None:
        raise rules.SourceTaken(
            f"There is a source {kept_under!r} already. With --source {kept_under} this client shares its references "
            "and history; with another name it gets its own."
        )
    return kept_under


async def add_source(session: DatabaseSession, name: str, *, now: datetime) -> bool:
    """Add a source, unless there is one of this name; return whether it is new.

    Raises:
        rules.MalformedSource
    """
    rules.check_source_name(name)
    new = insert(Source).on_conflict_do_nothing().returning(Source.name)
    return await session.scalar(new, {"name": name, "created_at": now}) is not None


async def change_client(
    session: DatabaseSession,
    client_id: str,
    *,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    source: str | None = None,
    brand: str | None = None,
    now: datetime,
) -> Client:
    """Change name, scopes, source or brand of a client; its credentials stay. What is `None` stays, too.

    Tokens with a scope or source that it lost are refused within ten seconds. What it stored stays with the source
    under which it stored it. A source that does not exist is added.

    Raises:
        rules.UnknownClient, rules.UnknownScope, rules.MalformedClientName, rules.MalformedSource, rules.UnknownBrand
    """
    rules.check_brand(brand, session.settings.brands.by_key)
    client = await find_open(session, client_id)
    if name is not None:
        rules.check_name(name)
    if source is not None:
        await add_source(session, source, now=now)
    wanted: dict[str, Any] = {"name": name, "source": source, "brand": brand}
    if scopes is not None:
        rules.check_scopes(scopes, await _scopes_of_apis(session))
        wanted["scopes"] = sorted(set(scopes))
    given = {field: value for field, value in wanted.items() if value is not None}
    different = {field: value for field, value in given.items() if value != getattr(client, field)}
    if different:
        await session.execute(update(Client).where(Client.id == client_id).values(**different, changed_at=now))
        # A name may be a person's, so the event holds only that it changed.
        data = {field: value for field, value in different.items() if field != "name"}
        data |= {"client_id": client_id, "fields": sorted(different)}
        await events.record_event(session, "client.changed", actor=OPERATOR, data=data, now=now)
        await session.refresh(client)
    return client


async def rotate_secret(session: DatabaseSession, client_id: str, *, now: datetime) -> Credentials:
    """Give a client a new secret; the previous one stays valid for 7 days, older ones expire now.

    Raises:
        rules.UnknownClient, rules.ClientHasNoSecret
    """
    client = await find_open(session, client_id)
    openid = await session.get(OpenidClient, client_id)
    if client.jwks is not None or client.jwks_uri is not None or (openid is not None and openid.kind != "confidential"):
        raise rules.ClientHasNoSecret
    mine = update(ClientSecret).where(ClientSecret.client_id == client_id)
    await session.execute(mine.where(ClientSecret.expires_at > now).values(expires_at=now))
    await session.execute(mine.where(ClientSecret.expires_at.is_(None)).values(expires_at=now + rules.SECRET_OVERLAP))
    secret = await _add_secret(session, client_id, now)
    await events.record_event(session, "client.rotated", actor=OPERATOR, data={"client_id": client_id}, now=now)
    return Credentials(client_id, secret, client.source)


async def close_client(session: DatabaseSession, client_id: str, *, now: datetime) -> None:
    """Close a client: it gets no new token from now on, and its tokens are refused within ten seconds.

    Its source stays, with all references and history: another client of that source goes on with them.

    Raises:
        rules.UnknownClient
    """
    await find_open(session, client_id)
    await session.execute(update(Client).where(Client.id == client_id).values(closed_at=now))
    await entry_points.load("openid.ending:end_for_client")(session, client_id, why="client_closed", now=now)
    await events.record_event(session, "client.closed", actor=OPERATOR, data={"client_id": client_id}, now=now)


async def list_clients(session: DatabaseSession) -> Sequence[Client]:
    """Return every client, closed ones included, oldest first."""
    return (await session.scalars(select(Client).order_by(Client.created_at, Client.id))).all()


async def list_sources(session: DatabaseSession) -> Sequence[Source]:
    """Return every source, by name."""
    return (await session.scalars(select(Source).order_by(Source.name))).all()


async def load_states(session: DatabaseSession, now: datetime) -> ClientStates:
    """Return what the clients may do now, which are closed, and the `jti` of revoked tokens that have not expired."""
    columns = select(Client.id, Client.scopes, Client.source, Client.brand, Client.changed_at, Client.closed_at)
    rows = (await session.execute(columns)).all()
    revoked = await session.scalars(select(RevokedToken.jti).where(RevokedToken.expires_at > now))
    return ClientStates(
        {
            row.id: Registration(frozenset(row.scopes), row.source, row.brand, row.changed_at)
            for row in rows
            if not row.closed_at
        },
        frozenset(row.id for row in rows if row.closed_at),
        frozenset(revoked),
        await _browser_origins(session),
    )


async def _browser_origins(session: DatabaseSession) -> frozenset[str]:
    """Return the origins of applications that run in a browser: they may read our answers there (OID-41)."""
    mine = select(RedirectUri.uri).join(OpenidClient, OpenidClient.client_id == RedirectUri.client_id)
    public = mine.join(Client, Client.id == OpenidClient.client_id).where(Client.closed_at.is_(None))
    uris = await session.scalars(public.where(OpenidClient.kind == "public"))
    return frozenset(redirect_uris.origin_of(uri) for uri in uris)


async def purge_tokens(session: DatabaseSession) -> None:
    """Delete expired entries: used assertions and revoked tokens."""
    await session.execute(delete(UsedAssertion).where(UsedAssertion.expires_at < func.now()))
    await session.execute(delete(RevokedToken).where(RevokedToken.expires_at < func.now()))


async def find_open(session: DatabaseSession, client_id: str) -> Client:
    """Return a client that is not closed, locked.

    Raises:
        rules.UnknownClient
    """
    client = await session.scalar(
        select(Client).where(Client.id == client_id, Client.closed_at.is_(None)).with_for_update()
    )
    if client is None:
        raise rules.UnknownClient
    return client


async def _scopes_of_apis(session: DatabaseSession) -> Sequence[str]:
    return (await session.scalars(select(ResourceScope.scope))).all()


async def _add_secret(session: DatabaseSession, client_id: str, now: datetime) -> str:
    secret = f"ids_{secrets.token_urlsafe(32)}"
    row = {"secret_hash": hashing.hash_secret(secret), "client_id": client_id, "created_at": now}
    await session.execute(insert(ClientSecret), row)
    return secret


def read_key_set(jwks: dict[str, Any]) -> dict[str, Any]:
    """Return a set of public keys, each with an id.

    Raises:
        rules.MalformedKeySet
    """
    try:
        kinds = {key["kty"] for key in jwks["keys"]}
        keys = KeySet.import_key_set(jwks).keys if kinds <= {"EC", "OKP"} else []  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError) as refused:
        raise rules.MalformedKeySet from refused
    algorithms_allowed = all(
        (isinstance(key, ECKey) and key.curve_name == "P-256")
        or (isinstance(key, OKPKey) and key.curve_name == "Ed25519")
        for key in keys
    )
    public = {key.kid or key.thumbprint(): key.as_dict(private=False) for key in keys}
    if not keys or not algorithms_allowed or any(key.is_private for key in keys) or len(public) != len(keys):
        raise rules.MalformedKeySet
    return {"keys": [{**key, "kid": kid} for kid, key in public.items()]}


async def list_open_clients(session: DatabaseSession) -> Sequence[Client]:
    """Return the clients that are not closed, for the operations page."""
    return [client for client in await list_clients(session) if client.closed_at is None]
