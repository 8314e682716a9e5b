"""History routes for services: append entries, list them, read the summary."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from identity_service.account_access import dependencies as access_dependencies
from identity_service.accounts import actions as accounts
from identity_service.accounts import erasure, ownership
from identity_service.accounts import rules as account_rules
from identity_service.errors import Problem
from identity_service.history import actions, rules, schemas
from identity_service.history.schemas import (
    HistoryEntryView,
    HistoryList,
    HistoryResult,
    HistoryResultList,
    HistorySummary,
    NewHistory,
    NewHistoryEntry,
)
from identity_service.history.tables import HistoryEntry
from identity_service.values import user_ids
from identity_service.values.user_ids import MalformedUserId
from identity_service.web import authentication, idempotency, pagination, problems, routing
from identity_service.web.authentication import Caller
from identity_service.web.dependencies import Keys, Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["history"])


@router.post(
    "/accounts/{user_id}/history",
    dependencies=[authentication.requires("history:write"), idempotency.Repeatable],
    responses={
        **problems.error_responses(
            account_rules.UnknownUserId,
            MalformedUserId,
            rules.SourceNotYours,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.AUTH_ERRORS,
        ),
        201: {"model": HistoryResultList, "description": "At least one entry is new"},
    },
    openapi_extra={"x-body-limit": routing.BATCH_LIMIT},
)
async def append_history(
    user_id: str, body: NewHistory, session: Session, caller: Caller, now: Now, response: Response
) -> HistoryResultList:
    """Append history entries. An invalid entry is refused by itself; the others are added."""
    source = rules.check_source(body.source, caller.client_id)
    account = await erasure.lock_against_erasure(session, user_ids.parse(user_id))
    ids = await ownership.user_ids_of(session, user_ids.UserId(account.user_id))
    valid, refused = _parse_entries(body.entries)
    appended = await actions.append_entries(
        session, account.user_id, source, [e for _, e in valid], customer=ids, actor=caller.actor, now=now
    )
    results: dict[int, HistoryResult] = dict(refused)
    for (index, new), found in zip(valid, appended, strict=True):
        results[index] = _result(new.reference, found)
    response.status_code = 201 if any(found.is_new for found in appended) else 200
    return HistoryResultList(results=[results[i] for i in range(len(body.entries))], read_at=user_ids.show(ids[0]))


@router.get(
    "/accounts/{user_id}/history",
    dependencies=[authentication.requires("history:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        account_rules.UnknownUserId,
        MalformedUserId,
        pagination.InvalidCursor,
        *access_dependencies.ACCESS_ERRORS,
        *authentication.AUTH_ERRORS,
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
) -> HistoryList:
    """List a customer's history, newest first, with the entries of merged User IDs."""
    ids = await ownership.user_ids_of(session, user_ids.parse(user_id))
    list_name = f"history of {ids[0]}"
    before = None
    if after is not None:
        at, entry_id = pagination.read_cursor(keys.internal(), list_name, after)
        before = datetime.fromisoformat(at), uuid.UUID(entry_id)
    found = list(await actions.list_entries(session, ids, kind=kind, source=source, before=before, limit=limit + 1))
    last = found[limit - 1] if len(found) > limit else None
    cursor = (
        None
        if last is None
        else pagination.make_cursor(keys.internal(), list_name, last.occurred_at.isoformat(), str(last.id))
    )
    return HistoryList(items=[entry_view(entry) for entry in found[:limit]], next=cursor)


@router.get(
    "/accounts/{user_id}/summary",
    dependencies=[authentication.requires("history:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        account_rules.UnknownUserId, MalformedUserId, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
    ),
)
async def read_summary(user_id: str, session: Session) -> HistorySummary:
    """Read the summary of a customer: since when, number of orders, amounts, open tickets."""
    ids = await ownership.user_ids_of(session, user_ids.parse(user_id))
    account = await accounts.find_account(session, user_ids.UserId(ids[0]))
    found = await actions.summarise(session, ids, since=account.customer_since)
    was_business = await accounts.was_business(session, ids)
    return HistorySummary(
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


def entry_view(entry: HistoryEntry) -> HistoryEntryView:
    """Return an entry as callers see it, with the amount in its currency's decimals."""
    amount = None
    if entry.amount is not None and entry.currency is not None:
        amount = rules.show_amount(entry.amount, entry.currency)
    return HistoryEntryView(
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


def _parse_entries(
    given: list[NewHistoryEntry],
) -> tuple[list[tuple[int, actions.NewEntry]], list[tuple[int, HistoryResult]]]:
    """Return the valid entries and the refusals of the others, each with its index in the batch."""
    valid, refused = [], []
    for index, entry in enumerate(given):
        try:
            valid.append((index, _parse_entry(entry)))
        except Problem as problem:
            refused.append((index, _refusal(entry.reference, problem)))
    return valid, refused


def _parse_entry(entry: NewHistoryEntry) -> actions.NewEntry:
    if sum(len(str(key)) + len(str(value)) for key, value in entry.details.items()) > schemas.DETAILS_LIMIT:
        raise rules.DetailsTooLarge
    amount = rules.parse_amount(entry.amount, entry.currency)
    return actions.NewEntry(
        entry.reference, entry.kind, entry.occurred_at, amount, entry.currency, entry.link, dict(entry.details)
    )


def _result(reference: str, found: actions.Appended) -> HistoryResult:
    if found.entry is None:
        return _refusal(reference, rules.ReferenceTaken())
    status = "added" if found.is_new else "there"
    return HistoryResult(reference=reference, status=status, entry=entry_view(found.entry), code=None, detail=None)


def _refusal(reference: str, problem: Problem) -> HistoryResult:
    return HistoryResult(
        reference=reference, status="refused", entry=None, code=problem.code(), detail=problem.sentence()
    )
