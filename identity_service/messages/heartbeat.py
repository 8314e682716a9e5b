"""Worker heartbeat, relay states, and retention of inbound mail."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.database.transactions import DatabaseSession
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.messages.tables import Inbound, RelayState, Worker
from identity_service.values import email_addresses

SILENT_AFTER = timedelta(seconds=30)
"""A worker without a heartbeat for this long counts as stopped."""
INBOUND_KEPT = timedelta(days=7)


async def beat(session: DatabaseSession, sender: OutboxSender, started_at: datetime) -> None:
    """Store this worker's heartbeat and the state of its circuit breaker for each relay."""
    row = insert(Worker).values(name=sender.name, started_at=started_at, seen_at=func.now(), in_flight=sender.in_flight)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["name"], set_={"seen_at": func.now(), "in_flight": row.excluded.in_flight}
        )
    )
    await note_breakers(session, sender)


async def note_breakers(session: DatabaseSession, sender: OutboxSender) -> None:
    """Store what a sender sees of its relays or carriers."""
    for name, breaker in sender.relays.breakers.items():
        values = {
            "breaker": breaker.state,
            "opened_until": breaker.opened_until,
            "faults_in_a_row": breaker.faults_in_a_row,
            # Relays quote recipients, and erasing a customer does not find them here.
            "last_reply": email_addresses.mask_all(breaker.last_reply),
            "last_attempt_at": breaker.last_attempt_at,
            "updated_at": func.now(),
        }
        state = insert(RelayState).values(relay=name, worker=sender.name, **values)
        await session.execute(state.on_conflict_do_update(index_elements=["relay", "worker"], set_=values))


async def count_alive(session: DatabaseSession) -> int:
    """Return how many workers had a heartbeat within the last 30 seconds."""
    alive = select(func.count()).select_from(Worker).where(Worker.seen_at > func.now() - SILENT_AFTER)
    return (await session.execute(alive)).scalar_one()


async def list_relay_states(session: DatabaseSession) -> Sequence[RelayState]:
    """Return what each worker that is alive last saw of each relay."""
    alive = select(RelayState).where(RelayState.updated_at > func.now() - SILENT_AFTER)
    return (await session.scalars(alive.order_by(RelayState.relay, RelayState.worker))).all()


async def deregister(session: DatabaseSession, name: str) -> None:
    """Delete the rows of a worker that stops: its heartbeat and its relay states."""
    await session.execute(delete(Worker).where(Worker.name == name))
    await session.execute(delete(RelayState).where(RelayState.worker == name))


async def purge_workers(session: DatabaseSession) -> None:
    """Delete inbound mail older than 7 days, and rows of workers without a heartbeat for an hour."""
    await session.execute(delete(Inbound).where(Inbound.received_at < func.now() - INBOUND_KEPT))
    long_ago = func.now() - timedelta(hours=1)
    await session.execute(delete(RelayState).where(RelayState.updated_at < long_ago))
    await session.execute(delete(Worker).where(Worker.seen_at < long_ago))
