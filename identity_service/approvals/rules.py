"""Which changes are guarded, how long an approved one waits, and the errors. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from identity_service.errors import Conflict, NotFound, Problem
from identity_service.values import email_addresses, user_ids

NO_MAILBOX = "This account has no mailbox that could confirm this; a second person must approve it in the console."

GUARDED: Final = {
    "business": "business.actions:apply_business",
    "consumer": "business.actions:apply_consumer",
    "merge": "merges.actions:apply_merge",
    "close": "privacy.closing:apply_close",
    "erase": "privacy.actions:apply_erase",
    "email": "addresses.actions:apply_email",
}
"""Changes that a desk may only request, with the function that carries each one out (decision 12)."""
WAITING_TIME: Final = timedelta(hours=72)
"""How long an approved change waits, so that the old mailbox can stop it (PHN-09)."""


DECLINED: Final = {
    "declined_identity": "It is not clear that the customer asked for it",
    "declined_details": "The details are wrong",
    "declined_needless": "It is no longer needed",
}
"""Why a second person declines a change, as the reason of its event, with the words of the console."""


class ProofRefused(Problem):
    """This proof isn't enough for this request."""

    status = 403


class MailboxAnswered(Conflict):
    """The customer has proven one of their mailboxes since this was requested, so it isn't lost. Have the change
    confirmed from that mailbox.
    """


def describe_target(verb: str, details: Mapping[str, Any]) -> str:
    """Return what a change leads to, as the customer must see it: the masked address, the company, the other User ID.

    The domain of an address is shown whole. Empty for a change that leads to nothing else.
    """
    if verb == "email":
        return email_addresses.mask(details["email"])
    if verb == "business":
        return str(details["company_name"])
    if verb == "merge":
        return user_ids.show(user_ids.parse(details.get("undo") or details["duplicate"]))
    return ""


class UnknownChange(NotFound):
    """We can't find this change. It may already be approved, carried out or stopped."""
