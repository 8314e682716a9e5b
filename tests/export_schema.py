"""The schema of the export, as tables and data map have it. `make openapi` writes it; a test compares them (PRV-11)."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, SmallInteger, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from identity_service import database_schema
from identity_service.privacy import actions as privacy
from identity_service.privacy import inventory

FILE = Path(database_schema.__file__).parent / "static" / "export.schema.json"
USER_ID = {"type": "string", "pattern": "^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$"}
MOMENT = {"type": "string", "format": "date-time"}
QUESTION = {
    "id": {"type": "string", "format": "uuid"}, "client_id": {"type": "string"}, "purpose": {"type": "string"},
    "occurred_at": MOMENT, "user_id": {"type": "string"}, "allowed": {"type": "boolean"},
}  # fmt: skip


def document() -> dict[str, Any]:
    """Return the whole schema."""
    tables = {name: _rows(_columns(name)) for name in inventory.customer_tables()}
    tables["permission_check"] = _rows(QUESTION)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Everything that is held about one customer",
        "description": "One list of rows per table; moments are RFC 3339 in UTC, amounts are exact decimals as text.",
        **_object(
            {
                "format": {"const": privacy.FORMAT},
                "schema": {"type": "string", "format": "uri"},
                "exported_at": MOMENT,
                "user_ids": {"type": "array", "minItems": 1, "items": USER_ID},
                "tables": _object(tables),
                "statement": {
                    "type": "string",
                    "description": "a JWS of type export-statement+jwt, signed with our published keys: its claim"
                    " tables_sha256 is the SHA-256 of `tables` in canonical form (RFC 8785, keys sorted by code point),"
                    " in hexadecimal digits",
                },
            }
        ),
    }


def _columns(name: str) -> dict[str, Any]:
    table = database_schema.METADATA.tables[name]
    return {column: _value(table.c[column]) for column in inventory.INVENTORY[name].of("id", "fact", "personal")}


def _value(column: Column[Any]) -> dict[str, Any]:
    match column.type:
        case ARRAY():
            found = {"type": "array", "items": {"type": "string"}}
        case JSONB():
            return {"type": ["object", "array", *(["null"] if column.nullable else [])]}
        case Boolean():
            found: dict[str, Any] = {"type": "boolean"}
        case Integer() | BigInteger() | SmallInteger():
            found = {"type": "integer"}
        case DateTime():
            found = dict(MOMENT)
        case Uuid():
            found = {"type": "string", "format": "uuid"}
        case LargeBinary():
            found = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
        case _ if isinstance(getattr(column.type, "impl", None), DateTime):
            found = dict(MOMENT)
        case _:
            found = {"type": "string"}
    return {**found, "type": [found["type"], "null"]} if column.nullable else found


def _rows(columns: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(columns)}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "additionalProperties": False, "required": sorted(properties), "properties": properties,
    }  # fmt: skip


def written() -> str:
    """Return the schema as the file has it."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), "utf-8")
