"""Guarded changes: a desk only requests them. The customer's mailbox confirms; if it is lost, a second person approves
in the console, and 72 hours pass in which the old mailbox can stop the change (decision 12, PHN-08…10).

Desk tools and the console always use this; a service does not, because it acts within its scopes for a customer whom it
has signed in. `X-Clerk-ID` names a person in events and proves nothing.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, select, tuple_, update

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.approvals import rules
from identity_service.approvals.tables import PendingChange
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import JustUsed, LinkInvalid
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId


async def request_confirmation(
    session: DatabaseSession,
    user_id: UserId,
    verb: str,
    details: dict[str, Any],
    *,
    actor: str,
    now: datetime,
) -> PendingChange:
    """Store a change and ask the customer's mailbox to confirm it; nothing changes before that.

    An open change of the same kind ends: two at once could not be told apart.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail
    """
    account = await _find_changeable(session, user_id, verb)
    change_id = await _record_requested(session, account.user_id, verb, actor=actor, now=now)
    action = "unmerge" if "undo" in details else verb
    token = await one_time_tokens.send_token(
        session, "change", kind="change_confirmation", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, facts={"verb": action, "target": rules.describe_target(verb, details)},
        cause="account.change_requested", actor=actor, now=now,
    )  # fmt: skip
    return await _add(session, change_id, account.user_id, verb, details, token_id=token.id, actor=actor, now=now)


async def confirm_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> str:
    """Carry out a requested change after the customer's mailbox confirmed it; return `change_` and its verb.

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
    return "change_undo" if "undo" in change.details else f"change_{change.verb}"


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
        accounts.rules.UnknownUserId, AccountClosed
    """
    account = await _find_changeable(session, user_id, verb)
    change_id = await _record_requested(session, account.user_id, verb, actor=actor, now=now)
    return await _add(session, change_id, account.user_id, verb, details, reason=reason, actor=actor, now=now)


async def approve_change(session: DatabaseSession, change_id: uuid.UUID, *, actor: str, now: datetime) -> PendingChange:
    """Approve a change that another person requested; it is due in 72 hours, and the old mailbox gets a stop link.

    Raises:
        rules.UnknownChange
        rules.ProofRefused: `actor` requested it.
    """
    change = await _find_unapproved(session, change_id)
    if change.requested_by == actor:
        raise rules.ProofRefused("You requested this change; another person must approve it.")
    if await _mailbox_answered(session, change):
        raise rules.MailboxAnswered
    due_at = now + rules.WAITING_TIME
    await session.execute(
        update(PendingChange).where(PendingChange.id == change_id).values(approved_by=actor, due_at=due_at)
    )
    data = {"change_id": change.id, "verb": change.verb, "requested_by": change.requested_by}
    await events.record_event(
        session, "account.change_approved", user_id=change.user_id, actor=actor, data=data, now=now
    )
    await _send_stop_links(session, change, actor=actor, now=now)
    await session.refresh(change)
    return change


async def decline_change(
    session: DatabaseSession, change_id: uuid.UUID, *, reason: str, actor: str, now: datetime
) -> None:
    """Stop a change that waits for a second person, or for its time; `reason` is one of `rules.DECLINED`.

    Raises:
        rules.UnknownChange
    """
    mine = (PendingChange.id == change_id) & PendingChange.token_id.is_(None)
    if reason not in rules.DECLINED or not await _stop(session, mine, reason=reason, actor=actor, now=now):
        raise rules.UnknownChange


async def stop_change(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Stop an approved change by a stop link; every mailbox of the customer got one.

    Raises:
        LinkInvalid
    """
    change_id = found.message.facts.get("change")
    if change_id is None:
        raise LinkInvalid
    mine = PendingChange.id == uuid.UUID(change_id)
    if not await _stop(session, mine, reason="customer", actor="customer", now=now):
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)


async def check_stoppable(session: DatabaseSession, found: TokenWithMessage) -> None:
    """Refuse a stop link whose change has ended; if it was stopped, by whatever, what the link is for is done.

    Raises:
        JustUsed, LinkInvalid
    """
    change_id = found.message.facts.get("change")
    change = None if change_id is None else await session.get(PendingChange, uuid.UUID(change_id))
    if change is None or change.done_at is not None:
        raise LinkInvalid
    if change.stopped_at is not None:
        raise JustUsed


async def stop_open_changes(
    session: DatabaseSession, user_ids: Collection[str], *, reason: str, actor: str, now: datetime
) -> None:
    """Stop every change of these accounts that is not carried out yet."""
    await _stop(session, PendingChange.user_id.in_(user_ids), reason=reason, actor=actor, now=now)


async def stop_answered_changes(session: DatabaseSession, *, now: datetime) -> None:
    """Stop the changes requested for a lost mailbox whose customer has proven a mailbox since: it is not lost."""
    waiting = select(PendingChange).where(_OPEN, PendingChange.reason.is_not(None)).with_for_update(skip_locked=True)
    for change in (await session.scalars(waiting)).all():
        if await _mailbox_answered(session, change):
            mine = PendingChange.id == change.id
            await _stop(session, mine, reason="mailbox_answered", actor="worker", now=now)


async def carry_out_due(database: Database, *, now: datetime) -> int:
    """Carry out up to 20 approved changes that are due, each in its own transaction; return how many were found.

    A change that is refused now is stopped with an event that names the problem; the others are still carried out.
    """
    await database.in_transaction(lambda session: stop_answered_changes(session, now=now))
    due = select(PendingChange.id).where(PendingChange.due_at <= now, _OPEN)
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
    waiting = select(PendingChange).where(_OPEN)
    if user_id is not None:
        waiting = waiting.where(PendingChange.user_id == user_id)
    if after is not None:
        waiting = waiting.where(tuple_(PendingChange.requested_at, PendingChange.id) > after)
    return (await session.scalars(waiting.order_by(PendingChange.requested_at, PendingChange.id).limit(limit))).all()


async def list_ended_changes(session: DatabaseSession, user_id: str, *, since: datetime) -> Sequence[PendingChange]:
    """Return changes that were carried out or stopped since then, newest first."""
    ended = func.coalesce(PendingChange.done_at, PendingChange.stopped_at)
    mine = select(PendingChange).where(PendingChange.user_id == user_id, ended > since)
    return (await session.scalars(mine.order_by(ended.desc()).limit(10))).all()


def concerned(change: PendingChange) -> list[str]:
    """Return the User ID of the customer, and that of the other one if the change is a merge."""
    others = [change.details["duplicate"]] if change.verb == "merge" and "duplicate" in change.details else []
    return [change.user_id, *map(user_ids.parse, others)]


async def _record_requested(
    session: DatabaseSession, user_id: str, verb: str, *, actor: str, now: datetime
) -> uuid.UUID:
    """Record the request of a new change, before the message about it; return the id that the change will have."""
    change_id = uuid.uuid4()
    data = {"change_id": change_id, "verb": verb}
    await events.record_event(session, "account.change_requested", user_id=user_id, actor=actor, data=data, now=now)
    return change_id


async def _add(
    session: DatabaseSession,
    change_id: uuid.UUID,
    user_id: str,
    verb: str,
    details: dict[str, Any],
    *,
    token_id: uuid.UUID | None = None,
    reason: str | None = None,
    actor: str,
    now: datetime,
) -> PendingChange:
    same = (PendingChange.user_id == user_id) & (PendingChange.verb == verb)
    await _stop(session, same, reason="replaced", actor=actor, now=now)
    row = {
        "id": change_id, "user_id": user_id, "verb": verb, "details": details, "token_id": token_id,
        "reason": reason, "requested_by": actor, "requested_at": now,
    }  # fmt: skip
    change: PendingChange = (await session.execute(insert(PendingChange).returning(PendingChange), row)).scalar_one()
    return change


async def _find_changeable(session: DatabaseSession, user_id: UserId, verb: str) -> Account:
    account = await accounts.find_account(session, user_id, lock=True)
    await accounts.check_changeable(session, account, also_closed=verb == "erase")
    return account


async def _find_unapproved(session: DatabaseSession, change_id: uuid.UUID) -> PendingChange:
    mine = select(PendingChange).where(PendingChange.id == change_id, _OPEN)
    change = await session.scalar(mine.with_for_update())
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
    mine = select(PendingChange).where(PendingChange.id == change_id, _OPEN)
    change = await session.scalar(mine.with_for_update(skip_locked=True))
    # A proof may have been used after `stop_answered_changes` looked.
    if change is not None and await _mailbox_answered(session, change):
        raise rules.MailboxAnswered
    if change is not None:
        await _carry_out(session, change, actor=change.approved_by or "worker", now=now)


async def _stop_refused(session: DatabaseSession, *, change_id: uuid.UUID, code: str, now: datetime) -> None:
    await _stop(session, PendingChange.id == change_id, reason=code, actor="worker", now=now)


async def _stop(
    session: DatabaseSession, which: ColumnElement[bool], *, reason: str, actor: str, now: datetime
) -> bool:
    """Stop the open changes that match; return whether there was one."""
    mine = update(PendingChange).where(which, _OPEN).values(stopped_at=now, stopped_by=actor, stop_reason=reason)
    stopped = (await session.execute(mine.returning(PendingChange.id, PendingChange.user_id))).all()
    for change_id, user_id in stopped:
        data = {"change_id": change_id, "reason": reason}
        await events.record_event(session, "account.change_stopped", user_id=user_id, actor=actor, data=data, now=now)
    return bool(stopped)


async def _send_stop_links(session: DatabaseSession, change: PendingChange, *, actor: str, now: datetime) -> None:
    """Send a stop link to every mailbox of the customer, and of the other customer if the change is a merge."""
    for user_id in concerned(change):
        is_own = user_id == change.user_id
        target = rules.describe_target(change.verb, change.details) if is_own else user_ids.show(change.user_id)
        facts = {"verb": change.verb, "target": target, "change": str(change.id)}
        for mailbox in await ownership.mailboxes_of(session, user_id, recent_at=now):
            await one_time_tokens.send_token(
                session, "stop", kind="stop_link", to=mailbox.address, user_id=user_id, locale=mailbox.locale,
                facts=facts, cause="account.change_approved", actor=actor, now=now,
            )  # fmt: skip


async def _mailbox_answered(session: DatabaseSession, change: PendingChange) -> bool:
    """Return whether a mailbox of those concerned was proven since a change was requested because it was lost."""
    if change.reason is None:
        return False
    hashes: list[bytes] = []
    for user_id in concerned(change):
        hashes += await ownership.mailbox_hashes_of(session, user_id, recent_at=change.requested_at)
    return await one_time_tokens.was_proven(session, hashes, since=change.requested_at)


_OPEN = PendingChange.done_at.is_(None) & PendingChange.stopped_at.is_(None)
