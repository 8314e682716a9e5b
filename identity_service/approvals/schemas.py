"""Response models of guarded changes."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from identity_service.accounts.schemas import AccountView, WrittenAccount
from identity_service.approvals import rules
from identity_service.web.schemas import ResponseModel, values_of

Verb = Annotated[str, values_of(rules.GUARDED)]
"""What a guarded change does."""


class ApprovalView(ResponseModel):
    """A guarded change that waits. `reason` says why the mailbox cannot confirm it."""

    id: uuid.UUID
    user_id: str
    verb: Verb
    reason: str | None
    requested_by: str
    requested_at: datetime
    waits_for: Literal["mailbox", "second_person", "time"]
    approved_by: str | None
    due_at: datetime | None


class ApprovalList(ResponseModel):
    """Guarded changes that wait, oldest first."""

    items: list[ApprovalView]
    next: str | None


class PendingConfirmation(ResponseModel):
    """A change that waits for a confirmation."""

    id: uuid.UUID
    verb: Verb
    waits_for: Literal["mailbox", "new_mailbox", "both_mailboxes"]


class AccountChange(ResponseModel):
    """The current account, and the change that waits for a confirmation, if nothing has changed yet."""

    account: AccountView | WrittenAccount
    pending: PendingConfirmation | None
