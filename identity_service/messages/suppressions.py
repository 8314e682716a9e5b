"""Suppressions: addresses, by keyed hash, that get no messages for a while after a hard bounce.

Only a definite "this address does not exist" suppresses; a full mailbox or a policy refusal never does. Messages that a
person asks for (a reset) and all others have separate scopes, so that "suppressed" on a page does not reveal that we
have written to the address before. A later acceptance of an email or a clerk lifts a suppression; that of a number
whose owner has answered STOP is lifted by them alone.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, bindparam, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.messages import kinds as messages_kinds
from identity_service.messages import rules
from identity_service.messages.tables import Message, Suppression
from identity_service.values import uuid7

REPEATED_WITHIN = timedelta(days=7)
STOPPED_FOR = timedelta(days=36_500)


async def suppress_address(
    session: DatabaseSession, message: Message, *, feedback_id: uuid.UUID | None, now: datetime
) -> None:
    """Suppress the address of this message in its scope, and stop the messages that wait for it there."""
    if message.recipient_hash is None:
        return
    scope = rules.suppression_scope(message.kind)
    mine = (Suppression.recipient_hash == message.recipient_hash) & (Suppression.scope == scope)
    # A bounce may be reported twice, by a notice and by a provider's webhook; it counts once.
    others = Suppression.message_id.is_distinct_from(message.id)
    found = select(Suppression.created_at).where(mine, others, Suppression.created_at > now - REPEATED_WITHIN)
    earlier = await session.scalars(found)
    until = now + rules.suppression_time(list(earlier), now)
    row = {
        "id": uuid7.new_uuid7(now),
        "recipient_hash": message.recipient_hash,
        "scope": scope,
        "reason": "hard_bounce",
        "feedback_id": feedback_id,
        "message_id": message.id,
        "created_at": now,
        "suppressed_until": until,
    }
    live = Suppression.lifted_at.is_(None)
    newest = {name: row[name] for name in ("feedback_id", "message_id", "created_at")}
    new = insert(Suppression).on_conflict_do_update(
        index_elements=["recipient_hash", "scope"],
        index_where=live,
        set_={**newest, "suppressed_until": func.greatest(Suppression.suppressed_until, until)},
    )
    await session.execute(new, row)
    await _stop_waiting(session, message.recipient_hash, scope, now)


def suppression_values(recipient_hash: bytes, kind: str, *, now: datetime) -> dict[str, Any]:
    """Return the parameters of `IS_SUPPRESSED` for a message of this kind to this address."""
    scope = rules.suppression_scope(kind)
    return {"suppressed_hash": recipient_hash, "suppressed_scope": scope, "suppressed_now": now}


IS_SUPPRESSED: Final = (
    select(Suppression.id)
    .where(
        Suppression.recipient_hash == bindparam("suppressed_hash"),
        Suppression.scope == bindparam("suppressed_scope"),
        Suppression.lifted_at.is_(None),
        Suppression.suppressed_until > bindparam("suppressed_now"),
    )
    .exists()
)
"""Whether an address is suppressed, for use in other statements; `suppression_values` returns its parameters."""


async def stop_number(session: DatabaseSession, recipient_hash: bytes, *, now: datetime) -> bool:
    """Suppress a number whose owner has answered STOP; return whether we have ever written to it (TXT-10).

    Only the customer lifts it (`lift_stop`). Email goes on.
    """
    message = select(Message.id).where(Message.recipient_hash == recipient_hash, Message.channel == "text").limit(1)
    message_id = await session.scalar(message)
    if message_id is None:
        return False
    for scope in ("asks", "other"):
        row = {
            "id": uuid7.new_uuid7(now), "recipient_hash": recipient_hash, "scope": scope, "reason": "stop",
            "message_id": message_id, "created_at": now, "suppressed_until": now + STOPPED_FOR,
        }  # fmt: skip
        new = insert(Suppression).on_conflict_do_update(
            index_elements=["recipient_hash", "scope"], index_where=Suppression.lifted_at.is_(None),
            set_={"reason": "stop", "suppressed_until": now + STOPPED_FOR},
        )  # fmt: skip
        await session.execute(new, row)
        await _stop_waiting(session, recipient_hash, scope, now)
    return True


async def is_stopped(session: DatabaseSession, recipient_hash: bytes) -> bool:
    """Return whether the owner of a number has answered STOP."""
    mine = _live_stop(recipient_hash)
    return await session.scalar(select(Suppression.id).where(*mine).limit(1)) is not None


async def lift_stop(session: DatabaseSession, recipient_hash: bytes, *, now: datetime) -> None:
    """Let texts go to a number again, because its owner says so."""
    mine = update(Suppression).where(*_live_stop(recipient_hash))
    lifted = mine.values(lifted_at=now, lifted_by="customer").returning(Suppression.id, Suppression.scope)
    for suppression_id, scope in (await session.execute(lifted)).all():
        await _record_lifted(session, suppression_id, scope, by="customer", now=now)


def _live_stop(recipient_hash: bytes) -> tuple[ColumnElement[bool], ...]:
    mine = Suppression.recipient_hash == recipient_hash
    return mine, Suppression.reason == "stop", Suppression.lifted_at.is_(None)


async def lift_suppression(
    session: DatabaseSession, suppression_id: uuid.UUID, *, by: str, now: datetime
) -> tuple[Suppression, str | None]:
    """Lift a suppression; return it with the domain of its address.

    Raises:
        rules.UnknownSuppression: there is none, it was lifted already, or the owner of a number has answered STOP.
    """
    mine = update(Suppression).where(
        Suppression.id == suppression_id, Suppression.lifted_at.is_(None), Suppression.reason != "stop"
    )
    lifted: Suppression | None = await session.scalar(mine.values(lifted_at=now, lifted_by=by).returning(Suppression))
    if lifted is None:
        raise rules.UnknownSuppression
    await _record_lifted(session, suppression_id, lifted.scope, by=by, now=now)
    domain = await session.scalar(select(Message.recipient_domain).where(Message.id == lifted.message_id))
    return lifted, domain


async def lift_for_taken(session: DatabaseSession, message_ids: Sequence[uuid.UUID], *, now: datetime) -> None:
    """Lift the suppressions of addresses whose messages a relay has just accepted: the address exists.

    A suppression caused by the same message stays: its bounce may have arrived before we recorded the acceptance.
    """
    lifted = (await session.execute(_LIFT_TAKEN, {"ids": list(message_ids), "now": now})).all()
    for suppression_id, scope in lifted:
        await _record_lifted(session, suppression_id, scope, by="worker", now=now)


_LIFT_TAKEN = text(
    """
    UPDATE suppression s SET lifted_at = :now, lifted_by = 'delivery' FROM message m
    WHERE m.id = ANY(:ids) AND m.channel = 'email' AND m.state IN ('accepted',
    'delivered') AND s.recipient_hash = m.recipient_hash AND s.lifted_at IS NULL
        AND s.message_id IS DISTINCT FROM m.id
    RETURNING s.id, s.scope
    """
)


async def list_suppressions(
    session: DatabaseSession, *, before: tuple[datetime, uuid.UUID] | None, now: datetime, limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Return the active suppressions, newest first, each with the domain of its address."""
    active = (
        select(Suppression, Message.recipient_domain)
        .outerjoin(Message, Message.id == Suppression.message_id)
        .where(Suppression.lifted_at.is_(None), Suppression.suppressed_until > now)
        .order_by(Suppression.created_at.desc(), Suppression.id.desc())
    )
    if before is not None:
        active = active.where(tuple_(Suppression.created_at, Suppression.id) < tuple_(*before))
    return list((await session.execute(active.limit(limit))).all())


async def _stop_waiting(session: DatabaseSession, recipient_hash: bytes, scope: str, now: datetime) -> None:
    kinds = [kind for kind in messages_kinds.KINDS if rules.suppression_scope(kind) == scope]
    waiting = update(Message).where(
        Message.recipient_hash == recipient_hash, Message.kind.in_(kinds), Message.state.in_(("queued", "deferred"))
    )
    stopped = waiting.values(state="suppressed", state_changed_at=now, next_attempt_at=None)
    stopped = stopped.returning(Message.id, Message.user_id, Message.kind)
    for message_id, user_id, kind in await session.execute(stopped):
        data = {"message_id": message_id, "kind": kind}
        await events.record_event(session, "mail.suppressed", user_id=user_id, actor="worker", data=data, now=now)


async def _record_lifted(
    session: DatabaseSession, suppression_id: uuid.UUID, scope: str, *, by: str, now: datetime
) -> None:
    data = {"suppression_id": str(suppression_id), "scope": scope}
    await events.record_event(session, "mail.suppression_lifted", actor=by, data=data, now=now)
