"""One field that finds a customer: by an ID as it was heard, an address, a reference, a company."""

from typing import NamedTuple

from sqlalchemy import select

from identity_service import email_addresses, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import business, merges
from identity_service.accounts.rules import UnknownUserId
from identity_service.accounts.tables import ExternalReference
from identity_service.contacts import actions as contacts
from identity_service.contacts.rules import UnknownContact
from identity_service.database import AsyncSession, settings_of
from identity_service.email_addresses import MalformedEmailAddress
from identity_service.proofs import actions as proofs
from identity_service.user_ids import MalformedUserId, UserId

LIMIT = 10


class Hit(NamedTuple):
    """A customer who was found, and by what."""

    user_id: str
    by: str


class Searched(NamedTuple):
    """What was found; and where an ID does not check, what may have been meant: ask the caller, never assume."""

    hits: list[Hit]
    problem: str | None = None
    suggestions: tuple[user_ids.Suggestion, ...] = ()
    contact: str | None = None


async def search(session: AsyncSession, typed: str) -> Searched:
    """Find by a User ID in any readable form, an address, a contact's or a letter's reference, an outside reference, or
    the beginning of a company's name. Exact, but for the company."""
    words = typed.strip()[:200]
    if "@" in words:
        return await _by_address(session, words)
    symbols = user_ids.read_symbols(words)
    try:
        return await _by_id(session, user_ids.parse(words))
    except MalformedUserId as malformed:
        if len(symbols) == user_ids.LENGTH and (set(symbols) <= set(user_ids.ALPHABET) | {user_ids.UNHEARD}):
            return Searched([], malformed.detail, tuple(user_ids.suggest(words)))
    return await _by_others(session, words, symbols)


async def _by_id(session: AsyncSession, user_id: UserId) -> Searched:
    try:
        account = await accounts.current(session, user_id)
    except UnknownUserId as unknown:
        return Searched([], unknown.title())
    by = "User ID" if account.user_id == user_id else f"User ID {user_ids.show(user_id)}, merged"
    return Searched([Hit(account.user_id, by)])


async def _by_address(session: AsyncSession, words: str) -> Searched:
    try:
        address = email_addresses.parse(words, special_use=settings_of(session).development)
    except MalformedEmailAddress as malformed:
        return Searched([], malformed.detail)
    found = await merges.answering(session, address)
    return Searched([] if found.user_id is None else [Hit(found.user_id, "address")])


async def _by_others(session: AsyncSession, words: str, symbols: str) -> Searched:
    try:
        contact = await contacts.find(session, words)
        return Searched([], contact=contact.number)
    except UnknownContact:
        pass
    letter = await proofs.find_by_reference(session, symbols)
    if letter is not None and letter.proof.user_id is not None:
        return await _by_id(session, UserId(letter.proof.user_id))
    mine = select(ExternalReference.user_id, ExternalReference.client_id).where(ExternalReference.reference == words)
    known = (await session.execute(mine.limit(LIMIT))).all()
    hits = [Hit(user_id, f"reference at {client_id}") for user_id, client_id in known]
    if not hits and len(words) >= 3:
        companies = await business.find_by_company(session, words, limit=LIMIT)
        hits = [Hit(company.user_id, f"company {company.company_name}") for company in companies]
    return Searched(hits, None if hits else "Nothing was found.")
