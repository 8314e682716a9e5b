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
    """The contact in which the caller is checked, what for, and by which method."""

    contact: Annotated[str, Field(max_length=40)]
    purpose: Literal["identify", "reset", "business", "receipt"] = "identify"
    method: Literal["email", "text", "support_code", "on_screen"] = Field(
        "email", description="a code emailed to the address on file or texted to a confirmed number, one that the "
        "signed-in customer reads from /me/support, or an answer on their screen",
    )  # fmt: skip


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


class CallerMethodView(ResponseModel):
    """A method by which the caller can be checked; `why_not` is an error code if it cannot be used now."""

    method: Literal["email", "text", "support_code", "on_screen"]
    why_not: str | None


class VerifiedByView(ResponseModel):
    """How the caller was verified: the method and, for a support code or an answer on screen, how (`session_method`)
    and since when the customer was signed in."""

    method: Annotated[str, values_of(rules.METHODS)]
    session_method: str | None
    session_since: datetime | None


class ContactWithEntriesView(ContactView):
    """A contact with its entries, in order; the caller counts as verified until `verified_until`. `warnings`: what
    every desk must know for a day: `check_failed`, `call_denied`, `unexpected_call`."""

    entries: list[ContactEntryView]
    verified_until: datetime | None
    verified_by: VerifiedByView | None
    caller_methods: list[CallerMethodView]
    warnings: list[Literal["check_failed", "call_denied", "unexpected_call"]]


class ContactList(ResponseModel):
    """Contacts, newest first."""

    items: list[ContactView]
    next: str | None


class CallerCheckStarted(ResponseModel):
    """A started check. Read `phrase` to the caller first. By email follow `message_id`; you never see the code. By
    support code, `phrase` is null until the customer has one: ask them to open /me/support. On screen, read `digits`
    out and follow the check until the customer has answered.
    """

    id: uuid.UUID
    method: Literal["email", "text", "support_code", "on_screen"]
    phrase: str | None
    digits: str | None
    message_id: uuid.UUID | None
    expires_at: datetime


class CallerCheckState(ResponseModel):
    """A check: `matched` is null while nobody has answered it; `denied`, the customer said that it wasn't them."""

    id: uuid.UUID
    method: Literal["email", "text", "support_code", "on_screen"]
    phrase: str | None
    matched: bool | None
    denied: bool
    tries_left: int
    answered_at: datetime | None


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
