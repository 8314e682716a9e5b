"""Render a page of the console, with what all of its pages need."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from identity_service import translations
from identity_service.approvals import rules as approval_rules
from identity_service.console import actions, rules
from identity_service.values import currencies, email_addresses, user_ids
from identity_service.values.user_ids import UserId
from identity_service.web import pages

CHANGE_NAMES: Final = {
    "email": "another email address", "merge": "merge with another account", "consumer": "back to a private account",
    "close": "close the account", "erase": "erase everything", "business": "convert to business",
}  # fmt: skip
END_REASONS: Final = {
    **{code: f"declined: {words[0].lower()}{words[1:]}" for code, words in approval_rules.DECLINED.items()},
    "customer": "stopped by the customer", "replaced": "replaced by a newer request",
    "mailbox_answered": "stopped, because the customer's mailbox isn't lost",
    "address_erased": "stopped, because the account with this address was erased",
}  # fmt: skip
ENTRY_NAMES: Final = {
    "opened": "opened", "note": "note", "handed_over": "handed over", "picked_up": "picked up", "closed": "closed",
    "verified": "caller verified", "not_verified": "the code didn't match", "did": "done",
}  # fmt: skip
METHOD_NAMES: Final = {
    "email": "a code by email", "text": "a code by text message", "support_code": "support code",
    "on_screen": "an answer on their screen",
}  # fmt: skip
METHOD_BUTTONS: Final = {
    "email": "Send a code", "text": "Text a code", "support_code": "Support code",
    "on_screen": "On screen",
}  # fmt: skip
SESSION_NAMES: Final = {
    "password": "password", "mail": "emailed code", "passkey": "passkey", "verified_passkey": "passkey",
    "recovery": "recovery code", "new_account": "the page of their new account",
}  # fmt: skip
CHECK_WARNINGS: Final = {
    "check_failed": "A check of this account failed in the past 24 hours.",
    "call_denied": "The customer said that a call wasn't theirs. Nobody can be verified for 24 hours.",
    "unexpected_call": "The customer said that somebody called them and says that they are us.",
}  # fmt: skip
pages.share(
    show=user_ids.show, mask=email_addresses.mask, amount=currencies.write_amount, may=rules.may,
    target=lambda change: approval_rules.describe_target(change.verb, change.details),
    METHOD_NAMES=METHOD_NAMES, METHOD_BUTTONS=METHOD_BUTTONS, SESSION_NAMES=SESSION_NAMES,
    CHECK_WARNINGS=CHECK_WARNINGS,
    CHANGE_NAMES=CHANGE_NAMES, END_REASONS=END_REASONS, ENTRY_NAMES=ENTRY_NAMES,
)  # fmt: skip


def console_page(request: Request, template: str, staff: actions.SignedInStaff, **facts: Any) -> Response:  # noqa: ANN401
    """Render a template of the console for this member of staff."""
    return pages.render_page(request, template, staff=staff.staff, **facts)


def spelled(user_id: str, language: str) -> Sequence[Sequence[str]]:
    """Return the groups of a User ID as they are read out to its owner, in their language."""
    return user_ids.spell_groups(UserId(user_id), translations.catalogue(language).gettext)
