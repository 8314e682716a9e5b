"""Read password hashes as other systems write them: verified at the first sign-in, and then replaced by ours. Pure.

Read are argon2, bcrypt, PBKDF2, scrypt, phpass and SHA-crypt in their standard encodings, and what Django, Keycloak,
Magento, WordPress, Firebase, Werkzeug, passlib, Spring and LDAP make of them. phpass and SHA-crypt need the extra
`legacy-hashes`. Fast hashes (MD5, SHA-1, SHA-256, with or without a salt) are not taken.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from identity_service.errors import Unprocessable
from identity_service.passwords import legacy_schemes
from identity_service.passwords.legacy_schemes import encode

LONGEST: Final = 2000
"""Characters of a hash with its parameters; Keycloak's JSON, the longest format, has about 500."""
_PREFIX = re.compile(
    # A word before the standard encoding: Django's "argon2", LDAP's "{CRYPT}", Spring's "{bcrypt}".
    r"(?:\{[A-Za-z0-9_@.-]{1,30}\}|(?:argon2|bcrypt|phpass|crypt)[$:]?)(?=\$?(?:2[aby]|argon2(?:id|i|d)|P|H|5|6|wp|scrypt)\$)"
)
_UNUSABLE = re.compile(r"!.*|\*.*|x|!!|NP|LK", re.DOTALL)
_DJANGO_PBKDF2 = re.compile(r"pbkdf2_(sha256|sha1|sha512)\$([0-9]{1,9})\$([^$]+)\$([A-Za-z0-9+/=]+)")
_DJANGO_SCRYPT = re.compile(r"scrypt\$([0-9]{1,9})\$([^$]+)\$([0-9]{1,3})\$([0-9]{1,2})\$([A-Za-z0-9+/=]+)")
_WERKZEUG_PBKDF2 = re.compile(r"pbkdf2:(sha256|sha1|sha512):([0-9]{1,9})\$([^$]+)\$([0-9a-f]+)")
_WERKZEUG_SCRYPT = re.compile(r"scrypt:([0-9]{1,9}):([0-9]{1,3}):([0-9]{1,2})\$([^$]+)\$([0-9a-f]+)")
_PASSLIB_PBKDF2 = re.compile(r"\$pbkdf2(?:-(sha256|sha512))?\$([0-9]{1,9})\$([A-Za-z0-9./]*)\$([A-Za-z0-9./]+)")
_PASSLIB_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,3}),p=([0-9]{1,2})\$([A-Za-z0-9+/]*)\$([A-Za-z0-9+/]+)"
)
_MAGENTO_ARGON2 = re.compile(r"([0-9a-f]{32,128}):([^:$]{16,64}):(?:2|3_([0-9]{1,3})_([0-9]{1,2})_([0-9]{1,12}))")
_ARGON2_WITHOUT_VERSION = re.compile(r"(\$argon2(?:id|i|d))(\$m=.*)")
_KEYCLOAK_PBKDF2: Final = {"pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512", "pbkdf2": "sha1"}
_ARGON2_VERSIONS: Final = {"1.3": 19, "1.0": 16}


class UnknownPasswordHash(Unprocessable):
    """This password hash has an unsupported format or too high cost parameters."""


class FirebaseParameters(NamedTuple):
    """The hash parameters of a Firebase project; `signer_key` and `salt_separator` are bytes."""

    signer_key: bytes
    salt_separator: bytes
    rounds: int
    mem_cost: int


def is_unusable(text: str) -> bool:
    """Return whether a value says that there is no password: Django's `!…`, and the marks of Unix (`*`, `!!`, `x`)."""
    return _UNUSABLE.fullmatch(text) is not None


def read_hash(text: str) -> str:
    """Return the hash of another system in the form in which we store it.

    Raises:
        UnknownPasswordHash: the format is not supported, or the cost parameters are too high.
    """
    if len(text) > LONGEST:
        raise UnknownPasswordHash
    try:
        stored = _translate(text)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as refused:
        raise UnknownPasswordHash from refused
    if not legacy_schemes.is_storable(stored):
        raise UnknownPasswordHash
    return stored


def firebase_hash(hashed: str, salt: str, parameters: FirebaseParameters) -> str:
    """Return a hash of Firebase Authentication (base64, standard or URL) in the form in which we store it.

    The hash is the signer key, encrypted in counter mode: without that key the key stream remains, which is stored.

    Raises:
        UnknownPasswordHash
    """
    try:
        encrypted, salted = _base64(hashed), _base64(salt) + parameters.salt_separator
        stream = bytes(a ^ b for a, b in zip(encrypted, parameters.signer_key, strict=True))
    except ValueError as refused:
        raise UnknownPasswordHash from refused
    return f"$firebase-scrypt${parameters.mem_cost}${parameters.rounds}${encode(salted)}${encode(stream)}"


def _translate(text: str) -> str:
    if text.startswith("{") and text.endswith("}"):
        return _from_keycloak(json.loads(text))
    bare = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
    bare = f"${bare}" if re.match(r"(?:argon2(?:id|i|d)|2[aby])\$", bare) else bare
    if bare.startswith("$argon2"):
        return _from_argon2(bare)
    if bare.startswith("bcrypt_sha256$"):
        return legacy_schemes.clear_salt_bits(f"$bcrypt-sha256{bare.removeprefix('bcrypt_sha256$')}")
    if bare.startswith(("$2", "$wp$")):
        return legacy_schemes.clear_salt_bits(bare)
    for pattern, read in _FORMATS:
        found = pattern.fullmatch(bare)
        if found is not None:
            return read(found)
    return bare


def _from_argon2(text: str) -> str:
    """Return the encoding without padding, and with the version that an old one leaves out (RFC 9106: 0x10)."""
    plain = re.sub(r"=+(?=\$|$)", "", text)
    found = _ARGON2_WITHOUT_VERSION.fullmatch(plain)
    if found is None:
        return plain
    return f"{found[1]}$v=16{found[2]}"


def _from_keycloak(given: Mapping[str, Any]) -> str:
    credential, secret = (_object(given[name]) for name in ("credentialData", "secretData"))
    salt, hashed = (base64.b64decode(secret[name], validate=True) for name in ("salt", "value"))
    if credential["algorithm"] != "argon2":
        return _pbkdf2(_KEYCLOAK_PBKDF2[credential["algorithm"]], int(credential["hashIterations"]), salt, hashed)
    more = {name: values[0] for name, values in credential["additionalParameters"].items()}
    version, memory, lanes = _ARGON2_VERSIONS[more["version"]], int(more["memory"]), int(more["parallelism"])
    return _argon2(more["type"], version, memory, int(credential["hashIterations"]), lanes, salt, hashed)


def _object(value: object) -> Any:  # noqa: ANN401
    return json.loads(value) if isinstance(value, str) else value


def _from_magento(found: re.Match[str]) -> str:
    """Libsodium's argon2id with the first 16 bytes of the salt; memory is in bytes."""
    passes, memory = int(found[4] or 2), int(found[5] or 67_108_864)
    return _argon2("id", 19, memory // 1024, passes, 1, found[2].encode()[:16], bytes.fromhex(found[1]))


def _argon2(kind: str, version: int, memory: int, passes: int, lanes: int, salt: bytes, hashed: bytes) -> str:
    plain = (base64.b64encode(raw).rstrip(b"=").decode() for raw in (salt, hashed))
    return f"$argon2{kind}$v={version}$m={memory},t={passes},p={lanes}${'$'.join(plain)}"


def _pbkdf2(algorithm: str, iterations: int, salt: bytes, hashed: bytes) -> str:
    return f"$pbkdf2${algorithm}${iterations}${encode(salt)}${encode(hashed)}"


def _scrypt(n: int, r: int, p: int, salt: bytes, hashed: bytes) -> str:
    if n < 2 or n & (n - 1):
        raise UnknownPasswordHash
    return f"$scrypt${n.bit_length() - 1}${r}${p}${encode(salt)}${encode(hashed)}"


def _base64(text: str) -> bytes:
    """Return the bytes of base64 with either alphabet, with or without padding."""
    plain = text.translate(str.maketrans("-_.", "+/+")).rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


_FORMATS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (_DJANGO_PBKDF2, lambda f: _pbkdf2(f[1], int(f[2]), f[3].encode(), base64.b64decode(f[4], validate=True))),
    (_DJANGO_SCRYPT, lambda f: _scrypt(int(f[1]), int(f[3]), int(f[4]), f[2].encode(), base64.b64decode(f[5]))),
    (_WERKZEUG_PBKDF2, lambda f: _pbkdf2(f[1], int(f[2]), f[3].encode(), bytes.fromhex(f[4]))),
    (_WERKZEUG_SCRYPT, lambda f: _scrypt(int(f[1]), int(f[2]), int(f[3]), f[4].encode(), bytes.fromhex(f[5]))),
    (_PASSLIB_PBKDF2, lambda f: _pbkdf2(f[1] or "sha1", int(f[2]), _base64(f[3]), _base64(f[4]))),
    (_PASSLIB_SCRYPT, lambda f: _scrypt(1 << int(f[1]), int(f[2]), int(f[3]), _base64(f[4]), _base64(f[5]))),
    (_MAGENTO_ARGON2, _from_magento),
)
