"""What customers said to another system, taken over with the evidence, in a few statements for all of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import insert, text

from identity_service.consents import actions as consents
from identity_service.consents import rules
from identity_service.consents.tables import ConsentEntry
from identity_service.consents.wordings import Wording
from identity_service.database import AsyncSession
from identity_service.events import actions as events


class Said(NamedTuple):
    """One word of one customer, spoken at a moment, about one purpose."""

    user_id: str
    purpose: str
    decision: rules.Decision
    wording: Wording | None
    evidence: str | None
    at: datetime


async def take_over(session: AsyncSession, said: Sequence[Said], *, actor: str, now: datetime) -> None:
    """Note what was said, a word of each customer.

    Their accounts are new in this transaction: nobody has withdrawn here what this would overrule (PRV-06), and what is
    taken over is the word that counts.
    """
    for wording in {one.wording for one in said if one.wording is not None}:
        await consents.keep(session, wording)
    noted = {one.user_id: _noted(one, now) for one in said}
    rows = [_row(one, noted[one.user_id], actor, now) for one in said]
    entries = (await session.scalars(insert(ConsentEntry).returning(ConsentEntry), rows)).all()
    evidence = [{"entry_id": e.id, "user_id": e.user_id, "text": words} for e in entries if (words := noted[e.user_id])]
    if evidence:
        await session.execute(_EVIDENCE, {"rows": orjson.dumps(evidence).decode()})
    await session.execute(_STATES, {"ids": [entry.id for entry in entries]})
    hashes = {one.user_id: one.wording and one.wording.text_hash for one in said}
    told = [consents.event_of(entry, entry.decision, hashes[entry.user_id]) for entry in entries]
    await events.record_all(session, told, actor=actor, now=now)


def _noted(said: Said, now: datetime) -> str | None:
    """Return the evidence, and when it was said; the ledger itself tells when it was taken over."""
    return said.evidence if said.at >= now else f"{said.at.isoformat()} {said.evidence or ''}".strip()


def _row(said: Said, noted: str | None, actor: str, now: datetime) -> dict[str, object]:
    return {
        "user_id": said.user_id, "purpose": said.purpose, "decision": said.decision,
        "wording_id": said.wording and said.wording.id, "language": said.wording and said.wording.language,
        "channel": "import", "actor": actor, "at": now, "evidence_hash": consents.evidence_hash(noted),
    }  # fmt: skip


_EVIDENCE = text(
    """
    INSERT INTO consent_evidence (entry_id, user_id, text)
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(entry_id bigint, user_id text, text text)
    """
)
_STATES = text(
    """
    INSERT INTO consent_state (user_id, purpose, decision, since)
    SELECT user_id, purpose, decision, at FROM consent_entry WHERE id = ANY(:ids)
    """
)
