"""Compare the ledger of consents with the sealed events, and the state with the ledger.

A sealed event stores each entry's hash, which covers the text it is about. Permission questions are answered from the
state, which is derived from the ledger, so it is derived again here.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select, text

from identity_service.audit.actions import AuditFinding
from identity_service.consents import actions
from identity_service.consents.tables import ConsentEntry, ConsentWording
from identity_service.database.transactions import DatabaseSession

PAGE: Final = 1000

Texts = Mapping[tuple[str | None, str | None], bytes]
"""The hash of every stored wording, by id and language."""


async def audit_consents(session: DatabaseSession, *, page: int = PAGE) -> tuple[int, AuditFinding | None]:
    """Return how many entries were checked, and the first mismatch."""
    texts, finding = await _texts(session)
    checked, after = 0, 0
    while finding is None:
        recorded = (await session.execute(_RECORDED, {"after": after, "limit": page})).all()
        if not recorded:
            return checked, await _stray(session) or await _state(session)
        entries = await _entries(session, [row.entry for row in recorded])
        for row in recorded:
            finding = _entry(row, entries.get(row.entry), texts)
            if finding is not None:
                break
            checked, after = checked + 1, row.id
        session.expunge_all()
    return checked, finding


async def _texts(session: DatabaseSession) -> tuple[Texts, AuditFinding | None]:
    texts: dict[tuple[str | None, str | None], bytes] = {}
    for wording in await session.scalars(select(ConsentWording).order_by(ConsentWording.id, ConsentWording.language)):
        texts[wording.id, wording.language] = hashed = hashlib.sha256(wording.text.encode()).digest()
        if hashed != wording.text_hash:
            return texts, _finding(f"The wording {wording.id} ({wording.language}) was altered.")
    return texts, None


async def _entries(session: DatabaseSession, ids: list[int]) -> dict[int, ConsentEntry]:
    return {entry.id: entry for entry in await session.scalars(select(ConsentEntry).where(ConsentEntry.id.in_(ids)))}


def _entry(recorded: Any, entry: ConsentEntry | None, texts: Texts) -> AuditFinding | None:  # noqa: ANN401
    if entry is None:
        return _finding(f"Consent entry {recorded.entry} is missing, but its event is there.")
    if actions.fingerprint(entry, texts.get((entry.wording_id, entry.language))) != recorded.hash:
        return _finding(f"Consent entry {entry.id}, or the text it is about, was altered: its event has another hash.")
    evidence = recorded.evidence
    if evidence is not None and actions.evidence_hash(evidence, recorded.salt) != entry.evidence_hash:
        return _finding(f"The evidence of consent entry {entry.id} was altered.")
    return None


async def _stray(session: DatabaseSession) -> AuditFinding | None:
    stray = await session.scalar(_STRAY)
    return None if stray is None else _finding(f"Consent entry {stray} was inserted: no event records it.")


async def _state(session: DatabaseSession) -> AuditFinding | None:
    """Find the first state that does not follow from the ledger; the query also selects accounts with merged ones.

    An erased customer's entries stay in the ledger, but have no state.
    """
    for user_id, purpose, decision in (await session.execute(_DIFFERENT)).all():
        if (await actions.derive_state(session, user_id, purpose)).decision != decision:
            return _finding(f"The state of {user_id} for {purpose} is {decision}, but the ledger says otherwise.")
    return None


def _finding(sentence: str) -> AuditFinding:
    return AuditFinding(0, sentence)


_RECORDED = text(
    """
    SELECT e.id, (e.data->>'entry')::bigint AS entry, e.data->>'entry_hash' AS hash, v.text AS evidence,
        v.salt
    FROM event e LEFT JOIN consent_evidence v ON v.entry_id = (e.data->>'entry')::bigint
    WHERE e.name IN ('consent.proposed', 'consent.granted', 'consent.withdrawn') AND e.id > :after
    ORDER BY e.id LIMIT :limit
    """
)
_STRAY = text(
    """
    SELECT c.id FROM consent_entry c LEFT JOIN (
        SELECT (data->>'entry')::bigint AS entry FROM event
        WHERE name IN ('consent.proposed', 'consent.granted', 'consent.withdrawn')
    ) AS recorded ON recorded.entry = c.id WHERE recorded.entry IS NULL ORDER BY c.id LIMIT 1
    """
)
_DIFFERENT = text(
    """
    SELECT one.user_id, one.purpose, one.decision FROM (
        SELECT user_id, purpose, s.decision, last.decision AS derived FROM consent_state s FULL JOIN (
            SELECT DISTINCT ON (user_id, purpose) user_id, purpose, decision FROM consent_entry
            WHERE decision <> 'proposed' ORDER BY user_id, purpose, id DESC
        ) AS last USING (user_id, purpose)
    ) AS one JOIN account a ON a.user_id = one.user_id
    WHERE NOT (a.state = 'erased' AND one.decision IS NULL) AND (
        one.decision IS DISTINCT FROM one.derived
        OR EXISTS (SELECT 1 FROM account m WHERE m.merged_into = one.user_id)
    ) ORDER BY one.user_id, one.purpose
    """
)
