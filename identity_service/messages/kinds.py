"""The one registry of message kinds, and the channel that each is sent by."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

_FAST = (5, 15, 45, 120, 300)
_CODE = (3, 8, 20, 45, 60)
_CHECK = (15, 60, 300, 900, 3600)
NOTICE_WAITS = (60, 300, 900, 3600, 7200)


class MessageKind(NamedTuple):
    """How a kind of message is handled.

    `purpose` is one of `PURPOSES`, `hand_over` the time within which a relay must take it, `waits` the seconds between
    attempts. `builder` names the code that builds the email; the default renders the kind's words (`copy`) with the
    facts of the message. Kinds that a person asks for (`asked_for`) have suppressions of their own, so that none
    reveals who has an account. `is_notice` tells the owner of a change, and has a budget that nothing else uses up.
    `typed_address`: somebody typed the address, to register or to change to it, and may be nobody there. `channel` is
    `email`, or `text` to a telephone number. `silent`: it is never sent and never paid for, and its
    row is like that of one that is.
    """

    purpose: str
    priority: int
    hand_over: timedelta
    waits: tuple[int, ...]
    builder: str = "messages.rendering:build_from_facts"
    asked_for: bool = False
    is_notice: bool = False
    typed_address: bool = False
    channel: str = "email"
    silent: bool = False


_FACTOR = "second_factors.emails:build_notice"
_CHANGE = "one_time_tokens.change_emails:build_change_email"

KINDS: Final[Mapping[str, MessageKind]] = {
    "welcome": MessageKind("account", 5, 24 * HOUR, _CHECK, "registration.emails:build_welcome", typed_address=True),
    "reset": MessageKind("security", 0, 90 * MINUTE, _FAST, "resets.emails:build_reset", asked_for=True),
    "no_account": MessageKind("security", 0, 90 * MINUTE, _FAST, "resets.emails:build_no_account", asked_for=True),
    "signin_code": MessageKind("security", 0, 10 * MINUTE, _CODE, "sign_in.emails:build_sign_in_code", asked_for=True),
    "no_account_signin": MessageKind(
        "security", 0, 10 * MINUTE, _CODE, "sign_in.emails:build_no_account", asked_for=True
    ),
    "address_check": MessageKind(
        "account", 0, 24 * HOUR, _CHECK, "registration.emails:build_address_check", asked_for=True, typed_address=True
    ),
    "address_taken": MessageKind(
        "account", 0, 24 * HOUR, _CHECK, "registration.emails:build_address_taken", asked_for=True, typed_address=True
    ),
    "consent_confirmation": MessageKind(
        "privacy", 5, 72 * HOUR, NOTICE_WAITS, "consents.emails:build_consent_confirmation"
    ),
    "consent_granted": MessageKind("privacy", 5, 72 * HOUR, NOTICE_WAITS, "consents.emails:build_consent_granted"),
    "business_undo": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "email_change": MessageKind("security", 0, 24 * HOUR, _CHECK, _CHANGE, typed_address=True),
    "address_changed": MessageKind("security", 0, 72 * HOUR, _CHECK, _CHANGE, is_notice=True),
    "further_address": MessageKind("security", 0, 24 * HOUR, _CHECK, _CHANGE, typed_address=True),
    "address_added": MessageKind("security", 0, 72 * HOUR, _CHECK, _CHANGE, is_notice=True),
    "address_removed": MessageKind("security", 0, 72 * HOUR, _CHECK, _CHANGE, is_notice=True),
    "merge_confirmation": MessageKind("security", 0, 24 * HOUR, _CHECK, _CHANGE, typed_address=True),
    "change_confirmation": MessageKind("security", 0, 24 * HOUR, _CHECK, _CHANGE),
    "stop_link": MessageKind("security", 0, 72 * HOUR, _CHECK, _CHANGE, is_notice=True),
    "merge_undone": MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "merged": MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "taken_back": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "business_ended": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "company_changed": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "account_closed": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "account_erased": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, is_notice=True),
    "account_reopened": MessageKind("account", 5, 72 * HOUR, NOTICE_WAITS, _CHANGE, is_notice=True),
    "caller_check": MessageKind("security", 0, 3 * MINUTE, _CODE, "contacts.emails:build_caller_check"),
    "password_changed": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "resets.emails:build_password_changed", is_notice=True
    ),
    "passkey_added": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_passkey_added", is_notice=True
    ),
    "passkey_removed": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_passkey_removed", is_notice=True
    ),
    "recovery_proof": MessageKind("security", 0, 10 * MINUTE, _CODE, "recovery.emails:build_recovery_proof"),
    **dict.fromkeys(
        ("call_denied", "recovery_code_created", "recovery_code_used", "recovery_code_entered", "recovery_code_missed"),
        MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, "recovery.emails:build_notice", is_notice=True),
    ),
    "second_factor_added": MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, _FACTOR, is_notice=True),
    "second_factor_removed": MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, _FACTOR, is_notice=True),
    "second_factor_failed": MessageKind("security", 5, 72 * HOUR, NOTICE_WAITS, _FACTOR, is_notice=True),
    "second_factor_lost": MessageKind("security", 0, 72 * HOUR, _CHECK, _CHANGE, is_notice=True),
    "passkey_copied": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_passkey_copied", is_notice=True
    ),
    "passkey_only": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_passkey_only", is_notice=True
    ),
    "passkey_only_ended": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_passkey_only_ended", is_notice=True
    ),
    "weaker_sign_in": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "passkeys.emails:build_weaker_sign_in", is_notice=True
    ),
    "number_added": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "phone_numbers.emails:build_number_notice", is_notice=True
    ),
    "number_removed": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "phone_numbers.emails:build_number_notice", is_notice=True
    ),
    "password_changed_by_text": MessageKind(
        "security", 5, 72 * HOUR, NOTICE_WAITS, "resets.emails:build_password_changed", is_notice=True
    ),
    "reset_text": MessageKind(
        "security", 0, 5 * MINUTE, _CODE, "resets.texts:build_reset_text", asked_for=True, channel="text"
    ),
    "no_number": MessageKind(
        "security", 0, 5 * MINUTE, _CODE, "resets.texts:build_no_number", asked_for=True, channel="text", silent=True
    ),
    "caller_check_text": MessageKind(
        "security", 0, 3 * MINUTE, _CODE, "contacts.texts:build_caller_check_text", channel="text"
    ),
    "number_check": MessageKind(
        "security", 0, 5 * MINUTE, _CODE, "phone_numbers.texts:build_number_check", channel="text"
    ),
    "test": MessageKind("account", 0, 10 * MINUTE, _CODE),
}
"""Every kind of message. None of them is marketing: a constraint in the database refuses other purposes (NOM-01)."""

CHANNELS: Final = ("email", "text")
PURPOSES: Final = ("security", "account", "privacy")
PRIORITIES: Final = (0, 5, 9)
