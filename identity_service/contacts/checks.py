"""Check a caller: a code to the mailbox on file, read back on the phone; counted before it is compared."""

import uuid
from datetime import datetime
from math import ceil
from typing import NamedTuple

from sqlalchemy import func, insert, select, update

from identity_service import keyring, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules as account_rules
from identity_service.contacts import actions, rules
from identity_service.contacts.tables import CallerCheck, Contact
from identity_service.database import AsyncSession, Database
from identity_service.events import actions as events
from identity_service.mail.tables import Message
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.rules import LinkDead
from identity_service.proofs.tables import Proof
from identity_service.throttle import TooManyRequests
from identity_service.user_ids import UserId


class Started(NamedTuple):
    """A check on its way: the words for the clerk to read, the letter to watch, and when it ends at the latest."""

    check: CallerCheck
    phrase: str
    message_id: uuid.UUID
    expires_at: datetime


class Answer(NamedTuple):
    """Whether the code was right, and how many tries are left."""

    matched: bool
    tries_left: int


async def start(
    session: AsyncSession, user_id: UserId, number: str, purpose: str, *, clerk: str, now: datetime
) -> Started:
    """Mail a code to the address on file, which nobody picks, and return the phrase for the clerk to read.

    Raises:
        rules.UnknownContact, ContactClosed; accounts.rules.UnknownUserId, NoEmail, AccountNotActive; TooManyRequests
    """
    contact = await actions.attach(session, number, user_id, by=clerk, now=now)
    account = await accounts.current(session, user_id, lock=True)
    if account.state != "active":
        raise account_rules.AccountNotActive
    await _check_not_too_many(session, account.user_id, now=now)
    proof = await proofs.send(
        session, "caller_check", kind="caller_check", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, cause="caller.check_asked", actor=clerk, now=now,
    )  # fmt: skip
    row = {
        "id": uuid.uuid4(), "contact_id": contact.id, "user_id": account.user_id, "clerk": clerk, "purpose": purpose,
        "proof_id": proof.id, "asked_at": now,
    }  # fmt: skip
    check = (await session.execute(insert(CallerCheck).returning(CallerCheck), row)).scalar_one()
    data = {"contact": contact.number, "check_id": str(check.id), "purpose": purpose}
    await events.record(session, "caller.check_asked", user_id=account.user_id, actor=clerk, data=data, now=now)
    found = await proofs.find(session, proof.id)
    assert found is not None  # noqa: S101
    ends = proofs.ends_at(session, found, by="code")
    return Started(check, phrase_of(session, proof), proof.message_id, ends)


async def answer(
    database: Database,
    user_id: UserId,
    check_id: uuid.UUID,
    code: str,
    *,
    contact: str | None = None,
    clerk: str,
    now: datetime,
) -> Answer:
    """Compare what the caller read out; only the clerk who asked may, only while the check is the account's newest, and
    only while its contact is open and this customer's. `contact`: the number of the one it is answered in.

    Raises:
        rules.UnknownCheck, CheckOver
    """
    left = await database.short(lambda session: _count(session, user_id, check_id, contact, clerk))
    async with database.transaction() as session:
        check = await session.get_one(CallerCheck, check_id, with_for_update=True)
        found = await proofs.find(session, check.proof_id)
        account = await accounts.find(session, UserId(check.user_id), lock=True)
        if found is None or check.answered_at is not None:
            raise rules.CheckOver
        try:
            proofs.check_alive(session, found, valid_after=account.proofs_valid_after, by="code", now=now)
        except LinkDead:
            raise rules.CheckOver from None
        typed = "".join(symbol for symbol in code if symbol.isascii() and symbol.isdigit())
        matched = proof_rules.same(typed, digits_of(session, found.proof))
        await _conclude(session, check, found, matched=matched, left=left, clerk=clerk, now=now)
        return Answer(matched, left)


async def verified(session: AsyncSession, contact: Contact, user_id: str, *, now: datetime) -> CallerCheck | None:
    """Return the match that verifies this caller within this contact, if one still holds (PHN-08)."""
    mine = select(CallerCheck).where(
        CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id, CallerCheck.matched.is_(True)
    )
    newest = await session.scalar(mine.order_by(CallerCheck.answered_at.desc()).limit(1))
    return newest if newest is not None and rules.holds(newest.answered_at, now) else None


async def newest(session: AsyncSession, contact: Contact, user_id: str) -> CallerCheck | None:
    """Return the check that was started last in a contact, if it has not been answered."""
    mine = select(CallerCheck).where(CallerCheck.contact_id == contact.id, CallerCheck.user_id == user_id)
    check = await session.scalar(mine.order_by(CallerCheck.asked_at.desc()).limit(1))
    return check if check is not None and check.answered_at is None else None


async def phrase(session: AsyncSession, check: CallerCheck) -> str:
    """Return the two words for the clerk to read."""
    return phrase_of(session, await session.get_one(Proof, check.proof_id))


async def letter(session: AsyncSession, check: CallerCheck) -> Message:
    """Return the letter of a check, to see where it is."""
    found = await proofs.find(session, check.proof_id)
    assert found is not None  # noqa: S101
    return found.message


async def require(
    session: AsyncSession, check_id: uuid.UUID, user_id: str, *, purpose: str, contact: str | None, now: datetime
) -> CallerCheck:
    """Return a match that is good as a proof for this account and purpose now, and in this contact if one is named.

    Raises:
        rules.NotVerified: another account's, for another purpose, not matched, older than 15 minutes, or its contact
            is closed or no longer this customer's.
    """
    check = await session.get(CallerCheck, check_id)
    if check is None or check.user_id != user_id or not check.matched or not rules.holds(check.answered_at, now):
        raise rules.NotVerified
    asked_in = await session.get_one(Contact, check.contact_id)
    if check.purpose not in ("identify", purpose) or asked_in.closed_at is not None or asked_in.user_id != user_id:
        raise rules.NotVerified
    if contact is not None and asked_in.number != user_ids.read_symbols(contact):
        raise rules.NotVerified
    return check


async def number_of(session: AsyncSession, proof: Proof) -> str:
    """Return the number of the contact that a check's letter belongs to (PHN-07)."""
    mine = select(Contact.number).join(CallerCheck, CallerCheck.contact_id == Contact.id)
    return (await session.scalars(mine.where(CallerCheck.proof_id == proof.id))).one()


def phrase_of(session: AsyncSession, proof: Proof) -> str:
    """Return the two words of a check's letter."""
    return rules.phrase(keyring.of(session).link_key(proof.key_id)[1], proof.nonce)


def digits_of(session: AsyncSession, proof: Proof) -> str:
    """Return the code of a check; for its letter and for the comparison, and for nobody's eyes here."""
    return rules.digits(keyring.of(session).link_key(proof.key_id)[1], proof.nonce)


async def _check_not_too_many(session: AsyncSession, user_id: str, *, now: datetime) -> None:
    """Refuse another check of an account that had enough of them in the last hour.

    The names that a desk tool gives its clerks prove nothing, so a limit for each clerk alone would let a tool guess
    for ever, three tries a name (PHN-12).
    """
    recent = select(func.count(), func.min(CallerCheck.asked_at)).where(
        CallerCheck.user_id == user_id, CallerCheck.asked_at > now - rules.COUNTED_FOR
    )
    started, first = (await session.execute(recent)).one()
    if started >= rules.CHECKS_PER_ACCOUNT:
        raise TooManyRequests(retry_after=max(1, ceil((first + rules.COUNTED_FOR - now).total_seconds())))


async def _count(session: AsyncSession, user_id: UserId, check_id: uuid.UUID, number: str | None, clerk: str) -> int:
    """Count a try before the code is compared, in a transaction of its own; return how many are left."""
    account = await accounts.current(session, user_id)
    check = await session.scalar(select(CallerCheck).where(CallerCheck.id == check_id).with_for_update())
    if check is None or check.user_id != account.user_id or check.clerk != clerk:
        raise rules.UnknownCheck
    contact = await session.get_one(Contact, check.contact_id)
    if number is not None and (await actions.find(session, number)).id != contact.id:
        raise rules.UnknownCheck
    if contact.closed_at is not None or contact.user_id != check.user_id:
        raise rules.CheckOver
    newest = select(CallerCheck.id).where(CallerCheck.user_id == check.user_id).order_by(CallerCheck.asked_at.desc())
    if check.answered_at is not None or check.tries >= rules.TRIES or await session.scalar(newest.limit(1)) != check_id:
        raise rules.CheckOver
    tried = check.tries + 1
    await session.execute(update(CallerCheck).where(CallerCheck.id == check_id).values(tries=tried))
    return rules.TRIES - tried


async def _conclude(
    session: AsyncSession,
    check: CallerCheck,
    found: proofs.Found,
    *,
    matched: bool,
    left: int,
    clerk: str,
    now: datetime,
) -> None:
    """Keep the result: a match uses the proof up and confirms an unconfirmed address; the last wrong try ends it."""
    contact = await session.get_one(Contact, check.contact_id)
    if matched:
        await proofs.use_up(session, found, now=now)
        await accounts.confirm_on_file(session, check.user_id, actor=clerk, now=now)
    if matched or left == 0:
        ended = update(CallerCheck).where(CallerCheck.id == check.id)
        await session.execute(ended.values(matched=matched, answered_at=now))
    await actions.write(session, contact, "verified" if matched else "not_verified", None, by=clerk, now=now)
    data = {"contact": contact.number, "check_id": str(check.id), "matched": matched}
    await events.record(session, "caller.checked", user_id=check.user_id, actor=clerk, data=data, now=now)
