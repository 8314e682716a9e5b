"""Tokens made by hand, without the library that reads them: any header, claims and bytes, and a signature on top."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from identity_service.keys.signing import AccessToken, InvalidToken, verify_access_token

NOW = datetime(2026, 11, 1, 12, 0, 0, 500_000, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER, AUDIENCE = "https://id.example.com", "https://id.example.com/v1"
CLAIMS = {
    "iss": ISSUER, "aud": AUDIENCE, "sub": "cli_shop", "client_id": "cli_shop", "jti": "t1",
    "scope": "accounts:read accounts:verify", "source": "shop", "iat": AT, "exp": AT + 600,
}  # fmt: skip
HEADER = {"alg": "ES256", "kid": "p256", "typ": "at+jwt"}
SAID = AccessToken("cli_shop", frozenset({"accounts:read", "accounts:verify"}), "t1", "shop", AT, AT + 600)

P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
STRANGER = ec.generate_private_key(ec.SECP256R1())
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def public(key, encoding=PEM) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


KEYS = {"p256": ECKey.import_key(public(P256)), "ed": OKPKey.import_key(public(ED))}
MISFITS = {**KEYS, "p384": ECKey.import_key(public(P384)), "rsa": RSAKey.import_key(public(RSA))}


def part(value) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def es(key, digest=None):
    """Return what signs as ES256 and its like do: r and s side by side."""
    size = (key.key_size + 7) // 8

    def signed(message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest or hashes.SHA256())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return signed


def hs(secret: bytes):
    return lambda message: hmac.digest(secret, message, hashlib.sha256)


def pss(message: bytes) -> bytes:
    return RSA.sign(message, padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())


OURS = es(P256)


def forge(header=HEADER, claims=CLAIMS, sign=OURS) -> str:
    message = f"{part(header)}.{part(claims)}"
    return f"{message}.{part(sign(message.encode()))}"


def without(name: str, members: dict) -> dict:
    return {key: value for key, value in members.items() if key != name}


def read(token: str, keys=KEYS, now: datetime = NOW) -> AccessToken:
    return verify_access_token(token, keys, issuer=ISSUER, audience=AUDIENCE, now=now)


def refuse(token: str, keys=KEYS, now: datetime = NOW) -> None:
    """Hold that the token is refused, and that the refusal does not say why."""
    with pytest.raises(InvalidToken) as found:
        read(token, keys, now)
    assert (found.value.status, found.value.detail, found.value.members) == (401, None, {})
    assert found.value.headers == {"WWW-Authenticate": 'Bearer error="invalid_token"'}
