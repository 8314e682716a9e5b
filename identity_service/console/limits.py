"""The limits that refuse requests now, in words: what is limited, and whose it is, as far as a key tells.

A key names networks, staff, clients and User IDs; addresses only by a keyed hash. Whoever knows the address finds its
limits by the same hash.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts.rules import AccountErased, UnknownUserId
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import budget
from identity_service.values import email_addresses, pasted, user_ids
from identity_service.values import text as values_text
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import networks, rate_limits

LIMITS: Final[Mapping[str, str]] = {
    "account-search": "Searches for accounts by a client",
    "authorize": "Sign-ins at applications from one network",
    "caller-check": "Codes for calls, sent by one member of staff",
    "code": "Wrong codes for one address",
    "code-network": "Sign-in codes from one network",
    "elsewhere": "Resets and sign-in codes to another address from one network",
    "email-change": "Address changes of one account",
    "email-change-to": "Address changes of one account to one address",
    "further-address": "Further addresses of one account",
    "further-address-to": "Emails of one account to one further address",
    "mailbox-network": "Emails to one mailbox from one network",
    "message-search": "Searches for messages by a client",
    "passkey-options": "Passkey sign-ins begun from one network",
    "password-check": "Password checks by a client",
    "password-check-network": "Password checks at a client's form from one network",
    "recover-network": "Recoveries begun from one network",
    "recovery-code-mail": "Codes emailed as a second proof of a recovery",
    "recovery-code-new": "Recovery codes of new accounts from one network",
    "register-mailbox-network": "New User IDs for one mailbox from one network",
    "register-network": "New User IDs from one network",
    "reroute": "Emails sent again another way",
    "reset-address": "Password resets for one address",
    "reset-client": "Password resets by a client",
    "reset-network": "Password resets from one network",
    "reset-renewed": "Renewed password resets for one address",
    "second-factor-removal": "Removals of a lost authenticator app, asked for one account",
    "signin-address": "Sign-in codes for one address",
    "signin-network": "Sign-ins from one network",
    "signin-renewed": "Renewed sign-in codes for one address",
    "staff-name": "Sign-ins to the console with one name",
    "staff-name-network": "Sign-ins to the console with one name from one network",
    "staff-network": "Sign-ins to the console from one network",
    "staff-open": "Accounts opened by one member of staff",
    "staff-search": "Searches by one member of staff",
    "strength": "Password checks while typing from one network",
    "support-code": "Support codes typed by one member of staff",
    "support-code-client": "Support codes typed at one desk tool",
    "unknown-token": "Unknown tokens of a client",
    "wrong-access-token": "Wrong access tokens at userinfo from one network",
    "wrong-client-secret": "Wrong client secrets from one network",
}
"""What each limit counts."""
ALARMS: Final = frozenset({"desk-alarm", "desk-searches"})
"""Counters that refuse nothing."""
_HASH: Final = re.compile(r"[0-9a-f]{32,}")
_MESSAGE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class LimitInForce(NamedTuple):
    """A limit as the operations page shows it; `key` lifts it."""

    key: str
    what: str
    who: str
    until: datetime


async def list_limits(
    session: DatabaseSession, names: Mapping[str, str], typed: str | None = None
) -> list[LimitInForce]:
    """Return the limits in force, of whatever was typed or of everybody; `names` are those of clients, by their id.

    Raises:
        email_addresses.MalformedEmailAddress
    """
    found = await rate_limits.list_in_force(session, None if typed is None else await _parts_of(session, typed))
    return [
        LimitInForce(one.key, LIMITS[one.name], _owner(one, names), one.until) for one in found if one.name in LIMITS
    ]


async def _parts_of(session: DatabaseSession, typed: str) -> list[str]:
    """Return what keys may have of an address, a User ID, a network, or a name of staff or a client."""
    text = values_text.read_line(typed)[:200]
    if "@" in pasted.read_narrow(text):
        return _hashes(session, email_addresses.parse_pasted(text, special_use=session.settings.development))
    network = networks.read_network(text)
    if network is not None:
        return [wider for wider, _ in networks.list_networks(network)]
    try:
        account = await accounts.find_active_account(session, user_ids.parse(text))
    except (MalformedUserId, UnknownUserId, AccountErased):
        return [text, text.lower(), f"staff:{text.lower()}"] if text else []
    return [account.user_id, *(_hashes(session, accounts.address_of(account)) if account.email else ())]


def _hashes(session: DatabaseSession, address: EmailAddress) -> list[str]:
    return [session.keys.address_hash(address.key).hex(), budget.mailbox_hash(session, address).hex()]


def _owner(limited: rate_limits.Limited, names: Mapping[str, str]) -> str:
    """Return whose limit it is: the parts of its key that say something, each once."""
    of_staff = limited.name.startswith(("staff-", "caller-"))
    said = [_say(part, names) or (part.removeprefix("staff:") if of_staff else "") for part in limited.who]
    return ", ".join(dict.fromkeys(filter(None, said)))


def _say(part: str, names: Mapping[str, str]) -> str | None:
    if part in names:
        return f"client {names[part]}"
    if _HASH.fullmatch(part):
        return "an address (only its hash is stored)"
    if user_ids.is_canonical(part):
        return user_ids.show(part)
    if _MESSAGE.fullmatch(part):
        return "one email"
    return part if networks.read_network(part.partition("/")[0]) is not None else None
