"""Opaque cursors: a position in a list with a keyed hash, so that only cursors we made are accepted (API-08). Pure."""

import hmac
import json
from typing import Any

from identity_service.errors import Problem
from identity_service.keys import encoding, hashing


class InvalidCursor(Problem):
    """This cursor is not valid for this list; start again without one."""


def make_cursor(key: bytes, place: str, *values: int | str) -> str:
    """Return an opaque cursor with `values`, valid only in the list named `place` (API-08)."""
    body = json.dumps(values, separators=(",", ":")).encode()
    return encoding.base64url_encode(hashing.keyed_hash(key, "cursor", place.encode(), body)[:12] + body)


def read_cursor(key: bytes, place: str, cursor: str) -> list[Any]:
    """Return the values given to `make_cursor`, or raise `InvalidCursor`."""
    try:
        raw = encoding.base64url_decode(cursor)
        if not hmac.compare_digest(hashing.keyed_hash(key, "cursor", place.encode(), raw[12:])[:12], raw[:12]):
            raise InvalidCursor
        values: list[Any] = json.loads(raw[12:])
    except ValueError as refused:
        raise InvalidCursor from refused
    return values
