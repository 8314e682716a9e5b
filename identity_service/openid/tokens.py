"""What the tokens of a sign-in say, and how refresh tokens are derived (OpenID Connect Core 1.0, 2; RFC 9068).

A refresh token is `rt_`, the grant's id, its number in the family, and a keyed hash of both: no row holds one, and a
copy of the database makes none (OID-16).
"""

import hashlib
import hmac
import re
import secrets
import uuid
from datetime import datetime
from typing import Any, Final, NamedTuple

from identity_service.accounts.tables import Account
from identity_service.clients import rules as client_rules
from identity_service.errors import Unavailable
from identity_service.keys import encoding, hashing, signing
from identity_service.keys.ring import KeyRing
from identity_service.openid import rules
from identity_service.openid.tables import OauthGrant
from identity_service.settings import Settings
from identity_service.values import user_ids

_REFRESH: Final = re.compile(client_rules.REFRESH_TOKEN + r"([0-9a-f]{32})_([0-9]{1,9})_([A-Za-z0-9_-]{43})")


class Presented(NamedTuple):
    """A refresh token that a client sent, before it is looked up."""

    grant_id: uuid.UUID
    generation: int
    proof: str


def userinfo_of(settings: Settings) -> str:
    """Return the audience of access tokens for our userinfo endpoint, which open no API (OID-15)."""
    return f"{settings.issuer}/oauth/userinfo"


def show_sub(user_id: str) -> str:
    """Return the subject: the User ID as customers know it (OID-33)."""
    return user_ids.show(user_id)


def make_access_token(
    grant: OauthGrant, scope: frozenset[str], audience: str, settings: Settings, keys: KeyRing, now: datetime
) -> str:
    """Return a signed access token for one audience (RFC 9068): our userinfo endpoint, or another service's API.

    It holds ids only, and how the customer signed in, for an API that asks for more (RFC 9470).
    """
    issued = int(now.timestamp())
    claims = {
        "iss": settings.issuer, "aud": audience, "sub": show_sub(grant.user_id),
        "client_id": grant.client_id, "iat": issued, "exp": issued + int(rules.ACCESS_LIFETIME.total_seconds()),
        "jti": secrets.token_urlsafe(16), "scope": " ".join(sorted(scope)), "grant": str(grant.id),
        **_sign_in_of(grant),
    }  # fmt: skip
    return signing.sign(claims, keys.signing(now), typ=signing.ACCESS_TOKEN_TYPE)


def make_id_token(
    grant: OauthGrant, access_token: str, algorithm: str, settings: Settings, keys: KeyRing, now: datetime
) -> str:
    """Return a signed ID token; after a refresh it says the same of the sign-in, without the nonce (Core, 12.2).

    Raises:
        Unavailable: the key for RS256 is new, and not known to this process yet.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": settings.issuer, "aud": grant.client_id, "sub": show_sub(grant.user_id), "iat": issued,
        "exp": issued + int(rules.ID_TOKEN_LIFETIME.total_seconds()), "sid": str(grant.sid),
        "at_hash": _left_half(access_token), **_sign_in_of(grant),
    }  # fmt: skip
    if grant.nonce is not None and grant.generation == 0:
        claims["nonce"] = grant.nonce
    key = keys.id_token_key(algorithm, now)
    if key is None:
        # Made for the first application that needs it; this process loads it within five seconds.
        raise Unavailable(retry_after=5)
    return signing.sign(claims, key, typ=signing.ID_TOKEN_TYPE)


def _sign_in_of(grant: OauthGrant) -> dict[str, Any]:
    """Return when and how the customer signed in."""
    return {
        "auth_time": int(grant.signed_in_at.timestamp()), "acr": rules.acr_of(grant.method, grant.second_factor),
        "amr": rules.amr_of(grant.method, grant.second_factor),
    }  # fmt: skip


def verify_id_token(token: str, client_id: str | None, settings: Settings, keys: KeyRing) -> dict[str, Any]:
    """Return the claims of an ID token of ours, expired or not, for this client, if one is named (OID-25, OID-35).

    Raises:
        signing.InvalidToken
    """
    claims = signing.verify(token, keys.verifying_id_tokens(), typ=signing.ID_TOKEN_TYPE, also_rsa=True)
    named = [claims.get(name) for name in ("sub", "sid", "aud")]
    if claims.get("iss") != settings.issuer or not all(isinstance(name, str) for name in named):
        raise signing.InvalidToken
    if client_id is not None and claims["aud"] != client_id:
        raise signing.InvalidToken
    return claims


def check_hint(asked: rules.Asked, settings: Settings, keys: KeyRing) -> str | None:
    """Return the subject of a request's ID token hint, None if it has none (OID-25).

    Raises:
        rules.RequestRefused
    """
    if asked.id_token_hint is None:
        return None
    try:
        return str(verify_id_token(asked.id_token_hint, asked.client_id, settings, keys)["sub"])
    except signing.InvalidToken as wrong:
        raise rules.RequestRefused(
            "invalid_request", "id_token_hint is no ID token of ours for this client."
        ) from wrong


def verify_customer_token(
    token: str, settings: Settings, keys: KeyRing, now: datetime, *, audience: str | None
) -> dict[str, Any]:
    """Return the claims of a customer's access token, for this audience if one is named.

    Raises:
        signing.InvalidToken
    """
    claims = signing.verify(token, keys.verifying(now), typ=signing.ACCESS_TOKEN_TYPE)
    if claims.get("iss") != settings.issuer or "grant" not in claims:
        raise signing.InvalidToken
    if audience is not None and claims.get("aud") != audience:
        raise signing.InvalidToken
    if type(claims.get("exp")) is not int or claims["exp"] <= now.timestamp():
        raise signing.InvalidToken
    return claims


def claims_about(account: Account, scope: frozenset[str]) -> dict[str, Any]:
    """Return what userinfo tells by scope: an address only when it is confirmed, and no permission for marketing
    (OID-32)."""
    claims: dict[str, Any] = {"sub": show_sub(account.user_id)}
    if "profile" in scope:
        claims |= {"locale": account.locale, "kind": account.kind}
        claims |= {"name": account.display_name} if account.display_name else {}
    if "email" in scope and account.email_state == "confirmed":
        claims |= {"email": account.email, "email_verified": True}
    return claims


def make_refresh_token(grant: OauthGrant, keys: KeyRing) -> str:
    """Return the current refresh token of a grant."""
    return f"{client_rules.REFRESH_TOKEN}{grant.id.hex}_{grant.generation}_{_proof(grant, grant.generation, keys)}"


def read_refresh_token(text: str) -> Presented | None:
    """Return the parts of a refresh token; None if it cannot be one of ours."""
    found = _REFRESH.fullmatch(text)
    return None if found is None else Presented(uuid.UUID(found[1]), int(found[2]), found[3])


def is_genuine(presented: Presented, grant: OauthGrant, keys: KeyRing) -> bool:
    """Return whether we derived this refresh token."""
    return hmac.compare_digest(presented.proof, _proof(grant, presented.generation, keys))


def _proof(grant: OauthGrant, generation: int, keys: KeyRing) -> str:
    _, secret = keys.link_key(grant.key_id)
    parts = (grant.id.bytes, grant.client_id.encode(), str(generation).encode())
    return encoding.base64url_encode(hashing.keyed_hash(secret, "refresh token", *parts))


def _left_half(access_token: str) -> str:
    """Return `at_hash` for ES256 and RS256: the left half of SHA-256 (Core, 3.1.3.6)."""
    return encoding.base64url_encode(hashlib.sha256(access_token.encode()).digest()[:16])
