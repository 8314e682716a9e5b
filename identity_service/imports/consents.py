"""Store the consents of imported accounts, and of rows about accounts that are there."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import insert, text

from identity_service.consents import actions, rules
from identity_service.consents.tables import ConsentEntry
from identity_service.consents.wordings import Wording
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events


class ImportedConsent(NamedTuple):
    """One decision of one customer on one purpose; `occurred_at` is when they made it in the other system."""

    user_id: str
    purpose: str
    decision: rules.Decision
    wording: Wording | None
    evidence: str | None
    occurred_at: datetime


async def import_consents(
    session: DatabaseSession, imported: Sequence[ImportedConsent], *, actor: str, now: datetime
) -> None:
    """Store decisions in their order, with their evidence and state, and record the events.

    The caller has checked that none is a grant after a withdrawal (PRV-06), and holds the accounts that were there.
    """
    for wording in {one.wording for one in imported if one.wording is not None}:
        await actions.store_wording(session, wording)
    waiting = list(imported)
    while waiting:
        # One decision of each customer and purpose at a time: the next one refers to it as the one before.
        first = {(one.user_id, one.purpose): one for one in reversed(waiting)}
        await _import_round(session, first, actor=actor, now=now)
        done = set(map(id, first.values()))
        waiting = [one for one in waiting if id(one) not in done]


async def _import_round(
    session: DatabaseSession, imported: Mapping[tuple[str, str], ImportedConsent], *, actor: str, now: datetime
) -> None:
    owners = {"user_ids": sorted({user_id for user_id, _ in imported})}
    before = {(row.user_id, row.purpose): row.id for row in await session.execute(_NEWEST, owners)}
    texts = {pair: _evidence_text(one, now) for pair, one in imported.items()}
    salts = {pair: secrets.token_bytes(actions.SALT_BYTES) for pair in imported}
    rows = [_row(one, texts[pair], salts[pair], before.get(pair), actor, now) for pair, one in imported.items()]
    entries = (await session.scalars(insert(ConsentEntry).returning(ConsentEntry), rows)).all()
    evidence = [
        {"entry_id": e.id, "user_id": e.user_id, "text": given, "salt": salts[e.user_id, e.purpose].hex()}
        for e in entries
        if (given := texts[e.user_id, e.purpose])
    ]
    if evidence:
        await session.execute(_EVIDENCE, {"rows": orjson.dumps(evidence).decode()})
    await session.execute(_STATES, {"ids": [entry.id for entry in entries]})
    for user_id in (await session.scalars(_MERGED_INTO, owners)).all():
        await actions.recompute_state(session, user_id)
    states = {(row.user_id, row.purpose): row.decision for row in await session.execute(_DECIDED, owners)}
    wordings = {pair: one.wording for pair, one in imported.items()}
    decided = []
    for entry in entries:
        pair, wording = (entry.user_id, entry.purpose), wordings[entry.user_id, entry.purpose]
        decided.append(actions.event_of(entry, states.get(pair), wording and wording.text_hash))
    await events.record_events(session, decided, actor=actor, now=now)


def _evidence_text(one: ImportedConsent, now: datetime) -> str | None:
    """Return the evidence after the time of the decision; the ledger entry itself has the time of the import."""
    return one.evidence if one.occurred_at >= now else f"{one.occurred_at.isoformat()} {one.evidence or ''}".strip()


def _row(
    one: ImportedConsent, evidence: str | None, salt: bytes, previous_id: int | None, actor: str, now: datetime
) -> dict[str, object]:
    return {
        "user_id": one.user_id, "purpose": one.purpose, "decision": one.decision,
        "wording_id": one.wording and one.wording.id, "language": one.wording and one.wording.language,
        "channel": "import", "actor": actor, "occurred_at": now, "previous_id": previous_id,
        "evidence_hash": actions.evidence_hash(evidence, salt),
    }  # fmt: skip


_NEWEST = text(
    """
    SELECT DISTINCT ON (user_id, purpose) user_id, purpose, id FROM consent_entry
    WHERE user_id = ANY(:user_ids) ORDER BY user_id, purpose, id DESC
    """
)
_EVIDENCE = text(
    """
    INSERT INTO consent_evidence (entry_id, user_id, text, salt)
    SELECT entry_id, user_id, text, decode(salt, 'hex')
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(entry_id bigint, user_id text, text text, salt text)
    """
)
_STATES = text(
    """
    INSERT INTO consent_state (user_id, purpose, decision, since)
    SELECT user_id, purpose, decision, occurred_at FROM consent_entry WHERE id = ANY(:ids)
    ON CONFLICT (user_id, purpose) DO UPDATE SET decision = excluded.decision, since = excluded.since
    """
)
_MERGED_INTO = text("SELECT DISTINCT merged_into FROM account WHERE merged_into = ANY(:user_ids)")
_DECIDED = text("SELECT user_id, purpose, decision FROM consent_state WHERE user_id = ANY(:user_ids)")
