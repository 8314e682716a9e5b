"""Password hashes of other systems: checked at the first sign-in, and then made anew with ours. Pure.

Known are argon2 and bcrypt as they are everywhere, PBKDF2 as Django writes it, and PBKDF2 as Keycloak exports it (its
credential and secret data as one JSON object). What a row may ask for is bounded, as with our own.
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
"""Characters of a hash and what belongs to it; Keycloak's JSON, the longest, has some 300."""

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
    """This password hash is of no kind that can be checked."""


def read(text: str) -> str:
    """Return a foreign hash in the form it is stored in.

    Raises:
        UnknownPasswordHash: of another kind, or asking for more than we are ready to give.
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


def is_foreign(phc: str) -> bool:
    """Tell whether a stored hash is another system's and should be made anew when it fits."""
    return not phc.startswith("$argon2id$")


def verify(phc: str, password: str) -> bool:
    """Tell whether a password fits a foreign hash that is not argon2."""
    if _BCRYPT.fullmatch(phc):
        # The system it comes from cut at 72 bytes, so the same is cut here, and only here.
        return bcrypt.checkpw(password.encode()[:72], _with_plain_salt(phc).encode())
    found = _STORED.fullmatch(phc)
    if found is None or int(found[2]) > MAXIMUM_ITERATIONS:
        return False
    wanted = _decode(found[4])
    made = hashlib.pbkdf2_hmac(found[1], password.encode(), _decode(found[3]), int(found[2]), len(wanted))
    return hmac.compare_digest(made, wanted)


def _with_plain_salt(text: str) -> str:
    """Return a bcrypt hash whose salt ends as the standard writes it.

    Its last symbol carries two bits and four that stand for nothing. Some systems left them set; bcrypt's own code does
    not look at them, and the library that checks raises.
    """
    place = _BCRYPT_SALT_END
    return text[:place] + _BCRYPT_SYMBOLS[_BCRYPT_SYMBOLS.index(text[place]) & 0b110000] + text[place + 1 :]


def _keycloak(text: str) -> str:
    given = json.loads(text)
    about, proving = (_object(given[name]) for name in ("credentialData", "secretData"))
    algorithm = _KEYCLOAK[about["algorithm"]]
    salt, hashed = (base64.b64decode(proving[name], validate=True) for name in ("salt", "value"))
    return _stored(algorithm, int(about["hashIterations"]), salt, hashed)


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
