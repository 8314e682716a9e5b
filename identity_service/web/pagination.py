"""Opaque cursors: a position in a list with a keyed hash, so that only cursors we made are accepted (API-08). Pure."""

import hmac
import json
import uuid
from datetime import datetime
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


def make_row_cursor(key: bytes, place: str, at: datetime, row_id: uuid.UUID) -> str:
    """Return the cursor after a row of a list that is ordered by time and id."""
    return make_cursor(key, place, at.isoformat(), str(row_id))


def read_row_cursor(key: bytes, place: str, cursor: str | None) -> tuple[datetime, uuid.UUID] | None:
    """Return the time and id given to `make_row_cursor`, None without a cursor; or raise `InvalidCursor`."""
    if cursor is None:
        return None
    at, row_id = read_cursor(key, place, cursor)
    return datetime.fromisoformat(at), uuid.UUID(row_id)
