"""Checks of amounts and sources, and what a summary contains. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from identity_service.errors import Conflict, Forbidden, NotFound, Unprocessable
from identity_service.values import currencies

LARGEST: Final = Decimal(2**53)
"""The largest amount; many JSON parsers cannot represent larger numbers exactly."""
BATCH: Final = 1000
FUTURE: Final = timedelta(minutes=10)
"""How far `occurred_at` may be ahead of our clock: as much as two hosts may differ."""
ORDER, REFUND, TICKET, TICKET_CLOSED = "order", "refund", "ticket", "ticket_closed"
KINDS: Final = {ORDER: "order", REFUND: "refund", TICKET: "support request", TICKET_CLOSED: "support request closed"}
"""The names that customers read for the known kinds; other kinds are shown as the service wrote them."""
_AMOUNT = re.compile(r"-?0*([0-9]{1,40})(?:\.([0-9]{1,40}))?")


class MalformedAmount(Unprocessable):
    """This amount isn't valid. It's too large, has too many decimals for its currency, or the currency doesn't
    exist.
    """


class ReferenceTaken(Conflict):
    """This source already uses this reference for another customer's entry. Use a different reference."""


class ReferenceConflict(Conflict):
    """This reference is already stored with different content, in `entry`. To replace it, send `corrects` with its
    id.
    """


class UnknownEntry(NotFound):
    """Your source has no such entry for this customer."""


class EntryCorrected(Conflict):
    """This entry has already been corrected. Correct or remove the newer one, which is in `entry`."""


class OccursInFuture(Unprocessable):
    """An entry can't be from the future. `occurred_at` is more than ten minutes ahead of our clock. Send an earlier
    time.
    """


class SourceNotYours(Forbidden):
    """A client can only write for its own source. Leave `source` out, or send your own."""


class DetailsTooLarge(Unprocessable):
    """The details of this entry are too long. Use no more than 2,000 characters in total."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A customer's summary; amounts are orders minus refunds, per currency."""

    customer_since: datetime
    entries: int
    orders: int
    last_order_at: datetime | None
    open_tickets: int
    amounts: dict[str, Decimal] = field(default_factory=dict)


def check_source(named: str | None, own: str) -> None:
    """Check that the source named in a request is the caller's own; `None` means just that.

    References are unique per source. A client that could write under another one could use up its references and
    impersonate it.

    Raises:
        SourceNotYours: the detail names the caller's source.
    """
    if named is not None and named != own:
        raise SourceNotYours(f"Your source is {own}; leave `source` out, or name that one.", source=own)


def check_occurred(occurred_at: datetime, now: datetime) -> None:
    """Raise OccursInFuture if a time is ahead of `now` by more than `FUTURE`."""
    if occurred_at > now + FUTURE:
        raise OccursInFuture


def parse_amount(text: str | None, currency: str | None) -> Decimal | None:
    """Return an amount as an exact decimal, or `None` without amount and currency.

    Raises:
        MalformedAmount: with a detail that names the broken rule.
    """
    if text is None or currency is None:
        if text is not None or currency is not None:
            raise MalformedAmount("Amount and currency go together: give both or neither.")
        return None
    if not currencies.exists(currency):
        raise MalformedAmount("There is no such currency; use a code of ISO 4217.")
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise MalformedAmount(
            "An amount must be digits with a decimal point, like 12.50: no currency, comma, blank or plus sign."
        )
    decimals = currencies.decimals_of(currency)
    if len(found[2] or "") > decimals:
        raise MalformedAmount(f"{currency} has at most {decimals} decimals (ISO 4217).")
    value = Decimal(text)
    if abs(value) > LARGEST:
        raise MalformedAmount("This amount is too large; at most 2^53 (9007199254740992) is allowed.")
    return value or Decimal(0)


def net_amount(rows: Iterable[tuple[str, str, Decimal]]) -> dict[str, Decimal]:
    """Return orders minus refunds per currency, from rows of (kind, currency, sum)."""
    found: dict[str, Decimal] = {}
    for kind, currency, total in rows:
        sign = -1 if kind == REFUND else 1
        found[currency] = found.get(currency, Decimal(0)) + sign * total
    return found
