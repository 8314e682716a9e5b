"""Verify User IDs: the most frequent request, so its path is short.

One prepared statement by primary key on the read pool, no ORM objects, no response validation. It joins accounts and
consents, so it has a folder of its own. A replica lags, but a withdrawal must count at once: permission read from a
replica is answered as `ask`, and an ID that the replica does not know is read from the primary.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, literal_column, select

from identity_service.accounts import rules
from identity_service.accounts.tables import Account
from identity_service.consents.rules import MAIN_PURPOSE
from identity_service.consents.tables import ConsentState
from identity_service.database.reads import CompiledSelect, ReadPool
from identity_service.database.transactions import Database
from identity_service.values import user_ids
from identity_service.values.user_ids import MalformedUserId, UserId

SLICE = 100
"""IDs parsed before yielding to the event loop: 1,000 at once would block it for 5 ms."""
_ECHO = 64

_VERIFY = CompiledSelect(
    select(Account.user_id, Account.kind, Account.state, Account.merged_into, ConsentState.decision)
    .outerjoin(
        ConsentState,
        and_(ConsentState.user_id == Account.user_id, ConsentState.purpose == literal_column(f"'{MAIN_PURPOSE}'")),
    )
    .where(Account.user_id == any_(bindparam("user_ids", type_=ARRAY(Text))))
)


async def verify_user_ids(database: Database, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each input, in order, the members of a `VerificationView`.

    Malformed IDs are answered without a query.
    """
    parsed: list[UserId | MalformedUserId] = []
    for start in range(0, len(inputs), SLICE):
        parsed += [_parse(text) for text in inputs[start : start + SLICE]]
        if start + SLICE < len(inputs):
            await asyncio.sleep(0)
    wanted = [item for item in parsed if isinstance(item, str)]
    found = await _find(database, wanted) if wanted else {}
    return [_result(text, item, found) for text, item in zip(inputs, parsed, strict=True)]


async def _find(database: Database, wanted: Sequence[UserId]) -> dict[str, dict[str, str]]:
    async def read_replica() -> dict[str, dict[str, str]]:
        return await _fetch(await database.reads(), wanted, lags=True)

    found = await database.try_replica(read_replica) or {}
    missing = [user_id for user_id in wanted if user_id not in found]
    if missing:
        found |= await _fetch(await database.primary_reads(), missing, lags=False)
    return found


async def _fetch(reads: ReadPool, wanted: Sequence[str], *, lags: bool) -> dict[str, dict[str, str]]:
    rows = await reads.fetch(_VERIFY.text, *_VERIFY.arguments(user_ids=list(wanted)))
    moved = [row[0] for row in rows if row[3] is not None]
    ends = dict(await reads.fetch(_RESOLVES_TO, moved)) if moved else {}
    return {row[0]: rules.verification(row[1], row[2], ends.get(row[0], row[3]), row[4], lags=lags) for row in rows}


# A second statement, because few IDs of a batch are merged and the first one is on the path of every request.
_RESOLVES_TO = """
    WITH RECURSIVE chain AS (
        SELECT user_id AS given, user_id, merged_into FROM account WHERE user_id = ANY($1::text[])
        UNION
        SELECT c.given, a.user_id, a.merged_into FROM chain c JOIN account a ON a.user_id = c.merged_into
    )
    SELECT given, user_id FROM chain WHERE merged_into IS NULL
    """


def _parse(text: str) -> UserId | MalformedUserId:
    try:
        return user_ids.parse(text)
    except MalformedUserId as malformed:
        return malformed


def _result(text: str, parsed: UserId | MalformedUserId, found: dict[str, dict[str, str]]) -> dict[str, Any]:
    if isinstance(parsed, MalformedUserId):
        return {"input": text[:_ECHO], "status": "malformed", "detail": parsed.detail, **parsed.members}
    facts = found.get(parsed, {"status": "unknown"})
    shown = {"input": text[:_ECHO], "user_id": user_ids.show(parsed), **facts}
    if "moved_to" in shown:
        shown["moved_to"] = user_ids.show(shown["moved_to"])
    return shown
