"""Request and response models of contacts and caller checks."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from identity_service.account_access import rules as access_rules
from identity_service.contacts import rules
from identity_service.web.schemas import MultiLineText, RequestModel, ResponseModel, values_of


class NewContact(RequestModel):
    """A caller, with or without a User ID, at a desk."""

    desk: Annotated[str, Field(max_length=40)]
    user_id: Annotated[str, Field(max_length=40)] | None = None
    note: MultiLineText | None = None


class NewContactNote(RequestModel):
    """A note about what was said."""

    note: Annotated[MultiLineText, StringConstraints(min_length=1)]


class NewAccountAccess(RequestModel):
    """Whose account is opened, and why; the customer can read the reason."""

    user_id: Annotated[str, Field(max_length=40)]
    reason: Annotated[MultiLineText, StringConstraints(min_length=1, max_length=access_rules.LONGEST_REASON)]


class ContactHandOver(RequestModel):
    """The desk that the contact is handed over to, and what it should know."""

    desk: Annotated[str, Field(max_length=40)]
    note: MultiLineText | None = None


class ContactClosing(RequestModel):
    """The result of the contact, as a note."""

    note: MultiLineText | None = None


class NewCallerCheck(RequestModel):
    """The contact in which the caller is checked, and what for; the address is the one on file."""

    contact: Annotated[str, Field(max_length=40)]
    purpose: Literal["identify", "reset", "business", "receipt"] = "identify"


class CallerCheckAnswer(RequestModel):
    """What the caller read out."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=40)]


class ContactView(ResponseModel):
    """A contact. `warning`: the caller was handed over too often; do not hand them over again. `waited_s` is the sum of
    earlier waits, without the running one, which began at `waiting_since`."""

    number: str
    user_id: str | None
    desk: str
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None
    hand_overs: int
    waiting_since: datetime | None
    waited_s: int
    warning: bool


class ContactEntryView(ResponseModel):
    """One entry of a contact: something that happened in it."""

    occurred_at: datetime
    actor: str
    desk: str
    kind: Annotated[str, values_of(rules.ENTRY_KINDS)]
    note: str | None


class ContactWithEntriesView(ContactView):
    """A contact with its entries, in order; the caller counts as verified until `verified_until`."""

    entries: list[ContactEntryView]
    verified_until: datetime | None


class ContactList(ResponseModel):
    """Contacts, newest first."""

    items: list[ContactView]
    next: str | None


class CallerCheckStarted(ResponseModel):
    """A started check. Read `phrase` to the caller first; follow `message_id`; you never see the code."""

    id: uuid.UUID
    phrase: str
    message_id: uuid.UUID
    expires_at: datetime


class CallerCheckResult(ResponseModel):
    """Whether the code matched, and how many tries are left."""

    result: Literal["match", "no_match"]
    tries_left: int


class DeskSuggestionView(ResponseModel):
    """Which desk is best for a customer, which may serve, and why; no customer is excluded for being a consumer."""

    desk: rules.Desk
    may_serve: list[rules.Desk]
    reasons: list[str]
    offer_conversion: bool
