"""The names of all events, and the seal that chains them. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

NAMES: Final[Mapping[str, str]] = {
    "account.registered": "a User ID was issued",
    "account.updated": "display name or locale changed",
    "account.external_ref_added": "a service got a further reference for the account, or moved one to it",
    "account.external_ref_removed": "a service removed its reference from the account, or moved it to another one",
    "account.email_added": "an address was added to an account that had none",
    "account.email_confirmed": "the mailbox of the address on file was confirmed",
    "account.email_changed": "the address was changed to another mailbox",
    "account.email_removed": "the address was taken off the account, because its mailbox belongs to another one",
    "account.merged": "the account was merged: its User ID now resolves to another account",
    "account.sessions_ended": "every session before `valid_after` ended, here and at the services",
    "password.set": "a password was set by somebody who proved control of the mailbox",
    "password.removed": "the password was removed, because what it was set by holds no longer; a reset sets a new one",
    "password.check_failed": "a password was checked and did not match",
    "password.locked": "too many failures in a row: the password, if there is one, stays locked until a reset",
    "password.compromised": "the password became known to others: it can only be used to set a new one",
    "password.second_factor_needed": "a service checked the right password of an account with a second factor",
    "password.rehashed": "a password was hashed again with the current parameters",
    "reset.requested": "a password reset was requested",
    "reset.opened": "the link in the email was opened in a browser",
    "reset.used": "a new password was set with the link or the code",
    "sign_in.requested": "a code to sign in was requested",
    "sign_in.succeeded": "a customer signed in",
    "sign_in.ended": "a customer signed out, or ended a session",
    "application.signed_in": "a customer signed in to an application",
    "application.granted": "a customer allowed an application, on a page, what it asked for",
    "application.ended": "what an application had of a customer's sign-in ended; `why` says the cause",
    "account.became_business": "a consumer became a business; same User ID, same history",
    "account.became_consumer": "a business became a consumer again",
    "account.unmerged": "a merge was undone; both User IDs have their own accounts again",
    "account.merge_requested": "a merge of two accounts was requested; both mailboxes must confirm it",
    "account.email_change_requested": "a change to another address was requested; its mailbox must confirm it",
    "account.closed": "the account was closed; its history stays",
    "account.reopened": "a closed account was opened again, within 30 days",
    "account.erased": "personal data was removed; the User ID is never issued again",
    "account.exported": "everything stored about a customer was exported",
    "account.change_requested": "a desk requested a guarded change; the customer's mailbox must confirm it",
    "account.change_approved": "a second person approved a guarded change; the mailbox can stop it for 72 hours",
    "account.change_stopped": "a waiting change was stopped; `reason` says why",
    "account.messages_read": "a client read this customer's messages with their whole addresses",
    "account.imported": "an account was imported from another system",
    "account.restored": "an account that a restore had lost was registered again under its own User ID",
    "support_code.created": "a customer got a code to read out to a clerk",
    "caller.check_requested": "a check of a caller began; `method` says by what",
    "caller.checked": "a caller answered a check; `matched` says whether it was right",
    "caller.denied": "the customer said that a call was not theirs: its checks verify nobody, none begins for a day",
    "caller.unexpected_call": "the customer said that somebody called them and says that they are us",
    "caller.check_alarm": "checks of an account, or of a clerk's callers, failed often; `about` says which",
    "contact.opened": "a conversation with a caller began",
    "contact.handed_over": "a conversation was handed over to another desk",
    "contact.closed": "a conversation ended",
    "staff.added": "a person was added to the staff and may enrol at the console",
    "staff.enrolled": "a staff member set password and authenticator",
    "staff.enrolment_renewed": "a lead renewed a staff member's enrolment: whatever signed them in ended",
    "staff.passkey_added": "a staff member added a passkey",
    "staff.passkey_counter_went_back": "a passkey of staff signed in whose counter had not risen: it may be copied",
    "staff.passkey_removed": "a passkey of a staff member was removed, by themselves or the operator",
    "staff.removed": "a staff member was removed and may no longer sign in",
    "staff.signed_in": "a staff member signed in",
    "staff.sign_in_failed": "a staff sign-in failed: name, password, one-time code or passkey was wrong or not enough",
    "staff.signed_out": "a staff member signed out",
    "rate_limit.lifted": "a lead lifted a rate limit; `limit` names it, not whom it concerned",
    "account.opened_by_staff": "a staff member opened this account, for a reason the customer can read",
    "staff.search_alarm": "a staff member searched often within an hour and opened few accounts",
    "history.appended": "another service added to a customer's history",
    "history.corrected": "another service replaced an entry of a customer's history; the former one is kept beside it",
    "history.removed": "another service removed an entry of a customer's history; it is kept and counts no more",
    "consent.proposed": "a service or clerk stated that the customer would agree; their mailbox must confirm it",
    "consent.granted": "the customer granted consent",
    "consent.withdrawn": "the customer withdrew consent; it counts at once",
    "address.added": "the customer added a further email address; its mailbox must confirm it",
    "address.confirmed": "the mailbox of a further email address confirmed it",
    "address.removed": "a further email address was removed; its mailbox can bring it back for seven days",
    "address.restored": "a removed further email address was brought back",
    "passkey.added": "the customer added a passkey",
    "passkey.made_only_way": "the customer turned every other way of signing in off",
    "passkey.other_ways_allowed": "other ways than passkeys may sign in again: by the customer, or no passkey is left",
    "passkey.removed": "a passkey was removed: by the customer, by a reset, or because what it came by holds no longer",
    "passkey.counter_went_back": "a passkey signed in whose counter had not risen: it may have been copied",
    "recovery_code.created": "a recovery code was made; the one before it is no longer valid",
    "recovery_code.used": "a recovery code was used, and replaced by another one",
    "recovery_code.missed": "wrong recovery codes with the right beginning were entered, `misses` of them",
    "recovery_code.ended": "a recovery code became invalid; `reason` says why",
    "recovery.began": "User ID and recovery code were entered, or a new account's page went on; `needs_second` says "
    "whether a second proof is missing",
    "recovery.second_proof_requested": "a code was emailed as the second proof of a recovery",
    "second_factor.added": "the customer set up an authenticator app; `replaced` says whether in place of another",
    "second_factor.removed": "an authenticator app was removed, or what it came by holds no longer",
    "second_factor.failed": "a wrong code, or a used one, came after the right first step of a sign-in",
    "second_factor.removal_requested": "somebody past the first step asked to remove a lost app; it waits for 72 hours",
    "second_factor.removal_stopped": "the removal of a lost app was stopped: by a mailbox, the app itself or a reset",
    "second_factor.locked": "too many wrong codes in a row: the app's codes do not count any more",
    "phone_number.added": "the customer added a telephone number; it counts for nothing yet",
    "phone_number.confirmed": "a telephone number was confirmed by the code of a text message",
    "phone_number.removed": "a telephone number was removed: by the customer, by a reset, or with what it came by",
    "client.added": "a service or desk tool was added and may call us",
    "client.changed": "name, scopes or source of a client changed; its credentials stay",
    "client.sign_in_changed": "how an application signs customers in was registered or changed",
    "resource_server.set": "another service's API was registered or changed; our access tokens can be for it",
    "resource_server.removed": "another service's API was removed; no token for it is issued any more",
    "client.rotated": "a client got a second secret",
    "client.closed": "a client was closed and may no longer call us",
    "keys.rotated": "a new signing key was published",
    "keys.revoked": "a key that leaked was revoked; what it signed or derived since `since` is not ours",
    "feed.restored": "the service was restored from a backup; sealed events after `position` are lost",
    "keys.rewrapped": "the key ring was encrypted under another master key",
    "brand.proven": "DNS proved a host or sender of a brand: it serves or writes from now on",
    "brand.words_loaded": "a brand's own sentences of an email were loaded for the first time; `hash` pins them",
    "brand.proof_lost": "a look-up in DNS no longer found the proof of a host or sender; it holds for seven days more",
    "mail.queued": "a message was enqueued; `cause` and `cause_id` name the event that it is about",
    "mail.test_requested": "an operator requested a test message",
    "mail.deferred": "a delivery failed; another is planned",
    "mail.accepted": "a relay accepted the message",
    "mail.delivered": "the recipient's mail server accepted the message",
    "mail.rejected": "the message was refused permanently",
    "mail.bounced": "an accepted message came back",
    "mail.expired": "the deadline passed; no relay accepted the message",
    "mail.unconfirmed": "the deadline passed; a relay may have accepted the message",
    "mail.suppressed": "not sent: the address is suppressed",
    "mail.limited": "not sent: the mailbox has had its share of messages for the hour or the day",
    "mail.cancelled": "the message was no longer wanted and was not sent",
    "mail.failed": "the message could not be built or handed to a relay; the fault is ours",
    "mail.retried": "another delivery was requested",
    "mail.suppression_lifted": "a suppression was lifted; the address may get messages again",
}
"""The registry of event names, `concept.what_happened`; no other name can be recorded."""

AUDIT_ONLY: Final = frozenset(
    name
    for name in NAMES
    if name.startswith(("staff.", "client.", "resource_server.", "rate_limit.", "brand."))
    or name == "account.opened_by_staff"
)
"""What staff and administrators did: events that only readers with `audit:read` see."""

OPENED: Final = "120/hour; 400/day"
"""How many accounts one person at a desk may open (PHN-12)."""

RESTORED_TYPE: Final = "feed-restored+jwt"
"""The type of the signed statement that records a restore."""

GENESIS: Final = hashlib.sha256(b"identity-service event chain v1").digest()


class UnknownEvent(KeyError):
    """No event of this name is registered."""


def check_name(name: str) -> None:
    """Check that an event name is registered.

    Raises:
        UnknownEvent
    """
    if name not in NAMES:
        raise UnknownEvent(name)


def hide_person(actor: str) -> str:
    """Return an actor without a person's name: `client:<id>/<person>` as `client:<id>`, `staff:<name>` as `staff`."""
    return "staff" if actor.startswith("staff:") else actor.partition("/")[0]


def canonical(position: int, event: Mapping[str, Any]) -> bytes:
    """Return the bytes that the seal covers: sorted keys, no blanks, times in UTC with microseconds (as RFC 8785)."""
    at: datetime = event["occurred_at"]
    fields = {
        "actor": event["actor"],
        "occurred_at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "data": event["data"],
        "id": str(event["public_id"]),
        "name": event["name"],
        "position": position,
        "user_id": event["user_id"],
    }
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def seal(previous: bytes, position: int, event: Mapping[str, Any]) -> bytes:
    """Return SHA-256 over the previous seal and the event with its position (AUD-02)."""
    return hashlib.sha256(previous + canonical(position, event)).digest()
