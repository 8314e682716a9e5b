"""What a worker does beside the letters: show that it lives, show the relays, forget what has run out."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.database import AsyncSession
from identity_service.mail.courier import Courier
from identity_service.mail.tables import Inbound, RelayState, Worker

SILENT_AFTER = timedelta(seconds=30)
"""A worker that has shown nothing for so long is counted as gone."""
INBOUND_KEPT = timedelta(days=7)


async def show(session: AsyncSession, courier: Courier, started_at: datetime) -> None:
    """Write this worker's sign of life and what it thinks of each relay."""
    beat = insert(Worker).values(
        name=courier.name, started_at=started_at, seen_at=func.now(), in_flight=courier.in_flight
    )
    await session.execute(
        beat.on_conflict_do_update(
            index_elements=["name"], set_={"seen_at": func.now(), "in_flight": beat.excluded.in_flight}
        )
    )
    for name, breaker in courier.relays.breakers.items():
        seen = {
            "breaker": breaker.state,
            "opened_until": breaker.opened_until,
            "faults_in_a_row": breaker.faults_in_a_row,
            "last_reply": breaker.last_reply,
            "last_attempt_at": breaker.last_attempt_at,
            "updated_at": func.now(),
        }
        state = insert(RelayState).values(relay=name, worker=courier.name, **seen)
        await session.execute(state.on_conflict_do_update(index_elements=["relay", "worker"], set_=seen))


async def alive(session: AsyncSession) -> int:
    """Return how many workers have shown themselves of late."""
    living = select(func.count()).select_from(Worker).where(Worker.seen_at > func.now() - SILENT_AFTER)
    return (await session.execute(living)).scalar_one()


async def say_goodbye(session: AsyncSession, name: str) -> None:
    """Take this worker off the list."""
    await session.execute(delete(Worker).where(Worker.name == name))
    await session.execute(delete(RelayState).where(RelayState.worker == name))


async def purge(session: AsyncSession) -> None:
    """Forget the words of notices after 7 days, and workers that died an hour ago."""
    await session.execute(delete(Inbound).where(Inbound.received_at < func.now() - INBOUND_KEPT))
    long_ago = func.now() - timedelta(hours=1)
    await session.execute(delete(RelayState).where(RelayState.updated_at < long_ago))
    await session.execute(delete(Worker).where(Worker.seen_at < long_ago))
