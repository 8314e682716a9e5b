"""Release expired leases and expire messages past their deadline. Every worker runs both every 5 s."""

from datetime import datetime

from sqlalchemy import text

from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import queue
from identity_service.messages.delivery.queue import NOW


async def release_expired_leases(session: DatabaseSession, *, now: datetime | None) -> int:
    """Release the leases of stopped workers; return how many.

    It is unknown how far the worker got, so the attempt is `lost` and the message is marked as possibly sent. After
    three lost attempts in a row the message fails.
    """
    rows = (await session.execute(_EXPIRED_LEASES, {"now": now})).all()
    for row in rows:
        await session.execute(_LOST, {"id": row.id, "now": now})
        recent = await session.scalars(_RECENT, {"id": row.id})
        gives_up = message_rules.lost_in_a_row(list(recent)) >= message_rules.LOST_IN_A_ROW
        state = "failed" if gives_up else "unconfirmed" if row.late else "deferred"
        await session.execute(_RELEASE, {"id": row.id, "state": state, "now": now})
        await queue.record_state_event(session, row.id, row.user_id, row.kind, state, row.moment)
    await queue.apply_waiting_feedback(session, [row.id for row in rows], now=now)
    return len(rows)


_EXPIRED_LEASES = text(
    f"""
    SELECT id, kind, user_id, deadline_at <= {NOW} AS late, {NOW} AS moment FROM message
    WHERE state = 'sending' AND lease_until < {NOW} ORDER BY lease_until LIMIT 100 FOR UPDATE SKIP LOCKED
    """  # noqa: S608
)
_LOST = text(
    f"UPDATE attempt SET finished_at = {NOW}, outcome = 'lost', reply_class = 'lost'"  # noqa: S608
    " WHERE message_id = :id AND finished_at IS NULL"
)
_RECENT = text("SELECT outcome FROM attempt WHERE message_id = :id ORDER BY attempt_no DESC LIMIT 3")
_RELEASE = text(
    f"""
    UPDATE message SET state = CAST(:state AS text), state_changed_at = {NOW}, possibly_sent = true, lease_token = NULL,
        lease_until = NULL, lease_owner = NULL, last_class = 'lost', last_code = NULL, last_reply = NULL,
        next_attempt_at = CASE WHEN CAST(:state AS text) = 'deferred' THEN {NOW} END
    WHERE id = :id
    """  # noqa: S608
)


async def expire_messages(session: DatabaseSession, *, now: datetime | None) -> int:
    """Move waiting messages past their deadline to `expired`, or to `unconfirmed` if possibly sent; return how many."""
    rows = (await session.execute(_EXPIRE, {"now": now})).all()
    for row in rows:
        await queue.record_state_event(session, row.id, row.user_id, row.kind, row.state, row.moment)
    return len(rows)


_EXPIRE = text(
    f"""
    WITH over AS (
        SELECT id FROM message WHERE state IN ('queued', 'deferred') AND deadline_at <= {NOW}
        ORDER BY deadline_at LIMIT 500 FOR UPDATE SKIP LOCKED
    )
    UPDATE message m SET state = CASE WHEN possibly_sent THEN 'unconfirmed' ELSE 'expired' END,
    state_changed_at = {NOW},
        next_attempt_at = NULL
    FROM over WHERE m.id = over.id RETURNING m.id, m.kind, m.user_id, m.state, {NOW} AS moment
    """  # noqa: S608
)
