"""Hold the ledger of consents against the sealed events: every entry's hash stands in an event under the seal."""

from sqlalchemy import text

from identity_service.consents.actions import fingerprint
from identity_service.consents.tables import ConsentEntry
from identity_service.database import AsyncSession
from identity_service.events.audit import Finding

PAGE = 1000


async def check(session: AsyncSession) -> tuple[int, Finding | None]:
    """Return how many entries were checked, and the first that is altered, removed or was never told of."""
    checked, after = 0, 0
    while True:
        told = (await session.execute(_TOLD, {"after": after, "limit": PAGE})).all()
        if not told:
            break
        for entry_id, recorded in told:
            entry = await session.get(ConsentEntry, entry_id)
            if entry is None:
                return checked, Finding(0, f"Consent entry {entry_id} is gone, but its event is there.")
            if fingerprint(entry) != recorded:
                return checked, Finding(0, f"Consent entry {entry_id} was altered: its event has another hash.")
            checked, after = checked + 1, entry_id
        session.expunge_all()
    stray = await session.scalar(_STRAY)
    return checked, None if stray is None else Finding(0, f"Consent entry {stray} was inserted: no event tells of it.")


_ENTRY = "(e.data->>'entry')::bigint"
_TOLD = text(
    f"""
    SELECT {_ENTRY}, e.data->>'entry_hash' FROM event e
    WHERE e.name LIKE 'consent.%' AND {_ENTRY} > :after ORDER BY {_ENTRY} LIMIT :limit
    """  # noqa: S608
)
_STRAY = text(
    f"""
    SELECT c.id FROM consent_entry c
    WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.name LIKE 'consent.%' AND {_ENTRY} = c.id) ORDER BY c.id LIMIT 1
    """  # noqa: S608
)
