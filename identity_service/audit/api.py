"""Routes for auditors: checkpoints and sealed events."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from identity_service.audit import actions
from identity_service.audit.schemas import CheckpointList, CheckpointView, SealedEventList
from identity_service.events import views
from identity_service.web import authentication, dependencies, pagination, problems
from identity_service.web.authentication import Caller
from identity_service.web.dependencies import Keys, Session
from identity_service.web.routing import StrictRoute

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["audit"])


@router.get("/audit/checkpoints", responses=problems.error_responses(pagination.InvalidCursor))
async def list_checkpoints(
    session: Session,
    keys: Keys,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CheckpointList:
    """Read the signed checkpoints of the sealed feed, newest first; needs no access token."""
    before = None if after is None else pagination.read_cursor(keys.internal(), "checkpoints", after)[0]
    found = await actions.list_checkpoints(session, before, limit=limit + 1)
    more = None
    if len(found) > limit:
        more = pagination.make_cursor(keys.internal(), "checkpoints", found[limit - 1].position)
    return CheckpointList(items=[CheckpointView(**checkpoint._asdict()) for checkpoint in found[:limit]], next=more)


@router.get(
    "/audit/events",
    response_model=SealedEventList,
    dependencies=[authentication.requires("audit:read")],
    responses=problems.error_responses(pagination.InvalidCursor, *authentication.AUTH_ERRORS),
)
async def list_sealed_events(
    session: Session,
    keys: Keys,
    caller: Caller,
    settings: dependencies.Settings,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> JSONResponse:
    """Read sealed events with their seals, to recompute the chain."""
    position = 0 if after is None else pagination.read_cursor(keys.internal(), "entries", after)[0]
    rows = await actions.list_sealed_events(session, position, limit=limit + 1)
    more = pagination.make_cursor(keys.internal(), "entries", rows[limit - 1].position) if len(rows) > limit else None
    items = [
        {"position": r.position, "seal": r.seal.hex(), "event": views.event_members(r, settings, caller.scopes)}
        for r in rows[:limit]
    ]
    return JSONResponse({"items": items, "next": more})
