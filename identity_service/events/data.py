"""The registry of event data: which model belongs to each event type, and the form that is stored and sent."""

from collections.abc import Mapping
from typing import Any, Final

from identity_service.events import rules
from identity_service.events.brand_data import BrandProofData, BrandWordsData
from identity_service.events.client_data import (
    ApplicationData,
    ApplicationEndedData,
    ClientAddedData,
    ClientChangedData,
    ClientData,
    ClientSignInChangedData,
    ResourceServerData,
    ResourceServerSetData,
)
from identity_service.events.data_models import (
    NAMES_STAFF,
    AddressData,
    BusinessData,
    ChangeApprovedData,
    ChangeRequestedData,
    ChangeStoppedData,
    ConsentData,
    ContactData,
    ContactOpenedData,
    EmailChangeData,
    EventData,
    ExternalRefAddedData,
    ExternalRefRemovedData,
    FailuresData,
    FeedRestoredData,
    HandedOverData,
    HistoryAppendedData,
    HistoryCorrectedData,
    HistoryRemovedData,
    KeyData,
    KeyRevokedData,
    KeysData,
    KindData,
    LimitData,
    MailData,
    MailQueuedData,
    MailRetriedData,
    MergedData,
    MergeRequestedData,
    NoData,
    OpenedByStaffData,
    PasskeyAddedData,
    PasskeyData,
    PhoneNumberData,
    ReasonData,
    RegisteredData,
    ResetData,
    ResetUsedData,
    RestoredData,
    SearchAlarmData,
    SecondFactorAddedData,
    SessionData,
    SessionsEndedData,
    SignedInData,
    SourceData,
    StaffData,
    StaffRoleData,
    SuppressionData,
    UnmergedData,
    UpdatedData,
)
from identity_service.events.proof_data import (
    CheckAlarmData,
    CheckedData,
    CheckRequestedData,
    ChecksDeniedData,
    RecoveryBeganData,
    RecoveryCodeMissedData,
    SecondProofData,
    SupportCodeData,
)
from identity_service.events.staff_data import StaffPasskeyData, StaffSignedInData

_OF: Final[Mapping[type[EventData], str]] = {
    RegisteredData: "account.registered",
    UpdatedData: "account.updated",
    MergedData: "account.merged",
    UnmergedData: "account.unmerged",
    SessionsEndedData: "account.sessions_ended",
    FailuresData: "password.check_failed password.locked second_factor.failed second_factor.locked",
    ResetData: "reset.requested reset.opened",
    ResetUsedData: "reset.used",
    SignedInData: "sign_in.succeeded",
    SessionData: "sign_in.ended",
    ApplicationData: "application.signed_in application.granted",
    ApplicationEndedData: "application.ended",
    KindData: "account.became_consumer",
    BusinessData: "account.became_business",
    MergeRequestedData: "account.merge_requested",
    EmailChangeData: "account.email_change_requested",
    ChangeRequestedData: "account.change_requested",
    ChangeApprovedData: "account.change_approved",
    ChangeStoppedData: "account.change_stopped",
    ReasonData: "password.removed recovery_code.ended",
    RecoveryCodeMissedData: "recovery_code.missed",
    RecoveryBeganData: "recovery.began",
    SecondProofData: "recovery.second_proof_requested",
    AddressData: "address.added address.confirmed address.removed address.restored",
    PasskeyAddedData: "passkey.added",
    PasskeyData: "passkey.removed passkey.counter_went_back",
    SecondFactorAddedData: "second_factor.added",
    PhoneNumberData: "phone_number.added phone_number.confirmed phone_number.removed",
    SourceData: "account.imported",
    RestoredData: "account.restored",
    SupportCodeData: "support_code.created",
    ChecksDeniedData: "caller.denied",
    CheckAlarmData: "caller.check_alarm",
    CheckRequestedData: "caller.check_requested",
    CheckedData: "caller.checked",
    ContactOpenedData: "contact.opened",
    HandedOverData: "contact.handed_over",
    ContactData: "contact.closed",
    StaffData: "staff.enrolled staff.enrolment_renewed staff.removed staff.sign_in_failed staff.signed_out",
    StaffPasskeyData: "staff.passkey_added staff.passkey_counter_went_back staff.passkey_removed",
    StaffRoleData: "staff.added",
    StaffSignedInData: "staff.signed_in",
    OpenedByStaffData: "account.opened_by_staff",
    SearchAlarmData: "staff.search_alarm",
    HistoryAppendedData: "history.appended",
    ConsentData: "consent.proposed consent.granted consent.withdrawn",
    HistoryCorrectedData: "history.corrected",
    HistoryRemovedData: "history.removed",
    ExternalRefAddedData: "account.external_ref_added",
    ExternalRefRemovedData: "account.external_ref_removed",
    ClientAddedData: "client.added",
    ClientChangedData: "client.changed",
    ClientSignInChangedData: "client.sign_in_changed",
    ClientData: "client.rotated client.closed",
    ResourceServerSetData: "resource_server.set",
    ResourceServerData: "resource_server.removed",
    BrandProofData: "brand.proven brand.proof_lost",
    BrandWordsData: "brand.words_loaded",
    KeyData: "keys.rotated",
    KeyRevokedData: "keys.revoked",
    LimitData: "rate_limit.lifted",
    KeysData: "keys.rewrapped",
    FeedRestoredData: "feed.restored",
    MailQueuedData: "mail.queued",
    MailData: "mail.deferred mail.accepted mail.delivered mail.rejected mail.bounced mail.expired mail.unconfirmed "
    "mail.suppressed mail.limited mail.cancelled mail.failed",
    MailRetriedData: "mail.retried",
    SuppressionData: "mail.suppression_lifted",
    NoData: "account.messages_read passkey.made_only_way passkey.other_ways_allowed "
    "account.email_added account.email_removed account.email_confirmed account.email_changed account.closed "
    "account.reopened "
    "account.erased account.exported password.set password.compromised password.rehashed sign_in.requested "
    "mail.test_requested caller.unexpected_call recovery_code.created recovery_code.used "
    "password.second_factor_needed second_factor.removed second_factor.removal_requested second_factor.removal_stopped",
}
DATA: Final[Mapping[str, type[EventData]]] = {name: model for model, names in _OF.items() for name in names.split()}


def format_data(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an event in the form that is stored and sent.

    Raises:
        rules.UnknownEvent: no event of this name is registered, or no model of its data.
        pydantic.ValidationError: a member is missing, unknown or malformed.
    """
    rules.check_name(name)
    model = DATA.get(name)
    if model is None:
        raise rules.UnknownEvent(f"{name} has no model in events/data.py")
    return model.model_validate(data).model_dump(mode="json", by_alias=True)


def hide_people(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an event without the names of staff, for readers without `audit:read`."""
    return {member: rules.hide_person(value) if member in _ACTORS[name] else value for member, value in data.items()}


_ACTORS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(member for member, field in model.model_fields.items() if NAMES_STAFF in field.metadata)
    for name, model in DATA.items()
}
