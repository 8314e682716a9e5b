"""Find a customer from one search field: a User ID as it was heard, an address, a reference, a company."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.rules import UnknownUserId
from identity_service.accounts.tables import ExternalReference
from identity_service.business import periods
from identity_service.contacts import actions as contacts
from identity_service.contacts.rules import UnknownContact
from identity_service.database.transactions import DatabaseSession
from identity_service.history import actions as history
from identity_service.history import rules as history_rules
from identity_service.messages import actions as messages
from identity_service.messages import rules as message_rules
from identity_service.messages.tables import Message
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.values import email_addresses, pasted, user_ids
from identity_service.values import text as values_text
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.values.user_ids import MalformedUserId, UserId

_LIMIT = 10
_MESSAGES_SHOWN = 10


class Match(NamedTuple):
    """A customer who was found, and what matched."""

    user_id: str
    by: str


class SearchResult(NamedTuple):
    """The matches; for a mistyped User ID, suggestions that only the caller can confirm."""

    hits: list[Match]
    problem: str | None = None
    suggestions: tuple[user_ids.Suggestion, ...] = ()
    contact: str | None = None
    messages: Sequence[Message] = ()
    """What was sent to the address, or is meant by the reference of a message, with or without an account."""


async def search_customers(session: DatabaseSession, typed: str) -> SearchResult:
    """Find by a User ID in any readable form, an address, the number of a contact, the reference of an email, an
    external one, that of an order, or the beginning of a company's name. Matches are exact, except for the company."""
    query = values_text.read_line(typed)[:200]
    if "@" in pasted.read_narrow(query):
        return await _by_address(session, query)
    symbols = user_ids.read_symbols(query)
    try:
        return await _by_id(session, user_ids.parse(query))
    except MalformedUserId as malformed:
        as_id = SearchResult([], malformed.sentence(), tuple(user_ids.suggest(query)))
    if len(symbols) == user_ids.LENGTH and (set(symbols) <= set(user_ids.ALPHABET) | {user_ids.UNHEARD}):
        return as_id
    found = await _by_others(session, query, symbols)
    if found.problem and _resembles_id(symbols):
        return as_id
    return found


def _resembles_id(symbols: str) -> bool:
    """Return whether it may be meant as a User ID: about as long, with digits, though some symbol may be none."""
    return symbols.isalnum() and abs(len(symbols) - user_ids.LENGTH) <= 1 and any(map(str.isdigit, symbols))


async def _by_id(session: DatabaseSession, user_id: UserId) -> SearchResult:
    try:
        account = await accounts.find_active_account(session, user_id)
    except UnknownUserId as unknown:
        return SearchResult([], unknown.title())
    by = "User ID" if account.user_id == user_id else f"User ID {user_ids.show(user_id)}, merged"
    return SearchResult([Match(account.user_id, by)])


async def _by_address(session: DatabaseSession, query: str) -> SearchResult:
    try:
        address = email_addresses.parse_pasted(query, special_use=session.settings.development)
    except MalformedEmailAddress as malformed:
        return SearchResult([], malformed.detail)
    found = await ownership.owner_of_address(session, address)
    sent = await messages.list_messages(
        session, recipient_hash=session.keys.address_hash(address.key), limit=_MESSAGES_SHOWN
    )
    if found.user_id is not None:
        return SearchResult([Match(found.user_id, "address")], messages=sent)
    said = "No account has this address."
    if sent and sent[0].kind == "address_check":
        said = "No account has this address yet: it isn't confirmed. "
        arrives = sent[0].state in message_rules.PENDING or sent[0].state in ("accepted", "delivered", "unconfirmed")
        said += "Ask the caller to open the email that we sent." if arrives else "The email that asks for it failed."
    elif not sent:
        said += " No message was sent to it, or the account it belonged to was erased."
    return SearchResult([], said, messages=sent)


async def _by_message(session: DatabaseSession, message: Message) -> SearchResult:
    """Return what a message without an account means today: who has its address may have confirmed it since."""
    if message.recipient is None:
        return SearchResult([], "The account that this message was for was erased.")
    found = await _by_address(session, message.recipient)
    hits = [Match(hit.user_id, "address of the message with this reference") for hit in found.hits]
    return found._replace(hits=hits, messages=[message])


async def _by_others(session: DatabaseSession, query: str, symbols: str) -> SearchResult:
    try:
        contact = await contacts.find_contact(session, query)
        return SearchResult([], contact=contact.number)
    except UnknownContact:
        pass
    found = await one_time_tokens.find_by_reference(session, symbols)
    if found is not None:
        if found.token.user_id is None:
            return await _by_message(session, found.message)
        by_id = await _by_id(session, UserId(found.token.user_id))
        return by_id._replace(hits=[Match(hit.user_id, "reference of a message") for hit in by_id.hits])
    mine = select(ExternalReference.user_id, ExternalReference.source).where(ExternalReference.reference == query)
    known = (await session.execute(mine.limit(_LIMIT))).all()
    hits = [Match(user_id, f"reference at {source}") for user_id, source in known]
    for entry in await history.find_by_reference(session, query, limit=_LIMIT):
        kind = history_rules.KINDS.get(entry.kind, entry.kind)
        by_id = await _by_id(session, UserId(entry.user_id))
        hits += [hit._replace(by=f"{kind} at {entry.source}") for hit in by_id.hits]
    if not hits and len(query) >= 3:
        companies = await periods.find_by_company(session, query, limit=_LIMIT)
        hits = [Match(company.user_id, f"company {company.company_name}") for company in companies]
    return SearchResult(hits, None if hits else "Nothing was found.")
