"""Export and erase everything stored about a customer, driven by the inventory."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from sqlalchemy import Column, ColumnElement, delete, func, literal, select, text, update
from sqlalchemy import Table as SqlTable

from identity_service.accounts import actions as accounts
from identity_service.accounts import erasure as account_erasure
from identity_service.accounts import ownership
from identity_service.addresses import actions as addresses
from identity_service.addresses.tables import EmailChange
from identity_service.approvals.tables import PendingChange
from identity_service.consents import receipts
from identity_service.database.transactions import DatabaseSession
from identity_service.database.types import Base
from identity_service.events import actions as events
from identity_service.keys import signing
from identity_service.messages import actions as messages
from identity_service.messages import erasure
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.openid import ending
from identity_service.privacy import inventory
from identity_service.privacy.inventory import INVENTORY
from identity_service.values import contact_numbers, user_ids
from identity_service.values.user_ids import UserId

EXPORT_TYPE: Final = "export-statement+jwt"
FORMAT: Final = "identity-service export 1"
_ERASED_ELSEWHERE: Final = ("account", "message", "attempt", "inbound_mail")
"""Tables that `accounts.erasure` and `messages.erasure` erase."""


async def export_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> dict[str, Any]:
    """Return everything stored about a customer under all their User IDs, except secrets (PRV-09).

    `statement` is our signature: a JWS over the SHA-256 of `tables` in canonical form (RFC 8785), so that the receiver
    of the file can check its origin and that it is unchanged (PRV-11).

    Raises:
        accounts.rules.UnknownUserId
    """
    ids = await ownership.user_ids_of(session, user_id)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in inventory.customer_tables():
        found[name] = await _rows(session, name, ids)
    found["permission_check"] = await _permission_checks(session, ids)
    await events.record_event(session, "account.exported", user_id=ids[0], actor=actor, now=now)
    return {
        "format": FORMAT,
        "schema": f"{session.settings.public_url}/static/export.schema.json",
        "exported_at": _as_json(now),
        "user_ids": [user_ids.show(one) for one in ids],
        "tables": found,
        "statement": _statement(session, ids, found, now=now),
    }


def _statement(session: DatabaseSession, ids: Sequence[str], found: Mapping[str, Any], *, now: datetime) -> str:
    claims = {
        "iss": session.settings.issuer,
        "iat": int(now.timestamp()),
        "sub": user_ids.show(ids[0]),
        # All numbers are integers, so RFC 8785 needs only sorted keys and no blanks. orjson sorts by code point; that
        # differs from RFC 8785 (UTF-16) only for characters beyond U+FFFF, in names of history details.
        "tables_sha256": hashlib.sha256(orjson.dumps(found, option=orjson.OPT_SORT_KEYS)).hexdigest(),
    }
    return signing.sign(claims, session.keys.signing(now), typ=EXPORT_TYPE)


async def erase_account(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> str:
    """Erase the personal data of a customer from every table; return the signed erasure receipt (PRV-10).

    The User ID stays as a tombstone and is never issued again, amounts stay without the person, and the keyed hash of a
    suppressed address still blocks it. One last message tells every mailbox; with it, the address is kept until the
    message has ended (`messages.erasure`). Erasing an erased account raises `AccountErased`.

    Raises:
        accounts.rules.UnknownUserId, AccountErased, AccountMoved
    """
    account = await accounts.find_account(session, user_id, lock=True)
    await accounts.check_changeable(session, account, also_closed=True)
    ids = await ownership.user_ids_of(session, user_id)
    # Lock every account: concurrent writers block from here on, then fail with `AccountErased`.
    locked = [await accounts.find_account(session, UserId(one), lock=True) for one in ids]
    keys = sorted({one.email_key for one in locked if one.email_key} | await addresses.earlier_keys(session, ids))
    hashes = [session.keys.address_hash(key) for key in keys]
    mailboxes = await ownership.mailboxes_of(session, ids[0], recent_at=now)
    erased: list[tuple[str, str, dict[str, Any]]] = [("account.erased", one, {}) for one in ids]
    await events.record_events(session, erased, actor=actor, now=now)
    counted = await erasure.erase_messages(session, ids, hashes, now=now)
    await one_time_tokens.forget_address(session, hashes)
    for mailbox in mailboxes:
        await messages.enqueue(
            session, "account_erased", to=mailbox.address, user_id=ids[0], locale=mailbox.locale,
            cause="account.erased", actor=actor, now=now,
        )  # fmt: skip
    # Before the rows go: from them it is known which applications must hear of it.
    for one in ids:
        await ending.end_for_customer(session, one, why="erased", now=now)
    for name in inventory.customer_tables():
        if name not in _ERASED_ELSEWHERE and INVENTORY[name].erase != "keep":
            counted[name] = await _erase_rows(session, name, ids)
    await _stop_pending(session, ids, keys, now=now)
    counted["account"] = await account_erasure.erase_accounts(session, ids, actor=actor, now=now)
    return _receipt(session, ids, counted, now=now)


def _receipt(session: DatabaseSession, ids: Sequence[str], counted: dict[str, int], *, now: datetime) -> str:
    claims = {
        "iss": session.settings.issuer,
        "iat": int(now.timestamp()),
        "jti": uuid.uuid4().hex,
        "sub": user_ids.show(ids[0]),
        "user_ids": [user_ids.show(one) for one in ids],
        "removed": {name: rows for name, rows in sorted(counted.items()) if rows},
        "kept": "User IDs, states, times, codes and amounts; hashes that block email to suppressed addresses; the "
        "address of the last message until it has ended",
    }
    return signing.sign(claims, session.keys.signing(now), typ=receipts.ERASURE_TYPE)


async def _rows(session: DatabaseSession, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    table = _table(name)
    wanted = select(*(table.c[column] for column in INVENTORY[name].of("id", "fact", "personal")))
    rows = await session.execute(wanted.where(_owned_by(name, ids)).order_by(*table.primary_key.columns))
    return [
        {column: _as_json(_shown(table.c[column], value)) for column, value in row.items()} for row in rows.mappings()
    ]


def _shown(column: Column[Any], value: Any) -> Any:  # noqa: ANN401
    """Return a value as the API shows it: User IDs and numbers of contacts in groups."""
    if value is None:
        return None
    if column.name == "user_id" or any(key.target_fullname == "account.user_id" for key in column.foreign_keys):
        return user_ids.show(value)
    if (column.table.name, column.name) in _CONTACT_NUMBERS:
        return contact_numbers.show(value)
    return value


_CONTACT_NUMBERS: Final = {("contact", "number"), ("account_access", "contact")}


def _owned_by(name: str, ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition for a customer's rows, by the owner column of this table or of its parent table."""
    table, mapped = _table(name), INVENTORY[name]
    if mapped.through is None:
        return table.c[mapped.owner or ""].in_(ids)
    column, parent = mapped.through
    owner_table = _table(parent)
    return table.c[column].in_(select(owner_table.c.id).where(owner_table.c[INVENTORY[parent].owner or ""].in_(ids)))


async def _permission_checks(session: DatabaseSession, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the permission questions about a customer: client, time and answer, without the other customers."""
    rows = await session.execute(_PERMISSION_CHECKS, {"ids": list(ids)})
    return [
        {column: _as_json(value) for column, value in {**row, "user_id": user_ids.show(row["user_id"])}.items()}
        for row in rows.mappings()
    ]


_PERMISSION_CHECKS = text(
    """
    SELECT c.id, c.client_id, c.purpose, c.occurred_at, one.user_id, one.allowed
    FROM permission_check c, unnest(c.user_ids, c.allowed) AS one(user_id, allowed)
    WHERE c.user_ids && CAST(:ids AS text[]) AND one.user_id = ANY(:ids) ORDER BY c.occurred_at, c.id, one.user_id
    """
)


async def _erase_rows(session: DatabaseSession, name: str, ids: Sequence[str]) -> int:
    table, mapped, first = _table(name), INVENTORY[name], next(iter(_table(name).primary_key.columns))
    if mapped.erase == "delete":
        gone = delete(table).where(_owned_by(name, ids)).returning(first)
        return len((await session.execute(gone)).all())
    values: dict[str, Any] = {column: mapped.empty.get(column) for column in mapped.of("personal")}
    values |= {column: value for column, value in mapped.empty.items() if column not in values}
    if name == "history_entry":
        # (source, reference) is unique, so an emptied row needs a reference of its own.
        values["reference"] = literal("erased:") + func.cast(table.c.id, table.c.reference.type)
    emptied = update(table).where(_owned_by(name, ids)).values(**values).returning(first)
    return len((await session.execute(emptied)).all())


async def _stop_pending(session: DatabaseSession, ids: Sequence[str], keys: Sequence[str], *, now: datetime) -> None:
    """Stop pending changes of these accounts, and changes of other accounts to one of their addresses, and clear the
    addresses from both."""
    names_them = PendingChange.details["key"].astext.in_(keys)
    waiting = update(PendingChange).where(
        PendingChange.user_id.in_(ids) | names_them, PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    ended = await session.execute(
        waiting.values(stopped_at=now, stop_reason="address_erased").returning(
            PendingChange.id, PendingChange.user_id, PendingChange.verb
        )
    )
    stopped = [
        ("account.change_stopped", row.user_id, {"change_id": str(row.id), "reason": "address_erased"})
        for row in ended if row.user_id not in ids
    ]  # fmt: skip
    await events.record_events(session, stopped, actor="worker", now=now)
    await session.execute(update(PendingChange).where(names_them).values(details={}))
    named = update(EmailChange).where(EmailChange.new_key.in_(keys), EmailChange.changed_at.is_(None))
    await session.execute(named.values(new_email=None, new_ascii=None, new_key=None))


def _table(name: str) -> SqlTable:
    return Base.metadata.tables[name]


def _as_json(value: Any) -> Any:  # noqa: ANN401, PLR0911
    """Return a value as JSON: UTC times with microseconds, bytes in hex, UUIDs and decimals as strings."""
    match value:
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        case date():
            return value.isoformat()
        case uuid.UUID():
            return str(value)
        case Decimal():
            return str(value)
        case bytes():
            return value.hex()
        case None | bool() | int() | float() | str() | list() | dict():
            return value
        case _:
            return str(value)


async def apply_erase(
    session: DatabaseSession,
    user_id: UserId,
    details: dict[str, Any],  # noqa: ARG001 (every approved change has them)
    *,
    actor: str,
    now: datetime,
) -> None:
    """Carry out an approved erasure."""
    await erase_account(session, user_id, actor=actor, now=now)
