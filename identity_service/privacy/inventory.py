"""The inventory of personal data, derived from the privacy facts that tables and columns declare.

It drives export, erasure and the record of processing activities (PRV-09, PRV-10, PRV-15).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from identity_service import database_schema
from identity_service.database.privacy import EMPTY, HOLDS, Erase
from identity_service.database.types import Base


@dataclass(frozen=True, slots=True)
class TableInventory:
    """One table: the column with the customer's User ID, what erasing does to the rows, and each column's class."""

    owner: str | None
    erase: Erase
    columns: Mapping[str, str]
    empty: Mapping[str, object]
    """Values other than NULL that erasing writes to columns."""
    through: tuple[str, str] | None
    """For a table without an owner: its column that refers to a parent table, and that table."""

    def of(self, *kinds: str) -> list[str]:
        """Return the columns of these privacy classes."""
        return [name for name, kind in self.columns.items() if kind in kinds]


def _read_tables() -> dict[str, TableInventory]:
    declared = {mapper.local_table.name: mapper.class_.privacy for mapper in Base.registry.mappers}  # type: ignore[attr-defined]
    found = {}
    for table in database_schema.METADATA.sorted_tables:
        privacy = declared[table.name]
        columns = {column.name: column.info.get(HOLDS, "") for column in table.columns}
        empty = {column.name: column.info[EMPTY] for column in table.columns if EMPTY in column.info}
        # A plain `str`: SQLAlchemy's `quoted_name` is a subclass, which orjson refuses as a key of the export.
        found[str(table.name)] = TableInventory(privacy.owner, privacy.erase, columns, empty, privacy.through)
    return found


INVENTORY: Final = _read_tables()
"""Every table and column. A table without `owner` and `through` belongs to no customer. `permission_check` is one of
them, because its rows name many customers; the export adds each customer's part of it."""

TITLES: Final[Mapping[str, str]] = {
    "account": "Account",
    "business_period": "When this was a business account",
    "external_reference": "Your references at our other services",
    "history_entry": "History",
    "consent_entry": "Your consents, entry by entry",
    "consent_evidence": "Proof of your consents",
    "consent_state": "Your current consents",
    "password": "When your password was set",
    "sign_in_session": "Sign-ins",
    "pending_sign_in": "Sign-ins that wait for a code of your authenticator app",
    "second_factor": "Authenticator app",
    "second_factor_setup": "Authenticator app that is being set up",
    "passkey": "Passkeys",
    "passkey_challenge": "Passkeys that are being added",
    "recovery_code": "Recovery codes",
    "recovery_session": "Account recoveries",
    "support_code": "Codes for calls with our support team",
    "caller_preference": "How our support team may verify you",
    "passkey_only": "Sign-in with passkeys alone",
    "phone_number": "Telephone numbers",
    "text_charge": "What text messages to you count for",
    "one_time_token": "Links and codes",
    "message": "Emails and text messages",
    "attempt": "Attempts to send them",
    "feedback": "Delivery reports for them",
    "inbound_mail": "Emails that came back",
    "pending_change": "Changes our support team requested",
    "email_change": "Email address changes",
    "further_address": "Further email addresses",
    "contact": "Conversations with us",
    "contact_entry": "Conversations in detail",
    "caller_check": "Identity checks on the phone",
    "merge_request": "Requests to merge accounts",
    "event": "What happened",
    "account_access": "Who in our support team opened your account, and why",
    "idempotency_key": "Technical keys that stop requests from running twice",
    "permission_check": "Who asked whether you can be sent marketing",
    "suppression": "Addresses we don't email",
    "tracking_link": "Pages that show where an email is",
    "oauth_grant": "Sign-ins at websites and apps",
    "client_session": "Sessions at websites and apps",
    "granted_scope": "What websites and apps may read",
    "logout_delivery": "Websites and apps that were told you signed out",
}
"""The heading of each table on the page where customers read their data."""

COLUMN_TITLES: Final[Mapping[str, str]] = {
    "user_id": "User ID", "kind": "Kind", "state": "State", "email": "Email address", "display_name": "Name",
    "locale": "Language", "language": "Language", "merged_at": "Merged on", "closed_at": "Closed on",
    "customer_since": "Customer since", "name": "What happened", "actor": "By", "clerk": "By", "occurred_at": "When",
    "requested_by": "Requested by", "opened_by": "Opened by", "reason": "Reason", "company_name": "Company",
    "country": "Country", "vat_number": "VAT number", "registration_number": "Registration number",
    "contact_person": "Contact person", "billing_address": "Billing address", "began_at": "Began on",
    "ended_at": "Ended on", "purpose": "Purpose", "decision": "Answer", "allowed": "Answer", "text": "Wording",
    "since": "Since", "number": "Number", "opened_at": "Opened on", "new_email": "New address",
    "old_email": "Old address", "requested_at": "Requested on", "changed_at": "Changed on", "undone_at": "Undone on",
    "source": "Reported by", "reference": "Reference", "amount": "Amount", "currency": "Currency", "link": "Link",
    "details": "Details", "created_at": "Created on", "recipient": "To", "accepted_at": "Sent on", "set_at": "When",
    "method": "Signed in with", "browser": "Browser", "seen_at": "Last used on", "expires_at": "Works until",
    "used_at": "Used on", "note": "Note", "verb": "Change", "done_at": "Done", "stopped_at": "Stopped on",
    "last_used_at": "Last used on", "label": "Name", "added_at": "Added on", "went_back_at": "Perhaps copied on",
    "confirmed_at": "Confirmed on",
}  # fmt: skip
"""What columns are called there. The others are technical, and shown by their names."""


def customer_tables() -> list[str]:
    """Return the tables with rows of customers; those reached through another table follow those with an owner."""
    owned = [name for name, mapped in INVENTORY.items() if mapped.owner is not None]
    return owned + [name for name, mapped in INVENTORY.items() if mapped.through is not None]
