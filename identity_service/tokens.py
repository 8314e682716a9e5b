"""Signed and derived secrets: access tokens, cursors, keyed hashes. Pure: keys, bytes and `now` in, values out.

There is one function that verifies an access token, because the libraries below accept more than this service may:
`jwt.decode` alone takes expired tokens and ignores `typ`, and an RFC 9068 validator passes a token without one.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey

from identity_service.errors import Problem

ALGORITHMS: Final = ("ES256", "EdDSA", "Ed25519")
"""What we accept of clients; `Ed25519` is the newer name of the same EdDSA (RFC 9864), and we sign under the older one.
RS256 is left out on purpose: ASVS 5.0 (appendix C) disallows PKCS#1 v1.5."""

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105
MAXIMUM_TOKEN_LENGTH: Final = 8192
LEEWAY: Final = 30
"""Seconds by which another clock may run ahead of ours (REL-14)."""

PublicKey = ECKey | OKPKey


class _OneAlgorithm(jws.JWSRegistry):
    """The algorithm of one key and no other, under every name that it has.

    The library warns of `EdDSA` since RFC 9864 gives each curve its own name, and takes it by default no more. What
    it warns of cannot be here: the name could mean Ed448 too, but a key of ours is on Ed25519 or is not taken at all.
    """

    def __init__(self, key: PublicKey) -> None:
        super().__init__(algorithms=list(names_of(key)))

    def get_alg(self, name: str) -> Any:  # noqa: ANN401
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class InvalidToken(Problem):
    """The access token is missing, expired, revoked or not ours."""

    status = 401
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012


class InvalidCursor(Problem):
    """This cursor was not made by us, or not for this list; start again without one."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token says (RFC 9068)."""

    client_id: str
    scopes: frozenset[str]
    jti: str
    expires_at: int
    desk: bool = False


def algorithm_of(key: PublicKey) -> str:
    """Return the one algorithm a key is used with; a key never verifies under another."""
    return names_of(key)[0]


def names_of(key: PublicKey) -> tuple[str, ...]:
    """Return the names that the one algorithm of a key has; the first is the one that we sign under."""
    return ("ES256",) if isinstance(key, ECKey) else ("EdDSA", "Ed25519")


def sign(claims: Mapping[str, Any], key: PublicKey, *, typ: str) -> str:
    """Return a JWS in compact form (RFC 7515) with exactly the header members alg, kid and typ."""
    header = {"alg": algorithm_of(key), "kid": key.kid, "typ": typ}
    return jwt.encode(header, dict(claims), key, registry=_OneAlgorithm(key))


def verify_access_token(
    token: str, keys: Mapping[str, PublicKey], *, issuer: str, audience: str, now: datetime
) -> AccessToken:
    """Return what the token says, or raise `InvalidToken` without saying why (RFC 9068, section 4; OAU-20…27)."""
    claims = verify(token, keys, typ=ACCESS_TOKEN_TYPE)
    moment = now.timestamp()
    texts = [claims.get(name) for name in ("iss", "aud", "sub", "client_id", "jti", "scope")]
    times = [claims.get(name) for name in ("iat", "exp")]
    if not all(isinstance(text, str) and text for text in texts) or not all(type(time) is int for time in times):
        raise InvalidToken
    if claims["iss"] != issuer or claims["aud"] != audience or claims["sub"] != claims["client_id"]:
        raise InvalidToken
    not_before = claims.get("nbf", claims["iat"])
    if type(not_before) is not int or max(not_before, claims["iat"]) > moment + LEEWAY or claims["exp"] <= moment:
        raise InvalidToken
    return AccessToken(
        claims["client_id"],
        frozenset(claims["scope"].split(" ")),
        claims["jti"],
        claims["exp"],
        claims.get("desk") is True,
    )


def verify(
    token: str, keys: Mapping[str, PublicKey], *, typ: str, maximum: int = MAXIMUM_TOKEN_LENGTH
) -> dict[str, Any]:
    """Return the claims of a JWS that one of `keys` signed under its own algorithm; raise `InvalidToken` otherwise."""
    header, claims = unverified(token, maximum=maximum)
    key = keys.get(header.get("kid", "")) if isinstance(header.get("kid"), str) else None
    if key is None or set(header) != {"alg", "kid", "typ"} or header["typ"] != typ:
        raise InvalidToken
    if header["alg"] != algorithm_of(key):
        raise InvalidToken
    check_signature(token, header, key)
    return claims


def unverified(token: str, *, maximum: int = MAXIMUM_TOKEN_LENGTH) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWS that nobody has checked yet; raise `InvalidToken` if they cannot be read."""
    if len(token) > maximum or not token.isascii():
        raise InvalidToken
    try:
        return strict_object(_part(token, 0)), strict_object(_part(token, 1))
    except (ValueError, RecursionError) as refused:
        raise InvalidToken from refused


def check_signature(token: str, header: Mapping[str, Any], key: PublicKey) -> None:
    """Raise `InvalidToken` unless `key` signed this, under its own algorithm."""
    try:
        if header.get("alg") not in names_of(key):
            raise InvalidToken
        jws.deserialize_compact(token, key, registry=_OneAlgorithm(key))
    except (JoseError, ValueError, TypeError, RecursionError) as refused:
        raise InvalidToken from refused


def strict_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`; ValueError for other values and for duplicate members (RFC 8725, 2.4)."""
    value = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def keyed_hash(key: bytes, label: str, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 over the label and the length-prefixed parts, so that no two inputs share bytes."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (label.encode(), *parts))
    return hmac.digest(key, message, hashlib.sha256)


def make_cursor(key: bytes, place: str, *values: int | str) -> str:
    """Return an opaque position in the list named `place`; only its maker reads it (API-08)."""
    body = json.dumps(values, separators=(",", ":")).encode()
    return encode(keyed_hash(key, "cursor", place.encode(), body)[:12] + body)


def read_cursor(key: bytes, place: str, cursor: str) -> list[Any]:
    """Return what `make_cursor` was given, or raise `InvalidCursor`."""
    try:
        raw = decode(cursor)
        if not hmac.compare_digest(keyed_hash(key, "cursor", place.encode(), raw[12:])[:12], raw[:12]):
            raise InvalidCursor
        values: list[Any] = json.loads(raw[12:])
    except ValueError as refused:
        raise InvalidCursor from refused
    return values


def encode(raw: bytes) -> str:
    """Return base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of base64url without padding; ValueError for anything else."""
    if not text.isascii() or "=" in text or not set("+/ \n").isdisjoint(text):
        raise ValueError("not base64url")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as refused:
        raise ValueError("not base64url") from refused
    if encode(raw) != text:
        raise ValueError("not the one encoding of these bytes")
    return raw


def _part(token: str, index: int) -> bytes:
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    decode(parts[2])
    decode(parts[1])
    return decode(parts[index])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found
