"""Open a contact, add notes, attach an account, hand it over, close it."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.account_access import actions as account_access
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.contacts import rules
from identity_service.contacts.tables import Contact, ContactEntry
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.values import secret_codes
from identity_service.values import user_ids as values_user_ids
from identity_service.values.user_ids import UserId


class ContactWithEntries(NamedTuple):
    """A contact with everything that happened in it, in order."""

    contact: Contact
    entries: Sequence[ContactEntry]


async def open_contact(
    session: DatabaseSession, user_id: UserId | None, *, desk: str, note: str | None, actor: str, now: datetime
) -> Contact:
    """Open a contact with a caller, with or without a User ID.

    Raises:
        rules.UnknownDesk; accounts.rules.UnknownUserId
    """
    _check_desk(session, desk)
    known = None if user_id is None else (await accounts.find_active_account(session, user_id)).user_id
    contact = await _insert_numbered(session, {"user_id": known, "desk": desk, "opened_by": actor, "opened_at": now})
    await add_entry(session, contact, "opened", note, actor=actor, now=now)
    data = {"contact": contact.number, "desk": desk}
    await events.record_event(session, "contact.opened", user_id=known, actor=actor, data=data, now=now)
    return contact


async def find_contact(session: DatabaseSession, number: str, *, lock: bool = False) -> Contact:
    """Return a contact by its number, in any readable form.

    Raises:
        rules.UnknownContact
    """
    symbols = values_user_ids.read_symbols(number[:40], rules.NUMBER_LENGTH)
    if "\0" in symbols:
        # PostgreSQL cannot store NUL, so no such number exists; the query would fail with a server error.
        raise rules.UnknownContact
    wanted = select(Contact).where(Contact.number == symbols)
    contact = await session.scalar(wanted.with_for_update() if lock else wanted)
    if contact is None:
        raise rules.UnknownContact
    return contact


async def load_contact(session: DatabaseSession, number: str, *, limit: int = 200) -> ContactWithEntries:
    """Return a contact with its newest `limit` entries, oldest first.

    Raises:
        rules.UnknownContact
    """
    contact = await find_contact(session, number)
    newest = select(ContactEntry).where(ContactEntry.contact_id == contact.id).order_by(ContactEntry.id.desc())
    return ContactWithEntries(contact, list(reversed((await session.scalars(newest.limit(limit))).all())))


async def list_contacts(
    session: DatabaseSession,
    *,
    user_ids: Sequence[str] | None = None,
    desk: str | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[Contact]:
    """Return contacts, newest first: those of one customer, or those open at a desk; `before` is the last one seen."""
    wanted = select(Contact)
    if before is not None:
        wanted = wanted.where(tuple_(Contact.opened_at, Contact.id) < before)
    if user_ids is not None:
        wanted = wanted.where(Contact.user_id.in_(user_ids))
    if desk is not None:
        wanted = wanted.where(Contact.desk == desk, Contact.closed_at.is_(None))
    return (await session.scalars(wanted.order_by(Contact.opened_at.desc(), Contact.id.desc()).limit(limit))).all()


async def add_note(session: DatabaseSession, number: str, note: str, *, actor: str, now: datetime) -> Contact:
    """Add a note to an open contact.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    await add_entry(session, contact, "note", note, actor=actor, now=now)
    return contact


async def attach_account(
    session: DatabaseSession, number: str, user_id: UserId, *, actor: str, now: datetime
) -> Contact:
    """Attach a customer's account to a contact. A contact never moves to another customer, because its notes stay.

    Raises:
        rules.UnknownContact, ContactClosed, ContactOfOtherCustomer; accounts.rules.UnknownUserId
    """
    contact = await _open(session, number)
    account = await accounts.find_active_account(session, user_id)
    if contact.user_id is not None and contact.user_id not in await ownership.user_ids_of(session, user_id):
        raise rules.ContactOfOtherCustomer
    if contact.user_id != account.user_id:
        await session.execute(update(Contact).where(Contact.id == contact.id).values(user_id=account.user_id))
        await add_entry(
            session, contact, "did", f"User ID {values_user_ids.show(account.user_id)}", actor=actor, now=now
        )
    return await find_contact(session, number)


async def open_account(
    session: DatabaseSession, number: str, user_id: UserId, reason: str, *, actor: str, now: datetime
) -> Contact:
    """Open a customer's account in a contact, for a reason that the customer can read (PHN-13).

    Raises:
        rules.UnknownContact, ContactClosed, ContactOfOtherCustomer; accounts.rules.UnknownUserId;
        account_access.rules.ReasonMissing
    """
    contact = await attach_account(session, number, user_id, actor=actor, now=now)
    assert contact.user_id is not None  # noqa: S101
    await account_access.record_access(
        session, contact.user_id, actor=actor, desk=contact.desk, contact=contact.number, reason=reason, now=now
    )
    return contact


async def hand_over(
    session: DatabaseSession, number: str, desk: str, note: str | None, *, actor: str, now: datetime
) -> Contact:
    """Hand a contact over to another desk; notes and verification stay valid there.

    Raises:
        rules.UnknownContact, ContactClosed, UnknownDesk, AlreadyAtDesk
    """
    _check_desk(session, desk)
    contact = await _open(session, number)
    if contact.desk == desk:
        raise rules.AlreadyAtDesk
    await add_entry(session, contact, "handed_over", note, actor=actor, now=now)
    waited_s = rules.waited(contact.waited_s, contact.waiting_since, now)
    values = {"desk": desk, "waiting_since": now, "waited_s": waited_s, "hand_overs": contact.hand_overs + 1}
    # Before the UPDATE: it refreshes the object, which then has the new desk.
    data = {"contact": contact.number, "from": contact.desk, "to": desk, "hand_overs": values["hand_overs"]}
    await events.record_event(session, "contact.handed_over", user_id=contact.user_id, actor=actor, data=data, now=now)
    await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
    await session.refresh(contact)
    return contact


async def pick_up(session: DatabaseSession, number: str, *, actor: str, now: datetime) -> Contact:
    """Pick up a contact that was handed over, and add the wait to `waited_s`.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    if contact.waiting_since is not None:
        values = {"waiting_since": None, "waited_s": rules.waited(contact.waited_s, contact.waiting_since, now)}
        await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
        await add_entry(session, contact, "picked_up", None, actor=actor, now=now)
        await session.refresh(contact)
    return contact


async def close_contact(
    session: DatabaseSession, number: str, note: str | None, *, actor: str, now: datetime
) -> Contact:
    """Close a contact, with an optional note.

    Raises:
        rules.UnknownContact, ContactClosed
    """
    contact = await _open(session, number)
    await add_entry(session, contact, "closed", note, actor=actor, now=now)
    waited_s = rules.waited(contact.waited_s, contact.waiting_since, now)
    values = {"closed_at": now, "waiting_since": None, "waited_s": waited_s}
    await session.execute(update(Contact).where(Contact.id == contact.id).values(values))
    data = {"contact": contact.number}
    await events.record_event(session, "contact.closed", user_id=contact.user_id, actor=actor, data=data, now=now)
    await session.refresh(contact)
    return contact


async def add_entry(
    session: DatabaseSession, contact: Contact, kind: str, note: str | None, *, actor: str, now: datetime
) -> None:
    """Add an entry of one of `rules.ENTRY_KINDS` to a contact.

    Raises:
        values.secret_codes.RecoveryCodeSpoken: the note has a recovery code in it; it is not kept (REC-29).
    """
    secret_codes.refuse_recovery_code(note or "")
    row = {
        "contact_id": contact.id,
        "occurred_at": now,
        "actor": actor,
        "desk": contact.desk,
        "kind": kind,
        "note": note,
    }
    await session.execute(insert(ContactEntry), row)


async def _insert_numbered(session: DatabaseSession, row: dict[str, Any]) -> Contact:
    """Add a contact under a random free number; with a million contacts, one draw in 150 is taken and repeated."""
    while True:
        number = "".join(secrets.choice(values_user_ids.ALPHABET) for _ in range(rules.NUMBER_LENGTH))
        new = insert(Contact).values(id=uuid.uuid4(), number=number, **row)
        contact: Contact | None = await session.scalar(
            new.on_conflict_do_nothing(index_elements=["number"]).returning(Contact)
        )
        if contact is not None:
            return contact


async def _open(session: DatabaseSession, number: str) -> Contact:
    contact = await find_contact(session, number, lock=True)
    if contact.closed_at is not None:
        raise rules.ContactClosed
    return contact


def _check_desk(session: DatabaseSession, desk: str) -> None:
    desks = session.settings.desks
    if desk not in desks:
        raise rules.UnknownDesk(known=list(desks))
