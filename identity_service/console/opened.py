"""The account that a member of staff has opened, with a reason, in a contact, and its messages."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from identity_service import translations
from identity_service.account_access import actions as account_access
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.rules import AccountErased, UnknownUserId
from identity_service.accounts.tables import Account
from identity_service.console.actions import SignedInStaff
from identity_service.contacts import actions as contacts
from identity_service.contacts import rules as contact_rules
from identity_service.contacts.tables import Contact
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import actions as messages
from identity_service.messages import descriptions
from identity_service.messages.tables import Message
from identity_service.values import email_addresses, user_ids
from identity_service.values.user_ids import UserId

Emails = list[tuple[Message, list[dict[str, Any]]]]
"""Messages, each with its timeline."""


async def find_opened(
    session: DatabaseSession, staff: SignedInStaff, user_id: str, number: str, *, now: datetime
) -> tuple[Account, Contact]:
    """Return an account and the open contact in which this person opened it. Every page requires one, so the customer
    can read who accessed the account, and why (PHN-13, PHN-14).

    Raises:
        contacts.rules.UnknownContact: also if this person has not opened it there; accounts.rules.UnknownUserId
    """
    account = await accounts.find_active_account(session, user_ids.parse(user_id))
    contact = await contacts.find_contact(session, number)
    usable = contact.user_id == account.user_id and contact.closed_at is None
    if not usable or not await account_access.has_access(
        session, account.user_id, actor=staff.actor, contact=contact.number, now=now
    ):
        raise contact_rules.UnknownContact("Open the account in a contact first, with the reason.")
    return account, contact


async def list_messages(session: DatabaseSession, account: Account, **wanted: Any) -> Sequence[Message]:  # noqa: ANN401
    """Return messages of a customer, newest first; for a closed account also those to its mailboxes that belong to no
    account: what is asked for there must not differ from what is sent to an unknown address."""
    ids = await ownership.user_ids_of(session, UserId(account.user_id))
    return await messages.list_messages(session, user_ids=ids, unowned_to=await _unowned(session, account), **wanted)


async def owns_message(session: DatabaseSession, account: Account, message: Message) -> bool:
    """Return whether `list_messages` has this message."""
    if message.user_id is None:
        return message.recipient_hash in await _unowned(session, account)
    return message.user_id in await ownership.user_ids_of(session, UserId(account.user_id))


async def _unowned(session: DatabaseSession, account: Account) -> list[bytes]:
    return await ownership.mailbox_hashes_of(session, account.user_id) if account.state == "closed" else []


async def load_emails(session: DatabaseSession, found: Sequence[Message], *, masked: bool) -> Emails:
    """Return messages with their timelines. Mail servers often repeat the address, so `masked` masks it in their
    replies, too.
    """
    return [(message, await _timeline(session, message.id, masked=masked)) for message in found]


async def _timeline(session: DatabaseSession, message_id: uuid.UUID, *, masked: bool) -> list[dict[str, Any]]:
    timeline = await messages.load_timeline(session, message_id)
    lines = descriptions.describe_timeline(timeline.message, timeline.attempts, timeline.feedback)
    if masked:
        for line in lines:
            line["reply"] = email_addresses.mask_all(line.get("reply"))
    return lines


async def is_opened(session: DatabaseSession, staff: SignedInStaff, contact: Contact, *, now: datetime) -> bool:
    """Return whether this person has opened the account of a contact there, so that no reason is asked for again."""
    try:
        await find_opened(session, staff, contact.user_id or "", contact.number, now=now)
    except (contact_rules.UnknownContact, AccountErased, user_ids.MalformedUserId):
        return False
    return True


async def language_of(session: DatabaseSession, user_id: str | None) -> str:
    """Return the language in which a User ID is read out to its owner; English if there is no account any more."""
    try:
        account = await accounts.find_account(session, UserId(user_id or ""))
    except (AccountErased, UnknownUserId):
        return translations.SOURCE
    return account.locale
