"""The feed for services, in the format of CloudEvents 1.0."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from identity_service.events import actions, schemas
from identity_service.events.schemas import EventList
from identity_service.web import authentication, pagination, problems
from identity_service.web.dependencies import database_of
from identity_service.web.routing import StrictRoute

_POLL_INTERVAL_S = 0.25
"""Seconds between two reads of a long poll; each is a transaction of its own, so waiting holds no connection."""

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["events"])


@router.get(
    "/events",
    dependencies=[authentication.requires("events:read")],
    responses=problems.error_responses(pagination.InvalidCursor, actions.FeedRestored, *authentication.AUTH_ERRORS),
)
async def list_events(
    request: Request,
    after: Annotated[str | None, Query(max_length=200, description="the cursor of the previous page")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    wait: Annotated[int, Query(ge=0, le=30, description="seconds to wait for new events")] = 0,
) -> EventList:
    """Read all events in sealed order, from a cursor; `wait` makes it a long poll."""
    database = database_of(request)
    until = asyncio.get_running_loop().time() + wait
    while True:
        page = await database.read_from_replica(lambda session: actions.read_feed(session, after, limit=limit))
        if page.events or asyncio.get_running_loop().time() >= until or await request.is_disconnected():
            return EventList(items=[schemas.event_view(e, database.settings) for e in page.events], next=page.cursor)
        await asyncio.sleep(_POLL_INTERVAL_S)
