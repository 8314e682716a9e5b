"""Kinds and states of an account, what may be changed, and the errors. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from identity_service.errors import Conflict, NotFound, Problem
from identity_service.values import user_ids


class AccountKind(StrEnum):
    """Whether the customer is a private person or a company."""

    CONSUMER = "consumer"
    BUSINESS = "business"


class AccountState(StrEnum):
    """Whether an account can be used, and why not."""

    ACTIVE = "active"
    CLOSED = "closed"
    MERGED = "merged"
    ERASED = "erased"


class EmailState(StrEnum):
    """Whether an account has an address, and whether its mailbox confirmed it."""

    NONE = "none"
    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"


LONGEST_CHAIN: Final = 32
"""How many merges a look-up follows; a longer chain is treated as a cycle."""
Permission = Literal["never", "allowed"]
DEFAULT_PERMISSION: Final = "never"
"""The marketing permission of an account without a grant."""

PROMISE: Final = (
    "We'll never send you marketing. We'll only email you about your account, for example when you reset your password."
)
"""What every customer reads when their User ID is issued; the catalogues have it in every language."""


class UnknownUserId(NotFound):
    """No account has this User ID."""


class AccountErased(UnknownUserId):
    """The account with this User ID was erased. We never issue a User ID twice, so remove it from your records."""

    status = 410


class ExternalRefTaken(Conflict):
    """Another account already has this external reference."""


class UnknownExternalRef(NotFound):
    """Your source doesn't know this customer by this reference. Check the reference."""


class EmailTaken(Conflict):
    """Another account already has this email address."""


class EmailPresent(Conflict):
    """This account already has an email address. To replace it, use an email change."""


class NoEmail(Conflict):
    """This account has no email address. Add one first."""


class AccountMoved(Conflict):
    """This account was merged into another one. Use the User ID in `moved_to`."""


REOPEN: Final = timedelta(days=30)
"""How long a closed account can be opened again."""


def may_reopen(state: str, closed_at: datetime | None, now: datetime) -> bool:
    """Return whether an account can be opened again."""
    return state == AccountState.CLOSED and closed_at is not None and now - closed_at < REOPEN


class CannotReopen(Conflict):
    """We can't reopen this account. Either it isn't closed, or it was closed more than 30 days ago. The customer can
    get a new account.
    """


class AccountClosed(Conflict):
    """This account is closed and can't be changed. Its email address only becomes free if the account is erased."""


class StaleVersion(Problem):
    """This account has changed since you last read it. Read it again, then retry."""

    status = 412


ACCOUNT_ERRORS: Final = (UnknownUserId, AccountErased, user_ids.MalformedUserId)
CONTACT_ERRORS: Final = (*ACCOUNT_ERRORS, AccountMoved, AccountClosed, NoEmail)
CHANGE_ERRORS: Final = (*CONTACT_ERRORS, StaleVersion)
"""Errors of routes that read one account, of those that write to its mailbox, and of those that change it."""


def marketing_permission(decision: str | None) -> Permission:
    """Return the permission after a decision: only a grant allows; none, proposed and withdrawn do not (PRV-01)."""
    return "allowed" if decision == "granted" else "never"


def check_changeable(state: str, moved_to: str | None) -> None:
    """Refuse to change an account that is merged or not active.

    `moved_to` is the account at the end of the chain of merges, `None` for one that is not merged.

    Raises:
        AccountMoved, AccountClosed
    """
    if moved_to is not None:
        raise AccountMoved(moved_to=user_ids.show(moved_to))
    if state != "active":
        raise AccountClosed


def earlier_kinds(kind: str, *, was_business: bool) -> list[str]:
    """Return the customer's earlier kinds, newest first; every account begins as a consumer."""
    if kind == "business":
        return ["consumer"]
    return ["business", "consumer"] if was_business else []


def verification(kind: str, state: str, moved_to: str | None, decision: str | None, *, lags: bool) -> dict[str, str]:
    """Return what a verification answers for a stored account: status, kind and marketing permission.

    `moved_to` is the account at the end of the chain of merges. `decision` is the customer's on marketing by email.
    `lags` says that it was read from a replica, which may miss a withdrawal: a grant is then answered as `ask`. Of an
    erased account nothing but that is said.
    """
    match state:
        case "merged" if moved_to is not None:
            return {"status": "moved", "moved_to": moved_to}
        case "erased":
            return {"status": "erased"}
        case _:
            allowed = decision == "granted" and state == "active"
            marketing = DEFAULT_PERMISSION if not allowed else "ask" if lags else "allowed"
            return {"status": "closed" if state == "closed" else "valid", "kind": kind, "marketing": marketing}
