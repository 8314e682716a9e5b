"""After a restore: give what is left its place, tell readers of the feed, and let sealing go on.

Sealing goes by PostgreSQL's transaction ids, and a dump that is restored into a new cluster starts them low again: new
events would stand before sealed ones, and never get a place. So the restore is an event itself, sealed last, and `feed`
remembers its id. Whatever has a higher id belongs to the new cluster, where transaction ids rise from there again.

That is exact because nobody else may be connected meanwhile: ids are handed out in order, and whoever took a lower one
has either committed or is seen.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select, text, update

from identity_service import keyring, tokens
from identity_service.database import AsyncSession, settings_of
from identity_service.errors import Conflict
from identity_service.events import actions, rules
from identity_service.events.tables import Feed, SealedEvent

NAME = "feed.restored"


class StillRunning(Conflict):
    """The service is still connected to this database; stop serve, worker and bounces first."""


class Restored(NamedTuple):
    """What was found: the last position of the backup, how many events had none yet, and the epoch from now on."""

    position: int
    sealed: int
    epoch: int


async def mark(session: AsyncSession, *, data: dict[str, int], now: datetime) -> Restored:
    """Seal what the backup held, end the epoch of every cursor, and record `feed.restored` with `data` (AUD-07).

    Raises:
        StillRunning: somebody else is connected as the application's role.
    """
    epoch = (await session.scalars(select(Feed.epoch).with_for_update())).one() + 1
    position = await session.scalar(select(func.max(SealedEvent.position))) or 0
    claims = {"iss": settings_of(session).issuer, "iat": int(now.timestamp()), "position": position, "epoch": epoch}
    # Signed, because it explains lost events away: who can write rows alone cannot say that there was a restore.
    statement = tokens.sign(claims, keyring.of(session).signing(now), typ=rules.RESTORED_TYPE)
    told = {"position": position, "epoch": epoch, "statement": statement, **data}
    event_id = await actions.record(session, NAME, actor="operator", data=told, now=now)
    # After the event has its id: who connects from now on gets a higher one.
    if await session.scalar(_OTHERS):
        raise StillRunning
    sealed = await _seal_everything(session)
    await session.execute(update(Feed).values(epoch=epoch, restored_event_id=event_id))
    return Restored(position, sealed, epoch)


async def _seal_everything(session: AsyncSession) -> int:
    """Give every event without a place one, by id: transaction ids of two clusters have no order."""
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
    SELECT e.id, e.name, e.user_id, e.actor, e.at, e.data FROM event e
    WHERE NOT EXISTS (SELECT 1 FROM sealed_event s WHERE s.event_id = e.id) ORDER BY e.id
    """
)
