"""Add, rotate and close clients; list revoked tokens."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.clients import rules
from identity_service.clients.tables import Client, ClientSecret, RevokedToken, UsedAssertion
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events

OPERATOR = "operator"


class Credentials(NamedTuple):
    """A client's credentials; the secret is never shown again (None for a client with its own keys)."""

    client_id: str
    client_secret: str | None


async def add_client(
    session: DatabaseSession,
    name: str,
    scopes: Sequence[str],
    *,
    desk: bool,
    jwks: dict[str, Any] | None,
    now: datetime,
) -> Credentials:
    """Add a client with a new secret, or with its own public keys (`jwks`).

    Raises:
        rules.UnknownScope, rules.MalformedClientName, rules.MalformedKeySet
    """
    rules.check_new(name, scopes)
    client_id = f"cli_{secrets.token_hex(8)}"
    row = {"id": client_id, "name": name, "desk": desk, "scopes": sorted(set(scopes)), "created_at": now}
    await session.execute(insert(Client), {**row, "jwks": None if jwks is None else _public(jwks)})
    secret = None if jwks is not None else await _add_secret(session, client_id, now)
    data = {"client_id": client_id, "desk": desk, "scopes": sorted(set(scopes))}
    await events.record_event(session, "client.added", actor=OPERATOR, data=data, now=now)
    return Credentials(client_id, secret)


async def rotate_secret(session: DatabaseSession, client_id: str, *, now: datetime) -> Credentials:
    """Give a client a new secret; the previous one stays valid for 7 days, older ones expire now.

    Raises:
        rules.UnknownClient, rules.ClientHasNoSecret
    """
    if (await _open_client(session, client_id)).jwks is not None:
        raise rules.ClientHasNoSecret
    mine = update(ClientSecret).where(ClientSecret.client_id == client_id)
    await session.execute(mine.where(ClientSecret.expires_at > now).values(expires_at=now))
    await session.execute(mine.where(ClientSecret.expires_at.is_(None)).values(expires_at=now + rules.SECRET_OVERLAP))
    secret = await _add_secret(session, client_id, now)
    await events.record_event(session, "client.rotated", actor=OPERATOR, data={"client_id": client_id}, now=now)
    return Credentials(client_id, secret)


async def close_client(session: DatabaseSession, client_id: str, *, now: datetime) -> None:
    """Close a client: it gets no new token from now on, and its tokens are refused within ten seconds.

    Raises:
        rules.UnknownClient
    """
    await _open_client(session, client_id)
    await session.execute(update(Client).where(Client.id == client_id).values(closed_at=now))
    await events.record_event(session, "client.closed", actor=OPERATOR, data={"client_id": client_id}, now=now)


async def list_clients(session: DatabaseSession) -> Sequence[Client]:
    """Return every client, closed ones included, oldest first."""
    return (await session.scalars(select(Client).order_by(Client.created_at, Client.id))).all()


async def list_revoked(session: DatabaseSession, now: datetime) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of closed clients, and the `jti` of revoked tokens that have not expired."""
    closed = await session.scalars(select(Client.id).where(Client.closed_at.is_not(None)))
    revoked = await session.scalars(select(RevokedToken.jti).where(RevokedToken.expires_at > now))
    return frozenset(closed), frozenset(revoked)


async def purge_tokens(session: DatabaseSession) -> None:
    """Delete expired entries: used assertions and revoked tokens."""
    await session.execute(delete(UsedAssertion).where(UsedAssertion.expires_at < func.now()))
    await session.execute(delete(RevokedToken).where(RevokedToken.expires_at < func.now()))


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 hash that is stored of a client secret."""
    return hashlib.sha256(secret.encode()).digest()


async def _open_client(session: DatabaseSession, client_id: str) -> Client:
    client = await session.scalar(
        select(Client).where(Client.id == client_id, Client.closed_at.is_(None)).with_for_update()
    )
    if client is None:
        raise rules.UnknownClient
    return client


async def _add_secret(session: DatabaseSession, client_id: str, now: datetime) -> str:
    secret = f"ids_{secrets.token_urlsafe(32)}"
    row = {"secret_hash": hash_secret(secret), "client_id": client_id, "created_at": now}
    await session.execute(insert(ClientSecret), row)
    return secret


def _public(jwks: dict[str, Any]) -> dict[str, Any]:
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
