"""Introspection of customers' tokens (RFC 7662): by the client they were issued to, and by the service of their API."""

import uuid
from datetime import datetime
from typing import Any, Final

from identity_service.clients import resource_servers
from identity_service.clients.oauth import TokenAnswer
from identity_service.clients.tables import RevokedToken
from identity_service.database.transactions import DatabaseSession
from identity_service.keys import signing
from identity_service.openid import grants, tokens
from identity_service.openid.tables import OauthGrant

_INACTIVE: Final = TokenAnswer(200, {"active": False}, {"Pragma": "no-cache"})


async def introspect(session: DatabaseSession, client_id: str, form: dict[str, str], *, now: datetime) -> TokenAnswer:
    """Answer with the claims of a token that holds now, and `{"active": false}` for any other.

    A refresh token is told to its client alone, and stays unused.
    """
    presented = tokens.read_refresh_token(form.get("token", ""))
    if presented is None:
        said = await _access_token(session, client_id, form.get("token", ""), now=now)
    else:
        said = await _refresh_token(session, client_id, presented, now=now)
    return _INACTIVE if said is None else TokenAnswer(200, {"active": True, **said}, {"Pragma": "no-cache"})


async def _access_token(
    session: DatabaseSession, client_id: str, token: str, *, now: datetime
) -> dict[str, Any] | None:
    try:
        claims = tokens.verify_customer_token(token, session.settings, session.keys, now, audience=None)
    except signing.InvalidToken:
        return None
    api = await resource_servers.find_api(session, claims["aud"])
    is_ours = claims["aud"] == tokens.userinfo_of(session.settings)
    if not is_ours and (api is None or not api.scopes.keys() & claims["scope"].split()):
        return None
    if client_id not in (claims["client_id"], api and api.client_id):
        return None
    grant = await session.get(OauthGrant, uuid.UUID(claims["grant"]))
    is_revoked = await session.get(RevokedToken, claims["jti"]) is not None
    if grant is None or is_revoked or not await grants.is_alive(session, grant, now=now):
        return None
    return {"token_type": "Bearer", **claims}


async def _refresh_token(
    session: DatabaseSession, client_id: str, presented: tokens.Presented, *, now: datetime
) -> dict[str, Any] | None:
    grant = await session.get(OauthGrant, presented.grant_id)
    if grant is None or grant.client_id != client_id or not tokens.is_genuine(presented, grant, session.keys):
        return None
    if presented.generation != grant.generation or not await grants.is_alive(session, grant, now=now):
        return None
    return {
        "iss": session.settings.issuer, "client_id": client_id, "sub": tokens.show_sub(grant.user_id),
        "scope": " ".join(grant.scope), "iat": int(grant.granted_at.timestamp()),
        "exp": int(grant.expires_at.timestamp()),
    }  # fmt: skip
