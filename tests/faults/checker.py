"""The judge of a chaos run: compares what callers were told, the rows, and what lies in the relays' inboxes.

It knows nothing of how the run went; it is itself tested with a planted loss and a planted duplicate.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One message as the database has it."""

    message_id: str
    address: str
    state: str
    possibly_sent: bool
    open_attempts: int


TAKEN = ("accepted", "delivered", "bounced")
PENDING = ("queued", "deferred", "sending")


def judge(acknowledged: Iterable[str], rows: Iterable[Row], inbox: Iterable[tuple[str, str]]) -> list[str]:
    """Return what is wrong, a sentence each.

    `acknowledged` are the addresses whose registration was answered 201; `inbox` the (Message-ID, recipient) of every
    letter that a relay answered 250 for or may have kept.
    """
    rows = list(rows)
    by_address = {row.address: row for row in rows}
    copies = Counter(inbox)
    received = Counter(address for _, address in copies.elements())
    return [
        *(lost for address in acknowledged if (lost := _lost(address, by_address.get(address), received))),
        *(untrue for row in rows for untrue in _untrue(row, received)),
        *(f"doubled: {a} has {n} rows" for a, n in Counter(row.address for row in rows).items() if n > 1),
        *_unmarked(received, by_address),
        *(
            f"changed: {address} came under {len(ids)} Message-IDs, or not under its own"
            for address, ids in _ids(copies).items()
            if len(ids) > 1 or (address in by_address and ids != {_message_id(by_address[address])})
        ),
    ]


def _lost(address: str, row: Row | None, received: Counter[str]) -> str | None:
    if row is None:
        return f"lost: {address} was acknowledged and has no row"
    if row.state in TAKEN and address not in received:
        return f"lost: {address} is {row.state} and lies in no inbox"
    return None


def _untrue(row: Row, received: Counter[str]) -> Iterator[str]:
    if row.state in PENDING:
        yield f"unended: {row.address} is {row.state}"
    if row.open_attempts:
        yield f"open attempt: {row.address}"
    if row.state in ("rejected", "expired") and row.address in received:
        yield f"untrue: {row.address} is {row.state} and lies in an inbox"


def _unmarked(received: Counter[str], by_address: dict[str, Row]) -> Iterator[str]:
    for address, count in received.items():
        row = by_address.get(address)
        if row is None:
            yield f"invented: {address} lies in an inbox and has no row"
        elif count > 1 and not row.possibly_sent:
            yield f"twice: {address} came {count} times and is not marked"


def _message_id(row: Row) -> str:
    """Return what stands before the @ of a letter's Message-ID."""
    return row.message_id.replace("-", "")


def _ids(copies: Counter[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for message_id, address in copies:
        found.setdefault(address, set()).add(message_id.strip("<>").partition("@")[0])
    return found
