"""Recover after a restore: seal the remaining events, start a new epoch for feed readers, and let sealing continue.

Sealing follows PostgreSQL's transaction ids, and a dump restored into a new cluster starts them low again: new events
would sort before sealed ones and never be sealed. The restore is therefore recorded as an event, sealed last, and
`feed_state` stores its id. Every higher id belongs to the new cluster, where transaction ids rise again.

The database's function `record_restore` changes that row, and checks again what is checked here: the application's role
could otherwise move the id past events that then never get a seal.

This is exact because no other session may be connected: ids are assigned in order, so a session that took a lower id
has either committed or is counted by `_OTHERS`.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select, text

from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Conflict
from identity_service.events import actions, rules
from identity_service.events.tables import FeedState, SealedEvent
from identity_service.keys import signing

NAME = "feed.restored"


class StillRunning(Conflict):
    """The service is still connected to this database; stop serve, worker and bounce-server first."""


class RecoveryResult(NamedTuple):
    """The last position of the backup, how many events were sealed after it, and the new epoch."""

    position: int
    sealed: int
    epoch: int


async def recover_after_restore(session: DatabaseSession, *, data: dict[str, int], now: datetime) -> RecoveryResult:
    """Seal the events of the backup, invalidate every cursor, and record `feed.restored` with `data` (AUD-07).

    Raises:
        StillRunning: another session is connected as the application's role.
    """
    epoch = (await session.scalars(select(FeedState.epoch).with_for_update())).one() + 1
    position = await session.scalar(select(func.max(SealedEvent.position))) or 0
    claims = {"iss": session.settings.issuer, "iat": int(now.timestamp()), "position": position, "epoch": epoch}
    # Signed, because a restore explains lost events: write access to the tables must not be enough to claim one.
    statement = signing.sign(claims, session.keys.signing(now), typ=rules.RESTORED_TYPE)
    recorded = {"position": position, "epoch": epoch, "statement": statement, **data}
    event_id = await actions.record_event(session, NAME, actor="operator", data=recorded, now=now)
    # Checked after the event has its id: sessions that connect later get higher ids.
    if await session.scalar(_OTHERS):
        raise StillRunning
    sealed = await _seal_everything(session)
    await session.scalar(select(func.record_restore(event_id)))
    return RecoveryResult(position, sealed, epoch)


async def _seal_everything(session: DatabaseSession) -> int:
    """Seal every unsealed event, by id: the transaction ids of two clusters cannot be compared."""
    newest = select(SealedEvent.position, SealedEvent.seal).order_by(SealedEvent.position.desc()).limit(1)
    position, previous = (await session.execute(newest)).one_or_none() or (0, rules.GENESIS)
    rows = []
    for event in (await session.execute(_UNSEALED)).mappings().all():
        position += 1
        previous = rules.seal(previous, position, dict(event))
        rows.append({"position": position, "event_id": event["id"], "seal": previous})
    await session.execute(insert(SealedEvent), rows)
    return len(rows)


_OTHERS = text(
    """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    """
)
_UNSEALED = text(
    """
    SELECT e.id, e.public_id, e.name, e.user_id, e.actor, e.occurred_at, e.data FROM event e
    WHERE NOT EXISTS (SELECT 1 FROM sealed_event s WHERE s.event_id = e.id) ORDER BY e.id
    """
)
