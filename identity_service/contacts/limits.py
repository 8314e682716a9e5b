"""When no check may be started, by which methods a caller can be checked, and the alarms of failed checks."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts.rules import NoEmail
from identity_service.accounts.tables import Account
from identity_service.contacts import rules, support_codes
from identity_service.contacts.tables import CallerCheck, CallerPreference, Contact
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.values import secret_codes
from identity_service.web.rate_limits import RateLimiter, TooManyRequests


class _Day(NamedTuple):
    """The checks of an account in the past day, oldest first, and whether its customer wants strong methods alone."""

    checks: Sequence[CallerCheck]
    strict: bool


class MethodState(NamedTuple):
    """A method, and why it cannot be used now; None if it can."""

    method: rules.Method
    why_not: Problem | None


async def check_start(
    session: DatabaseSession, user_id: str, contact: Contact, method: rules.Method, *, may_weaken: bool, now: datetime
) -> None:
    """Refuse a check that may not be started now.

    Raises:
        rules.ChecksDenied, CallerMethodRefused, WeakerMethod, AskPaused; TooManyRequests
    """
    refused = _why_not(await _load_day(session, user_id, now=now), contact, method, may_weaken=may_weaken, now=now)
    if refused is not None:
        raise refused


async def list_methods(session: DatabaseSession, contact: Contact, *, now: datetime) -> list[MethodState]:
    """Return the methods by which the customer of a contact can be checked, by what the account has; nothing is said of
    whether somebody is there to answer (SUP-10)."""
    if contact.user_id is None:
        return []
    known = select(Account.email).where(Account.user_id == contact.user_id, Account.state == "active")
    account = (await session.execute(known)).one_or_none()
    if account is None:
        return []
    day = await _load_day(session, contact.user_id, now=now)
    has_number = await phone_numbers.find_confirmed_number(session, contact.user_id, now=now) is not None
    missing = {"email": NoEmail() if account.email is None else None, "text": None if has_number else rules.NoNumber()}
    return [
        MethodState(method, missing.get(method) or _why_not(day, contact, method, may_weaken=False, now=now))
        for method in rules.OFFERED
        if method != "text" or session.settings.text_regions
    ]


async def _load_day(session: DatabaseSession, user_id: str, *, now: datetime) -> _Day:
    mine = select(CallerCheck).where(CallerCheck.user_id == user_id, CallerCheck.requested_at > now - rules.DAY)
    checks = (await session.scalars(mine.order_by(CallerCheck.requested_at))).all()
    return _Day(checks, await prefers_strong(session, user_id))


def _why_not(day: _Day, contact: Contact, method: rules.Method, *, may_weaken: bool, now: datetime) -> Problem | None:
    """Return why a check may not be started now, None if it may.

    A limit per clerk is not enough: a desk tool can name any number of clerks, each with three tries (PHN-12).
    """
    if any(one.denied_at is not None for one in day.checks):
        return rules.ChecksDenied()
    if method not in rules.STRONG:
        if day.strict:
            return rules.CallerMethodRefused()
        strong = [one for one in day.checks if one.method in rules.STRONG and one.answered_at is not None]
        if not may_weaken and strong and strong[-1].matched is False:
            return rules.WeakerMethod()
    if method == "on_screen" and _is_paused([one for one in day.checks if one.method == method], contact, now=now):
        return rules.AskPaused()
    recent = [one.requested_at for one in day.checks if one.requested_at > now - rules.COUNTED_FOR]
    if len(recent) >= rules.CHECKS_PER_ACCOUNT:
        return TooManyRequests(retry_after=max(1, ceil((recent[0] + rules.COUNTED_FOR - now).total_seconds())))
    return None


def _is_paused(asks: Sequence[CallerCheck], contact: Contact, *, now: datetime) -> bool:
    recent = [one for one in asks if now - one.requested_at < rules.PAUSE]
    silences = [one for one in recent if one.answered_at is None and now - one.requested_at > rules.ASK_LIFETIME]
    in_contact = [one for one in asks if one.contact_id == contact.id]
    refused = any(one.matched is False for one in recent)
    return refused or len(silences) >= 2 or len(asks) >= rules.ASKS_PER_DAY or len(in_contact) >= rules.ASKS_PER_CONTACT


async def prefers_strong(session: DatabaseSession, user_id: str) -> bool:
    """Return whether a customer chose to be verified by support code or on screen alone (SUP-12)."""
    return await session.get(CallerPreference, user_id) is not None


async def set_preference(session: DatabaseSession, user_id: str, *, strict: bool, now: datetime) -> None:
    """Let desks verify a customer by support code or on screen alone, or by every method again."""
    if strict:
        new = insert(CallerPreference).values(user_id=user_id, chosen_at=now)
        await session.execute(new.on_conflict_do_nothing())
    else:
        await session.execute(delete(CallerPreference).where(CallerPreference.user_id == user_id))


async def count_answer(
    session: DatabaseSession,
    throttle: RateLimiter,
    check_id: uuid.UUID,
    typed: str,
    *,
    clerk: str,
    client: str | None = None,
) -> None:
    """Count an answer to a check by support code for the clerk, and for the desk tool (SUP-02); a recovery code is
    refused, and not kept (REC-29).

    Raises:
        values.secret_codes.RecoveryCodeSpoken, TooManyRequests
    """
    secret_codes.refuse_recovery_code(typed)
    check = await session.get(CallerCheck, check_id)
    if check is None or check.method != "support_code":
        return
    await throttle.hit("support-code", rules.SUPPORT_TRIES_PER_CLERK, clerk)
    if client is not None:
        await throttle.hit("support-code-client", rules.SUPPORT_TRIES_PER_CLIENT, client)


async def list_warnings(session: DatabaseSession, user_id: str | None, *, now: datetime) -> list[rules.Warned]:
    """Return what every desk must know of an account for a day (SUP-05, SUP-11)."""
    if user_id is None:
        return []
    found = await list_failed(session, user_id, now=now)
    said: tuple[tuple[rules.Warned, bool], ...] = (
        ("check_failed", any(one.matched is False for one in found)),
        ("call_denied", any(one.denied_at is not None for one in found)),
        ("unexpected_call", await support_codes.was_called(session, user_id, within=rules.DAY, now=now)),
    )
    return [warned for warned, is_so in said if is_so]


async def raise_alarms(session: DatabaseSession, check: CallerCheck, *, now: datetime) -> None:
    """Record an alarm when an account has its third failed check of a day, or a clerk their fifth account of an hour
    with one (SUP-11)."""
    failed = CallerCheck.matched.is_(False)
    of_account = select(func.count()).where(
        CallerCheck.user_id == check.user_id, failed, CallerCheck.answered_at > now - rules.DAY
    )
    of_clerk = select(func.count(CallerCheck.user_id.distinct())).where(
        CallerCheck.clerk == check.clerk, failed, CallerCheck.answered_at > now - timedelta(hours=1)
    )
    alarms = (("account", of_account, rules.FAILURES_ALARM), ("clerk", of_clerk, rules.ACCOUNTS_ALARM))
    for about, counted, most in alarms:
        if await session.scalar(counted) == most:
            data = {"about": about, "clerk": check.clerk}
            await events.record_event(
                session, "caller.check_alarm", user_id=check.user_id, actor="service", data=data, now=now
            )


async def list_failed(session: DatabaseSession, user_id: str, *, now: datetime) -> list[CallerCheck]:
    """Return the checks of an account that failed or were denied in the past day, for every desk (SUP-11)."""
    bad = CallerCheck.matched.is_(False) | CallerCheck.denied_at.is_not(None)
    mine = select(CallerCheck).where(CallerCheck.user_id == user_id, bad, CallerCheck.requested_at > now - rules.DAY)
    return list((await session.scalars(mine.order_by(CallerCheck.requested_at.desc()))).all())
