"""A sealed feed with checkpoints, and somebody who goes around everything as the database's superuser."""

from collections.abc import Sequence

from sqlalchemy import text

from identity_service.audit import actions as audit
from identity_service.audit.actions import AuditFinding, AuditResult
from identity_service.consents import audit as consent_audit
from identity_service.events import rules
from tests.events.given import sealed_events

EVENTS = 30
CHECKPOINTS = (10, 20, 30)
BY_POSITION = "(SELECT event_id FROM sealed_event WHERE position = {})"
CHAIN = """
    SELECT s.position, e.id, e.public_id, e.name, e.user_id, e.actor, e.occurred_at, e.data
    FROM sealed_event s JOIN event e ON e.id = s.event_id ORDER BY s.position
"""


async def a_feed(service) -> list[str]:
    """Seal 30 events with a checkpoint after each ten; return the signed statements."""
    kept = []
    for _ in CHECKPOINTS:
        await sealed_events(service, EVENTS // len(CHECKPOINTS))
        service.clock.advance(minutes=11)
        kept.append((await publish(service)).statement)
    return kept


async def publish(service) -> audit.SignedCheckpoint | None:
    return await service.database.in_transaction(lambda s: audit.publish_checkpoint(s, now=service.clock()))


async def forge(owner, *statements: str, **values) -> None:
    """Run statements as the superuser with triggers and keys off: nothing in the database refuses them."""
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await connection.execute(text(statement), values)


async def reseal(owner) -> None:
    """Make every seal fit the rows as they stand now, as somebody would who knows the recipe."""
    async with owner.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        previous = rules.GENESIS
        for row in (await connection.execute(text(CHAIN))).mappings().all():
            previous = rules.seal(previous, row["position"], row)
            change = text("UPDATE sealed_event SET seal = :seal WHERE position = :position")
            await connection.execute(change, {"seal": previous, "position": row["position"]})


async def walked(service, kept: Sequence[str] = ()) -> AuditResult:
    return await service.database.in_transaction(lambda s: audit.audit_events(s, kept=kept))


async def finding(service, kept: Sequence[str] = ()) -> AuditFinding:
    """Audit the feed, which must not hold."""
    found = (await walked(service, kept)).finding
    assert found is not None, "nothing was found"
    return found


async def ledger(service) -> tuple[int, str | None]:
    """Audit the ledger; return how many entries were checked, and the sentence about the first that does not hold."""
    checked, found = await service.database.in_transaction(consent_audit.audit_consents)
    return checked, None if found is None else found.sentence
