"""Remove a lost app from the first step of a sign-in alone: after 72 hours in which every mailbox, the app itself, or
whatever ends sessions can stop it (SFA-08)."""

from datetime import datetime
from functools import partial

from sqlalchemy import select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import JustUsed, LinkInvalid
from identity_service.second_factors import actions, rules
from identity_service.second_factors.tables import SecondFactor
from identity_service.values.user_ids import UserId


async def find_due(session: DatabaseSession, user_id: str) -> datetime | None:
    """Return when this customer's app will be removed, None if nobody asked for it."""
    factor = await actions.find_factor(session, user_id)
    return None if factor is None or factor.removal_asked_at is None else factor.removal_asked_at + rules.REMOVAL_WAITS


async def ask_removal(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """Begin the waiting time, and send every mailbox of the customer a link that stops it. Asking again changes
    nothing. The caller has seen a first factor.

    Raises:
        rules.NoSecondFactor
        rules.NobodyToTell: the account has no mailbox.
    """
    factor = await actions.find_factor(session, user_id)
    if factor is None:
        raise rules.NoSecondFactor
    mailboxes = await ownership.mailboxes_of(session, user_id, recent_at=now)
    if not mailboxes:
        raise rules.NobodyToTell
    mine = update(SecondFactor).where(SecondFactor.user_id == factor.user_id, SecondFactor.removal_asked_at.is_(None))
    begun = await session.scalar(mine.values(removal_asked_at=now).returning(SecondFactor.user_id))
    if begun is None:
        return
    name = "second_factor.removal_requested"
    await events.record_event(session, name, user_id=user_id, actor="customer", now=now)
    for one in mailboxes:
        await one_time_tokens.send_token(
            session, "keep_factor", kind="second_factor_lost", to=one.address, user_id=user_id, locale=one.locale,
            cause=name, actor="customer", now=now,
        )  # fmt: skip


async def stop_by_link(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Stop the removal by the link that a mailbox got.

    Raises:
        LinkInvalid
    """
    factor = await _asked(session, found)
    if factor is None or not await stop_removal(session, factor.user_id, actor="customer", now=now):
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)


async def check_waits(session: DatabaseSession, found: TokenWithMessage) -> None:
    """Refuse a link whose removal has ended; if the app stayed, what the link is for is done.

    Raises:
        JustUsed, LinkInvalid
    """
    factor = await _asked(session, found)
    if factor is None:
        raise LinkInvalid
    if factor.removal_asked_at is None:
        raise JustUsed


async def remove_due(database: Database, *, now: datetime) -> int:
    """Remove the apps whose waiting time has passed, each in its own transaction; return how many were due."""
    due = select(SecondFactor.user_id).where(SecondFactor.removal_asked_at <= now - rules.REMOVAL_WAITS).limit(100)
    async with database.transaction() as session:
        owners = (await session.scalars(due)).all()
    for owner in owners:
        await database.in_transaction(partial(_remove_one, owner=owner, now=now))
    return len(owners)


async def _remove_one(session: DatabaseSession, *, owner: str, now: datetime) -> None:
    """Remove the app, unless its account has ended, another app counts by now, or what ends sessions happened since
    somebody asked: a reset, a sign-out everywhere, another credential."""
    try:
        account = await accounts.find_active_account(session, UserId(owner), lock=True)
    except (account_rules.AccountErased, account_rules.UnknownUserId):
        return
    mine = select(SecondFactor).where(
        SecondFactor.user_id == owner, SecondFactor.removal_asked_at <= now - rules.REMOVAL_WAITS
    )
    factor = await session.scalar(mine.with_for_update())
    if factor is None or factor.removal_asked_at is None:
        return
    counts, ended_at = await actions.find_factor(session, account.user_id), account.tokens_valid_after
    is_over = account.state != "active" or counts is None or counts.user_id != owner
    if is_over or (ended_at is not None and ended_at > factor.removal_asked_at):
        await stop_removal(session, owner, actor="worker", now=now)
    else:
        await actions.remove_factor(session, account.user_id, actor="worker", now=now)


async def _asked(session: DatabaseSession, found: TokenWithMessage) -> SecondFactor | None:
    """Return the app that a link is about, None if it or its account has ended."""
    try:
        account = await accounts.find_active_account(session, UserId(found.token.user_id or ""))
    except (account_rules.AccountErased, account_rules.UnknownUserId):
        return None
    return await actions.find_factor(session, account.user_id) if account.state == "active" else None


async def stop_removal(session: DatabaseSession, owner: str, *, actor: str, now: datetime) -> bool:
    """End a removal that waits for its 72 hours; return whether there was one."""
    mine = update(SecondFactor).where(SecondFactor.user_id == owner, SecondFactor.removal_asked_at.is_not(None))
    stopped = await session.scalar(mine.values(removal_asked_at=None).returning(SecondFactor.user_id))
    if stopped is not None:
        name = "second_factor.removal_stopped"
        await events.record_event(session, name, user_id=owner, actor=actor, now=now)
    return stopped is not None
