"""Add, rotate and close clients; tell which tokens are dead."""

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
from identity_service.database import AsyncSession
from identity_service.events import actions as events

OPERATOR = "operator"


class Credentials(NamedTuple):
    """What a client needs to get tokens; the secret is shown this once (None for one with keys of its own)."""

    client_id: str
    client_secret: str | None


async def add(
    session: AsyncSession, name: str, scopes: Sequence[str], *, desk: bool, jwks: dict[str, Any] | None, now: datetime
) -> Credentials:
    """Add a client with a fresh secret, or with its own public keys.

    Raises:
        rules.UnknownScope, rules.MalformedClientName, rules.MalformedKeySet
    """
    rules.check_new(name, scopes)
    client_id = f"cli_{secrets.token_hex(8)}"
    row = {"id": client_id, "name": name, "desk": desk, "scopes": sorted(set(scopes)), "created_at": now}
    await session.execute(insert(Client), {**row, "jwks": None if jwks is None else _public(jwks)})
    secret = None if jwks is not None else await _add_secret(session, client_id, now)
    data = {"client_id": client_id, "desk": desk, "scopes": sorted(set(scopes))}
    await events.record(session, "client.added", actor=OPERATOR, data=data, now=now)
    return Credentials(client_id, secret)


async def rotate(session: AsyncSession, client_id: str, *, now: datetime) -> Credentials:
    """Give a client a second secret; the one before goes on for 7 days, older ones end now.

    Raises:
        rules.UnknownClient, rules.SignsItself
    """
    if (await _live(session, client_id)).jwks is not None:
        raise rules.SignsItself
    mine = update(ClientSecret).where(ClientSecret.client_id == client_id)
    await session.execute(mine.where(ClientSecret.ends_at > now).values(ends_at=now))
    await session.execute(mine.where(ClientSecret.ends_at.is_(None)).values(ends_at=now + rules.SECRET_OVERLAP))
    secret = await _add_secret(session, client_id, now)
    await events.record(session, "client.rotated", actor=OPERATOR, data={"client_id": client_id}, now=now)
    return Credentials(client_id, secret)


async def close(session: AsyncSession, client_id: str, *, now: datetime) -> None:
    """Close a client: no new token at once, its issued ones dead within ten seconds.

    Raises:
        rules.UnknownClient
    """
    await _live(session, client_id)
    await session.execute(update(Client).where(Client.id == client_id).values(closed_at=now))
    await events.record(session, "client.closed", actor=OPERATOR, data={"client_id": client_id}, now=now)


async def listing(session: AsyncSession) -> Sequence[Client]:
    """Return every client there is or was, oldest first."""
    return (await session.scalars(select(Client).order_by(Client.created_at, Client.id))).all()


async def dead(session: AsyncSession, now: datetime) -> tuple[frozenset[str], frozenset[str]]:
    """Return closed clients whose tokens may still be about, and revoked tokens: what every process remembers."""
    closed = await session.scalars(select(Client.id).where(Client.closed_at.is_not(None)))
    revoked = await session.scalars(select(RevokedToken.jti).where(RevokedToken.until > now))
    return frozenset(closed), frozenset(revoked)


async def purge(session: AsyncSession) -> None:
    """Forget what has expired by itself."""
    await session.execute(delete(UsedAssertion).where(UsedAssertion.until < func.now()))
    await session.execute(delete(RevokedToken).where(RevokedToken.until < func.now()))


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a client secret."""
    return hashlib.sha256(secret.encode()).digest()


async def _live(session: AsyncSession, client_id: str) -> Client:
    client = await session.scalar(
        select(Client).where(Client.id == client_id, Client.closed_at.is_(None)).with_for_update()
    )
    if client is None:
        raise rules.UnknownClient
    return client


async def _add_secret(session: AsyncSession, client_id: str, now: datetime) -> str:
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
    good = all(
        (isinstance(key, ECKey) and key.curve_name == "P-256")
        or (isinstance(key, OKPKey) and key.curve_name == "Ed25519")
        for key in keys
    )
    public = {key.kid or key.thumbprint(): key.as_dict(private=False) for key in keys}
    if not keys or not good or any(key.is_private for key in keys) or len(public) != len(keys):
        raise rules.MalformedKeySet
    return {"keys": [{**key, "kid": kid} for kid, key in public.items()]}
