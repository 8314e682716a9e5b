"""Which desk may serve, what a merge comes to, and what is refused. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from identity_service.errors import Conflict, NotFound, Problem

GUARDED: Final = ("business", "consumer", "merge", "close", "erase", "email")
"""Verbs that a desk may only do with a proof (decision 12)."""

MERGE_UNDO: Final = timedelta(days=30)
WAIT: Final = timedelta(hours=72)
"""How long a change of a lost mailbox waits, so that its old owner can stop it (PHN-09)."""

Desk = Literal["consumer", "business"]
_FREE_MAIL: Final = (
    "gmail.com googlemail.com yahoo.com yahoo.de hotmail.com hotmail.de outlook.com outlook.de live.com icloud.com "
    "me.com aol.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de proton.me protonmail.com mail.com "
    "posteo.de mailbox.org orange.fr free.fr laposte.net libero.it bluewin.ch comcast.net"
)
FREE_MAIL: Final = frozenset(_FREE_MAIL.split())


class CannotMerge(Conflict):
    """These two accounts cannot become one."""


class NothingToUndo(NotFound):
    """There is no merge here that can still be undone."""


class ProofRefused(Problem):
    """This proof does not cover what was asked."""

    status = 403


class UnknownChange(NotFound):
    """There is no such change, or it has ended."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Which desk is best, which may serve, and why; being a consumer never excludes anybody."""

    desk: Desk
    may_serve: tuple[Desk, ...]
    reasons: tuple[str, ...]
    offer_conversion: bool


def place(
    *,
    kind: str,
    email_domain: str | None,
    orders: int,
    largest_total: Decimal,
    many_orders: int,
    large_amount: int,
) -> Placed:
    """Return the desk for a customer: business by kind, or by what he does; the reasons are spelled out.

    `many_orders` and `large_amount` (of one currency, orders less refunds) are the thresholds of the settings.
    """
    if kind == "business":
        return Placed("business", ("business", "consumer"), ("this is a business account",), offer_conversion=False)
    reasons = []
    if email_domain is not None and email_domain not in FREE_MAIL:
        reasons.append(f"writes from the company domain {email_domain}")
    if orders >= many_orders:
        reasons.append(f"has placed {orders} orders")
    if largest_total >= large_amount:
        reasons.append(f"has bought for {largest_total:.2f}")
    if not reasons:
        return Placed("consumer", ("consumer", "business"), ("this is a consumer account",), offer_conversion=False)
    return Placed("business", ("business", "consumer"), tuple(reasons), offer_conversion=True)


def check_mergeable(survivor: Any, duplicate: Any) -> None:  # noqa: ANN401
    """Refuse what cannot become one: an account and itself, one that is merged, closed or erased, or a circle.

    Raises:
        CannotMerge: with a sentence.
    """
    if survivor.user_id == duplicate.user_id:
        raise CannotMerge("An account cannot be merged with itself.")
    for account in (survivor, duplicate):
        if account.state == "merged":
            raise CannotMerge("One of them was merged already; merge the account that answers for it.")
        if account.state != "active":
            raise CannotMerge("One of them is closed.")


def may_undo(merged_at: datetime | None, now: datetime) -> bool:
    """Tell whether a merge can still be undone."""
    return merged_at is not None and now - merged_at <= MERGE_UNDO
