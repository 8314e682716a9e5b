"""Password hashes of other systems: verified at the first sign-in, and then replaced by ours. Pure.

Supported are argon2 and bcrypt in their standard encodings, PBKDF2 as Django writes it, and PBKDF2 as Keycloak exports
it (credential and secret data as one JSON object). The cost parameters are limited, as for our own hashes.
"""

import base64
import hashlib
import hmac
import json
import re
from typing import Final

import bcrypt

from identity_service.errors import Unprocessable
from identity_service.passwords import rules

MAXIMUM_ITERATIONS: Final = 2_000_000
MAXIMUM_COST: Final = 14
LONGEST: Final = 2000
"""Characters of a hash with its parameters; Keycloak's JSON, the longest format, has about 300."""

_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$v=(?:16|19)\$m=([0-9]{1,9}),t=([0-9]{1,9}),p=([0-9]{1,9})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_BCRYPT_SYMBOLS: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BCRYPT_SALT_END: Final = 28
_DJANGO = re.compile(r"pbkdf2_(sha256|sha1|sha512)\$([0-9]{1,9})\$([^$]+)\$([A-Za-z0-9+/=]+)")
_STORED = re.compile(r"\$pbkdf2\$(sha256|sha1|sha512)\$([0-9]{1,9})\$([A-Za-z0-9_-]*)\$([A-Za-z0-9_-]+)")
_KEYCLOAK: Final = {"pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512", "pbkdf2": "sha1"}


class UnknownPasswordHash(Unprocessable):
    """This password hash has an unsupported format or too high cost parameters."""


def read_hash(text: str) -> str:
    """Return the hash of another system in the form in which we store it.

    Raises:
        UnknownPasswordHash: the format is not supported, or the cost parameters are too high.
    """
    if len(text) > LONGEST:
        raise UnknownPasswordHash
    found = _ARGON2.fullmatch(text)
    if found is not None and all(map(int, found.groups())) and rules.is_bounded(*map(int, found.groups())):
        return text
    found = _BCRYPT.fullmatch(text)
    if found is not None and 4 <= int(found[1]) <= MAXIMUM_COST:
        return _with_plain_salt(text)
    try:
        found = _DJANGO.fullmatch(text)
        if found is not None:
            return _stored(found[1], int(found[2]), found[3].encode(), base64.b64decode(found[4], validate=True))
        if text.startswith("{"):
            return _keycloak(text)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as refused:
        raise UnknownPasswordHash from refused
    raise UnknownPasswordHash


def is_legacy(phc: str) -> bool:
    """Return whether a stored hash is not argon2id, and should be replaced when its password matches."""
    return not phc.startswith("$argon2id$")


def verify_hash(phc: str, password: str) -> bool:
    """Return whether a password matches a bcrypt or PBKDF2 hash."""
    if _BCRYPT.fullmatch(phc):
        # bcrypt ignores bytes after the 72nd; the library raises for longer passwords, so they are cut here only.
        return bcrypt.checkpw(password.encode()[:72], _with_plain_salt(phc).encode())
    found = _STORED.fullmatch(phc)
    if found is None or int(found[2]) > MAXIMUM_ITERATIONS:
        return False
    stored = _decode(found[4])
    computed = hashlib.pbkdf2_hmac(found[1], password.encode(), _decode(found[3]), int(found[2]), len(stored))
    return hmac.compare_digest(computed, stored)


def _with_plain_salt(text: str) -> str:
    """Return a bcrypt hash with the unused bits of its salt cleared.

    The last symbol of the salt has two used bits and four unused ones. Some systems left those set; the original bcrypt
    ignores them, but the library used here raises.
    """
    place = _BCRYPT_SALT_END
    return text[:place] + _BCRYPT_SYMBOLS[_BCRYPT_SYMBOLS.index(text[place]) & 0b110000] + text[place + 1 :]


def _keycloak(text: str) -> str:
    given = json.loads(text)
    credential, secret = (_object(given[name]) for name in ("credentialData", "secretData"))
    algorithm = _KEYCLOAK[credential["algorithm"]]
    salt, hashed = (base64.b64decode(secret[name], validate=True) for name in ("salt", "value"))
    return _stored(algorithm, int(credential["hashIterations"]), salt, hashed)


def _object(value: object) -> dict[str, str]:
    found: dict[str, str] = json.loads(value) if isinstance(value, str) else dict(value)  # type: ignore[call-overload]
    return found


def _stored(algorithm: str, iterations: int, salt: bytes, hashed: bytes) -> str:
    if not 1 <= iterations <= MAXIMUM_ITERATIONS or not 16 <= len(hashed) <= 64:
        raise UnknownPasswordHash
    return f"$pbkdf2${algorithm}${iterations}${_encode(salt)}${_encode(hashed)}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
