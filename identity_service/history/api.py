"""History for services: append, read, and the summary at a glance."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from identity_service import doors, problems, tokens, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import erasure, merges
from identity_service.accounts import rules as account_rules
from identity_service.clients import access
from identity_service.clients.access import Caller
from identity_service.doors import Door, Keys, Line, Moment, Now, Session, Shape, View
from identity_service.errors import Problem
from identity_service.events import access as events_access
from identity_service.history import actions, rules
from identity_service.history.tables import HistoryEntry
from identity_service.user_ids import MalformedUserId

router = APIRouter(prefix="/v1", route_class=Door, tags=["history"])

DETAILS_LIMIT = 2000
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""What PostgreSQL can keep in JSON."""
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""What everybody's JSON can keep exactly."""
Link = Annotated[str, StringConstraints(max_length=500, pattern=r"^https://[^\x00-\x20\x7f]+$")]


class NewHistoryEntry(Shape):
    """One thing that happened. `kind` is a word of yours; order, refund, ticket and ticket_closed are summed up."""

    reference: Line = Field(description="your own name for it; a repeat is answered, not doubled")
    kind: Word = Field(examples=["order"])
    occurred_at: Moment
    amount: str | None = Field(None, examples=["12.50"])
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    link: Link | None = None
    details: dict[Annotated[Line, StringConstraints(max_length=40)], Text | Whole | bool | None] = Field(
        default_factory=dict, max_length=20
    )


class NewHistory(Shape):
    """One entry, or up to 1,000; answered one by one, in order. `source` is the client's own id if left out; it may be
    any word that is not another client's id."""

    entries: Annotated[list[NewHistoryEntry], Field(min_length=1, max_length=rules.BATCH)]
    source: Word | None = None


class HistoryView(View):
    """One entry. `user_id` is the ID it was addressed to."""

    id: uuid.UUID
    user_id: str
    source: str
    reference: str
    kind: str
    occurred_at: datetime
    amount: str | None
    currency: str | None
    link: str | None
    details: dict[str, Any]


class HistoryResult(View):
    """What became of one entry: `added`, `there` (a repeat), or `refused` with a code and a sentence."""

    reference: str
    status: str
    entry: HistoryView | None
    code: str | None
    detail: str | None


class HistoryResults(View):
    """One result per entry. `read_at`: the User ID under which this history is read now, after merges."""

    results: list[HistoryResult]
    read_at: str


class HistoryPage(View):
    """Entries, newest first."""

    items: list[HistoryView]
    next: str | None


class SummaryView(View):
    """A customer at a glance; amounts are orders less refunds, per currency."""

    user_id: str
    customer_since: datetime
    kind: str
    earlier_kinds: list[str]
    entries: int
    orders: int
    last_order_at: datetime | None
    open_tickets: int
    amounts: dict[str, str]


@router.post(
    "/accounts/{user_id}/history",
    dependencies=[access.requires("history:write")],
    responses={
        **problems.documented(account_rules.UnknownUserId, MalformedUserId, rules.AnothersSource, *access.REFUSALS),
        201: {"model": HistoryResults, "description": "At least one entry is new"},
    },
    openapi_extra={"x-body-limit": doors.BATCH_LIMIT},
)
async def append_history(
    user_id: str, body: NewHistory, session: Session, caller: Caller, now: Now, response: Response
) -> HistoryResults:
    """Append what happened; an entry that cannot be is refused alone, the others go in."""
    source = rules.source(body.source, caller.client_id)
    account = await erasure.hold(session, user_ids.parse(user_id))
    ids = await merges.chain(session, user_ids.UserId(account.user_id))
    good, refused = _sorted_out(body.entries)
    appended = await actions.append(
        session, account.user_id, source, [e for _, e in good], customer=ids, actor=caller.actor, now=now
    )
    results: dict[int, HistoryResult] = dict(refused)
    for (place, new), found in zip(good, appended, strict=True):
        results[place] = _result(new.reference, found)
    response.status_code = 201 if any(found.is_new for found in appended) else 200
    return HistoryResults(results=[results[i] for i in range(len(body.entries))], read_at=user_ids.show(ids[0]))


@router.get(
    "/accounts/{user_id}/history",
    dependencies=[access.requires("history:read"), events_access.Opened],
    responses=problems.documented(
        account_rules.UnknownUserId, MalformedUserId, tokens.InvalidCursor, *events_access.REFUSALS, *access.REFUSALS
    ),
)
async def list_history(
    user_id: str,
    session: Session,
    keys: Keys,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    source: Annotated[str | None, Query(max_length=40)] = None,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HistoryPage:
    """Read a customer's history, newest first; what came in under merged User IDs included."""
    ids = await merges.chain(session, user_ids.parse(user_id))
    place = f"history of {ids[0]}"
    before = None
    if after is not None:
        at, entry_id = tokens.read_cursor(keys.internal(), place, after)
        before = datetime.fromisoformat(at), uuid.UUID(entry_id)
    found = list(await actions.listing(session, ids, kind=kind, source=source, before=before, limit=limit + 1))
    last = found[limit - 1] if len(found) > limit else None
    cursor = (
        None if last is None else tokens.make_cursor(keys.internal(), place, last.occurred_at.isoformat(), str(last.id))
    )
    return HistoryPage(items=[view(entry) for entry in found[:limit]], next=cursor)


@router.get(
    "/accounts/{user_id}/summary",
    dependencies=[access.requires("history:read"), events_access.Opened],
    responses=problems.documented(
        account_rules.UnknownUserId, MalformedUserId, *events_access.REFUSALS, *access.REFUSALS
    ),
)
async def read_summary(user_id: str, session: Session) -> SummaryView:
    """Read a customer at a glance: since when, how many orders, for how much."""
    ids = await merges.chain(session, user_ids.parse(user_id))
    account = await accounts.find(session, user_ids.UserId(ids[0]))
    found = await actions.summary(session, ids, since=account.customer_since)
    was_business = await accounts.was_business(session, ids)
    return SummaryView(
        user_id=user_ids.show(account.user_id),
        customer_since=found.customer_since,
        kind=account.kind,
        earlier_kinds=account_rules.earlier_kinds(account.kind, was_business=was_business),
        entries=found.entries,
        orders=found.orders,
        last_order_at=found.last_order_at,
        open_tickets=found.open_tickets,
        amounts={currency: rules.show_amount(total, currency) for currency, total in found.amounts.items()},
    )


def view(entry: HistoryEntry) -> HistoryView:
    """Return an entry as it goes out."""
    amount = None
    if entry.amount is not None and entry.currency is not None:
        amount = rules.show_amount(entry.amount, entry.currency)
    return HistoryView(
        id=entry.id,
        user_id=user_ids.show(entry.user_id),
        source=entry.source,
        reference=entry.reference,
        kind=entry.kind,
        occurred_at=entry.occurred_at,
        amount=amount,
        currency=entry.currency,
        link=entry.link,
        details=entry.details,
    )


def _sorted_out(
    given: list[NewHistoryEntry],
) -> tuple[list[tuple[int, actions.NewEntry]], list[tuple[int, HistoryResult]]]:
    """Return the entries that can be, and the refusals of the others, each with its place in the batch."""
    good, refused = [], []
    for place, entry in enumerate(given):
        try:
            good.append((place, _new(entry)))
        except Problem as problem:
            refused.append((place, _refusal(entry.reference, problem)))
    return good, refused


def _new(entry: NewHistoryEntry) -> actions.NewEntry:
    if sum(len(str(key)) + len(str(value)) for key, value in entry.details.items()) > DETAILS_LIMIT:
        raise rules.DetailsTooLarge
    amount = rules.amount(entry.amount, entry.currency)
    return actions.NewEntry(
        entry.reference, entry.kind, entry.occurred_at, amount, entry.currency, entry.link, dict(entry.details)
    )


def _result(reference: str, found: actions.Appended) -> HistoryResult:
    if found.entry is None:
        return _refusal(reference, rules.ReferenceTaken())
    status = "added" if found.is_new else "there"
    return HistoryResult(reference=reference, status=status, entry=view(found.entry), code=None, detail=None)


def _refusal(reference: str, problem: Problem) -> HistoryResult:
    return HistoryResult(
        reference=reference, status="refused", entry=None, code=problem.code(), detail=problem.sentence()
    )
