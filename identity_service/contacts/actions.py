"""Open a contact, write into it, hand it on, close it."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.contacts import rules
from identity_service.contacts.tables import Contact, ContactEntry
from identity_service.database import AsyncSession, settings_of
from identity_service.events import actions as events
from identity_service.events import looks
from identity_service.user_ids import UserId


class Whole(NamedTuple):
    """A contact with everything that happened in it, in order."""

    contact: Contact
    entries: Sequence[ContactEntry]


async def begin(
    session: AsyncSession, user_id: UserId | None, *, desk: str, words: str | None, by: str, now: datetime
) -> Contact:
    """Open a contact with a caller, with or without a User ID.

    Raises:
        rules.UnknownDesk; accounts.rules.UnknownUserId
    """
    _check_desk(session, desk)
    known = None if user_id is None else (await accounts.current(session, user_id)).user_id
    contact = await _numbered(session, {"user_id": known, "desk": desk, "opened_by": by, "opened_at": now})
    await write(session, contact, "opened", words, by=by, now=now)
    data = {"contact": contact.number, "desk": desk}
    await events.record(session, "contact.opened", user_id=known, actor=by, data=data, now=now)
    return contact


async def find(session: AsyncSession, number: str, *, lock: bool = False) -> Contact:
    """Return a contact by its number, in any readable form.

    Raises:
        rules.UnknownContact
    """
    symbols = user_ids.read_symbols(number[:40])
    if "\0" in symbols:
        # PostgreSQL keeps no NUL: there is no such number, and asking for it would be an error of ours.
        raise rules.UnknownContact
    wanted = select(Contact).where(Contact.number == symbols)
    contact = await session.scalar(wanted.with_for_update() if lock else wanted)
    if contact is None:
        raise rules.UnknownContact
    return contact


async def whole(session: AsyncSession, number: str, *, limit: int = 200) -> Whole:
    """Return a contact with what happened in it, the newest 200 entries.

    Raises:
        rules.UnknownContact
    """
    contact = await find(session, number)
    newest = select(ContactEntry).where(ContactEntry.contact_id == contact.id).order_by(ContactEntry.id.desc())
    return Whole(contact, list(reversed((await session.scalars(newest.limit(limit))).all())))


async def listing(
    session: AsyncSession, *, user_ids: Sequence[str] | None = None, desk: str | None = None, limit: int
) -> Sequence[Contact]:
    """Return contacts, newest first: of one customer, or those open at a desk."""
    wanted = select(Contact)
    if user_ids is not None:
        wanted = wanted.where(Contact.user_id.in_(user_ids))
    if desk is not None:
        wanted = wanted.where(Contact.desk == desk, Contact.closed_at.is_(None))
    return (await session.scalars(wanted.order_by(Contact.opened_at.desc()).limit(limit))).all()


async def note(session: AsyncSession, number: str, words: str, *, by: str, now: datetime) -> Contact:
    """Write down what was said.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    await write(session, contact, "note", words, by=by, now=now)
    return contact


async def attach(session: AsyncSession, number: str, user_id: UserId, *, by: str, now: datetime) -> Contact:
    """Say whose contact this is: the caller has a User ID now. What was said of one customer stays his.

    Raises:
        rules.UnknownContact, ContactClosed, AnothersContact; accounts.rules.UnknownUserId
    """
    contact = await _open(session, number)
    account = await accounts.current(session, user_id)
    if contact.user_id is not None and contact.user_id not in await merges.chain(session, user_id):
        raise rules.AnothersContact
    if contact.user_id != account.user_id:
        await session.execute(update(Contact).where(Contact.id == contact.id).values(user_id=account.user_id))
        await write(session, contact, "did", f"User ID {user_ids.show(account.user_id)}", by=by, now=now)
    return await find(session, number)


async def look(session: AsyncSession, number: str, user_id: UserId, reason: str, *, by: str, now: datetime) -> Contact:
    """Open a customer's account in a contact, for a reason that he can read (PHN-13).

    Raises:
        rules.UnknownContact, ContactClosed, AnothersContact; accounts.rules.UnknownUserId; events.rules.ReasonMissing
    """
    contact = await attach(session, number, user_id, by=by, now=now)
    assert contact.user_id is not None  # noqa: S101
    await looks.look(
        session, contact.user_id, actor=by, desk=contact.desk, contact=contact.number, reason=reason, now=now
    )
    return contact


async def hand_over(
    session: AsyncSession, number: str, desk: str, words: str | None, *, by: str, now: datetime
) -> Contact:
    """Hand a contact to another desk; what is known and verified goes with it.

    Raises:
        rules.UnknownContact, ContactClosed, UnknownDesk
    """
    _check_desk(session, desk)
    contact = await _open(session, number)
    await write(session, contact, "handed_over", words, by=by, now=now)
    waited_s = rules.waited(contact.waited_s, contact.waiting_since, now)
    values = {"desk": desk, "waiting_since": now, "waited_s": waited_s, "hand_overs": Contact.hand_overs + 1}
    await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
    data = {"contact": contact.number, "from": contact.desk, "to": desk, "hand_overs": contact.hand_overs + 1}
    await events.record(session, "contact.handed_over", user_id=contact.user_id, actor=by, data=data, now=now)
    await session.refresh(contact)
    return contact


async def pick_up(session: AsyncSession, number: str, *, by: str, now: datetime) -> Contact:
    """Take up a contact that was handed over; how long the caller waited is added up.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    if contact.waiting_since is not None:
        values = {"waiting_since": None, "waited_s": rules.waited(contact.waited_s, contact.waiting_since, now)}
        await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
        await write(session, contact, "picked_up", None, by=by, now=now)
        await session.refresh(contact)
    return contact


async def close(session: AsyncSession, number: str, words: str | None, *, by: str, now: datetime) -> Contact:
    """Close a contact.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    await write(session, contact, "closed", words, by=by, now=now)
    waited_s = rules.waited(contact.waited_s, contact.waiting_since, now)
    values = {"closed_at": now, "waiting_since": None, "waited_s": waited_s}
    await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
    data = {"contact": contact.number}
    await events.record(session, "contact.closed", user_id=contact.user_id, actor=by, data=data, now=now)
    await session.refresh(contact)
    return contact


async def write(
    session: AsyncSession, contact: Contact, what: str, words: str | None, *, by: str, now: datetime
) -> None:
    """Add an entry to a contact."""
    row = {"contact_id": contact.id, "at": now, "by": by, "desk": contact.desk, "what": what, "words": words}
    await session.execute(insert(ContactEntry), row)


async def _numbered(session: AsyncSession, row: dict[str, Any]) -> Contact:
    """Add a contact under a number that nobody has: with a million of them, one draw in 150 is taken already."""
    while True:
        number = "".join(secrets.choice(user_ids.ALPHABET) for _ in range(rules.NUMBER_LENGTH))
        new = insert(Contact).values(id=uuid.uuid4(), number=number, **row)
        contact: Contact | None = await session.scalar(
            new.on_conflict_do_nothing(index_elements=["number"]).returning(Contact)
        )
        if contact is not None:
            return contact


async def _open(session: AsyncSession, number: str) -> Contact:
    contact = await find(session, number, lock=True)
    if contact.closed_at is not None:
        raise rules.ContactClosed
    return contact


def _check_desk(session: AsyncSession, desk: str) -> None:
    desks = settings_of(session).desks
    if desk not in desks:
        raise rules.UnknownDesk(known=list(desks))
