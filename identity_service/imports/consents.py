"""Store the consents of imported accounts."""

import secrets
from collections.abc import Sequence
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
    """Store at most one decision for each customer, with its evidence and state, and record the events.

    The accounts must be new in this transaction: then no withdrawal can exist that an imported grant would override
    (PRV-06), and the imported decision is the current one.
    """
    for wording in {one.wording for one in imported if one.wording is not None}:
        await actions.store_wording(session, wording)
    texts = {one.user_id: _evidence_text(one, now) for one in imported}
    salts = {one.user_id: secrets.token_bytes(actions.SALT_BYTES) for one in imported}
    rows = [_row(one, texts[one.user_id], salts[one.user_id], actor, now) for one in imported]
    entries = (await session.scalars(insert(ConsentEntry).returning(ConsentEntry), rows)).all()
    evidence = [
        {"entry_id": e.id, "user_id": e.user_id, "text": given, "salt": salts[e.user_id].hex()}
        for e in entries if (given := texts[e.user_id])
    ]  # fmt: skip
    if evidence:
        await session.execute(_EVIDENCE, {"rows": orjson.dumps(evidence).decode()})
    await session.execute(_STATES, {"ids": [entry.id for entry in entries]})
    hashes = {one.user_id: one.wording and one.wording.text_hash for one in imported}
    decided = [actions.event_of(entry, entry.decision, hashes[entry.user_id]) for entry in entries]
    await events.record_events(session, decided, actor=actor, now=now)


def _evidence_text(one: ImportedConsent, now: datetime) -> str | None:
    """Return the evidence after the time of the decision; the ledger entry itself has the time of the import."""
    return one.evidence if one.occurred_at >= now else f"{one.occurred_at.isoformat()} {one.evidence or ''}".strip()


def _row(one: ImportedConsent, evidence: str | None, salt: bytes, actor: str, now: datetime) -> dict[str, object]:
    return {
        "user_id": one.user_id, "purpose": one.purpose, "decision": one.decision,
        "wording_id": one.wording and one.wording.id, "language": one.wording and one.wording.language,
        "channel": "import", "actor": actor, "occurred_at": now, "evidence_hash": actions.evidence_hash(evidence, salt),
    }  # fmt: skip


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
    """
)
