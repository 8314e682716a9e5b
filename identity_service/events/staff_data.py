"""What events of staff say beside names and roles."""

from typing import Literal

from identity_service.events.data_models import EventData, StaffRoleData


class StaffPasskeyData(EventData):
    """The person, and the passkey."""

    staff: str
    passkey_id: str


class StaffSignedInData(StaffRoleData):
    """The person, their role, and how they signed in: a code is asked for beside the password, a passkey is enough."""

    by: Literal["code", "recovery_code", "passkey"]
