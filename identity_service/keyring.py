"""The key ring: every key of the service, sealed in the database with a key derived from `IDENTITY_MASTER_KEY`.

The master key only wraps, so it can be changed (`keys rewrap`) while links, receipts and suppressions stay good.
Signing keys rotate with overlap: a new one is published before it signs, so that a service which caches our key set
never meets a token it cannot check; the old one goes on verifying until the last token it signed is dead, and stays
published for ever, because receipts outlive it.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import ECKey, OKPKey
from sqlalchemy import CheckConstraint, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from identity_service import tokens
from identity_service.database import Base, UtcDateTime

Purpose = Literal["signing", "link", "address", "internal"]
PURPOSES: tuple[Purpose, ...] = ("signing", "link", "address", "internal")
"""signing: JWS · link: secrets in letters · address: hashes of addresses, never rotated · internal: cursors, tags."""

CACHE_TIME = timedelta(minutes=5)
"""How long others may keep our key set (`Cache-Control: max-age` of the JWKS)."""
TOKEN_LIFE = timedelta(minutes=10)
"""How long an access token lives (OAU-12)."""


class RingKey(Base):
    """One key of the ring. `sealed` is nonce and AES-256-GCM text, bound to the row's id and purpose."""

    __tablename__ = "ring_key"
    __table_args__ = (
        CheckConstraint("purpose IN ('signing', 'link', 'address', 'internal')", name="purpose"),
        CheckConstraint("algorithm IN ('ES256', 'EdDSA', 'HMAC')", name="algorithm"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    algorithm: Mapped[str]
    sealed: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    active_from: Mapped[datetime] = mapped_column(UtcDateTime)


class WrongMasterKey(Exception):
    """The key ring was sealed with another IDENTITY_MASTER_KEY."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    purpose: str
    active_from: datetime
    secret: bytes
    private: tokens.PublicKey | None


class Keyring:
    """The opened keys of one process."""

    def __init__(self, keys: Iterable[_Key]) -> None:
        """Take the opened keys, oldest first."""
        self._keys = sorted(keys, key=lambda key: (key.active_from, key.id))

    def signing(self, now: datetime) -> tokens.PublicKey:
        """Return the private key that signs now: the newest that is active; if none is yet, the oldest."""
        signing = self._of("signing")
        newest = [key for key in signing if key.active_from <= now or key is signing[0]][-1]
        assert newest.private is not None  # noqa: S101
        return newest.private

    def verifying(self, now: datetime) -> dict[str, tokens.PublicKey]:
        """Return the keys an access token may be signed with now, by `kid`; a retired one lasts with its tokens."""
        found = {}
        signing = self._of("signing")
        for key, successor in zip(signing, [*signing[1:], None], strict=True):
            retired = successor is not None and successor.active_from + TOKEN_LIFE + CACHE_TIME <= now
            if key.private is not None and not retired:
                found[key.id] = key.private
        return found

    def published(self) -> dict[str, tokens.PublicKey]:
        """Return every signing key there ever was, by `kid`: receipts outlive rotation (RCP-01)."""
        return {key.id: key.private for key in self._of("signing") if key.private is not None}

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return every public signing key there ever was (RFC 7517); receipts outlive rotation."""
        return {
            "keys": [
                {
                    **key.private.as_dict(private=False),
                    "use": "sig",
                    "alg": tokens.algorithm_of(key.private),
                    "kid": key.id,
                }
                for key in self._of("signing")
                if key.private is not None
            ]
        }

    def address_hash(self, key: str) -> bytes:
        """Return the keyed hash of an address's key (32 bytes): recognisable to us, meaningless in a dump."""
        return tokens.keyed_hash(self._newest("address").secret, "address", key.encode())

    def internal(self) -> bytes:
        """Return the key for what only we read: cursors, fingerprints, tags of return addresses."""
        return self._newest("internal").secret

    def link_key(self, key_id: str | None = None) -> tuple[str, bytes]:
        """Return id and secret of the key that letters' secrets are derived from: the newest, or the one named."""
        keys = {key.id: key for key in self._of("link")}
        key = self._newest("link") if key_id is None else keys[key_id]
        return key.id, key.secret

    def seal(self, label: str, plain: bytes) -> bytes:
        """Return `plain` so that only this service reads it, and only under the same label."""
        nonce = secrets.token_bytes(12)
        return nonce + AESGCM(self._sealing()).encrypt(nonce, plain, label.encode())

    def unseal(self, label: str, sealed: bytes) -> bytes:
        """Return what `seal` was given; InvalidTag if it was altered."""
        return _decrypt(AESGCM(self._sealing()), sealed, label)

    def _sealing(self) -> bytes:
        return tokens.keyed_hash(self.internal(), "seal")

    def _of(self, purpose: Purpose) -> list[_Key]:
        return [key for key in self._keys if key.purpose == purpose]

    def _newest(self, purpose: Purpose) -> _Key:
        return self._of(purpose)[-1]


def of(session: AsyncSession) -> Keyring:
    """Return the key ring that rides on a session."""
    keyring: Keyring = session.info["keyring"]
    return keyring


async def load(session: AsyncSession, master_key: bytes) -> Keyring:
    """Open every key of the ring.

    Raises:
        WrongMasterKey: the ring was sealed with another master key.
    """
    rows = (await session.execute(select(RingKey))).scalars()
    return Keyring([_open(row, _wrapping(master_key)) for row in rows])


async def ensure(session: AsyncSession, master_key: bytes, *, now: datetime) -> None:
    """Make the keys that are missing; several processes may start at once.

    Raises:
        WrongMasterKey: the ring was sealed with another master key; nothing was added to it.
    """
    await _hold(session, master_key)
    present = set((await session.execute(select(RingKey.purpose).distinct())).scalars())
    for purpose in PURPOSES:
        if purpose not in present:
            await _add(session, master_key, purpose, "ES256" if purpose == "signing" else "HMAC", now, active_from=now)


async def rotate(session: AsyncSession, master_key: bytes, *, algorithm: str, now: datetime) -> tuple[str, datetime]:
    """Add a signing key; return its id and the moment it begins to sign, when every cache has seen it (OAU-14).

    Raises:
        WrongMasterKey: the ring was sealed with another master key; nothing was added to it.
    """
    await _hold(session, master_key)
    active_from = now + 2 * CACHE_TIME
    return await _add(session, master_key, "signing", algorithm, now, active_from=active_from), active_from


async def rewrap(session: AsyncSession, old: bytes, new: bytes) -> int:
    """Seal every key with a new master key; return how many. The keys themselves stay.

    Raises:
        WrongMasterKey: `old` does not open the ring; nothing was changed.
    """
    await _hold(session, old)
    rows = (await session.execute(select(RingKey))).scalars().all()
    for row in rows:
        plain = _unwrap(row, _wrapping(old))
        sealed = _wrap(row.id, row.purpose, plain, _wrapping(new))
        await session.execute(update(RingKey).where(RingKey.id == row.id).values(sealed=sealed))
    return len(rows)


async def listing(session: AsyncSession) -> list[dict[str, str]]:
    """Return what may be known of every key, oldest first."""
    rows = (await session.execute(select(RingKey).order_by(RingKey.active_from, RingKey.id))).scalars()
    return [
        {"id": r.id, "purpose": r.purpose, "algorithm": r.algorithm, "active_from": r.active_from.isoformat()}
        for r in rows
    ]


async def _hold(session: AsyncSession, master_key: bytes) -> None:
    # One change of the ring at a time, and only by who opens it: a key under another wrapping than the rest would lock
    # every process out at its next start.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('identity key ring'))"))
    await load(session, master_key)


async def _add(
    session: AsyncSession, master_key: bytes, purpose: Purpose, algorithm: str, now: datetime, *, active_from: datetime
) -> str:
    if purpose == "signing":
        key: tokens.PublicKey = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
        key_id, plain = key.thumbprint(), key.as_pem(private=True)
    else:
        key_id, plain = f"{purpose}-{secrets.token_hex(4)}", secrets.token_bytes(32)
    sealed = _wrap(key_id, purpose, plain, _wrapping(master_key))
    row = {"id": key_id, "purpose": purpose, "algorithm": algorithm, "sealed": sealed}
    await session.execute(insert(RingKey), {**row, "created_at": now, "active_from": active_from})
    return key_id


def _open(row: RingKey, wrapping: AESGCM) -> _Key:
    plain = _unwrap(row, wrapping)
    private: tokens.PublicKey | None = None
    if row.purpose == "signing":
        kind = ECKey if row.algorithm == "ES256" else OKPKey
        private = kind.import_key(plain, {"kid": row.id})
    return _Key(row.id, row.purpose, row.active_from, plain, private)


def _wrapping(master_key: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"identity-service key ring v1").derive(master_key))


def _wrap(key_id: str, purpose: str, plain: bytes, wrapping: AESGCM) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + wrapping.encrypt(nonce, plain, f"{key_id} {purpose}".encode())


def _unwrap(row: RingKey, wrapping: AESGCM) -> bytes:
    try:
        return _decrypt(wrapping, row.sealed, f"{row.id} {row.purpose}")
    except InvalidTag as refused:
        raise WrongMasterKey from refused


def _decrypt(cipher: AESGCM, sealed: bytes, label: str) -> bytes:
    if len(sealed) < 12 + 16:
        raise InvalidTag
    return cipher.decrypt(sealed[:12], sealed[12:], label.encode())
