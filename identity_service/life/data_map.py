"""What every column of the database holds, whose it is, and what becomes of it when somebody is erased.

One map drives export, erasure and the record of processing (PRV-09, PRV-10, PRV-15). A column without an entry fails a
test, so nobody can add personal data that erasing forgets.

    id         a name that we gave: User IDs, message ids, positions
    fact       what happened: states, times, codes, amounts; stays
    personal   tells something about a person; goes
    proving    a hash, nonce or sealed value that proves something; never exported. Where its row stays, it opens
               nothing: whatever it leads to is an account that nobody finds any more
    kept       a keyed hash of an address, never exported: it outlives the person where suppression has to block,
               and is emptied everywhere else
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Erase = Literal["keep", "delete", "empty"]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: which column names the customer, what erasing does to his rows, and what each column holds.

    A table without a column for him may be reached `through` one of its own, which names a row of another table.
    """

    owner: str | None
    erase: Erase
    columns: Mapping[str, str]
    empty: Mapping[str, object] = field(default_factory=dict)
    """What the personal columns become where rows are emptied; NULL where nothing else is said."""
    through: tuple[str, str] | None = None

    def of(self, *kinds: str) -> list[str]:
        """Return the columns that hold one of these."""
        return [name for name, kind in self.columns.items() if kind in kinds]


def _columns(**kinds: str) -> dict[str, str]:
    return {name: kind for kind, names in kinds.items() for name in names.split()}


MAP: Final[Mapping[str, Table]] = {
    "account": Table("user_id", "empty", _columns(
        id="user_id merged_into", personal="email email_ascii email_key display_name",
        fact="kind state email_state locale merged_at customer_since proofs_valid_after sessions_valid_after version",
    ), {"email_state": "none"}),
    "business_time": Table("user_id", "empty", _columns(
        id="id user_id", personal="company_name vat_number registration_number contact_person billing_address",
        fact="country began_at ended_at",
    )),
    "external_reference": Table("user_id", "delete", _columns(
        id="client_id user_id", personal="reference", fact="created_at",
    )),
    "history_entry": Table("user_id", "empty", _columns(
        id="id user_id source", personal="reference link details",
        fact="kind occurred_at recorded_at amount currency",
    ), {"details": {}, "reference": "erased:"}),
    "consent_wording": Table(None, "keep", _columns(id="id language", fact="text text_hash")),
    "consent_entry": Table("user_id", "keep", _columns(
        id="id user_id proof_id previous_id",
        fact="purpose decision wording_id language channel actor at", proving="evidence_hash",
    )),
    "consent_evidence": Table("user_id", "delete", _columns(id="entry_id user_id", personal="text")),
    "consent_state": Table("user_id", "delete", _columns(id="user_id", fact="purpose decision since")),
    "permission_check": Table(None, "keep", _columns(
        id="id client_id user_ids", fact="purpose at allowed with_addresses",
    )),
    "password": Table("user_id", "delete", _columns(id="user_id", proving="phc", fact="set_at dead_at retired_at")),
    "password_try": Table(None, "keep", _columns(proving="subject", fact="failures blocked_until updated_at")),
    "sign_in_session": Table("user_id", "delete", _columns(
        id="id user_id", proving="cookie_hash", personal="browser", fact="way created_at seen_at until ended_at",
    )),
    "proof": Table("user_id", "empty", _columns(
        id="id user_id message_id", proving="handle reference nonce key_id", kept="to_hash",
        fact="purpose asked_at opened_at used_at code_tries",
    ), {"to_hash": None}),
    "tracking": Table(
        None, "delete", _columns(id="proof_id", proving="handle_hash", fact="created_at until"),
        through=("proof_id", "proof"),
    ),
    "message": Table("user_id", "empty", _columns(
        id="id user_id message_id_header resend_of event_id",
        personal="to_addr to_ascii facts last_reply", kept="to_hash pending_key",
        fact="kind purpose to_domain locale lane idempotency_key state state_changed_at created_at "
             "next_attempt_at deadline_at attempts turns lease_token lease_until lease_owner accepted_at "
             "accepted_relay relay_queue_id maybe_sent delayed_since last_class last_code last_enhanced prefer_relay",
    ), {"facts": {}, "to_hash": None, "pending_key": None, "to_domain": ""}),
    "attempt": Table(None, "empty", _columns(
        id="message_id", personal="reply transcript peer_ip",
        fact="attempt_no lease_token worker relay started_at finished_at phase outcome reply_class code enhanced "
             "tls_version reused duration_ms",
    ), through=("message_id", "message")),
    "feedback": Table(None, "keep", _columns(
        id="id message_id source_event_id inbound_id",
        fact="attempt_no type source occurred_at recorded_at code enhanced inbound_hash",
    ), through=("message_id", "message")),
    "inbound": Table(None, "delete", _columns(
        id="id message_id", personal="envelope_from envelope_to detail raw", fact="received_at via parse_status",
    ), through=("message_id", "message")),
    "suppression": Table(None, "keep", _columns(
        id="id feedback_id message_id", kept="to_hash", fact="scope reason created_at until lifted_at lifted_by",
    ), through=("message_id", "message")),
    "pending_change": Table("user_id", "empty", _columns(
        id="id user_id proof_id", personal="details reason",
        fact="verb asked_by asked_at approved_by due_at done_at stopped_at",
    ), {"details": {}}),
    "email_change": Table("user_id", "empty", _columns(
        id="id user_id proof_id undo_proof_id",
        personal="new_email new_ascii new_key old_email old_ascii old_key",
        fact="asked_by asked_at changed_at undone_at",
    )),
    "import_job": Table(None, "keep", _columns(id="id name", fact="done_line lines added created_at")),
    "import_row": Table(None, "keep", _columns(id="job_id line", personal="fields")),
    "import_told": Table(None, "keep", _columns(id="job_id line", fact="what why")),
    "contact": Table("user_id", "keep", _columns(
        id="id number user_id",
        fact="desk opened_by opened_at waiting_since waited_s hand_overs closed_at",
    )),
    "contact_entry": Table(None, "empty", _columns(
        id="id contact_id", personal="words", fact="at by desk what",
    ), through=("contact_id", "contact")),
    "caller_check": Table("user_id", "keep", _columns(
        id="id contact_id user_id proof_id", fact="clerk purpose asked_at tries matched answered_at",
    )),
    "staff": Table(None, "keep", _columns(
        id="id", proving="phc totp_sealed totp_step enrol_hash", fact="name role enrol_until added_at removed_at",
    )),
    "recovery_code": Table(None, "keep", _columns(id="staff_id", proving="code_hash", fact="used_at")),
    "staff_session": Table(None, "keep", _columns(
        id="id staff_id", proving="cookie_hash", fact="created_at seen_at ended_at",
    )),
    "merge_request": Table("survivor", "keep", _columns(
        id="id survivor duplicate survivor_proof_id duplicate_proof_id",
        fact="survivor_said_at duplicate_said_at asked_by asked_at merged_at undone_at",
    )),
    "event": Table("user_id", "keep", _columns(id="id transaction_id user_id", fact="name actor at data")),
    "look": Table("user_id", "delete", _columns(
        id="event_id user_id contact", personal="reason", fact="actor at", proving="salt",
    )),
    "sealed_event": Table(None, "keep", _columns(id="position event_id", fact="seal sealed_at")),
    "checkpoint": Table(None, "keep", _columns(id="position", fact="seal at statement")),
    "feed": Table(None, "keep", _columns(id="id restored_event_id", fact="epoch")),
    "client": Table(None, "keep", _columns(
        id="id", fact="name desk scopes jwks created_at closed_at last_used_at",
    )),
    "client_secret": Table(None, "keep", _columns(id="client_id", proving="secret_hash", fact="created_at ends_at")),
    "used_assertion": Table(None, "keep", _columns(id="client_id jti", fact="until")),
    "revoked_token": Table(None, "keep", _columns(id="jti client_id", fact="until")),
    "idempotency_key": Table("user_id", "delete", _columns(
        id="client_id route key user_id", proving="fingerprint answer", fact="until",
    )),
    "ring_key": Table(None, "keep", _columns(
        id="id", proving="sealed", fact="purpose algorithm created_at active_from",
    )),
    "throttle_counter": Table(None, "keep", _columns(proving="key", fact="count ends_at")),
    "worker": Table(None, "keep", _columns(id="name", fact="started_at seen_at in_flight")),
    "relay_state": Table(None, "keep", _columns(
        id="relay worker",
        fact="breaker opened_until faults_in_a_row last_reply last_attempt_at updated_at",
    )),
}  # fmt: skip
"""Every table and column there is. What names nobody, by itself or through another table, belongs to no customer; the
questions of marketing systems name many, and the export gives each customer his part of them."""

TITLES: Final[Mapping[str, str]] = {
    "account": "Account",
    "business_time": "Times as a business",
    "external_reference": "References at our services",
    "history_entry": "History",
    "consent_entry": "Consents, entry by entry",
    "consent_evidence": "Evidence of consents",
    "consent_state": "Consents as they stand",
    "password": "When the password was set",
    "sign_in_session": "Sign-ins",
    "proof": "Links and codes",
    "message": "E-mails",
    "attempt": "Tries to send an e-mail",
    "feedback": "What became of e-mails",
    "inbound": "E-mails that came back",
    "pending_change": "Changes that our desk prepared",
    "email_change": "Changes of address",
    "contact": "Conversations with us",
    "contact_entry": "Conversations, entry by entry",
    "caller_check": "Checks on the phone",
    "merge_request": "Accounts that were joined",
    "event": "What happened",
    "look": "Who at our desks opened your account, and why",
    "idempotency_key": "Requests that may be repeated",
    "permission_check": "Who asked whether you may be sent marketing",
    "suppression": "Addresses that we leave alone",
    "tracking": "Pages that follow an e-mail",
}
"""What each table that a customer may read of himself is called where he reads it."""


def of_customers() -> list[str]:
    """Return the tables that hold rows of customers, each behind the one that it is reached through."""
    owned = [name for name, mapped in MAP.items() if mapped.owner is not None]
    return owned + [name for name, mapped in MAP.items() if mapped.through is not None]
