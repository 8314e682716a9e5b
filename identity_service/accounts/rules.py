"""What is true of accounts, and what is refused. Pure."""

from typing import Final

from identity_service import user_ids
from identity_service.errors import Conflict, NotFound, Problem, Unprocessable

KINDS: Final = ("consumer", "business")
STATES: Final = ("active", "closed", "merged", "erased")
EMAIL_STATES: Final = ("none", "unconfirmed", "confirmed")
LANGUAGES: Final = ("en", "de")
LONGEST_CHAIN: Final = 32
"""Merges that a User ID is followed through; more is a circle."""
SILENCE: Final = "never"
"""The marketing permission of everyone who never said yes, which is everyone until a customer can be asked."""

PROMISE: Final = {
    "en": "We will not send you any marketing. "
    "Only what concerns your account, such as this User ID or a password you ask for.",
    "de": "Wir senden Ihnen keine Werbung. "
    "Nur was Ihr Konto betrifft, etwa diese Kundennummer oder ein Kennwort, um das Sie bitten.",
}
"""What every customer is told when the ID is issued, word for word."""


class UnknownUserId(NotFound):
    """No account has this User ID."""


class ExternalRefTaken(Conflict):
    """Another account has this external reference already."""


class EmailTaken(Conflict):
    """Another account has this address already."""


class EmailPresent(Conflict):
    """This account has an address already."""


class NoEmail(Conflict):
    """This account has no address to write to."""


class AccountMoved(Conflict):
    """This account was merged into another one; `moved_to` names it."""


class AccountNotActive(Conflict):
    """This account is closed."""


class MalformedCompanyName(Unprocessable):
    """A company's name is one printable line of at most 200 characters."""


class StaleVersion(Problem):
    """The account has changed since you read it; read it again."""

    status = 412


def check_company_name(name: str) -> None:
    """Refuse a company's name that no letter could carry in its subject.

    Raises:
        MalformedCompanyName
    """
    if not name.strip() or len(name) > 200 or not name.isprintable() or "=?" in name:
        raise MalformedCompanyName


def check_convertible(state: str, merged_into: str | None, version: int, wanted: int | None) -> None:
    """Refuse to change what is merged, closed, or has changed since it was read.

    Raises:
        AccountMoved, AccountNotActive, StaleVersion
    """
    if merged_into is not None:
        raise AccountMoved(moved_to=user_ids.show(merged_into))
    if state != "active":
        raise AccountNotActive
    if wanted is not None and wanted != version:
        raise StaleVersion


def earlier_kinds(kind: str, *, was_business: bool) -> list[str]:
    """Return what a customer was before, the newest first: everybody began as a consumer."""
    if kind == "business":
        return ["consumer"]
    return ["business", "consumer"] if was_business else []


def verification(kind: str, state: str, merged_into: str | None, decision: str | None, *, lags: bool) -> dict[str, str]:
    """Return what a support tool is told of an account that exists: status, kind, and whether marketing is allowed.

    `decision` is the customer's word on marketing by e-mail; `lags`: it comes from a replica, which never says yes.
    """
    match state:
        case "merged" if merged_into is not None:
            return {"status": "moved", "moved_to": merged_into}
        case "erased":
            return {"status": "unknown"}
        case _:
            allowed = decision == "granted" and state == "active"
            marketing = SILENCE if not allowed else "ask" if lags else "allowed"
            return {"status": "closed" if state == "closed" else "valid", "kind": kind, "marketing": marketing}
