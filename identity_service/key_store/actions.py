"""The key ring: every key of the service, encrypted in the database under a key derived from `IDENTITY_MASTER_KEY`.

The master key only encrypts other keys, so it can be changed (`keys rewrap`) while links, receipts and suppressions
stay valid. Signing keys rotate with overlap: a new key is published before it signs, so that services which cache our
key set can verify every token; the old key verifies until its last access token has expired, and stays published
without end, because receipts outlive it. A key that leaked is revoked: from then on nothing of it is believed.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy import insert, select, text, update

from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Conflict, NotFound
from identity_service.key_store.tables import EncryptionKey
from identity_service.keys import ring, signing
from identity_service.keys.ring import KeyRing, OpenedKey, Purpose


class UnknownKey(NotFound):
    """No key has this id. `identity-service keys list` shows them all."""


class KeyNotRevocable(Conflict):
    """We use this key to find suppressions and one-time tokens, so it is never replaced. If it leaks without the
    database, it reveals nobody's address.
    """


class WrongMasterKey(Exception):
    """The key ring was encrypted under another IDENTITY_MASTER_KEY."""


async def load_keys(session: DatabaseSession, master_key: bytes) -> KeyRing:
    """Return the decrypted key ring.

    Raises:
        WrongMasterKey: the ring was encrypted under another master key.
    """
    rows = (await session.execute(select(EncryptionKey))).scalars()
    return KeyRing([_open(row, _wrapping(master_key)) for row in rows])


async def ensure_keys(session: DatabaseSession, master_key: bytes, *, now: datetime) -> None:
    """Create missing keys; an advisory lock serialises processes that start at the same time.

    Raises:
        WrongMasterKey: the ring was encrypted under another master key; nothing was added.
    """
    await _lock_ring(session, master_key)
    present = set((await session.execute(select(EncryptionKey.purpose).distinct())).scalars())
    for purpose in ring.PURPOSES:
        if purpose not in present:
            await _add(session, master_key, purpose, "ES256" if purpose == "signing" else "HMAC", now, active_from=now)


async def rotate_signing_key(
    session: DatabaseSession, master_key: bytes, *, algorithm: str, now: datetime
) -> tuple[str, datetime]:
    """Add a signing key; return its id and when it begins to sign: after every cached key set has expired (OAU-14).

    Raises:
        WrongMasterKey: the ring was encrypted under another master key; nothing was added.
    """
    await _lock_ring(session, master_key)
    active_from = now + 2 * ring.CACHE_TIME
    purpose: Purpose = "id_token" if algorithm == "RS256" else "signing"
    return await _add(session, master_key, purpose, algorithm, now, active_from=active_from), active_from


async def ensure_rsa_key(session: DatabaseSession, master_key: bytes, *, now: datetime) -> None:
    """Create the first RSA key for ID tokens, unless there is one (OID-38).

    Raises:
        WrongMasterKey: the ring was encrypted under another master key; nothing was added.
    """
    await _lock_ring(session, master_key)
    usable = EncryptionKey.purpose == "id_token", EncryptionKey.revoked_since.is_(None)
    if await session.scalar(select(EncryptionKey.id).where(*usable).limit(1)) is None:
        await _add(session, master_key, "id_token", "RS256", now, active_from=now)


async def revoke_key(
    session: DatabaseSession, master_key: bytes, key_id: str, *, since: datetime, now: datetime
) -> tuple[str, str | None]:
    """Revoke a key that leaked: what it signed or derived since `since` is not ours, and it is used no more.

    Return its purpose, and the id of the key that takes its place at once, or `None` if another one is active already.
    Revoking it again can only move `since` back.

    Raises:
        UnknownKey, KeyNotRevocable
        WrongMasterKey: the ring was encrypted under another master key; nothing was changed.
    """
    await _lock_ring(session, master_key)
    row = await session.get(EncryptionKey, key_id)
    if row is None:
        raise UnknownKey
    if row.purpose == "address":
        raise KeyNotRevocable
    moment = since if row.revoked_since is None else min(since, row.revoked_since)
    await session.execute(update(EncryptionKey).where(EncryptionKey.id == key_id).values(revoked_since=moment))
    left = select(EncryptionKey.id).where(
        EncryptionKey.purpose == row.purpose, EncryptionKey.revoked_since.is_(None), EncryptionKey.active_from <= now
    )
    if await session.scalar(left.limit(1)) is not None:
        return row.purpose, None
    purpose = cast("Purpose", row.purpose)
    return row.purpose, await _add(session, master_key, purpose, row.algorithm, now, active_from=now)


async def rewrap_keys(session: DatabaseSession, old: bytes, new: bytes) -> int:
    """Encrypt every key under a new master key; return how many. The keys themselves stay.

    Raises:
        WrongMasterKey: `old` does not decrypt the ring; nothing was changed.
    """
    await _lock_ring(session, old)
    rows = (await session.execute(select(EncryptionKey))).scalars().all()
    for row in rows:
        plain = _unwrap(row, _wrapping(old))
        sealed = _wrap(row.id, row.purpose, plain, _wrapping(new))
        await session.execute(update(EncryptionKey).where(EncryptionKey.id == row.id).values(sealed=sealed))
    return len(rows)


async def list_keys(session: DatabaseSession) -> list[dict[str, str]]:
    """Return the public facts of every key, oldest first: id, purpose, algorithm, active_from, revoked_since."""
    rows = (
        await session.execute(select(EncryptionKey).order_by(EncryptionKey.active_from, EncryptionKey.id))
    ).scalars()
    return [
        {
            "id": r.id, "purpose": r.purpose, "algorithm": r.algorithm, "active_from": r.active_from.isoformat(),
            "revoked_since": "" if r.revoked_since is None else r.revoked_since.isoformat(),
        }
        for r in rows
    ]  # fmt: skip


async def _lock_ring(session: DatabaseSession, master_key: bytes) -> None:
    # Serialises changes of the ring, and refuses a wrong master key: a key encrypted under another one than the rest
    # would make every process fail at its next start.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('identity key ring'))"))
    await load_keys(session, master_key)


async def _add(
    session: DatabaseSession,
    master_key: bytes,
    purpose: Purpose,
    algorithm: str,
    now: datetime,
    *,
    active_from: datetime,
) -> str:
    if purpose in ("signing", "id_token"):
        key = _GENERATE[algorithm]()
        key_id, plain = key.thumbprint(), key.as_pem(private=True)
    else:
        key_id, plain = f"{purpose}-{secrets.token_hex(4)}", secrets.token_bytes(32)
    sealed = _wrap(key_id, purpose, plain, _wrapping(master_key))
    row = {"id": key_id, "purpose": purpose, "algorithm": algorithm, "sealed": sealed}
    await session.execute(insert(EncryptionKey), {**row, "created_at": now, "active_from": active_from})
    return key_id


_KINDS: Final[dict[str, type[ECKey] | type[OKPKey] | type[RSAKey]]] = {
    "ES256": ECKey, "EdDSA": OKPKey, "RS256": RSAKey,
}  # fmt: skip
_GENERATE: Final[dict[str, Callable[[], signing.PublicKey]]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "RS256": lambda: RSAKey.generate_key(3072),
}


def _open(row: EncryptionKey, wrapping: AESGCM) -> OpenedKey:
    plain = _unwrap(row, wrapping)
    private: signing.PublicKey | None = None
    if row.purpose in ("signing", "id_token"):
        private = _KINDS[row.algorithm].import_key(plain, {"kid": row.id})
    return OpenedKey(row.id, row.purpose, row.active_from, plain, private, row.revoked_since)


def _wrapping(master_key: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"identity-service key ring v1").derive(master_key))


def _wrap(key_id: str, purpose: str, plain: bytes, wrapping: AESGCM) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + wrapping.encrypt(nonce, plain, f"{key_id} {purpose}".encode())


def _unwrap(row: EncryptionKey, wrapping: AESGCM) -> bytes:
    try:
        return ring.decrypt(wrapping, row.sealed, f"{row.id} {row.purpose}")
    except InvalidTag as refused:
        raise WrongMasterKey from refused
