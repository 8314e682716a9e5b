"""Close, export, erase: what is held about a customer is handed out whole and removed whole, by one map."""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Table as SqlTable
from sqlalchemy import delete, func, literal, select, text, update

from identity_service import keyring, tokens, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession, Base, settings_of
from identity_service.events import actions as events
from identity_service.life.data_map import MAP, Table
from identity_service.mail import actions as mail
from identity_service.mail import erasure
from identity_service.user_ids import UserId

RECEIPT_TYPE: Final = "erasure-receipt+jwt"
FORMAT: Final = "identity-service export 1"


async def close(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Close an account and tell its owner; its history stays, and its address is not freed.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved
    """
    before = (await accounts.find(session, user_id, lock=True)).state
    account = await accounts.close(session, user_id, actor=actor, now=now)
    if before != "closed" and account.email is not None:
        await mail.put(
            session, "account_closed", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, cause="account.closed", actor=actor, now=now,
        )  # fmt: skip
    return account


async def export(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> dict[str, Any]:
    """Return everything that is held about a customer, under every User ID, but what proves something (PRV-09).

    Raises:
        accounts.rules.UnknownUserId
    """
    ids = await accounts.chain(session, user_id)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, mapped in MAP.items():
        shown = [column for column in mapped.columns if mapped.columns[column] in ("id", "fact", "personal")]
        if mapped.owner is not None and shown:
            found[name] = await _rows(session, _table(name), shown, mapped.owner, ids)
    letters = [row["id"] for row in found["message"]]
    contacts = [row["id"] for row in found["contact"]]
    for name, owner, owners in (
        ("attempt", "message_id", letters), ("feedback", "message_id", letters), ("inbound", "message_id", letters),
        ("contact_entry", "contact_id", contacts),
    ):  # fmt: skip
        found[name] = await _rows(session, _table(name), MAP[name].of("id", "fact", "personal"), owner, owners)
    await events.record(session, "account.exported", user_id=ids[0], actor=actor, now=now)
    return {
        "format": FORMAT,
        "schema": f"{settings_of(session).public_url}/static/export.schema.json",
        "exported_at": _plain(now),
        "user_ids": [user_ids.show(one) for one in ids],
        "tables": found,
    }


async def erase(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> str:
    """Remove what is personal about a customer, everywhere; return the signed receipt of it (PRV-10).

    The User ID stays as a tombstone and is never issued again, amounts stay without the person, the keyed hash of a
    suppressed address goes on blocking. Erasing twice is answered like an unknown ID.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved
    """
    account = await accounts.find(session, user_id, lock=True)
    if account.merged_into is not None:
        raise account_rules.AccountMoved(moved_to=user_ids.show(account.merged_into))
    ids = await accounts.chain(session, user_id)
    counted = await erasure.forget(session, ids, now=now)
    for name, mapped in MAP.items():
        if mapped.owner is not None and name not in ("message", "account") and mapped.erase != "keep":
            counted[name] = await _forget(session, _table(name), mapped, ids)
    counted["contact_entry"] = len((await session.execute(_CONTACT_WORDS, {"ids": ids})).all())
    counted["account"] = await accounts.erase(session, account, ids, now=now)
    await events.record(session, "account.erased", user_id=ids[0], actor=actor, now=now)
    return _receipt(session, ids, counted, now=now)


_CONTACT_WORDS = text(
    """
    UPDATE contact_entry SET words = NULL
    WHERE words IS NOT NULL AND contact_id IN (SELECT id FROM contact WHERE user_id = ANY(:ids)) RETURNING id
    """
)


def _receipt(session: AsyncSession, ids: Sequence[str], counted: dict[str, int], *, now: datetime) -> str:
    claims = {
        "iss": settings_of(session).issuer,
        "iat": int(now.timestamp()),
        "jti": uuid.uuid4().hex,
        "sub": user_ids.show(ids[0]),
        "user_ids": [user_ids.show(one) for one in ids],
        "removed": {name: rows for name, rows in sorted(counted.items()) if rows},
        "kept": "User IDs, states, times, codes and amounts; hashes that keep dead addresses from being written to",
    }
    return tokens.sign(claims, keyring.of(session).signing(now), typ=RECEIPT_TYPE)


async def _rows(
    session: AsyncSession, table: SqlTable, columns: Sequence[str], owner: str, ids: Sequence[Any]
) -> list[dict[str, Any]]:
    wanted = select(*(table.c[name] for name in columns)).where(table.c[owner].in_(ids))
    rows = (await session.execute(wanted.order_by(*table.primary_key.columns))).mappings()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


async def _forget(session: AsyncSession, table: SqlTable, mapped: Table, ids: Sequence[str]) -> int:
    owner = table.c[mapped.owner or ""]
    if mapped.erase == "delete":
        gone = delete(table).where(owner.in_(ids)).returning(owner)
        return len((await session.execute(gone)).all())
    values: dict[str, Any] = {name: mapped.empty.get(name) for name in mapped.of("personal")}
    values |= {name: value for name, value in mapped.empty.items() if name not in values}
    if "reference" in values and table.name == "history_entry":
        # One per source and reference: what is emptied still needs a name of its own.
        values["reference"] = literal("erased:") + func.cast(table.c.id, table.c.reference.type)
    emptied = update(table).where(owner.in_(ids)).values(**values).returning(owner)
    return len((await session.execute(emptied)).all())


def _table(name: str) -> SqlTable:
    return Base.metadata.tables[name]


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911
    """Return a value as JSON has it."""
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
