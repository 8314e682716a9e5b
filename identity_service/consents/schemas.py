"""Request and response models of consents and permissions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from identity_service.consents import rules
from identity_service.web.schemas import RequestModel, ResponseModel, SingleLineText, values_of


class ConsentView(ResponseModel):
    """The state of one purpose. `proposed_at`: an email asks the mailbox; nothing is allowed until it confirms."""

    purpose: str
    permission: rules.Permission
    decision: Literal["granted", "withdrawn"] | None
    since: datetime | None
    proposed_at: datetime | None


class ConsentEntryView(ResponseModel):
    """One entry of the ledger."""

    id: int
    purpose: str
    decision: rules.Decision
    wording: str | None
    language: str | None
    channel: Annotated[str, values_of(rules.CHANNELS)]
    actor: str
    occurred_at: datetime


class ConsentList(ResponseModel):
    """Every purpose, all ledger entries, newest first, and how often marketing systems asked within a year."""

    user_id: str
    items: list[ConsentView]
    history: list[ConsentEntryView]
    asked: int
    allowed: int
    next: str | None


class ConsentChange(RequestModel):
    """`granted: false` withdraws at once. `granted: true` proposes: it needs the wording that was read out or shown."""

    granted: bool
    wording: Annotated[str, Field(max_length=80, examples=["email-2026-11"])] | None = None
    channel: Literal["page", "app", "phone", "paper", "desk"] = "app"
    evidence: (
        Annotated[SingleLineText, Field(description="your note as evidence; erasing the customer removes it")] | None
    ) = None

    @model_validator(mode="after")
    def _worded(self) -> "ConsentChange":
        if self.granted and self.wording is None:
            raise ValueError("a grant needs the wording that was agreed to")
        return self


class PurposeView(ResponseModel):
    """A purpose of consent, and the id of the wording to ask with now; null if it has none."""

    purpose: str
    description: str
    wording: str | None


class WordingView(ResponseModel):
    """A wording, the languages it has, and whether it is the one to ask with now."""

    id: str = Field(examples=["email-2026-11"])
    purpose: str
    languages: list[str]
    current: bool


class WordingList(ResponseModel):
    """Every purpose, and every wording by id."""

    purposes: list[PurposeView]
    items: list[WordingView]
    next: str | None


class WordingTextView(ResponseModel):
    """The text of a wording in one language; `sha256` of its UTF-8 bytes is what ledger and receipts name."""

    id: str = Field(examples=["email-2026-11"])
    purpose: str
    language: str
    text: str
    sha256: str


class PermissionQuestion(RequestModel):
    """A purpose, and either User IDs or addresses, at most 10,000; the body has at most 4 MiB."""

    purpose: Annotated[str, Field(max_length=40)]
    user_ids: Annotated[list[str], Field(max_length=rules.ASKED_AT_MOST)] | None = None
    emails: Annotated[list[str], Field(max_length=rules.ASKED_AT_MOST)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "PermissionQuestion":
        if (self.user_ids is None) == (self.emails is None):
            raise ValueError("exactly one of user_ids and emails is needed")
        return self


class AddressPermission(ResponseModel):
    """The address of a customer who allows this."""

    user_id: str
    email: str


class PermissionStatement(ResponseModel):
    """Those of your list whom you may contact, and no others, each once and as you spelled it.

    `statement` is a JWS over your list and `allowed`. Keep all four as evidence: `salt` opens its two hashes.
    """

    purpose: str
    allowed: list[str] = Field(examples=[["6WPP-C7QF-7FF6"]])
    checked_at: datetime
    statement: str
    salt: str = Field(
        description="the key of the statement's hashes, in hexadecimal; the statement does not contain it"
    )
    addresses: list[AddressPermission] | None
