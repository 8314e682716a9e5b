"""The feed for services, in the shape of CloudEvents 1.0."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import Row

from identity_service import problems, tokens, user_ids
from identity_service.clients import access
from identity_service.doors import Door, View, database_of
from identity_service.events import actions
from identity_service.settings import Settings

LOOK_EVERY = 0.25
"""Seconds between two looks of a long poll; each is a short read, so a waiting reader holds no connection."""

router = APIRouter(prefix="/v1", route_class=Door, tags=["events"])


class EventView(View):
    """One event as CloudEvents 1.0 tells it; `sequence` is its position in the sealed order."""

    specversion: Literal["1.0"]
    id: str
    type: str = Field(examples=["account.registered"])
    source: str
    subject: str | None = Field(description="the User ID, where the event is about one")
    time: datetime
    sequence: int
    actor: str
    data: dict[str, Any]


class EventsView(View):
    """A page of the feed. `next` goes on from here, also when there is nothing new yet."""

    items: list[EventView]
    next: str | None


def view(event: Row[Any], settings: Settings) -> EventView:
    """Return an event as it goes out."""
    return EventView(
        specversion="1.0",
        id=str(event.id),
        type=event.name,
        source=settings.public_url,
        subject=None if event.user_id is None else user_ids.show(event.user_id),
        time=event.at,
        sequence=event.position,
        actor=event.actor,
        data=event.data,
    )


@router.get(
    "/events",
    dependencies=[access.requires("events:read")],
    responses=problems.documented(tokens.InvalidCursor, actions.RestoredFeed, *access.REFUSALS),
)
async def list_events(
    request: Request,
    after: Annotated[str | None, Query(max_length=200, description="the cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    wait: Annotated[int, Query(ge=0, le=30, description="seconds to wait for something new")] = 0,
) -> EventsView:
    """Read everything that happened, in sealed order, from a cursor; `wait` makes it a long poll."""
    database = database_of(request)
    until = asyncio.get_running_loop().time() + wait
    while True:
        page = await database.short(lambda session: actions.feed(session, after, limit=limit))
        if page.events or asyncio.get_running_loop().time() >= until or await request.is_disconnected():
            return EventsView(items=[view(e, database.settings) for e in page.events], next=page.cursor)
        await asyncio.sleep(LOOK_EVERY)
