"""The opened keys of one process: which key signs, which verify, and sealing of small secrets. Pure."""

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity_service.keys import hashing
from identity_service.keys import signing as keys_signing

Purpose = Literal["signing", "id_token", "link", "address", "internal"]
PURPOSES: tuple[Purpose, ...] = ("signing", "link", "address", "internal")
"""signing: JWS · link: one-time tokens · address: hashes of addresses, never rotated · internal: cursors, tags.
A key for id_token signs by RSA what customers' applications read; it is made when the first one asks for it (OID-38).
"""

CACHE_TIME = timedelta(minutes=5)
"""How long others may cache our key set (`Cache-Control: max-age` of the JWKS)."""
TOKEN_LIFETIME = timedelta(minutes=10)
"""The lifetime of an access token (OAU-12)."""


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A decrypted key of the ring; `private` is None unless it is a signing key."""

    id: str
    purpose: str
    active_from: datetime
    secret: bytes
    private: keys_signing.PublicKey | None
    revoked_since: datetime | None = None


class KeyRing:
    """The opened keys of one process."""

    def __init__(self, keys: Iterable[OpenedKey]) -> None:
        """Take the opened keys, in any order."""
        self._keys = sorted(keys, key=lambda key: (key.active_from, key.id))

    def signing(self, now: datetime) -> keys_signing.PublicKey:
        """Return the key that signs now: the newest active signing key, or the oldest if none is active yet."""
        signing = self._current("signing")
        newest = [key for key in signing if key.active_from <= now or key is signing[0]][-1]
        assert newest.private is not None  # noqa: S101
        return newest.private

    def id_token_key(self, algorithm: str, now: datetime) -> keys_signing.PublicKey | None:
        """Return the key that signs ID and logout tokens with this algorithm now; None if there is none."""
        purpose: Purpose = "id_token" if algorithm == "RS256" else "signing"
        found = [
            key.private
            for key in self._current(purpose)
            if key.private is not None and keys_signing.algorithm_of(key.private) == algorithm
        ]
        active = {key.id for key in self._current(purpose) if key.active_from <= now}
        return next((key for key in reversed(found) if key.kid in active), found[0] if found else None)

    def verifying_id_tokens(self) -> dict[str, keys_signing.PublicKey]:
        """Return every key that may have signed an ID token, by `kid`."""
        keys = [*self._current("signing"), *self._current("id_token")]
        return {key.id: key.private for key in keys if key.private is not None}

    def verifying(self, now: datetime) -> dict[str, keys_signing.PublicKey]:
        """Return the keys that verify access tokens now, by `kid`; a replaced key until its last token has expired."""
        found = {}
        signing = self._current("signing")
        for key, successor in zip(signing, [*signing[1:], None], strict=True):
            retired = successor is not None and successor.active_from + TOKEN_LIFETIME + CACHE_TIME <= now
            if key.private is not None and not retired:
                found[key.id] = key.private
        return found

    def published(self) -> keys_signing.PublishedKeys:
        """Return every signing key ever used, by `kid`: receipts outlive rotation (RCP-01). What a revoked one signed
        since its revocation is not ours."""
        keys = self._of("signing")
        return keys_signing.PublishedKeys(
            {key.id: key.private for key in keys if key.private is not None},
            {key.id: key.revoked_since for key in keys if key.revoked_since is not None},
        )

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public part of every signing key ever used, as a JSON Web Key Set (RFC 7517).

        A revoked key is left out: whoever verifies with the set alone would believe what its thief signs.
        """
        return {
            "keys": [
                {
                    **key.private.as_dict(private=False),
                    "use": "sig",
                    "alg": keys_signing.algorithm_of(key.private),
                    "kid": key.id,
                }
                for key in (*self._current("signing"), *self._current("id_token"))
                if key.private is not None
            ]
        }

    def address_hash(self, key: str) -> bytes:
        """Return the keyed hash (32 bytes) of `EmailAddress.key`: comparable here, not reversible from a dump."""
        return hashing.keyed_hash(self._newest("address").secret, "address", key.encode())

    def internal(self) -> bytes:
        """Return the secret for values that only we read: cursors, fingerprints, tags of return addresses."""
        return self._newest("internal").secret

    def link_key(self, key_id: str | None = None) -> tuple[str, bytes]:
        """Return id and secret of the key that one-time tokens are derived from: the newest, or the one named.

        For a revoked key the secret is a random one, so that nothing that was derived with it matches.
        """
        keys = {key.id: key for key in self._of("link")}
        key = self._newest("link") if key_id is None else keys[key_id]
        return key.id, key.secret if key.revoked_since is None else secrets.token_bytes(32)

    def seal(self, label: str, plain: bytes) -> bytes:
        """Return `plain` encrypted with AES-256-GCM; only `unseal` with the same label decrypts it."""
        nonce = secrets.token_bytes(12)
        return nonce + _sealing(self.internal()).encrypt(nonce, plain, label.encode())

    def unseal(self, label: str, sealed: bytes) -> bytes:
        """Return the plain bytes, whichever internal key sealed them; InvalidTag if they were altered or sealed under
        another label."""
        *older, newest = self._of("internal")
        for key in older:
            with contextlib.suppress(InvalidTag):
                return decrypt(_sealing(key.secret), sealed, label)
        return decrypt(_sealing(newest.secret), sealed, label)

    def _of(self, purpose: Purpose) -> list[OpenedKey]:
        return [key for key in self._keys if key.purpose == purpose]

    def _current(self, purpose: Purpose) -> list[OpenedKey]:
        return [key for key in self._of(purpose) if key.revoked_since is None]

    def _newest(self, purpose: Purpose) -> OpenedKey:
        return self._current(purpose)[-1]


def _sealing(internal: bytes) -> AESGCM:
    return AESGCM(hashing.keyed_hash(internal, "seal"))


def decrypt(cipher: AESGCM, sealed: bytes, label: str) -> bytes:
    """Return the plain bytes of nonce and AES-256-GCM ciphertext; InvalidTag if altered."""
    if len(sealed) < 12 + 16:
        raise InvalidTag
    return cipher.decrypt(sealed[:12], sealed[12:], label.encode())
