"""The feed for services, in the shape of CloudEvents 1.0."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import Row

from identity_service import doors, problems, tokens, user_ids
from identity_service.clients import access
from identity_service.doors import Door, Keys, Session, View, database_of
from identity_service.events import actions, audit
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


class HeadView(View):
    """A signed checkpoint of the sealed feed; keep `statement` elsewhere, and a later rewrite is found."""

    position: int
    seal: str
    at: datetime
    statement: str


class HeadsView(View):
    """Checkpoints, newest first."""

    items: list[HeadView]
    next: str | None


class SealedEventView(View):
    """A sealed event: recompute SHA-256(previous seal + canonical event) and compare."""

    position: int
    seal: str
    event: EventView


class EntriesView(View):
    """Sealed events by position."""

    items: list[SealedEventView]
    next: str | None


@router.get("/audit/heads", responses=problems.documented(tokens.InvalidCursor))
async def list_audit_heads(
    session: Session,
    keys: Keys,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HeadsView:
    """Read the signed checkpoints of the sealed feed; no token is needed."""
    before = None if after is None else tokens.read_cursor(keys.internal(), "heads", after)[0]
    found = await audit.heads(session, before, limit=limit + 1)
    more = tokens.make_cursor(keys.internal(), "heads", found[limit - 1].position) if len(found) > limit else None
    return HeadsView(items=[HeadView(**head._asdict()) for head in found[:limit]], next=more)


@router.get(
    "/audit/entries",
    dependencies=[access.requires("audit:read")],
    responses=problems.documented(tokens.InvalidCursor, *access.REFUSALS),
)
async def list_audit_entries(
    session: Session,
    keys: Keys,
    settings: doors.Settings,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> EntriesView:
    """Read sealed events with their seals, to recompute the chain."""
    position = 0 if after is None else tokens.read_cursor(keys.internal(), "entries", after)[0]
    rows = await audit.entries(session, position, limit=limit + 1)
    more = tokens.make_cursor(keys.internal(), "entries", rows[limit - 1].position) if len(rows) > limit else None
    items = [SealedEventView(position=r.position, seal=r.seal.hex(), event=view(r, settings)) for r in rows[:limit]]
    return EntriesView(items=items, next=more)


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
        page = await database.look(lambda session: actions.feed(session, after, limit=limit))
        if page.events or asyncio.get_running_loop().time() >= until or await request.is_disconnected():
            return EventsView(items=[view(e, database.settings) for e in page.events], next=page.cursor)
        await asyncio.sleep(LOOK_EVERY)
