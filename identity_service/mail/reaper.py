"""Take back what dead workers held, and end what waited past its deadline. Every worker does it, every 5 s."""

from datetime import datetime

from sqlalchemy import text

from identity_service.database import AsyncSession
from identity_service.mail import outbox, rules
from identity_service.mail.outbox import NOW


async def reap(session: AsyncSession, *, now: datetime | None) -> int:
    """Take back what a dead worker held: nobody knows how far it got, so the letter may arrive twice."""
    rows = (await session.execute(_LAPSED, {"now": now})).all()
    for row in rows:
        await session.execute(_LOST, {"id": row.id, "now": now})
        recent = await session.scalars(_RECENT, {"id": row.id})
        poison = rules.lost_in_a_row(list(recent)) >= rules.LOST_IN_A_ROW
        state = "failed" if poison else "unconfirmed" if row.late else "deferred"
        await session.execute(_TAKE_BACK, {"id": row.id, "state": state, "now": now})
        await outbox.tell(session, row.id, row.user_id, row.kind, state, row.moment)
    await outbox.apply_waiting_feedback(session, [row.id for row in rows], now=now)
    return len(rows)


_LAPSED = text(
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
_TAKE_BACK = text(
    f"""
    UPDATE message SET state = CAST(:state AS text), state_changed_at = {NOW}, maybe_sent = true, lease_token = NULL,
        lease_until = NULL, lease_owner = NULL, last_class = 'lost', last_code = NULL, last_reply = NULL,
        next_attempt_at = CASE WHEN CAST(:state AS text) = 'deferred' THEN {NOW} END
    WHERE id = :id
    """  # noqa: S608
)


async def expire(session: AsyncSession, *, now: datetime | None) -> int:
    """End what waited past its deadline: certainly not taken, or nobody knows."""
    rows = (await session.execute(_EXPIRE, {"now": now})).all()
    for row in rows:
        await outbox.tell(session, row.id, row.user_id, row.kind, row.state, row.moment)
    return len(rows)


_EXPIRE = text(
    f"""
    WITH over AS (
        SELECT id FROM message WHERE state IN ('queued', 'deferred') AND deadline_at <= {NOW}
        ORDER BY deadline_at LIMIT 500 FOR UPDATE SKIP LOCKED
    )
    UPDATE message m SET state = CASE WHEN maybe_sent THEN 'unconfirmed' ELSE 'expired' END, state_changed_at = {NOW},
        next_attempt_at = NULL
    FROM over WHERE m.id = over.id RETURNING m.id, m.kind, m.user_id, m.state, {NOW} AS moment
    """  # noqa: S608
)
