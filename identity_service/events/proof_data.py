"""The data of events about how customers prove themselves: recovery codes, recoveries, and checks of callers."""

import uuid
from typing import Annotated, Literal

from identity_service.events.data_models import NAMES_STAFF, ContactData, EventData


class RecoveryCodeMissedData(EventData):
    """How many wrong codes with the right beginning were entered."""

    misses: int


class RecoveryBeganData(EventData):
    """Whether a second proof is missing."""

    needs_second: bool


class SecondProofData(EventData):
    """The one-time token that was emailed."""

    token_id: uuid.UUID


class SupportCodeData(EventData):
    """How whoever asked for the code had proven themselves."""

    by: str


class CheckRequestedData(ContactData):
    """The caller check, what it is for, by which method, and the contact that it belongs to."""

    check_id: uuid.UUID
    purpose: str
    method: str = "email"


class CheckedData(ContactData):
    """The caller check, and whether the answer was right."""

    check_id: uuid.UUID
    matched: bool
    method: str = "email"


class ChecksDeniedData(EventData):
    """How many checks verify nobody any more."""

    checks: int


class CheckAlarmData(EventData):
    """What failed often: checks of one account in a day, or of one clerk in an hour; and the clerk of the last one."""

    about: Literal["account", "clerk"]
    clerk: Annotated[str, NAMES_STAFF]
