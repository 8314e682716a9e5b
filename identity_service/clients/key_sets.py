"""Public keys that a client publishes at its `jwks_uri`: fetched when a signed assertion comes, kept for an hour.

The address comes from the registration alone. A key that is not known is looked for once a minute, so that nobody can
make us fetch more often; the fetch is outside of any transaction, and one process of all does it (OID-40, WHK-01).
"""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update

from identity_service import logs
from identity_service.clients import actions, rules
from identity_service.clients.tables import Client
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys import signing
from identity_service.web import outbound

RENEWED: Final = timedelta(minutes=30)
KEPT: Final = timedelta(hours=1)
PAUSE: Final = timedelta(minutes=1)


async def refresh(database: Database, client_id: str, assertion: str, *, now: datetime) -> None:
    """Fetch the keys of a client that publishes them, if ours are half an hour old or lack that of an assertion.

    A fetch that fails leaves the keys as they are; those that are an hour old are forgotten. Until then they go on, so
    that no request fails beside one that fetches.
    """
    kid = signing.unverified(assertion)[0].get("kid")
    url = await database.in_transaction(lambda session: _claim(session, client_id, kid, now=now))
    if url is None:
        return
    try:
        status, body = await outbound.get_json(database.settings, url)
        if status != 200:
            raise ValueError(status)
        found = _usable(json.loads(body))
    except (*outbound.FAILURES, rules.MalformedKeySet) as problem:
        logs.log.warning("client.keys_not_fetched", client=client_id, answer=str(problem) or type(problem).__name__)
        return
    mine = update(Client).where(Client.id == client_id, Client.jwks_uri == url).values(jwks=found, jwks_fetched_at=now)
    await database.in_transaction(lambda session: session.execute(mine))


async def _claim(session: DatabaseSession, client_id: str, kid: object, *, now: datetime) -> str | None:
    """Return the address to fetch from, None if the keys are new enough or another request has just tried."""
    columns = select(Client.jwks_uri, Client.jwks, Client.jwks_fetched_at)
    row = (await session.execute(columns.where(Client.id == client_id, Client.closed_at.is_(None)))).one_or_none()
    if row is None or row.jwks_uri is None:
        return None
    mine = update(Client).where(Client.id == client_id)
    age = now - row.jwks_fetched_at if row.jwks is not None else KEPT
    if age >= KEPT and row.jwks is not None:
        await session.execute(mine.where(Client.jwks_fetched_at == row.jwks_fetched_at).values(jwks=None))
    known = [key["kid"] for key in row.jwks["keys"]] if age < RENEWED else []
    if kid in known or (kid is None and known):
        return None
    rested = or_(Client.jwks_tried_at.is_(None), Client.jwks_tried_at <= now - PAUSE)
    return await session.scalar(mine.where(rested).values(jwks_tried_at=now).returning(Client.jwks_uri))


def _usable(published: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the keys of a published set that a client may sign its assertions with; others are not looked at.

    Raises:
        rules.MalformedKeySet
    """
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise rules.MalformedKeySet
    ours = [key for key in keys if key.get("crv") in ("P-256", "Ed25519") and key.get("use", "sig") == "sig"]
    return actions.read_key_set({"keys": ours})
