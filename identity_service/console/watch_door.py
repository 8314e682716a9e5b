"""The watchtower, approvals by a second person, and the search through what staff did."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from identity_service import throttle, user_ids
from identity_service.clients import access as clients
from identity_service.console import actions
from identity_service.console.access import Approver, Auditor, Lead, Watcher
from identity_service.console.pages import console_page
from identity_service.doors import Now, Session, Settings
from identity_service.events import actions as events
from identity_service.forms import Form, PageDoor
from identity_service.life import guarded
from identity_service.mail import actions as mail
from identity_service.mail import upkeep

router = APIRouter(prefix="/console", route_class=PageDoor, include_in_schema=False)
DEEDS = 200
EXPORTED = 100_000


@router.get("/watch")
async def show_watch(request: Request, session: Session, staff: Watcher, settings: Settings, now: Now) -> Response:
    """Show how everything is, in small charts; the page renews itself."""
    return console_page(
        request, "console/watch.html", staff, health=await mail.health(session, now=now),
        flow=await mail.flow(session, now=now), relays=settings.relays, states=await mail.relay_states(session),
        workers=await upkeep.alive(session), throttled=await throttle.full(session),
        clients=await clients.listed(session), feed=await events.position(session), now=now,
    )  # fmt: skip


@router.post("/watch/lift")
async def lift(session: Session, form: Form, staff: Lead, now: Now) -> Response:
    """Lift one limit; who was limited is a keyed hash, and stays one."""
    (key,) = form.take("key")
    await throttle.lift(session, key[:300])
    await events.record(session, "throttle.lifted", actor=staff.actor, now=now)
    return RedirectResponse("/console/watch", 303)


@router.get("/approvals")
async def show_approvals(request: Request, session: Session, staff: Approver) -> Response:
    """Show what waits for a second person."""
    return console_page(
        request, "console/approvals.html", staff, changes=await guarded.open_changes(session), actor=staff.actor
    )


@router.post("/approvals/{change_id}")
async def approve(session: Session, change_id: uuid.UUID, form: Form, staff: Approver, now: Now) -> Response:
    """Approve what somebody else asked for; 72 hours later it happens, unless the old mailbox stops it."""
    form.take()
    await guarded.approve(session, change_id, actor=staff.actor, now=now)
    return RedirectResponse("/console/approvals", 303)


@router.get("/audit")
async def show_audit(
    request: Request, session: Session, staff: Auditor,
    who: Annotated[str, Query(max_length=60)] = "", user_id: Annotated[str, Query(max_length=40)] = "",
    what: Annotated[str, Query(max_length=60)] = "",
) -> Response:  # fmt: skip
    """Search what staff did."""
    deeds = await actions.deeds(session, staff=who, user_id=_wanted(user_id), name=what, limit=DEEDS)
    asked = {"who": who, "user_id": user_id, "what": what}
    return console_page(request, "console/audit.html", staff, deeds=deeds, asked=asked)


@router.get("/audit/export")
async def export_audit(session: Session, staff: Auditor) -> Response:  # noqa: ARG001
    """Hand out everything that staff did, as JSON lines."""
    deeds = await actions.deeds(session, staff=None, user_id=None, name=None, limit=EXPORTED)

    async def lines() -> AsyncIterator[bytes]:
        for deed in deeds:
            yield orjson.dumps(_line(deed)) + b"\n"

    headers = {"Content-Disposition": 'attachment; filename="staff-actions.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


def _wanted(user_id: str) -> str | None:
    return user_ids.parse(user_id) if user_id.strip() else None


def _line(deed: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "at": f"{deed.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "what": deed.name, "by": deed.actor,
        "user_id": None if deed.user_id is None else user_ids.show(deed.user_id), "reason": deed.reason,
        "data": deed.data,
    }  # fmt: skip
