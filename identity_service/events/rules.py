"""The names of all events, and the seal that chains them. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from identity_service.errors import Unprocessable

NAMES: Final[Mapping[str, str]] = {
    "account.registered": "a User ID was issued",
    "account.updated": "display name or locale changed",
    "account.email_added": "an account without an address got one",
    "account.email_confirmed": "the mailbox of the address on file was read",
    "account.email_changed": "the address was changed to another mailbox",
    "account.merged": "another account answers for this User ID from now on",
    "account.sessions_ended": "every session before this moment is over, here and at the services",
    "password.set": "a password was set, with a proof of the mailbox",
    "password.check_failed": "a password was tried and did not fit",
    "password.died": "too many failures in a row: only a reset gives a new password",
    "password.retired": "a password that became known leads nowhere but to a new one",
    "password.rehashed": "a password was hashed anew with today's parameters",
    "reset.asked": "somebody asked for a new password",
    "reset.opened": "the link in the letter was opened by a browser",
    "reset.used": "a new password was set by the link or the code",
    "signin.asked": "somebody asked for a code to sign in",
    "signin.succeeded": "a customer signed in",
    "signin.ended": "a customer signed out, or ended a session",
    "account.became_business": "a consumer became a business; same User ID, same history",
    "account.became_consumer": "a business went back to being a consumer",
    "account.unmerged": "a merge was undone; both User IDs answer for themselves again",
    "account.merge_asked": "two accounts are to become one; both mailboxes are asked",
    "account.email_change_asked": "another address was named; its mailbox is asked",
    "account.closed": "the account was closed; its history stays",
    "account.erased": "what is personal was removed; the User ID is never issued again",
    "account.exported": "everything held about a customer was handed out",
    "account.change_asked": "a desk asked for a guarded change; the customer's mailbox is asked",
    "account.change_approved": "a second person approved a guarded change; 72 hours begin, and the mailbox can stop it",
    "account.change_stopped": "a change that was waiting was stopped by the customer",
    "account.imported": "an account came from another system",
    "caller.check_asked": "a code was mailed to the address on file, for a caller to read back",
    "caller.checked": "a caller read a code back; it fitted, or it did not",
    "contact.opened": "a conversation with a customer began",
    "contact.handed_over": "a conversation went to another desk, with what is known",
    "contact.closed": "a conversation ended",
    "staff.added": "a person may enrol at the console",
    "staff.enrolled": "a person set password and authenticator",
    "staff.removed": "a person may no longer get in",
    "staff.signed_in": "a person of the staff signed in",
    "staff.sign_in_failed": "name, password and one-time code of the staff did not fit together",
    "staff.signed_out": "a person of the staff signed out",
    "throttle.lifted": "a lead lifted a limit",
    "desk.looked": "a member of staff opened this account, for a reason the customer can read",
    "desk.searched_much": "somebody at a desk searched often within an hour and opened hardly an account",
    "history.appended": "another service added to a customer's history",
    "consent.proposed": "a service or clerk says the customer would agree; his mailbox is asked",
    "consent.granted": "the customer said yes",
    "consent.withdrawn": "the customer said no; it counts at once",
    "client.added": "a service or desk tool may call us",
    "client.rotated": "a client got a second secret",
    "client.closed": "a client may no longer call us",
    "keys.rotated": "a new signing key was published",
    "feed.restored": "the service went on from a backup; what was sealed behind `position` is lost with the rest",
    "keys.rewrapped": "the key ring is sealed with a new master key",
    "mail.queued": "a letter stands in the outbox; `cause` names the event that it is about",
    "mail.test_asked": "an operator asked for a letter to himself",
    "mail.deferred": "a try failed; another is planned",
    "mail.accepted": "a relay took the letter",
    "mail.delivered": "the recipient's mail server took the letter",
    "mail.rejected": "the letter was refused for good",
    "mail.bounced": "a letter that was taken came back",
    "mail.expired": "the deadline passed; the letter was certainly not taken",
    "mail.unconfirmed": "the deadline passed; the letter may have been taken",
    "mail.suppressed": "not tried: the address is on the suppression list",
    "mail.cancelled": "no longer wanted, and not sent",
    "mail.failed": "our own fault: the letter could not be made or handed over",
    "mail.sent_again": "somebody asked for another try",
    "mail.suppression_lifted": "an address may be written to again",
}
"""The registry: nothing else can be recorded. `concept.what_happened`."""

OPENED: Final = "120/hour; 400/day"
"""How many accounts one person at a desk opens (PHN-12)."""
LONGEST_REASON: Final = 200
LOOK_HOLDS: Final = timedelta(hours=8)
"""How long a reason opens an account, in its contact: a working day, like a session at the console (PHN-13)."""
SEARCHES: Final = "60/minute; 600/hour"
"""How often one person at a desk searches."""
SEARCHES_UNSUSPICIOUS: Final = "30/hour"
OPENED_UNSUSPICIOUS: Final = 10
"""More searches in an hour than that are told, where fewer accounts than this were opened in it (PHN-12)."""

RESTORED_TYPE: Final = "feed-restored+jwt"
"""The kind of statement that a restore is told with."""

GENESIS: Final = hashlib.sha256(b"identity-service event chain v1").digest()


class ReasonMissing(Unprocessable):
    """Say why you open this account; the customer can read it."""


class NotOpened(Unprocessable):
    """Open the account in a contact first, with the reason, and name the contact in the header X-Contact."""


class UnknownEvent(KeyError):
    """This event has no entry in the registry."""


def check_name(name: str) -> None:
    """Refuse an event that the registry does not have."""
    if name not in NAMES:
        raise UnknownEvent(name)


def canonical(position: int, event: Mapping[str, Any]) -> bytes:
    """Return the bytes that the seal covers: sorted keys, no blanks, moments in microseconds of UTC (as RFC 8785)."""
    at: datetime = event["at"]
    fields = {
        "actor": event["actor"],
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "data": event["data"],
        "id": event["id"],
        "name": event["name"],
        "position": position,
        "user_id": event["user_id"],
    }
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def seal(previous: bytes, position: int, event: Mapping[str, Any]) -> bytes:
    """Return SHA-256 over the previous seal and the event with its position (AUD-02)."""
    return hashlib.sha256(previous + canonical(position, event)).digest()
