"""A clerk's question on the customer's own screen: they type the number that the clerk reads out, or say that it is not
them (SUP-07, SUP-08)."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import or_, select, update

from identity_service.contacts import rules, support_codes
from identity_service.contacts.tables import CallerCheck, Contact
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.one_time_tokens import rules as token_rules
from identity_service.values import pasted


class Call(NamedTuple):
    """A check as its customer sees it, with its contact."""

    check: CallerCheck
    contact: Contact


def random_values(session: DatabaseSession) -> dict[str, Any]:
    """Return the columns that words and number of a new ask are derived from."""
    return {"nonce": secrets.token_bytes(16), "key_id": session.keys.link_key()[0]}


def digits_of(session: DatabaseSession, check: CallerCheck) -> str:
    """Return the three digits that the clerk reads out, for the clerk's page and the comparison."""
    return rules.screen_digits(*_derived(session, check))


def phrase_of(session: DatabaseSession, check: CallerCheck) -> str:
    """Return the two words that the clerk says first."""
    return rules.phrase(*_derived(session, check), "on_screen")


async def find_ask(session: DatabaseSession, user_id: str, *, now: datetime) -> Call | None:
    """Return the question that waits for an answer on this customer's screen, or None."""
    mine = select(CallerCheck, Contact).join(Contact, Contact.id == CallerCheck.contact_id).where(
        CallerCheck.user_id == user_id, CallerCheck.method == "on_screen", CallerCheck.answered_at.is_(None),
        CallerCheck.denied_at.is_(None), CallerCheck.requested_at > now - rules.ASK_LIFETIME,
        Contact.closed_at.is_(None),
    )  # fmt: skip
    row = (await session.execute(mine.order_by(CallerCheck.requested_at.desc()).limit(1))).one_or_none()
    return None if row is None else Call(*row)


async def answer_ask(
    session: DatabaseSession, user_id: str, digits: str, *, method: str, since: datetime, now: datetime
) -> tuple[CallerCheck, bool]:
    """Answer the question with the number that the clerk read out, once; return the check, and whether it matched.
    `method` and `since` are those of the customer's session.

    Raises:
        rules.CannotAnswer, rules.NothingAsked
    """
    if method not in rules.ANSWERING:
        raise rules.CannotAnswer
    found = await find_ask(session, user_id, now=now)
    if found is None:
        raise rules.NothingAsked
    typed = pasted.read_digits(digits)
    matched = token_rules.constant_time_equal(typed, digits_of(session, found.check))
    mine = update(CallerCheck).where(CallerCheck.id == found.check.id, CallerCheck.answered_at.is_(None))
    values = {"matched": matched, "answered_at": now, "tries": 1, "session_method": method, "session_since": since}
    answered: CallerCheck | None = await session.scalar(mine.values(values).returning(CallerCheck))
    if answered is None:
        raise rules.NothingAsked
    return answered, matched


async def deny_calls(session: DatabaseSession, user_ids: Sequence[str], *, now: datetime) -> int:
    """End every verification of this customer of the past day: the calls were not theirs. Desks verify nobody for a
    day, and every mailbox is told (SUP-07); return how many checks ended."""
    mine = update(CallerCheck).where(
        CallerCheck.user_id.in_(user_ids), CallerCheck.requested_at > now - rules.DAY, CallerCheck.denied_at.is_(None)
    )
    denied = (await session.scalars(mine.values(denied_at=now).returning(CallerCheck.id))).all()
    if not denied:
        return 0
    await support_codes.end_code(session, user_ids[0], now=now)
    data = {"checks": len(denied)}
    await events.record_event(session, "caller.denied", user_id=user_ids[0], actor="customer", data=data, now=now)
    await credentials.notify_mailboxes(
        session, "call_denied", [user_ids[0]], cause="caller.denied", actor="customer", now=now
    )
    return len(denied)


async def list_calls(session: DatabaseSession, user_ids: Sequence[str], *, limit: int = 20) -> list[Call]:
    """Return the checks of this customer that were answered, newest first: who, at which desk, how and what for
    (SUP-14)."""
    answered = or_(CallerCheck.answered_at.is_not(None), CallerCheck.denied_at.is_not(None))
    mine = select(CallerCheck, Contact).join(Contact, Contact.id == CallerCheck.contact_id)
    mine = mine.where(CallerCheck.user_id.in_(user_ids), answered).order_by(CallerCheck.requested_at.desc())
    return [Call(*row) for row in (await session.execute(mine.limit(limit))).all()]


def _derived(session: DatabaseSession, check: CallerCheck) -> tuple[bytes, bytes]:
    assert check.nonce is not None  # noqa: S101
    assert check.key_id is not None  # noqa: S101
    return session.keys.link_key(check.key_id)[1], check.nonce
