"""The data of each event type: its members, and the form in which they are stored and sent.

The models check and format what an action records, and describe it in the contract. IDs are stored as the API shows
them, so that readers can join events with its answers. No member holds personal data, because events are never removed.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from identity_service.values import contact_numbers, user_ids
from identity_service.web.schemas import ResponseModel


def _show_user_id(value: object) -> str:
    return user_ids.show(user_ids.parse(_text(value)))


def _show_contact(value: object) -> str:
    return contact_numbers.show(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    return value


UserIdMember = Annotated[str, BeforeValidator(_show_user_id), Field(pattern="^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$")]
"""IDs and numbers may be recorded in any form."""
ContactMember = Annotated[
    str, BeforeValidator(_show_contact), Field(pattern="^[0-9A-Z]{3}-[0-9A-Z]{3}$", examples=["M45-MHF"])
]
NAMES_STAFF: Final = "names staff"
ActorMember = Annotated[str, NAMES_STAFF, Field(description="names a person only to readers with `audit:read`")]


class SessionsEndedReason(StrEnum):
    """Why every session of an account ended."""

    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    PASSWORD_SET = "password_set"  # noqa: S105 (a reason)
    PASSKEY_MADE_ONLY_WAY = "passkey_made_only_way"
    PASSKEY_REMOVED = "passkey_removed"
    RECOVERED = "recovered"
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    ADDRESSES_CHANGED = "addresses_changed"
    PASSWORD_COMPROMISED = "password_compromised"  # noqa: S105 (a reason)
    EMAIL_CHANGE_UNDONE = "email_change_undone"
    FIRST_PROOF = "first_proof"
    MERGE_UNDONE = "merge_undone"
    CLOSED = "closed"
    ERASED = "erased"


class EventData(ResponseModel):
    """The data of an event; unknown members are refused when an event is recorded, but readers must expect them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra=lambda schema: schema.pop("additionalProperties", None)
    )


class NoData(EventData):
    """The type, the subject and the time say everything."""


class RegisteredData(EventData):
    """`by` is what the customer registered with."""

    kind: Literal["consumer", "business"]
    by: Literal["email", "nothing", "page"]
    marketing: Literal["never"]


class UpdatedData(EventData):
    """The names of the fields that changed; their values are personal."""

    fields: list[str]


class MergedData(EventData):
    """`into` is the User ID that the subject resolves to from now on."""

    into: UserIdMember


class UnmergedData(EventData):
    """`user_id` has its own account again; `from` is the account that it resolved to."""

    user_id: UserIdMember
    from_: UserIdMember = Field(alias="from")


class SessionsEndedData(EventData):
    """Every session that began before `valid_after` has ended, here and at the services."""

    valid_after: datetime
    reason: SessionsEndedReason


class FailuresData(EventData):
    """How many checks in a row have failed."""

    failures: int


class ResetData(EventData):
    """The reset, as `POST /v1/resets` answers it."""

    reset_id: uuid.UUID


class ResetUsedData(ResetData):
    """The reset, and what was used of its message."""

    by: Literal["link", "code"]


class SessionData(EventData):
    """The session that ended."""

    session_id: uuid.UUID


class SignedInData(SessionData):
    """The new session, and what it was opened with."""

    by: str
    second_factor: Literal["totp"] | None


class KindData(EventData):
    """The kind of the account from now on."""

    kind: Literal["consumer"]


class BusinessData(EventData):
    """The kind of the account from now on, and the company's country."""

    kind: Literal["business"]
    country: str


class MergeRequestedData(EventData):
    """The account that would resolve to the subject."""

    duplicate: UserIdMember
    merge_id: uuid.UUID


class EmailChangeData(EventData):
    """The request."""

    change_id: uuid.UUID


class ChangeRequestedData(EmailChangeData):
    """The guarded change."""

    verb: str


class ChangeApprovedData(ChangeRequestedData):
    """The guarded change, and who requested it."""

    requested_by: ActorMember


class ChangeStoppedData(EmailChangeData):
    """The guarded change, and why it was stopped: a word, or the error code if it was refused when it was due."""

    reason: str


class AddressData(EventData):
    """The further address; events hold no address."""

    address_id: uuid.UUID


class PasskeyData(EventData):
    """The passkey."""

    passkey_id: str


class PasskeyAddedData(PasskeyData):
    """The passkey, and whether it asked for a PIN or fingerprint when it was added."""

    verified: bool


class PhoneNumberData(EventData):
    """The telephone number, by its id."""

    number_id: str


class SecondFactorAddedData(EventData):
    """Whether the app was set up in place of another."""

    replaced: bool


class ReasonData(EventData):
    """Why it ended: a word."""

    reason: str


class SourceData(EventData):
    """The system that the account came from, as the operator named it, and when it had confirmed the address."""

    source: str
    mailbox_confirmed_at: datetime | None = None


class RestoredData(EventData):
    """What the operator brought the account back from: a service's list, or events of the feed that a reader kept."""

    by: Literal["list", "feed"]


class ContactData(EventData):
    """The contact."""

    contact: ContactMember


class ContactOpenedData(ContactData):
    """The contact, and the desk that serves it."""

    desk: str


class HandedOverData(ContactData):
    """The contact, the desk that had it, the desk that has it now, and how often it was handed over, this included."""

    from_: str = Field(alias="from")
    to: str
    hand_overs: int


class OpenedByStaffData(ContactOpenedData):
    """Where the account was opened. `reason_hash` is SHA-256 of a salt and the reason."""

    reason_hash: str


class StaffData(EventData):
    """The person; null if a sign-in named nobody that we know."""

    staff: str | None


class StaffRoleData(EventData):
    """The person and their role."""

    staff: str
    role: str


class SearchAlarmData(EventData):
    """How many accounts the person opened within the hour."""

    opened: int


class HistoryAppendedData(EventData):
    """The source, how many entries were added, and their ids, as `GET /v1/accounts/{user_id}/history` shows them.

    The service's own references are not here: they may be personal, and an event cannot be erased.
    """

    source: str
    entries: int
    entry_ids: list[uuid.UUID]


class HistoryRemovedData(EventData):
    """The source, and the id of the entry that counts no more."""

    source: str
    entry: uuid.UUID


class HistoryCorrectedData(HistoryRemovedData):
    """The source, the id of the new entry, and the id of the one that it takes the place of."""

    corrects: uuid.UUID


class ExternalRefAddedData(EventData):
    """The source. `moved_from` is the account that had the reference before."""

    source: str
    moved_from: UserIdMember | None = None


class ExternalRefRemovedData(EventData):
    """The source. `moved_to` is the account that has the reference now."""

    source: str
    moved_to: UserIdMember | None = None


class ConsentData(EventData):
    """The ledger's entry with its hash, and the permission that counts from now on."""

    purpose: str
    permission: Literal["never", "allowed"]
    entry: int
    entry_hash: str


class LimitData(EventData):
    """The name of the limit that was lifted."""

    limit: str


class KeyRevokedData(EventData):
    """The key, what it was for, since when it is not ours, and the key that takes its place."""

    kid: str
    purpose: str
    since: datetime
    successor: str | None


class KeyData(EventData):
    """The id of the new signing key."""

    kid: str


class KeysData(EventData):
    """How many keys were encrypted again."""

    keys: int


class FeedRestoredData(EventData):
    """Events after `position` are lost, and a new epoch begins. `statement` is our signature over both."""

    position: int
    epoch: int
    statement: str
    proofs: int
    sessions: int


class MailData(EventData):
    """The message and its kind."""

    message_id: uuid.UUID
    kind: str


class MailQueuedData(MailData):
    """The message, and the event that it is about: its type and its id."""

    cause: str
    cause_id: uuid.UUID | None


class MailRetriedData(EventData):
    """The message whose retry was requested, the message that is sent now (the same one if it was pending), and the
    relay that was asked for."""

    message_id: uuid.UUID
    successor: uuid.UUID
    relay: str | None


class SuppressionData(EventData):
    """The suppression, and the messages that it held back."""

    suppression_id: uuid.UUID
    scope: str
