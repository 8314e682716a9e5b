"""The forms in which password hashes of other systems are stored: cost limits, and how a password is verified. Pure.

Stored are the standard encodings of argon2, bcrypt, phpass and SHA-crypt, and five forms of our own, in which salt and
hash are base64url without padding:

$pbkdf2$<algorithm>$<iterations>$<salt>$<hash>
$scrypt$<log2 N>$<r>$<p>$<salt>$<hash>
$firebase-scrypt$<log2 N>$<r>$<salt and separator>$<key stream>     the project's signer key is not in it
$bcrypt-sha256$2b$…                                                 bcrypt of the hexadecimal SHA-256 (Django)
$wp$2y$…                                                            bcrypt of a keyed SHA-384 (WordPress 6.8)

The limits are checked before a hash is stored, and again before it is verified (PWD-15).
"""

import base64
import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from identity_service.passwords import rules

try:
    from passlib.hash import phpass, sha256_crypt, sha512_crypt
except ImportError:  # the extra `legacy-hashes` is not installed
    phpass = sha256_crypt = sha512_crypt = None

MAXIMUM_ITERATIONS: Final = 2_000_000
MAXIMUM_BCRYPT_COST: Final = 14
MAXIMUM_CRYPT_ROUNDS: Final = 1_000_000
"""About a second of one thread each."""
MAXIMUM_PHPASS_COST: Final = 17
"""Lower than the others, because phpass holds Python's lock meanwhile: 0.2 s."""
MAXIMUM_SCRYPT_COST: Final = 20
MAXIMUM_SALT: Final = 200
"""Symbols of an encoded salt."""
LONGEST: Final = 1000
"""Symbols of a stored hash."""
_SYMBOLS: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PHPASS_SYMBOLS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = string.ascii_letters + string.digits
_BCRYPT: Final = r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}"
_BCRYPT_LENGTH: Final = 60
_BCRYPT_SALT_END: Final = 28
_URL: Final = "[A-Za-z0-9_-]"
_COUNTER: Final = bytes(16)


class Scheme(NamedTuple):
    """One stored form: its pattern, whether its parameters are within the limits, and how a password is verified.

    `verify` is None for argon2, which the hasher verifies as it does our own hashes.
    """

    pattern: re.Pattern[str]
    is_bounded: Callable[[re.Match[str]], bool]
    verify: Callable[[re.Match[str], bytes], bool] | None


def is_storable(stored: str) -> bool:
    """Return whether a hash is in one of the stored forms, with parameters within the limits."""
    return len(stored) <= LONGEST and _find_scheme(stored) is not None


def is_legacy(phc: str) -> bool:
    """Return whether a stored hash is not argon2id, and should be replaced when its password matches."""
    return not phc.startswith("$argon2id$")


def verify_hash(phc: str, password: str) -> bool:
    """Return whether a password matches a stored hash that is not argon2; false if the hash cannot be verified."""
    found = _find_scheme(phc)
    if found is None or found[0].verify is None:
        return False
    return found[0].verify(found[1], password.encode("utf-8", "replace"))


def make_dummy(phc: str) -> str:
    """Return a hash with the parameters of `phc` that no password matches; verifying it takes the same time.

    In every stored form the last 22 symbols belong to the hash. The last two stay, because some encodings have unused
    bits in them that must be zero.
    """
    return phc[:-22] + "".join(secrets.choice(_LETTERS) for _ in range(20)) + phc[-2:]


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def clear_salt_bits(stored: str) -> str:
    """Return a hash that ends in one of bcrypt with the unused bits of its salt cleared.

    The last symbol of the salt has two used bits and four unused ones. Some systems left those set; the original bcrypt
    ignores them, but the library used here raises.
    """
    place = len(stored) - _BCRYPT_LENGTH + _BCRYPT_SALT_END
    return stored[:place] + _SYMBOLS[_SYMBOLS.index(stored[place]) & 0b110000] + stored[place + 1 :]


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _find_scheme(stored: str) -> tuple[Scheme, re.Match[str]] | None:
    for scheme in _SCHEMES:
        match = scheme.pattern.fullmatch(stored)
        if match is not None:
            return (scheme, match) if scheme.is_bounded(match) else None
    return None


def _is_bounded_argon2(found: re.Match[str]) -> bool:
    costs = [int(cost) for cost in found.groups()]
    return all(costs) and rules.is_bounded(*costs)


def _is_bounded_bcrypt(found: re.Match[str]) -> bool:
    return 4 <= int(found[1]) <= MAXIMUM_BCRYPT_COST


def _verify_bcrypt(found: re.Match[str], password: bytes) -> bool:
    # bcrypt ignores bytes after the 72nd; the library raises for longer passwords, so they are cut here only.
    return bcrypt.checkpw(password[:72], clear_salt_bits(found[0][-_BCRYPT_LENGTH:]).encode())


def _verify_django_bcrypt(found: re.Match[str], password: bytes) -> bool:
    return _verify_bcrypt(found, hashlib.sha256(password).hexdigest().encode())


def _verify_wordpress(found: re.Match[str], password: bytes) -> bool:
    return _verify_bcrypt(found, base64.b64encode(hmac.digest(b"wp-sha384", password, "sha384")))


def _is_bounded_pbkdf2(found: re.Match[str]) -> bool:
    return 1 <= int(found[2]) <= MAXIMUM_ITERATIONS and 22 <= len(found[4]) <= 86 and len(found[3]) <= MAXIMUM_SALT


def _verify_pbkdf2(found: re.Match[str], password: bytes) -> bool:
    stored = _decode(found[4])
    computed = hashlib.pbkdf2_hmac(found[1], password, _decode(found[3]), int(found[2]), len(stored))
    return hmac.compare_digest(computed, stored)


def _is_bounded_scrypt(found: re.Match[str]) -> bool:
    """Memory is 128·N·r bytes at once; the time grows with N·r·p."""
    exponent, blocks, lanes = int(found[1]), int(found[2]), int(found["lanes"] or 1)
    if not (1 <= exponent <= MAXIMUM_SCRYPT_COST and blocks >= 1 and lanes >= 1):
        return False
    return ((1 << exponent) * blocks * lanes) >> 3 <= rules.MAXIMUM_MEMORY_KIB and len(found["salt"]) <= MAXIMUM_SALT


def _verify_scrypt(found: re.Match[str], password: bytes) -> bool:
    stored = _decode(found["hash"])
    return hmac.compare_digest(_scrypt(found, password, len(stored)), stored)


def _verify_firebase(found: re.Match[str], password: bytes) -> bool:
    """Firebase encrypts its signer key with the derived key (AES-256, counter mode); stored is the key stream."""
    stored = _decode(found["hash"])
    encryptor = Cipher(algorithms.AES(_scrypt(found, password, 64)[:32]), modes.CTR(_COUNTER)).encryptor()
    return hmac.compare_digest(encryptor.update(bytes(len(stored))), stored)


def _scrypt(found: re.Match[str], password: bytes, length: int) -> bytes:
    n, r, p = 1 << int(found[1]), int(found[2]), int(found["lanes"] or 1)
    memory = 128 * r * (n + p + 2) + 65_536
    return hashlib.scrypt(password, salt=_decode(found["salt"]), n=n, r=r, p=p, dklen=length, maxmem=memory)


def _is_bounded_phpass(found: re.Match[str]) -> bool:
    return phpass is not None and 7 <= _PHPASS_SYMBOLS.index(found[1]) <= MAXIMUM_PHPASS_COST


def _is_bounded_crypt(found: re.Match[str]) -> bool:
    return sha512_crypt is not None and 1000 <= int(found[1] or 5000) <= MAXIMUM_CRYPT_ROUNDS


def _verify_by_library(found: re.Match[str], password: bytes) -> bool:
    handlers: dict[str, Any] = {"P": phpass, "H": phpass, "5": sha256_crypt, "6": sha512_crypt}
    # These schemes end a password at a NUL; the library raises for one.
    return b"\0" not in password and bool(handlers[found[0][1]].verify(password, found[0]))


_SCHEMES: Final = (
    Scheme(
        re.compile(
            r"\$argon2(?:id|i|d)\$v=(?:16|19)\$m=([0-9]{1,9}),t=([0-9]{1,9}),p=([0-9]{1,9})"
            r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
        ),
        _is_bounded_argon2, None,
    ),
    Scheme(re.compile(_BCRYPT), _is_bounded_bcrypt, _verify_bcrypt),
    Scheme(re.compile(rf"\$bcrypt-sha256{_BCRYPT}"), _is_bounded_bcrypt, _verify_django_bcrypt),
    Scheme(re.compile(rf"\$wp{_BCRYPT}"), _is_bounded_bcrypt, _verify_wordpress),
    Scheme(
        re.compile(rf"\$pbkdf2\$(sha256|sha1|sha512)\$([0-9]{{1,9}})\$({_URL}*)\$({_URL}+)"),
        _is_bounded_pbkdf2, _verify_pbkdf2,
    ),
    Scheme(
        re.compile(
            rf"\$scrypt\$([0-9]{{1,2}})\$([0-9]{{1,3}})\$(?P<lanes>[0-9]{{1,2}})"
            rf"\$(?P<salt>{_URL}*)\$(?P<hash>{_URL}{{22,86}})"
        ),
        _is_bounded_scrypt, _verify_scrypt,
    ),
    Scheme(
        re.compile(
            rf"\$firebase-scrypt\$([0-9]{{1,2}})\$([0-9]{{1,3}})(?P<lanes>)"
            rf"\$(?P<salt>{_URL}*)\$(?P<hash>{_URL}{{22,86}})"
        ),
        _is_bounded_scrypt, _verify_firebase,
    ),
    Scheme(re.compile(r"\$[PH]\$([./A-Za-z0-9])[./A-Za-z0-9]{30}"), _is_bounded_phpass, _verify_by_library),
    Scheme(
        re.compile(r"\$5\$(?:rounds=([1-9][0-9]{3,6})\$)?[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]{43}"),
        _is_bounded_crypt, _verify_by_library,
    ),
    Scheme(
        re.compile(r"\$6\$(?:rounds=([1-9][0-9]{3,6})\$)?[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]{86}"),
        _is_bounded_crypt, _verify_by_library,
    ),
)  # fmt: skip
