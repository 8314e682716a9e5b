"""Messages and attempts written down by SQL, around our code."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAITING = ("queued", "deferred")


def shape(state: str) -> dict:
    """Return the columns that a message in this state has."""
    sending = state == "sending"
    return {
        "state": state,
        "attempts": 0 if state == "queued" else 1,
        "next_attempt_at": NOW if state in WAITING else None,
        "lease_token": uuid.uuid4() if sending else None,
        "lease_until": NOW + timedelta(seconds=180) if sending else None,
        "accepted_at": NOW if state in ("accepted", "delivered") else None,
        "possibly_sent": state == "unconfirmed",
    }


def a_message(**columns) -> dict:
    """Return a message that is whole; `columns` are what is special about it."""
    return {
        "id": uuid.uuid4(), "kind": "test", "purpose": "account", "recipient_domain": "example.com", "locale": "en",
        "brand": "default", "priority": 0, "state_changed_at": NOW,
        "created_at": NOW, "deadline_at": NOW + timedelta(minutes=10), **shape("queued"), **columns,
    }  # fmt: skip


def an_attempt(message: dict, **columns) -> dict:
    """Return an open attempt about a message."""
    return {
        "message_id": message["id"], "attempt_no": 1, "lease_token": uuid.uuid4(), "worker": "w", "relay": "first",
        "started_at": NOW, **columns,
    }  # fmt: skip


def a_suppression(**columns) -> dict:
    """Return a suppression that holds."""
    until = NOW + timedelta(hours=72)
    return {
        "id": uuid.uuid4(), "recipient_hash": b"hash", "scope": "other", "reason": "hard_bounce", "created_at": NOW,
        "suppressed_until": until, **columns,
    }  # fmt: skip


def a_feedback(**columns) -> dict:
    """Return feedback about nothing."""
    return {
        "id": uuid.uuid4(), "type": "delivered", "source": "ses", "source_event_id": "1", "occurred_at": NOW,
        "recorded_at": NOW, **columns,
    }  # fmt: skip


async def an_event(connection) -> int:
    """Write down what a message needs to be caused by; return its id."""
    told = (
        "INSERT INTO event (name, actor, occurred_at, data) "
        "VALUES ('mail.queued', 'operator', now(), '{}') RETURNING id"
    )
    return (await connection.execute(text(told))).scalar_one()


async def insert(connection, table: str, row: dict) -> None:
    """Write a row down; a message that names no event gets one of its own."""
    values = dict(row)
    if table == "message":
        values |= {"facts": "{}", "event_id": row["event_id"] if "event_id" in row else await an_event(connection)}
    names = ", ".join(values)
    places = ", ".join(f":{name}" if name != "facts" else "CAST(:facts AS jsonb)" for name in values)
    await connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


async def change(connection, message: dict, **columns) -> None:
    """Change columns of a message."""
    names = ", ".join(f"{name} = :{name}" for name in columns)
    await connection.execute(text(f"UPDATE message SET {names} WHERE id = :id"), {**columns, "id": message["id"]})


@contextlib.asynccontextmanager
async def without_triggers(owner) -> AsyncIterator:
    """Let the owner write a state down that no step leads to."""
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        yield connection
