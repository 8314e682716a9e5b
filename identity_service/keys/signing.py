"""JSON Web Signatures and access tokens. Pure: keys, bytes and `now` in, values out.

Only one function verifies access tokens, because the library accepts more than is safe: `jwt.decode` accepts expired
tokens and ignores `typ`, and its RFC 9068 validator accepts a token without `typ`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from identity_service.errors import Problem
from identity_service.keys import encoding

ALGORITHMS: Final = ("ES256", "EdDSA", "Ed25519")
"""The algorithms accepted of clients. `Ed25519` is the newer name of EdDSA on that curve (RFC 9864); we use `EdDSA`.
RS256 is excluded: ASVS 5.0 (appendix C) disallows PKCS#1 v1.5. We sign with it where an application that signs
customers in can do nothing else (OID-38)."""

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105
ID_TOKEN_TYPE: Final = "JWT"  # noqa: S105
LOGOUT_TOKEN_TYPE: Final = "logout+jwt"  # noqa: S105
MAXIMUM_TOKEN_LENGTH: Final = 8192
LEEWAY: Final = 30
"""Seconds by which another host's clock may be ahead of ours (REL-14)."""

PublicKey = ECKey | OKPKey | RSAKey


class _SingleAlgorithm(jws.JWSRegistry):
    """Allows the algorithm of one key, under each of its names, and no other.

    Since RFC 9864 the library rejects `EdDSA` by default, because the name covers both Ed25519 and Ed448. Here it is
    unambiguous: only Ed25519 keys are accepted.
    """

    def __init__(self, key: PublicKey) -> None:
        super().__init__(algorithms=list(algorithm_names(key)))

    def get_alg(self, name: str) -> Any:  # noqa: ANN401
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class InvalidToken(Problem):
    """The access token is invalid, expired or revoked; request a new one."""

    status = 401
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012


class SignedAfterRevocation(InvalidToken):
    """This was signed with a key that was revoked before; it is not ours."""


class PublishedKeys(dict[str, PublicKey]):
    """Public keys by `kid`, and for revoked ones the moment since which their signatures are not ours."""

    def __init__(self, keys: Mapping[str, PublicKey], revoked_since: Mapping[str, datetime]) -> None:
        """Take the keys, and the moments of those that were revoked."""
        super().__init__(keys)
        self._revoked_since = dict(revoked_since)

    def check_moment(self, kid: str, issued_at: object) -> None:
        """Refuse a statement of a revoked key that says it was issued since the revocation, or does not say when.

        Raises:
            SignedAfterRevocation
        """
        since = self._revoked_since.get(kid)
        if since is not None and not (isinstance(issued_at, int) and issued_at < int(since.timestamp())):
            raise SignedAfterRevocation


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The claims of a verified access token (RFC 9068); `issued_at` and `expires_at` in seconds since 1970."""

    client_id: str
    scopes: frozenset[str]
    jti: str
    source: str
    issued_at: int
    expires_at: int
    desk: bool = False


def algorithm_of(key: PublicKey) -> str:
    """Return the only algorithm that a key is used with."""
    return algorithm_names(key)[0]


def algorithm_names(key: PublicKey) -> tuple[str, ...]:
    """Return the names of a key's algorithm; we sign under the first."""
    if isinstance(key, RSAKey):
        return ("RS256",)
    return ("ES256",) if isinstance(key, ECKey) else ("EdDSA", "Ed25519")


def sign(claims: Mapping[str, Any], key: PublicKey, *, typ: str) -> str:
    """Return a JWS in compact form (RFC 7515) with exactly the header members alg, kid and typ."""
    header = {"alg": algorithm_of(key), "kid": key.kid, "typ": typ}
    return jwt.encode(header, dict(claims), key, registry=_SingleAlgorithm(key))


def verify_access_token(
    token: str, keys: Mapping[str, PublicKey], *, issuer: str, audience: str, now: datetime
) -> AccessToken:
    """Return the claims of a token, or raise `InvalidToken` without the reason (RFC 9068, section 4; OAU-20…27)."""
    claims = verify(token, keys, typ=ACCESS_TOKEN_TYPE)
    seconds = now.timestamp()
    texts = [claims.get(name) for name in ("iss", "aud", "sub", "client_id", "jti", "scope", "source")]
    times = [claims.get(name) for name in ("iat", "exp")]
    if not all(isinstance(text, str) and text for text in texts) or not all(type(time) is int for time in times):
        raise InvalidToken
    if claims["iss"] != issuer or claims["aud"] != audience or claims["sub"] != claims["client_id"]:
        raise InvalidToken
    not_before = claims.get("nbf", claims["iat"])
    if type(not_before) is not int or max(not_before, claims["iat"]) > seconds + LEEWAY or claims["exp"] <= seconds:
        raise InvalidToken
    return AccessToken(
        claims["client_id"],
        frozenset(claims["scope"].split(" ")),
        claims["jti"],
        claims["source"],
        claims["iat"],
        claims["exp"],
        claims.get("desk") is True,
    )


def verify(
    token: str,
    keys: Mapping[str, PublicKey],
    *,
    typ: str,
    maximum: int = MAXIMUM_TOKEN_LENGTH,
    also_rsa: bool = False,
) -> dict[str, Any]:
    """Return the claims of a JWS signed by one of `keys` with that key's algorithm; raise `InvalidToken` otherwise.

    A statement that a key signed after it was revoked is refused too (`SignedAfterRevocation`). `also_rsa` is for ID
    and logout tokens alone (OID-38).
    """
    header, claims = unverified(token, maximum=maximum)
    key = keys.get(header.get("kid", "")) if isinstance(header.get("kid"), str) else None
    if key is None or set(header) != {"alg", "kid", "typ"} or header["typ"] != typ:
        raise InvalidToken
    if header["alg"] != algorithm_of(key) or (isinstance(key, RSAKey) and not also_rsa):
        raise InvalidToken
    check_signature(token, header, key)
    if isinstance(keys, PublishedKeys):
        keys.check_moment(header["kid"], claims.get("iat"))
    return claims


def unverified(token: str, *, maximum: int = MAXIMUM_TOKEN_LENGTH) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims without checking the signature; raise `InvalidToken` if they cannot be parsed."""
    if len(token) > maximum or not token.isascii():
        raise InvalidToken
    try:
        return encoding.strict_json_object(_part(token, 0)), encoding.strict_json_object(_part(token, 1))
    except (ValueError, RecursionError) as refused:
        raise InvalidToken from refused


def check_signature(token: str, header: Mapping[str, Any], key: PublicKey) -> None:
    """Raise `InvalidToken` unless `key` signed the token with its own algorithm."""
    try:
        if header.get("alg") not in algorithm_names(key):
            raise InvalidToken
        jws.deserialize_compact(token, key, registry=_SingleAlgorithm(key))
    except (JoseError, ValueError, TypeError, RecursionError) as refused:
        raise InvalidToken from refused


def _part(token: str, index: int) -> bytes:
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    encoding.base64url_decode(parts[2])
    encoding.base64url_decode(parts[1])
    return encoding.base64url_decode(parts[index])
