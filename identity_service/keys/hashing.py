"""Keyed hashes (HMAC-SHA-256) over labelled parts. Pure."""

import hashlib
import hmac


def keyed_hash(key: bytes, label: str, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 of label and parts, each length-prefixed, so that no two inputs give the same bytes."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (label.encode(), *parts))
    return hmac.digest(key, message, hashlib.sha256)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104) of a message as it is, for hashes that others recompute."""
    return hmac.digest(key, message, hashlib.sha256)


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 that is stored of a random secret of 128 bits or more; no slow hash is needed (OAU-08)."""
    return hashlib.sha256(secret.encode()).digest()
