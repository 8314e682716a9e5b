"""The scopes that an access token may have. Pure."""

from collections.abc import Mapping
from typing import Final

SCOPES: Final[Mapping[str, str]] = {
    "accounts:convert": "change a consumer to a business, and back",
    "accounts:erase": "close and erase accounts",
    "accounts:merge": "request merges of two accounts, and undo them",
    "accounts:read": "read an account with its address masked; find one by address or reference",
    "accounts:read_personal": "read unmasked addresses",
    "accounts:verify": "verify User IDs, up to 1,000 at once; no addresses",
    "accounts:write": "register customers; change display name and locale",
    "audit:read": "read the feed with its seals, and what staff and administrators did",
    "callers:check": "check a caller by a code emailed to the address on file",
    "contacts:read": "read contacts, with what is known and verified",
    "contacts:write": "open contacts, add notes, hand them over and close them",
    "consents:read": "read what a customer has allowed, with its ledger and the signed receipt",
    "consents:write": "withdraw a consent, or propose one for the customer's mailbox to confirm",
    "events:read": "read the feed of events, without what staff and administrators did",
    "history:read": "read a customer's history and summary",
    "history:write": "add entries of your service to a customer's history",
    "mail:operate": "see relays and the state of mail; lift suppressions",
    "marketing:addresses": "with marketing:check: get the addresses of customers who allow it",
    "marketing:check": "ask which accounts of a list you may contact for a purpose",
    "messages:read": "read messages with every attempt and reply",
    "messages:send": "request a retry of a message",
    "passwords:check": "check customers' passwords, for a service with its own sign-in form",
    "resets:create": "request a password reset for a customer",
}
"""Every scope, with what it allows."""
