"""Guarded changes: a desk only requests them. The customer's mailbox confirms; if it is lost, a second person approves
in the console, and 72 hours pass in which the old mailbox can stop the change (decision 12, PHN-08…10).

Desk tools and the console always use this; a service does not, because it acts within its scopes for a customer whom it
has signed in. `X-Clerk-ID` names a person in events and proves nothing.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, insert, select, tuple_, update

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.approvals import rules
from identity_service.approvals.tables import PendingChange
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values.user_ids import UserId


async def request_confirmation(
    session: DatabaseSession,
    user_id: UserId,
    verb: str,
    details: dict[str, Any],
    *,
    versions: account_rules.Versions | None = None,
    actor: str,
    now: datetime,
) -> PendingChange:
    """Store a change and ask the customer's mailbox to confirm it; nothing changes before that.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountNotActive, StaleVersion, NoEmail
    """
    account = await accounts.find_account(session, user_id, lock=True)
    account_rules.check_changeable(account.state, account.merged_into, account.version, versions)
    action = "unmerge" if "undo" in details else verb
    token = await one_time_tokens.send_token(
        session, "change", kind="change_confirmation", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, facts={"verb": action}, cause="account.change_requested", actor=actor, now=now,
    )  # fmt: skip
    return await _add(session, account.user_id, verb, details, token_id=token.id, actor=actor, now=now)


async def confirm_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Carry out a requested change after the customer's mailbox confirmed it.

    Raises:
        LinkInvalid
        Problem: what the change itself raises.
    """
    change = await session.scalar(
        select(PendingChange).where(PendingChange.token_id == found.token.id).with_for_update()
    )
    if change is None or change.done_at is not None or change.stopped_at is not None:
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)
    await _carry_out(session, change, actor="customer", now=now)


async def request_approval(
    session: DatabaseSession,
    user_id: UserId,
    verb: str,
    details: dict[str, Any],
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> PendingChange:
    """Store a change for a customer whose mailbox is lost: a second person must approve it, then 72 hours must pass.

    Raises:
        accounts.rules.UnknownUserId, AccountNotActive
    """
    account = await accounts.find_active_account(session, user_id, lock=True)
    if account.state != "active":
        raise account_rules.AccountNotActive
    return await _add(session, account.user_id, verb, details, reason=reason, actor=actor, now=now)


async def approve_change(session: DatabaseSession, change_id: uuid.UUID, *, actor: str, now: datetime) -> PendingChange:
    """Approve a change that another person requested; it is due in 72 hours, and the old mailbox gets a stop link.

    Raises:
        rules.UnknownChange
        rules.ProofRefused: `actor` requested it.
    """
    change = await _find_unapproved(session, change_id)
    if change.requested_by == actor:
        raise rules.ProofRefused("You requested this change; another person must approve it.")
    due_at = now + rules.WAITING_TIME
    await session.execute(
        update(PendingChange).where(PendingChange.id == change_id).values(approved_by=actor, due_at=due_at)
    )
    account = await accounts.find_account(session, UserId(change.user_id))
    if account.email is not None:
        token = await one_time_tokens.send_token(
            session, "stop", kind="stop_link", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts={"verb": change.verb, "change": str(change.id)},
            cause="account.change_requested", actor=actor, now=now,
        )  # fmt: skip
        await session.execute(update(PendingChange).where(PendingChange.id == change_id).values(token_id=token.id))
    data = {"change_id": str(change.id), "verb": change.verb, "requested_by": change.requested_by}
    await events.record_event(
        session, "account.change_approved", user_id=change.user_id, actor=actor, data=data, now=now
    )
    await session.refresh(change)
    return change


async def stop_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Stop an approved change by the stop link that was sent to the old mailbox.

    Raises:
        LinkInvalid
    """
    mine = update(PendingChange).where(
        PendingChange.token_id == found.token.id, PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    stopped = await session.scalar(mine.values(stopped_at=now).returning(PendingChange.user_id))
    if stopped is None:
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)
    await events.record_event(session, "account.change_stopped", user_id=stopped, actor="customer", now=now)


async def carry_out_due(database: Database, *, now: datetime) -> int:
    """Carry out up to 20 approved changes that are due, each in its own transaction; return how many were found.

    A change that is refused now is stopped with an event that names the problem; the others are still carried out.
    """
    due = select(PendingChange.id).where(
        PendingChange.due_at <= now, PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None)
    )
    ids = await database.in_transaction(lambda session: _fetch_all(session, due.limit(20)))
    for change_id in ids:
        try:
            await database.in_transaction(partial(_carry_out_one, change_id=change_id, now=now))
        except Problem as refused:
            await database.in_transaction(partial(_stop_refused, change_id=change_id, code=refused.code(), now=now))
    return len(ids)


async def list_open_changes(
    session: DatabaseSession,
    user_id: str | None = None,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> Sequence[PendingChange]:
    """Return changes that wait for a mailbox, an approval or time, oldest first.

    `after` is the `requested_at` and id of the last change of the previous page.
    """
    waiting = select(PendingChange).where(PendingChange.done_at.is_(None), PendingChange.stopped_at.is_(None))
    if user_id is not None:
        waiting = waiting.where(PendingChange.user_id == user_id)
    if after is not None:
        waiting = waiting.where(tuple_(PendingChange.requested_at, PendingChange.id) > after)
    return (await session.scalars(waiting.order_by(PendingChange.requested_at, PendingChange.id).limit(limit))).all()


async def _add(
    session: DatabaseSession,
    user_id: str,
    verb: str,
    details: dict[str, Any],
    *,
    token_id: uuid.UUID | None = None,
    reason: str | None = None,
    actor: str,
    now: datetime,
) -> PendingChange:
    row = {
        "id": uuid.uuid4(), "user_id": user_id, "verb": verb, "details": details, "token_id": token_id,
        "reason": reason, "requested_by": actor, "requested_at": now,
    }  # fmt: skip
    change = (await session.execute(insert(PendingChange).returning(PendingChange), row)).scalar_one()
    data = {"change_id": str(change.id), "verb": verb}
    await events.record_event(session, "account.change_requested", user_id=user_id, actor=actor, data=data, now=now)
    return change


async def _find_unapproved(session: DatabaseSession, change_id: uuid.UUID) -> PendingChange:
    mine = select(PendingChange).where(PendingChange.id == change_id, PendingChange.done_at.is_(None))
    change = await session.scalar(mine.where(PendingChange.stopped_at.is_(None)).with_for_update())
    if change is None or change.approved_by is not None or change.token_id is not None:
        raise rules.UnknownChange
    return change


async def _carry_out(session: DatabaseSession, change: PendingChange, *, actor: str, now: datetime) -> None:
    await session.execute(update(PendingChange).where(PendingChange.id == change.id).values(done_at=now))
    apply = entry_points.load(rules.GUARDED[change.verb])
    await apply(session, UserId(change.user_id), change.details, actor=actor, now=now)


async def _fetch_all(session: DatabaseSession, wanted: Select[Any]) -> Sequence[Any]:
    return (await session.scalars(wanted)).all()


async def _carry_out_one(session: DatabaseSession, *, change_id: uuid.UUID, now: datetime) -> None:
    mine = select(PendingChange).where(PendingChange.id == change_id, PendingChange.done_at.is_(None))
    change = await session.scalar(mine.where(PendingChange.stopped_at.is_(None)).with_for_update(skip_locked=True))
    if change is not None:
        await _carry_out(session, change, actor=change.approved_by or "worker", now=now)


async def _stop_refused(session: DatabaseSession, *, change_id: uuid.UUID, code: str, now: datetime) -> None:
    mine = update(PendingChange).where(PendingChange.id == change_id).values(stopped_at=now)
    user_id = await session.scalar(mine.returning(PendingChange.user_id))
    data = {"change_id": str(change_id), "problem": code}
    await events.record_event(session, "account.change_stopped", user_id=user_id, actor="worker", data=data, now=now)
