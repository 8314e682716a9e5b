"""Who a row is about: nobody yet, or an account that its address or reference leads to, and what it adds to it.

A row adds a reference, an address to an account without one, and a consent. A withdrawal always counts; a grant counts
where the customer has said nothing yet. A password, a name and a company are taken from the first row alone: a file
does not change an account that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import text

from identity_service.database.transactions import DatabaseSession
from identity_service.values import user_ids

SAME_ADDRESS: Final = "An account already has this address."
SAME_REFERENCE: Final = "An account already has this reference."
TWO_PEOPLE: Final = (
    "The email and the reference of this row lead to two different accounts; correct one of them, "
    "or let the customer merge the accounts."
)
OTHER_ADDRESS: Final = (
    "The reference of this row leads to an account with another address; correct the reference, "
    "or let the customer change the address."
)
_ADDED: Final = "Added to the account that is there: {}."
_GRANTS: Final = {
    "granted": "",
    "withdrawn": "The grant was not taken, because the customer has withdrawn; ask the customer again.",
    "proposed": "The grant was not taken, because the customer has been asked here and has not answered yet.",
}
_CLOSED: Final = "The account is closed, so that only a withdrawal was looked at."
_LATER_COMPANY: Final = "The company was left out, because a file makes no business of an account that is there."
_LATER_HASH: Final = "The password hash was left out, because a file sets no password of an account that is there."


@dataclass(slots=True)
class Customer:
    """An account that rows lead to. `decisions`: the newest of each purpose, also `proposed` while it waits."""

    user_id: str
    state: str
    has_email: bool
    decisions: dict[str, str] = field(default_factory=dict)


class Match(NamedTuple):
    """What becomes of a row: an account of its own (`is_new`), or what it adds to the customer's.

    `kind` and `reason`: what is told of a row that makes no account.
    """

    customer: Customer
    is_new: bool
    reference: str | None
    adds_email: bool
    consent: dict[str, Any] | None
    kind: str = ""
    reason: str = ""


@dataclass(slots=True)
class Matcher:
    """The customers that the rows of a batch lead to; for a dry run, of the whole file."""

    source: str
    _by_key: dict[str, Customer] = field(default_factory=dict)
    _by_reference: dict[str, Customer] = field(default_factory=dict)
    _by_id: dict[str, Customer] = field(default_factory=dict)

    async def load(self, session: DatabaseSession, rows: Sequence[Mapping[str, Any]], *, lock: bool) -> None:
        """Load the accounts of these rows. `lock` holds those that may get a consent until the transaction ends."""
        keys = [row["email_key"] for row in rows if row["email_key"] is not None]
        references = [row["reference"] for row in rows if row["reference"] is not None]
        for given, *account in await session.execute(_BY_KEY, {"keys": keys}):
            self._by_key.setdefault(given, self._customer(*account))
        known = await session.execute(_BY_REFERENCE, {"source": self.source, "references": references})
        for given, *account in known:
            self._by_reference.setdefault(given, self._customer(*account))
        asked = {customer.user_id for row in rows if row["consent"] for customer in self._leading(row)}
        if not asked:
            return
        if lock:
            await session.execute(_LOCK, {"user_ids": sorted(asked)})
        for user_id, purpose, decision in await session.execute(_DECISIONS, {"user_ids": sorted(asked)}):
            # What an earlier row of a dry run decided is not in the database.
            self._by_id[user_id].decisions.setdefault(purpose, decision)

    def match(self, row: Mapping[str, Any]) -> Match | str:
        """Return what becomes of a row, or why it is refused; later rows find what it adds."""
        by_key, by_reference = self._by_key.get(row["email_key"]), self._by_reference.get(row["reference"])
        customer = by_key or by_reference
        if customer is None:
            return self._new(row)
        if by_reference is not None and by_reference is not customer:
            return TWO_PEOPLE
        if by_key is None and row["email_key"] is not None and customer.has_email:
            return OTHER_ADDRESS
        return self._addition(row, customer, SAME_REFERENCE if by_key is None else SAME_ADDRESS)

    def _leading(self, row: Mapping[str, Any]) -> list[Customer]:
        found = (self._by_key.get(row["email_key"]), self._by_reference.get(row["reference"]))
        return [customer for customer in found if customer is not None]

    def _customer(self, user_id: str, state: str, has_email: bool) -> Customer:
        return self._by_id.setdefault(user_id, Customer(user_id, state, has_email))

    def _new(self, row: Mapping[str, Any]) -> Match:
        customer = self._customer(user_ids.issue(), "active", row["email_key"] is not None)
        self._remember(row, customer)
        if row["consent"] is not None:
            customer.decisions[row["consent"]["purpose"]] = row["consent"]["decision"]
        return Match(customer, True, row["reference"], False, row["consent"])

    def _addition(self, row: Mapping[str, Any], customer: Customer, same: str) -> Match:
        is_open = customer.state == "active"
        reference = row["reference"] if is_open and row["reference"] not in self._by_reference else None
        adds_email = is_open and row["email_key"] is not None and not customer.has_email
        consent, why_not = _consent(row["consent"], customer, is_open=is_open)
        if is_open:
            self._remember(row, customer)
        if consent is not None:
            customer.decisions[consent["purpose"]] = consent["decision"]
        added = ["reference"] * (reference is not None) + ["email"] * adds_email
        added += [f"{consent['purpose']} {consent['decision']}"] if consent is not None else []
        kind = "extended" if added else "duplicates"
        reason = _ADDED.format(", ".join(added)) if added else same
        not_taken = [why_not, "" if is_open else _CLOSED]
        not_taken += [_LATER_COMPANY] * (row["company_name"] is not None)
        not_taken += [_LATER_HASH] * (row["password"] is not None)
        reason = " ".join(filter(None, (reason, *not_taken)))
        return Match(customer, False, reference, adds_email, consent, kind, reason)

    def _remember(self, row: Mapping[str, Any], customer: Customer) -> None:
        if row["email_key"] is not None:
            self._by_key[row["email_key"]] = customer
            customer.has_email = True
        if row["reference"] is not None:
            self._by_reference[row["reference"]] = customer


def _consent(given: dict[str, Any] | None, customer: Customer, *, is_open: bool) -> tuple[dict[str, Any] | None, str]:
    """Return the consent that is added, and otherwise why a grant is not."""
    if given is None:
        return None, ""
    before = customer.decisions.get(given["purpose"])
    if given["decision"] == "withdrawn":
        return (None if before == "withdrawn" else given), ""
    if before is not None:
        return None, _GRANTS[before]
    return (given if is_open else None), ""


_REST_OF_CHAIN = """
        UNION ALL
        SELECT c.given, a.user_id, a.merged_into, a.state, a.email_key
        FROM chain c JOIN account a ON a.user_id = c.merged_into
    )
    SELECT given, user_id, state, email_key IS NOT NULL FROM chain WHERE merged_into IS NULL
    """
_KEYS = """
    WITH RECURSIVE chain AS (
        SELECT a.email_key AS given, a.user_id, a.merged_into, a.state, a.email_key
        FROM account a WHERE a.email_key = ANY(:keys)
        UNION ALL
        SELECT f.email_key AS given, a.user_id, a.merged_into, a.state, a.email_key
        FROM further_address f JOIN account a ON a.user_id = f.user_id
        WHERE f.email_key = ANY(:keys) AND f.confirmed_at IS NOT NULL AND f.removed_at IS NULL
    """
_REFERENCES = """
    WITH RECURSIVE chain AS (
        SELECT r.reference AS given, a.user_id, a.merged_into, a.state, a.email_key
        FROM external_reference r JOIN account a ON a.user_id = r.user_id
        WHERE r.source = :source AND r.reference = ANY(:references)
    """
_BY_KEY, _BY_REFERENCE = text(_KEYS + _REST_OF_CHAIN), text(_REFERENCES + _REST_OF_CHAIN)
_LOCK = text("SELECT user_id FROM account WHERE user_id = ANY(:user_ids) ORDER BY user_id FOR UPDATE")
# The state counts; where there is none, a proposal that is the newest entry waits for its answer.
_DECISIONS = text(
    """
    SELECT user_id, purpose, decision FROM consent_state WHERE user_id = ANY(:user_ids)
    UNION ALL
    SELECT user_id, purpose, decision FROM (
        SELECT DISTINCT ON (user_id, purpose) user_id, purpose, decision FROM consent_entry
        WHERE user_id = ANY(:user_ids) ORDER BY user_id, purpose, id DESC
    ) AS newest
    WHERE decision = 'proposed' AND NOT EXISTS (
        SELECT 1 FROM consent_state s WHERE s.user_id = newest.user_id AND s.purpose = newest.purpose
    )
    """
)
