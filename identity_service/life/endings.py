"""Close, export, erase: what is held about a customer is handed out whole and removed whole, by one map."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, delete, func, literal, select, text, update
from sqlalchemy import Table as SqlTable

from identity_service import keyring, tokens, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import erasure as account_erasure
from identity_service.accounts import merges
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession, Base, settings_of
from identity_service.events import actions as events
from identity_service.life import data_map
from identity_service.life.data_map import MAP
from identity_service.life.tables import EmailChange, PendingChange
from identity_service.mail import actions as mail
from identity_service.mail import erasure
from identity_service.proofs import actions as proofs
from identity_service.user_ids import UserId

RECEIPT_TYPE: Final = "erasure-receipt+jwt"
EXPORT_TYPE: Final = "export-statement+jwt"
FORMAT: Final = "identity-service export 1"
_ELSEWHERE: Final = ("account", "message", "attempt", "inbound")
"""Tables whose own concepts know best how to forget."""


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

    `statement` is our signature: a JWS over the SHA-256 of `tables` in canonical form (RFC 8785), so that whoever is
    given the file knows where it comes from and that nothing in it was changed (PRV-11).

    Raises:
        accounts.rules.UnknownUserId
    """
    ids = await merges.chain(session, user_id)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in data_map.of_customers():
        found[name] = await _rows(session, name, ids)
    found["permission_check"] = await _questions(session, ids)
    await events.record(session, "account.exported", user_id=ids[0], actor=actor, now=now)
    return {
        "format": FORMAT,
        "schema": f"{settings_of(session).public_url}/static/export.schema.json",
        "exported_at": _plain(now),
        "user_ids": [user_ids.show(one) for one in ids],
        "tables": found,
        "statement": _statement(session, ids, found, now=now),
    }


def _statement(session: AsyncSession, ids: Sequence[str], found: Mapping[str, Any], *, now: datetime) -> str:
    claims = {
        "iss": settings_of(session).issuer,
        "iat": int(now.timestamp()),
        "sub": user_ids.show(ids[0]),
        # Numbers are whole here, so to sort and to leave out blanks is all that RFC 8785 asks. Keys are sorted by code
        # point, which is its order but for rare letters in the names that a service gave to an entry's details.
        "tables_sha256": hashlib.sha256(orjson.dumps(found, option=orjson.OPT_SORT_KEYS)).hexdigest(),
    }
    return tokens.sign(claims, keyring.of(session).signing(now), typ=EXPORT_TYPE)


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
    ids = await merges.chain(session, user_id)
    # From here on nothing is added under any of them: who comes now waits, and then finds nobody.
    held = [await accounts.find(session, UserId(one), lock=True) for one in ids]
    keys = [one.email_key for one in held if one.email_key is not None]
    hashes = [keyring.of(session).address_hash(key) for key in keys]
    counted = await erasure.forget(session, ids, hashes, now=now)
    await proofs.forget_address(session, hashes)
    for name in data_map.of_customers():
        if name not in _ELSEWHERE and MAP[name].erase != "keep":
            counted[name] = await _forget(session, name, ids)
    await _end_what_waits(session, ids, keys, now=now)
    counted["account"] = await account_erasure.erase(session, ids, now=now)
    told: list[tuple[str, str, dict[str, Any]]] = [("account.erased", one, {}) for one in ids]
    await events.record_all(session, told, actor=actor, now=now)
    return _receipt(session, ids, counted, now=now)


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


async def _rows(session: AsyncSession, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    table = _table(name)
    wanted = select(*(table.c[column] for column in MAP[name].of("id", "fact", "personal")))
    rows = await session.execute(wanted.where(_his(name, ids)).order_by(*table.primary_key.columns))
    return [{column: _plain(value) for column, value in row.items()} for row in rows.mappings()]


def _his(name: str, ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition for the rows of a customer: by their own column, or through another table's."""
    table, mapped = _table(name), MAP[name]
    if mapped.through is None:
        return table.c[mapped.owner or ""].in_(ids)
    column, parent = mapped.through
    above = _table(parent)
    return table.c[column].in_(select(above.c.id).where(above.c[MAP[parent].owner or ""].in_(ids)))


async def _questions(session: AsyncSession, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return who asked when whether he may be marketed to, and what the answer was; not whom else they asked about."""
    rows = await session.execute(_QUESTIONS, {"ids": list(ids)})
    return [{column: _plain(value) for column, value in row.items()} for row in rows.mappings()]


_QUESTIONS = text(
    """
    SELECT c.id, c.client_id, c.purpose, c.at, one.user_id, one.allowed
    FROM permission_check c, unnest(c.user_ids, c.allowed) AS one(user_id, allowed)
    WHERE c.user_ids && CAST(:ids AS text[]) AND one.user_id = ANY(:ids) ORDER BY c.at, c.id, one.user_id
    """
)


async def _forget(session: AsyncSession, name: str, ids: Sequence[str]) -> int:
    table, mapped, first = _table(name), MAP[name], next(iter(_table(name).primary_key.columns))
    if mapped.erase == "delete":
        gone = delete(table).where(_his(name, ids)).returning(first)
        return len((await session.execute(gone)).all())
    values: dict[str, Any] = {column: mapped.empty.get(column) for column in mapped.of("personal")}
    values |= {column: value for column, value in mapped.empty.items() if column not in values}
    if name == "history_entry":
        # One per source and reference: what is emptied still needs a name of its own.
        values["reference"] = literal("erased:") + func.cast(table.c.id, table.c.reference.type)
    emptied = update(table).where(_his(name, ids)).values(**values).returning(first)
    return len((await session.execute(emptied)).all())


async def _end_what_waits(session: AsyncSession, ids: Sequence[str], keys: Sequence[str], *, now: datetime) -> None:
    """Stop what was asked for these accounts, and forget their addresses where other accounts asked for them."""
    waiting = update(PendingChange).where(
        PendingChange.user_id.in_(ids), PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    await session.execute(waiting.values(stopped_at=now))
    named = update(EmailChange).where(EmailChange.new_key.in_(keys), EmailChange.changed_at.is_(None))
    await session.execute(named.values(new_email=None, new_ascii=None, new_key=None))


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
