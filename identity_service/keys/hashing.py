"""Keyed hashes (HMAC-SHA-256) over labelled parts. Pure."""

import hashlib
import hmac


def keyed_hash(key: bytes, label: str, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 of label and parts, each length-prefixed, so that no two inputs give the same bytes."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (label.encode(), *parts))
    return hmac.digest(key, message, hashlib.sha256)
