"""Hold the ledger of consents against the sealed events, and the state against the ledger.

Every entry's hash, the text it is about included, stands in an event under the seal. What permissions are answered
from is derived from the ledger, so it is derived again here.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select, text

from identity_service.consents import actions
from identity_service.consents.tables import ConsentEntry, ConsentWording
from identity_service.database import AsyncSession
from identity_service.events.audit import Finding

PAGE: Final = 1000

Texts = Mapping[tuple[str | None, str | None], bytes]
"""The hash of every text that somebody was asked with, by id and language."""


async def check(session: AsyncSession, *, page: int = PAGE) -> tuple[int, Finding | None]:
    """Return how many entries were checked, and the first thing that does not hold."""
    texts, finding = await _texts(session)
    checked, after = 0, 0
    while finding is None:
        told = (await session.execute(_TOLD, {"after": after, "limit": page})).all()
        if not told:
            return checked, await _stray(session) or await _state(session)
        entries = await _entries(session, [row.entry for row in told])
        for row in told:
            finding = _entry(row, entries.get(row.entry), texts)
            if finding is not None:
                break
            checked, after = checked + 1, row.id
        session.expunge_all()
    return checked, finding


async def _texts(session: AsyncSession) -> tuple[Texts, Finding | None]:
    texts: dict[tuple[str | None, str | None], bytes] = {}
    for wording in await session.scalars(select(ConsentWording).order_by(ConsentWording.id, ConsentWording.language)):
        texts[wording.id, wording.language] = hashed = hashlib.sha256(wording.text.encode()).digest()
        if hashed != wording.text_hash:
            return texts, _found(f"The wording {wording.id} ({wording.language}) was altered.")
    return texts, None


async def _entries(session: AsyncSession, ids: list[int]) -> dict[int, ConsentEntry]:
    return {entry.id: entry for entry in await session.scalars(select(ConsentEntry).where(ConsentEntry.id.in_(ids)))}


def _entry(told: Any, entry: ConsentEntry | None, texts: Texts) -> Finding | None:  # noqa: ANN401
    if entry is None:
        return _found(f"Consent entry {told.entry} is gone, but its event is there.")
    if actions.fingerprint(entry, texts.get((entry.wording_id, entry.language))) != told.hash:
        return _found(f"Consent entry {entry.id}, or the text it is about, was altered: its event has another hash.")
    if told.evidence is not None and hashlib.sha256(told.evidence.encode()).digest() != entry.evidence_hash:
        return _found(f"The evidence of consent entry {entry.id} was altered.")
    return None


async def _stray(session: AsyncSession) -> Finding | None:
    stray = await session.scalar(_STRAY)
    return None if stray is None else _found(f"Consent entry {stray} was inserted: no event tells of it.")


async def _state(session: AsyncSession) -> Finding | None:
    """Find the first state that the ledger does not lead to; where accounts were merged, other words count as well."""
    for user_id, purpose, decision in (await session.execute(_OTHERWISE)).all():
        if (await actions.derived(session, user_id, purpose)).decision != decision:
            return _found(f"The state of {user_id} for {purpose} is {decision}, but the ledger says otherwise.")
    return None


def _found(sentence: str) -> Finding:
    return Finding(0, sentence)


_TOLD = text(
    """
    SELECT e.id, (e.data->>'entry')::bigint AS entry, e.data->>'entry_hash' AS hash, v.text AS evidence
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
    ) AS told ON told.entry = c.id WHERE told.entry IS NULL ORDER BY c.id LIMIT 1
    """
)
_OTHERWISE = text(
    """
    SELECT user_id, purpose, s.decision FROM consent_state s FULL JOIN (
        SELECT DISTINCT ON (user_id, purpose) user_id, purpose, decision FROM consent_entry
        WHERE decision <> 'proposed' ORDER BY user_id, purpose, id DESC
    ) AS last USING (user_id, purpose)
    WHERE s.decision IS DISTINCT FROM last.decision
       OR EXISTS (SELECT 1 FROM account m WHERE m.merged_into = user_id)
    ORDER BY user_id, purpose
    """
)
