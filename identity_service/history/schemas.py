"""Request and response models of history."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation, StringConstraints

from identity_service.history import rules
from identity_service.web.schemas import RequestModel, ResponseModel, SingleLineText, Timestamp

DETAILS_LIMIT = 2000
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_DetailText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""PostgreSQL cannot store NUL in JSON."""
SafeInt = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Integers that every JSON parser represents exactly (RFC 8259, section 6)."""
Link = Annotated[str, StringConstraints(max_length=500, pattern=r"^https://[^\x00-\x20\x7f]+$")]


class NewHistoryEntry(RequestModel):
    """One history entry. `kind` is your own name; order, refund, ticket and ticket_closed count in the summary."""

    reference: SingleLineText = Field(description="your own unique name for the entry; repeating it adds nothing")
    corrects: Annotated[uuid.UUID, Field(strict=False)] | None = Field(
        None, description="the `id` of your entry that this one replaces; it has the same reference"
    )
    kind: Slug = Field(examples=["order"])
    occurred_at: Timestamp
    amount: str | None = Field(None, examples=["12.50"])
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    link: Link | None = None
    details: dict[Annotated[SingleLineText, StringConstraints(max_length=40)], _DetailText | SafeInt | bool | None] = (
        Field(default_factory=dict, max_length=20)
    )


class NewHistory(RequestModel):
    """Up to 1,000 entries; each gets its own result, in order. `source`, if given, must be your own."""

    # Each entry is validated by itself, so that a malformed one does not refuse the others.
    entries: Annotated[list[Annotated[NewHistoryEntry, SkipValidation]], Field(min_length=1, max_length=rules.BATCH)]
    source: Slug | None = None


class HistoryEntryView(ResponseModel):
    """One entry. `user_id` is the ID under which it was reported.

    With `superseded_at` it was corrected by the entry whose `corrects` names it; with `removed_at` it was removed.
    """

    id: uuid.UUID
    user_id: str
    source: str
    reference: str
    kind: str = Field(examples=["order"])
    occurred_at: datetime
    amount: str | None
    currency: str | None
    link: str | None
    details: dict[str, Any]
    corrects: uuid.UUID | None
    superseded_at: datetime | None
    removed_at: datetime | None


class HistoryResult(ResponseModel):
    """The result for one entry: `added`, `corrected`, `there` (a repeat), or `conflict` or `refused` with the reason.

    `entry` is what is stored under the reference now. A conflict shows what was sent in `given`.
    """

    reference: str | None = Field(description="null if it could not be read")
    status: Literal["added", "corrected", "there", "conflict", "refused"]
    entry: HistoryEntryView | None
    given: dict[str, Any] | None
    code: str | None
    detail: str | None


class HistoryResultList(ResponseModel):
    """One result per entry. `read_at` is the User ID that the account resolves to, after merges."""

    results: list[HistoryResult]
    read_at: str


class HistoryList(ResponseModel):
    """Entries, newest first."""

    items: list[HistoryEntryView]
    next: str | None


class HistorySummary(ResponseModel):
    """A customer's summary; amounts are orders minus refunds, per currency."""

    user_id: str
    customer_since: datetime
    kind: Literal["consumer", "business"]
    earlier_kinds: list[Literal["consumer", "business"]]
    entries: int
    orders: int
    last_order_at: datetime | None
    open_tickets: int
    amounts: dict[str, str]
