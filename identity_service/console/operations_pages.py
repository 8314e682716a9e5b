"""Operations, approvals by a second person, and the search of what staff did."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from identity_service.accounts import actions as accounts
from identity_service.approvals import actions as approvals
from identity_service.approvals import rules as approval_rules
from identity_service.clients import actions as clients
from identity_service.console import actions, limits
from identity_service.console.dependencies import ApprovingStaff, Auditor, Lead, OperationsStaff
from identity_service.console.views import console_page
from identity_service.events import actions as events
from identity_service.messages import actions as messages
from identity_service.messages import descriptions, heartbeat
from identity_service.values import user_ids
from identity_service.values.email_addresses import MalformedEmailAddress
from identity_service.values.user_ids import UserId
from identity_service.web import rate_limits
from identity_service.web.dependencies import Now, Session, Settings
from identity_service.web.forms import Form, FormRoute

router = APIRouter(prefix="/console", route_class=FormRoute, include_in_schema=False)
_ACTIONS_SHOWN = 200
_ACTIONS_EXPORTED = 100_000


@router.get("/operations")
async def show_operations(
    request: Request, session: Session, staff: OperationsStaff, settings: Settings, now: Now
) -> Response:
    """Show the state of outbox, relays, workers, limits and feed; the page refreshes itself."""
    known = await clients.list_open_clients(session)
    return console_page(
        request, "console/operations.html", staff, health=await messages.outbox_health(session, now=now),
        flow=await messages.messages_per_minute(session, now=now), relays=settings.relays,
        states=await heartbeat.list_relay_states(session), words=descriptions,
        workers=await heartbeat.count_alive(session), clients=known, feed=await events.position(session), now=now,
        limits=await limits.list_limits(session, {client.id: client.name for client in known}),
    )  # fmt: skip


@router.post("/operations/limits")
async def find_limits(request: Request, session: Session, form: Form, staff: Lead) -> Response:
    """Find the limits of an address, a User ID, a network, or a name of staff or a client; an address is hashed as when
    it was counted.
    """
    (typed,) = form.take("typed")
    names = {client.id: client.name for client in await clients.list_open_clients(session)}
    try:
        found, problem = await limits.list_limits(session, names, typed), None
    except MalformedEmailAddress as malformed:
        found, problem = [], malformed
    return console_page(request, "console/limits.html", staff, limits=found, typed=typed, problem=problem)


@router.post("/operations/lift-limit")
async def lift_limit(session: Session, form: Form, staff: Lead, now: Now) -> Response:
    """Lift one rate limit of one owner."""
    (key,) = form.take("key")
    lifted = await rate_limits.lift_limit(session, key[:300])
    if lifted is not None:
        await events.record_event(session, "rate_limit.lifted", actor=staff.actor, data={"limit": lifted}, now=now)
    return RedirectResponse("/console/operations", 303)


@router.get("/approvals")
async def show_approvals(request: Request, session: Session, staff: ApprovingStaff) -> Response:
    """Show the guarded changes that are waiting."""
    changes = await approvals.list_open_changes(session)
    concerned = {user_id for one in changes for user_id in approvals.concerned(one)}
    now_at = {user_id: await accounts.find_account(session, UserId(user_id)) for user_id in concerned}
    return console_page(
        request, "console/approvals.html", staff, changes=changes, accounts=now_at, actor=staff.actor,
        declined=approval_rules.DECLINED,
    )  # fmt: skip


@router.post("/approvals/{change_id}")
async def approve(session: Session, change_id: uuid.UUID, form: Form, staff: ApprovingStaff, now: Now) -> Response:
    """Approve a change that another person requested; it happens after 72 hours unless the old mailbox stops it."""
    form.take()
    await approvals.approve_change(session, change_id, actor=staff.actor, now=now)
    return RedirectResponse("/console/approvals", 303)


@router.post("/approvals/{change_id}/decline")
async def decline(session: Session, change_id: uuid.UUID, form: Form, staff: ApprovingStaff, now: Now) -> Response:
    """Decline a change with a reason, or withdraw one's own; the customer's account says so."""
    (reason,) = form.take("reason")
    await approvals.decline_change(session, change_id, reason=reason, actor=staff.actor, now=now)
    return RedirectResponse("/console/approvals", 303)


@router.get("/audit")
async def show_audit(
    request: Request, session: Session, staff: Auditor,
    who: Annotated[str, Query(max_length=60)] = "", user_id: Annotated[str, Query(max_length=40)] = "",
    what: Annotated[str, Query(max_length=60)] = "",
) -> Response:  # fmt: skip
    """Search what staff did, by person, customer and event name."""
    rows = await actions.staff_actions(session, staff=who, user_id=_wanted(user_id), name=what, limit=_ACTIONS_SHOWN)
    asked = {"who": who, "user_id": user_id, "what": what}
    return console_page(request, "console/audit.html", staff, deeds=rows, asked=asked)


@router.get("/audit/export")
async def export_audit(session: Session, staff: Auditor) -> Response:  # noqa: ARG001
    """Download everything that staff did, as JSON lines."""
    rows = await actions.staff_actions(session, staff=None, user_id=None, name=None, limit=_ACTIONS_EXPORTED)

    async def lines() -> AsyncIterator[bytes]:
        for row in rows:
            yield orjson.dumps(_line(row)) + b"\n"

    headers = {"Content-Disposition": 'attachment; filename="staff-actions.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


def _wanted(user_id: str) -> str | None:
    return user_ids.parse(user_id) if user_id.strip() else None


def _line(row: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "occurred_at": f"{row.occurred_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "name": row.name, "actor": row.actor,
        "user_id": None if row.user_id is None else user_ids.show(row.user_id), "reason": row.reason,
        "data": row.data,
    }  # fmt: skip
