"""What an amount may be, and what a summary counts. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from babel.numbers import get_currency_precision, list_currencies

from identity_service.errors import Conflict, Forbidden, Unprocessable

LARGEST: Final = Decimal(2**53)
"""Amounts beyond are no longer exact in everybody's JSON."""
BATCH: Final = 1000
ORDER, REFUND, TICKET, TICKET_CLOSED = "order", "refund", "ticket", "ticket_closed"
KINDS: Final = {ORDER: "order", REFUND: "refund", TICKET: "ticket", TICKET_CLOSED: "ticket closed"}
"""What the kinds that we know are called where a customer reads them; others stand there as the service wrote them."""
_CLIENT: Final = "cli_"
_AMOUNT = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,4})?")


class MalformedAmount(Unprocessable):
    """This amount cannot be: it is too large, has more decimals than its currency, or its currency does not exist."""


class ReferenceTaken(Conflict):
    """This source has the reference for something that happened to another customer."""


class AnothersSource(Forbidden):
    """A source that is named like a client is that client's alone; leave it out, or use a word of your own."""


class DetailsTooLarge(Unprocessable):
    """The details of an entry are small: 2,000 characters in all."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A customer's history at a glance; amounts are orders less refunds."""

    customer_since: datetime
    entries: int
    orders: int
    last_order_at: datetime | None
    open_tickets: int
    amounts: dict[str, Decimal] = field(default_factory=dict)


def source(named: str | None, client_id: str) -> str:
    """Return the name that entries stand under: the client's own, or a word that services agreed upon (`shop`).

    References are taken per source. Whoever could write under another client's id would take those of its next entries
    before they come, and speak in its name.

    Raises:
        AnothersSource: the name looks like a client's id and is not the caller's.
    """
    if named is not None and named.startswith(_CLIENT) and named != client_id:
        raise AnothersSource
    return named or client_id


def amount(text: str | None, currency: str | None) -> Decimal | None:
    """Return an amount as an exact decimal, or None where there is none.

    Raises:
        MalformedAmount: with a sentence that says which rule.
    """
    if text is None or currency is None:
        if text is not None or currency is not None:
            raise MalformedAmount("Amount and currency go together.")
        return None
    if currency not in list_currencies():
        raise MalformedAmount("There is no such currency (ISO 4217).")
    if not _AMOUNT.fullmatch(text):
        raise MalformedAmount("An amount is digits with a point, like 12.50.")
    value = Decimal(text)
    decimals = get_currency_precision(currency)
    if -int(value.as_tuple().exponent) > decimals:
        raise MalformedAmount(f"{currency} has {decimals} decimals at the most.")
    if abs(value) > LARGEST:
        raise MalformedAmount("This amount is too large.")
    return value


def show_amount(value: Decimal, currency: str) -> str:
    """Return an amount with its currency's decimals."""
    return f"{value:.{get_currency_precision(currency)}f}"


def net(rows: Iterable[tuple[str, str, Decimal]]) -> dict[str, Decimal]:
    """Return orders less refunds per currency, from (kind, currency, sum)."""
    found: dict[str, Decimal] = {}
    for kind, currency, total in rows:
        sign = -1 if kind == REFUND else 1
        found[currency] = found.get(currency, Decimal(0)) + sign * total
    return found
