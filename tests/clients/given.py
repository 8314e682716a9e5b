"""Clients, requests and signatures, the good ones and the forged ones."""

import json
import secrets
import time
from typing import Any

from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

from identity_service.clients import actions as clients
from identity_service.keys import encoding, signing
from identity_service.web import scopes as web_scopes

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = {"grant_type": "client_credentials"}
REALM = 'Basic realm="identity-service"'


async def a_client(service, *scopes: str, source: str = "shop", jwks: dict | None = None) -> clients.Credentials:
    """Add a client; by default it may do everything."""
    wanted = list(scopes or web_scopes.SCOPES)
    return await service.database.in_transaction(
        lambda s: clients.add_client(s, "shop", wanted, desk=False, source=source, jwks=jwks, now=service.clock())
    )


def a_key(algorithm: str = "ES256", kid: str | None = "first"):
    """Return a private key, as a client would make it."""
    parameters = None if kid is None else {"kid": kid}
    if algorithm in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", parameters)
    return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[algorithm], parameters)


def key_set(*keys) -> dict:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def signed(header: Any, payload: Any, key, algorithm: str = "ES256") -> str:
    """Sign whatever is given: mappings as JSON, bytes as they are; the header may lie about the algorithm."""
    first, second = (
        encoding.base64url_encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    )
    signature = JWSRegistry.algorithms[algorithm].sign(f"{first}.{second}".encode(), key)
    return f"{first}.{second}.{encoding.base64url_encode(signature)}"


def assertion(service, client_id: str, key, *, header: dict | None = None, **claims: Any) -> str:
    """Sign a client assertion as it should be, but for what is named; a claim that is None is left out."""
    moment = int(service.clock().timestamp())
    good = {
        "iss": client_id, "sub": client_id, "aud": service.database.settings.issuer,
        "iat": moment, "exp": moment + 60, "jti": secrets.token_urlsafe(16),
    }  # fmt: skip
    algorithm = signing.algorithm_of(key)
    wanted = {"alg": algorithm, "kid": key.kid, "typ": "client-authentication+jwt"} if header is None else header
    kept = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return signed(wanted, kept, key, algorithm)


def proven_by(text: str) -> dict[str, str]:
    """Return the form fields of a client that proves itself by an assertion."""
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text}


async def token_of(service, made: clients.Credentials, **form: str):
    """Ask for a token by Basic; return the answer."""
    return await service.http.post(
        "/oauth/token", data={**GRANT, **form}, auth=(made.client_id, made.client_secret or "")
    )


async def status_with(service, token: str) -> int:
    """Return how a door answers to a token."""
    return (await service.http.get("/v1/events", headers={"Authorization": f"Bearer {token}"})).status_code


class Signing(PrivateKeyJWT):
    """Authlib's own signer; its assertions live an hour unless told otherwise, ours ten minutes at most."""

    def sign(self, auth, token_endpoint):
        self.claims = {"exp": int(time.time()) + 60}
        return super().sign(auth, token_endpoint)
