"""History routes for services: append entries, list them, read the summary."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

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
from identity_service.values import currencies, text, user_ids
from identity_service.web import authentication, idempotency, pagination, problems, routing
from identity_service.web.authentication import Caller, Person
from identity_service.web.dependencies import Keys, Now, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["history"])


@router.post(
    "/accounts/{user_id}/history",
    dependencies=[authentication.requires("history:write"), idempotency.Repeatable],
    responses={
        **problems.error_responses(
            *account_rules.ACCOUNT_ERRORS,
            account_rules.AccountMoved,
            rules.SourceNotYours,
            *idempotency.IDEMPOTENCY_ERRORS,
            *authentication.PERSON_ERRORS,
        ),
        201: {"model": HistoryResultList, "description": "At least one entry is new"},
    },
    openapi_extra={"x-body-limit": routing.BATCH_LIMIT},
)
async def append_history(
    user_id: str, body: NewHistory, session: Session, caller: Caller, person: Person, now: Now, response: Response
) -> HistoryResultList:
    """Append history entries, or correct some. An invalid entry is refused by itself; the others are added."""
    rules.check_source(body.source, caller.source)
    by = await _reporter(session, user_id, caller, person)
    valid, refused = _parse_entries(body.entries, now=now)
    appended = await actions.append_entries(session, by, [entry for _, entry in valid], now=now)
    results: dict[int, HistoryResult] = dict(refused)
    for (index, new), found in zip(valid, appended, strict=True):
        results[index] = _result(new.reference, found, body.entries[index])
    response.status_code = 201 if any(found.status in ("added", "corrected") for found in appended) else 200
    read_at = user_ids.show(by.customer[0])
    return HistoryResultList(results=[results[i] for i in range(len(body.entries))], read_at=read_at)


@router.delete(
    "/accounts/{user_id}/history/{entry_id}",
    dependencies=[authentication.requires("history:write")],
    responses=problems.error_responses(
        *account_rules.ACCOUNT_ERRORS, account_rules.AccountMoved, rules.UnknownEntry, rules.EntryCorrected,
        *authentication.PERSON_ERRORS,
    ),
)  # fmt: skip
async def remove_history(
    user_id: str, entry_id: uuid.UUID, session: Session, caller: Caller, person: Person, now: Now
) -> HistoryEntryView:
    """Remove an entry of your own: it is kept, is read only with `superseded=true`, and counts no more."""
    by = await _reporter(session, user_id, caller, person)
    return entry_view(await actions.remove_entry(session, by, entry_id, now=now))


async def _reporter(session: Session, user_id: str, caller: Caller, person: str) -> actions.Reporter:
    """Return who reports about which customer; history goes on for a closed account, and moves on with a merged one.

    Raises:
        accounts.rules.UnknownUserId, AccountErased, AccountMoved
    """
    account = await erasure.lock_against_erasure(session, user_ids.parse(user_id))
    await accounts.check_changeable(session, account, also_closed=True)
    ids = await ownership.user_ids_of(session, user_ids.UserId(account.user_id))
    return actions.Reporter(caller.source, person, account.user_id, ids)


@router.get(
    "/accounts/{user_id}/history",
    dependencies=[authentication.requires("history:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        *account_rules.ACCOUNT_ERRORS,
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
    superseded: Annotated[bool, Query(description="also entries that were corrected or removed")] = False,
    after: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HistoryList:
    """List a customer's history, newest first, with the entries of merged User IDs."""
    ids = await ownership.user_ids_of(session, user_ids.parse(user_id))
    list_name = f"history of {ids[0]}"
    before = pagination.read_row_cursor(keys.internal(), list_name, after)
    found = list(
        await actions.list_entries(
            session, ids, kind=kind, source=source, superseded=superseded, before=before, limit=limit + 1
        )
    )
    last = found[limit - 1] if len(found) > limit else None
    cursor = None if last is None else pagination.make_row_cursor(keys.internal(), list_name, last.occurred_at, last.id)
    return HistoryList(items=[entry_view(entry) for entry in found[:limit]], next=cursor)


@router.get(
    "/accounts/{user_id}/summary",
    dependencies=[authentication.requires("history:read"), access_dependencies.AccountOpened],
    responses=problems.error_responses(
        *account_rules.ACCOUNT_ERRORS, *access_dependencies.ACCESS_ERRORS, *authentication.AUTH_ERRORS
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
        amounts={currency: currencies.write_amount(total, currency) for currency, total in found.amounts.items()},
    )


def entry_view(entry: HistoryEntry) -> HistoryEntryView:
    """Return an entry as callers see it, with the amount in its currency's decimals."""
    amount = None
    if entry.amount is not None and entry.currency is not None:
        amount = currencies.write_amount(entry.amount, entry.currency)
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
        corrects=entry.corrects,
        superseded_at=entry.superseded_at,
        removed_at=entry.removed_at,
    )


def _parse_entries(
    given: Sequence[object], *, now: datetime
) -> tuple[list[tuple[int, actions.NewEntry]], list[tuple[int, HistoryResult]]]:
    """Return the valid entries and the refusals of the others, each with its index in the batch."""
    valid, refused = [], []
    for index, entry in enumerate(given):
        try:
            valid.append((index, _parse_entry(entry, now=now)))
        except Problem as problem:
            refused.append((index, _refusal(_reference_of(entry), problem)))
    return valid, refused


def _reference_of(entry: object) -> str | None:
    """Return the reference of an entry that was refused, so that its sender can tell which; `None` if it has none."""
    reference = entry.get("reference") if isinstance(entry, dict) else None
    return reference[: text.LONGEST] if isinstance(reference, str) else None


def _parse_entry(given: object, *, now: datetime) -> actions.NewEntry:
    try:
        entry = NewHistoryEntry.model_validate(given)
    except ValidationError as wrong:
        raise problems.InvalidShape(problems.describe_errors(wrong.errors(), given)) from wrong
    rules.check_occurred(entry.occurred_at, now)
    if sum(len(str(key)) + len(str(value)) for key, value in entry.details.items()) > schemas.DETAILS_LIMIT:
        raise rules.DetailsTooLarge
    amount = rules.parse_amount(entry.amount, entry.currency)
    return actions.NewEntry(
        entry.reference, entry.kind, entry.occurred_at, amount, entry.currency, entry.link, dict(entry.details),
        entry.corrects,
    )  # fmt: skip


def _result(reference: str, found: actions.Appended, given: Any) -> HistoryResult:  # noqa: ANN401
    return HistoryResult(
        reference=reference,
        status=found.status,
        entry=None if found.entry is None else entry_view(found.entry),
        given=given if found.status == "conflict" else None,
        code=None if found.problem is None else found.problem.code(),
        detail=None if found.problem is None else found.problem.sentence(),
    )


def _refusal(reference: str | None, problem: Problem) -> HistoryResult:
    return HistoryResult(
        reference=reference, status="refused", entry=None, given=None, code=problem.code(), detail=problem.sentence()
    )
