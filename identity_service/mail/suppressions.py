"""Addresses that are left alone for a while, by their keyed hash, because mail to them came back as dead.

Only a definite "this address does not exist" suppresses; a full mailbox or a policy never does. What is asked for by a
person (a reset) and everything else are kept apart, so that "suppressed" on a page never tells a stranger that we have
written here before. A success lifts it, and so may a clerk.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.database import AsyncSession
from identity_service.events import actions as events
from identity_service.mail import rules
from identity_service.mail.tables import Message, Suppression

MANY = timedelta(days=7)


async def suppress(session: AsyncSession, message: Message, *, feedback_id: uuid.UUID | None, now: datetime) -> None:
    """Leave the address of this message alone; what waits for it in the same scope is not tried any more."""
    if message.to_hash is None:
        return
    scope = rules.scope_of(message.kind)
    mine = (Suppression.to_hash == message.to_hash) & (Suppression.scope == scope)
    # A letter may come back twice, by a notice and by a provider's hook; that is one refusal.
    others = Suppression.message_id.is_distinct_from(message.id)
    found = select(Suppression.created_at).where(mine, others, Suppression.created_at > now - MANY)
    earlier = await session.scalars(found)
    until = now + rules.suppressed_for(list(earlier), now)
    row = {
        "id": rules.new_id(now),
        "to_hash": message.to_hash,
        "scope": scope,
        "reason": "hard_bounce",
        "feedback_id": feedback_id,
        "message_id": message.id,
        "created_at": now,
        "until": until,
    }
    live = Suppression.lifted_at.is_(None)
    newest = {name: row[name] for name in ("feedback_id", "message_id", "created_at")}
    new = insert(Suppression).on_conflict_do_update(
        index_elements=["to_hash", "scope"],
        index_where=live,
        set_={**newest, "until": func.greatest(Suppression.until, until)},
    )
    await session.execute(new, row)
    await _stop_waiting(session, message.to_hash, scope, now)


def held(to_hash: bytes, kind: str, *, now: datetime) -> dict[str, Any]:
    """Return the parameters of `HELD`: whether letters of this kind to this address are not tried."""
    return {"held_hash": to_hash, "held_scope": rules.scope_of(kind), "held_now": now}


HELD: Final = (
    select(Suppression.id)
    .where(
        Suppression.to_hash == bindparam("held_hash"),
        Suppression.scope == bindparam("held_scope"),
        Suppression.lifted_at.is_(None),
        Suppression.until > bindparam("held_now"),
    )
    .exists()
)
"""A condition of other statements."""


async def lift(
    session: AsyncSession, suppression_id: uuid.UUID, *, by: str, now: datetime
) -> tuple[Suppression, str | None]:
    """Allow an address again; return the suppression that held, and the address's domain.

    Raises:
        rules.UnknownSuppression: there is none, or it was lifted already.
    """
    mine = update(Suppression).where(Suppression.id == suppression_id, Suppression.lifted_at.is_(None))
    lifted: Suppression | None = await session.scalar(mine.values(lifted_at=now, lifted_by=by).returning(Suppression))
    if lifted is None:
        raise rules.UnknownSuppression
    await _tell_lifted(session, suppression_id, lifted.scope, by=by, now=now)
    domain = await session.scalar(select(Message.to_domain).where(Message.id == lifted.message_id))
    return lifted, domain


async def lift_for_taken(session: AsyncSession, message_ids: Sequence[uuid.UUID], *, now: datetime) -> None:
    """Allow the addresses of letters that a relay has just taken: the address lives.

    What the letter itself has shown stays: its bounce may have overtaken the relay's own answer.
    """
    lifted = (await session.execute(_LIFT_TAKEN, {"ids": list(message_ids), "now": now})).all()
    for suppression_id, scope in lifted:
        await _tell_lifted(session, suppression_id, scope, by="worker", now=now)


_LIFT_TAKEN = text(
    """
    UPDATE suppression s SET lifted_at = :now, lifted_by = 'delivery' FROM message m
    WHERE m.id = ANY(:ids) AND m.state IN ('accepted', 'delivered') AND s.to_hash = m.to_hash AND s.lifted_at IS NULL
        AND s.message_id IS DISTINCT FROM m.id
    RETURNING s.id, s.scope
    """
)


async def listing(
    session: AsyncSession, *, before: tuple[datetime, uuid.UUID] | None, now: datetime, limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Return the suppressions that hold now, newest first, each with the domain of its address."""
    holding = (
        select(Suppression, Message.to_domain)
        .outerjoin(Message, Message.id == Suppression.message_id)
        .where(Suppression.lifted_at.is_(None), Suppression.until > now)
        .order_by(Suppression.created_at.desc(), Suppression.id.desc())
    )
    if before is not None:
        holding = holding.where(tuple_(Suppression.created_at, Suppression.id) < tuple_(*before))
    return list((await session.execute(holding.limit(limit))).all())


async def _stop_waiting(session: AsyncSession, to_hash: bytes, scope: str, now: datetime) -> None:
    kinds = [kind for kind in rules.KINDS if rules.scope_of(kind) == scope]
    waiting = update(Message).where(
        Message.to_hash == to_hash, Message.kind.in_(kinds), Message.state.in_(("queued", "deferred"))
    )
    stopped = waiting.values(state="suppressed", state_changed_at=now, next_attempt_at=None)
    stopped = stopped.returning(Message.id, Message.user_id, Message.kind)
    for message_id, user_id, kind in await session.execute(stopped):
        if user_id is not None:
            data = {"message_id": str(message_id), "kind": kind}
            await events.record(session, "mail.suppressed", user_id=user_id, actor="worker", data=data, now=now)


async def _tell_lifted(session: AsyncSession, suppression_id: uuid.UUID, scope: str, *, by: str, now: datetime) -> None:
    data = {"suppression_id": str(suppression_id), "scope": scope}
    await events.record(session, "mail.suppression_lifted", actor=by, data=data, now=now)
