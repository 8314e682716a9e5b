"""Guarded changes: what a desk may only start. The customer's mailbox confirms, or, where it is lost, a second person
approves in the console and 72 hours pass in which the old mailbox can stop it (decision 12, PHN-08…10).

A service's client acts within its scopes for a customer it has signed in, and never comes here; a desk tool always
does, and so does the console. `X-Clerk-ID` names a person in events and proves nothing.
"""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Select, insert, select, tuple_, update

from identity_service import user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import business
from identity_service.accounts import rules as account_rules
from identity_service.database import AsyncSession, Database
from identity_service.email_addresses import EmailAddress
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.life import addresses, conversions, endings, merging, rules
from identity_service.life.tables import PendingChange
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.user_ids import UserId

Verb = Callable[[AsyncSession, PendingChange, str, datetime], Awaitable[None]]


async def ask(
    session: AsyncSession,
    user_id: UserId,
    verb: str,
    details: dict[str, Any],
    *,
    version: int | None = None,
    actor: str,
    now: datetime,
) -> PendingChange:
    """Ask the customer's mailbox whether this may happen; nothing changes until it confirms.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountNotActive, StaleVersion, NoEmail
    """
    account = await accounts.find(session, user_id, lock=True)
    account_rules.check_convertible(account.state, account.merged_into, account.version, version)
    said = "unmerge" if "undo" in details else verb
    proof = await proofs.send(
        session, "change", kind="change_confirmation", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, facts={"verb": said}, cause="account.change_asked", actor=actor, now=now,
    )  # fmt: skip
    return await _add(session, account.user_id, verb, details, proof_id=proof.id, actor=actor, now=now)


async def confirm(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Do what the desk asked for: the customer's mailbox says so.

    Raises:
        LinkDead; what the verb refuses
    """
    change = await session.scalar(
        select(PendingChange).where(PendingChange.proof_id == found.proof.id).with_for_update()
    )
    if change is None or change.done_at is not None or change.stopped_at is not None:
        raise LinkDead
    await proofs.use_up(session, found, now=now)
    await _carry_out(session, change, actor="customer", now=now)


async def wait(
    session: AsyncSession,
    user_id: UserId,
    verb: str,
    details: dict[str, Any],
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> PendingChange:
    """Note a change for a customer whose mailbox is lost: a second person has to approve it, and 72 hours to pass.

    Raises:
        accounts.rules.UnknownUserId, AccountNotActive
    """
    account = await accounts.current(session, user_id, lock=True)
    if account.state != "active":
        raise account_rules.AccountNotActive
    return await _add(session, account.user_id, verb, details, reason=reason, actor=actor, now=now)


async def approve(session: AsyncSession, change_id: uuid.UUID, *, actor: str, now: datetime) -> PendingChange:
    """Approve what somebody else asked for; from now on it waits, and the old mailbox is told how to stop it.

    Raises:
        rules.UnknownChange; rules.ProofRefused: it was you who asked.
    """
    change = await _waiting(session, change_id)
    if change.asked_by == actor:
        raise rules.ProofRefused("Somebody else has to approve this: it was you who asked.")
    due_at = now + rules.WAIT
    await session.execute(
        update(PendingChange).where(PendingChange.id == change_id).values(approved_by=actor, due_at=due_at)
    )
    account = await accounts.find(session, UserId(change.user_id))
    if account.email is not None:
        proof = await proofs.send(
            session, "stop", kind="stop_link", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts={"verb": change.verb, "change": str(change.id)},
            cause="account.change_asked", actor=actor, now=now,
        )  # fmt: skip
        await session.execute(update(PendingChange).where(PendingChange.id == change_id).values(proof_id=proof.id))
    data = {"change_id": str(change.id), "verb": change.verb, "asked_by": change.asked_by}
    await events.record(session, "account.change_approved", user_id=change.user_id, actor=actor, data=data, now=now)
    await session.refresh(change)
    return change


async def stop(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Stop a change that waits, by the link that went to the old mailbox.

    Raises:
        LinkDead
    """
    mine = update(PendingChange).where(
        PendingChange.proof_id == found.proof.id, PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    stopped = await session.scalar(mine.values(stopped_at=now).returning(PendingChange.user_id))
    if stopped is None:
        raise LinkDead
    await proofs.use_up(session, found, now=now)
    await events.record(session, "account.change_stopped", user_id=stopped, actor="customer", now=now)


async def carry_out_due(database: Database, *, now: datetime) -> int:
    """Do what was approved and has waited long enough, each in a transaction of its own; return how many.

    What has become impossible meanwhile is stopped, and says so; the others go on.
    """
    due = select(PendingChange.id).where(
        PendingChange.due_at <= now, PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    ids = await database.short(lambda session: _all(session, due.limit(20)))
    for change_id in ids:
        try:
            await database.short(partial(_carry_out_one, change_id=change_id, now=now))
        except Problem as refused:
            await database.short(partial(_give_up, change_id=change_id, why=refused.code(), now=now))
    return len(ids)


async def open_changes(
    session: AsyncSession,
    user_id: str | None = None,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> Sequence[PendingChange]:
    """Return what waits for a mailbox, an approval or for time, oldest first, behind the one asked then."""
    waiting = select(PendingChange).where(PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None))
    if user_id is not None:
        waiting = waiting.where(PendingChange.user_id == user_id)
    if after is not None:
        waiting = waiting.where(tuple_(PendingChange.asked_at, PendingChange.id) > after)
    return (await session.scalars(waiting.order_by(PendingChange.asked_at, PendingChange.id).limit(limit))).all()


async def _add(
    session: AsyncSession,
    user_id: str,
    verb: str,
    details: dict[str, Any],
    *,
    proof_id: uuid.UUID | None = None,
    reason: str | None = None,
    actor: str,
    now: datetime,
) -> PendingChange:
    row = {
        "id": uuid.uuid4(), "user_id": user_id, "verb": verb, "details": details, "proof_id": proof_id,
        "reason": reason, "asked_by": actor, "asked_at": now,
    }  # fmt: skip
    change = (await session.execute(insert(PendingChange).returning(PendingChange), row)).scalar_one()
    data = {"change_id": str(change.id), "verb": verb}
    await events.record(session, "account.change_asked", user_id=user_id, actor=actor, data=data, now=now)
    return change


async def _waiting(session: AsyncSession, change_id: uuid.UUID) -> PendingChange:
    mine = select(PendingChange).where(PendingChange.id == change_id, PendingChange.done_at.is_(None))
    change = await session.scalar(mine.where(PendingChange.stopped_at.is_(None)).with_for_update())
    if change is None or change.approved_by is not None or change.proof_id is not None:
        raise rules.UnknownChange
    return change


async def _carry_out(session: AsyncSession, change: PendingChange, *, actor: str, now: datetime) -> None:
    await session.execute(update(PendingChange).where(PendingChange.id == change.id).values(done_at=now))
    await _VERBS[change.verb](session, change, actor, now)


async def _all(session: AsyncSession, wanted: Select[Any]) -> Sequence[Any]:
    return (await session.scalars(wanted)).all()


async def _carry_out_one(session: AsyncSession, *, change_id: uuid.UUID, now: datetime) -> None:
    mine = select(PendingChange).where(PendingChange.id == change_id, PendingChange.done_at.is_(None))
    change = await session.scalar(mine.where(PendingChange.stopped_at.is_(None)).with_for_update(skip_locked=True))
    if change is not None:
        await _carry_out(session, change, actor=change.approved_by or "worker", now=now)


async def _give_up(session: AsyncSession, *, change_id: uuid.UUID, why: str, now: datetime) -> None:
    mine = update(PendingChange).where(PendingChange.id == change_id).values(stopped_at=now)
    user_id = await session.scalar(mine.returning(PendingChange.user_id))
    data = {"change_id": str(change_id), "problem": why}
    await events.record(session, "account.change_stopped", user_id=user_id, actor="worker", data=data, now=now)


async def _business(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    company = conversions.company(change.details)
    await conversions.become_business(session, UserId(change.user_id), company, actor=actor, now=now)


async def _consumer(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    await business.leave(session, UserId(change.user_id), version=None, actor=actor, now=now)


async def _merge(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    if "undo" in change.details:
        await merging.undo(session, user_ids.parse(change.details["undo"]), actor=actor, now=now)
        return
    duplicate = user_ids.parse(change.details["duplicate"])
    await merging.ask(session, UserId(change.user_id), duplicate, actor=actor, now=now)


async def _erase(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    await endings.erase(session, UserId(change.user_id), actor=actor, now=now)


async def _close(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    await endings.close(session, UserId(change.user_id), actor=actor, now=now)


async def _email(session: AsyncSession, change: PendingChange, actor: str, now: datetime) -> None:
    # Whoever agreed, the new mailbox confirms as well before anything changes.
    address = EmailAddress(*(change.details[name] for name in ("email", "ascii", "key")))
    await addresses.ask_or_add(session, UserId(change.user_id), address, actor=actor, now=now)


_VERBS: Final[dict[str, Verb]] = {
    "business": _business,
    "consumer": _consumer,
    "merge": _merge,
    "close": _close,
    "erase": _erase,
    "email": _email,
}
