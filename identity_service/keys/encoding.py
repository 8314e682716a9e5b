"""base64url (RFC 4648, section 5) and strict JSON. Pure."""

import base64
import binascii
import json
from typing import Any


def strict_json_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`; ValueError for other values and for duplicate members (RFC 8725, 2.4)."""
    value = strict_json(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def strict_json(text: bytes) -> Any:  # noqa: ANN401
    """Return the JSON value in `text`; ValueError for duplicate members anywhere in it."""
    return json.loads(text.decode("utf-8"), object_pairs_hook=_refuse_duplicates)


def base64url_encode(raw: bytes) -> str:
    """Return `raw` in base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def base64url_decode(text: str) -> bytes:
    """Return the bytes of base64url without padding; ValueError for anything else, also for non-canonical bits."""
    if not text.isascii() or "=" in text or not set("+/ \n").isdisjoint(text):
        raise ValueError("not base64url")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as refused:
        raise ValueError("not base64url") from refused
    if base64url_encode(raw) != text:
        raise ValueError("not the canonical encoding of these bytes")
    return raw


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found
