"""Codes that a customer who has proven themselves reads out to a clerk; found by account and code, never by the code
alone (SUP-01)."""

import secrets
import uuid
from datetime import datetime, timedelta

from sqlalchemy import func, insert, select, update

from identity_service.contacts import rules
from identity_service.contacts.tables import CallerCheck, SupportCode
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.one_time_tokens import rules as token_rules
from identity_service.values import secret_codes

_LABEL = "support_code"
_CURRENT = SupportCode.used_at.is_(None) & SupportCode.ended_at.is_(None)


async def make_code(
    session: DatabaseSession, user_id: str, *, method: str, since: datetime, now: datetime
) -> SupportCode:
    """Make a code in the place of the one before, valid for ten minutes. `method` and `since`: how and when whoever
    asks has proven themselves.

    Raises:
        rules.UnexpectedCall
    """
    if await was_called(session, user_id, within=rules.UNEXPECTED_FOR, now=now):
        raise rules.UnexpectedCall
    await end_code(session, user_id, now=now)
    row = _row(session, user_id, method, since, now)
    made: SupportCode = (await session.execute(insert(SupportCode).returning(SupportCode), row)).scalar_one()
    data = {"by": method}
    await events.record_event(session, "support_code.created", user_id=user_id, actor="customer", data=data, now=now)
    return made


async def end_code(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """End the code of an account that can still be read out."""
    await session.execute(update(SupportCode).where(SupportCode.user_id == user_id, _CURRENT).values(ended_at=now))


async def note_unexpected_call(
    session: DatabaseSession, user_id: str, *, method: str, since: datetime, now: datetime
) -> None:
    """Note that somebody called the customer and says that they are us: no code for an hour, and every desk sees it for
    a day (SUP-05)."""
    await end_code(session, user_id, now=now)
    row = {**_row(session, user_id, method, since, now), "unexpected": True, "ended_at": now}
    await session.execute(insert(SupportCode), row)
    await events.record_event(session, "caller.unexpected_call", user_id=user_id, actor="customer", now=now)


async def was_called(session: DatabaseSession, user_id: str, *, within: timedelta, now: datetime) -> bool:
    """Return whether a customer has said within this time that somebody called them."""
    noted = select(SupportCode.id).where(
        SupportCode.user_id == user_id, SupportCode.unexpected, SupportCode.created_at > now - within
    )
    return await session.scalar(noted.limit(1)) is not None


async def find_code(session: DatabaseSession, user_id: str, *, now: datetime) -> SupportCode | None:
    """Return the code of an account that can be read out now, or None."""
    mine = select(SupportCode).where(SupportCode.user_id == user_id, _CURRENT, SupportCode.expires_at > now)
    found: SupportCode | None = await session.scalar(mine.execution_options(populate_existing=True))
    return found


def code_of(session: DatabaseSession, code: SupportCode) -> str:
    """Return the symbols of a code, for its owner's page and for the comparison; never shown to staff."""
    return rules.support_code(session.keys.link_key(code.key_id)[1], code.nonce)


def phrase_of(session: DatabaseSession, code: SupportCode) -> str:
    """Return the two words that the clerk says first (SUP-06)."""
    return rules.phrase(session.keys.link_key(code.key_id)[1], code.nonce, _LABEL)


async def count_try(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """Count a try at the account's code, before it is compared.

    Raises:
        rules.CheckEnded: the account has had its five wrong codes of a day.
    """
    wrong = select(func.coalesce(func.sum(CallerCheck.tries), 0)).where(
        CallerCheck.user_id == user_id, CallerCheck.method == "support_code",
        CallerCheck.requested_at > now - rules.DAY, CallerCheck.matched.is_not(True),
    )  # fmt: skip
    if (await session.scalar(wrong) or 0) >= rules.SUPPORT_TRIES_PER_ACCOUNT:
        raise rules.CheckEnded
    mine = update(SupportCode).where(SupportCode.user_id == user_id, _CURRENT)
    await session.execute(mine.values(tries=SupportCode.tries + 1))


async def use_code(session: DatabaseSession, user_id: str, typed: str, *, now: datetime) -> SupportCode | None:
    """Use up the account's code if it is this one and has tries left: of several at once one succeeds. The third wrong
    try ends it."""
    found = await find_code(session, user_id, now=now)
    if found is None or found.tries > rules.TRIES:
        return None
    try:
        code = secret_codes.read(typed, secret_codes.SUPPORT)
    except secret_codes.MalformedCode:
        code = ""
    if not token_rules.constant_time_equal(code, code_of(session, found)):
        if found.tries >= rules.TRIES:
            await end_code(session, user_id, now=now)
        return None
    mine = update(SupportCode).where(SupportCode.id == found.id, _CURRENT)
    used: SupportCode | None = await session.scalar(mine.values(used_at=now).returning(SupportCode))
    return used


def _row(session: DatabaseSession, user_id: str, method: str, since: datetime, now: datetime) -> dict[str, object]:
    return {
        "id": uuid.uuid4(), "user_id": user_id, "nonce": secrets.token_bytes(16), "key_id": session.keys.link_key()[0],
        "session_method": method, "session_since": since, "created_at": now,
        "expires_at": now + rules.SUPPORT_CODE_LIFETIME,
    }  # fmt: skip
