"""The feed for services, in the format of CloudEvents 1.0."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from identity_service.errors import Unprocessable
from identity_service.events import actions, schemas, views
from identity_service.events.schemas import EventList
from identity_service.web import authentication, pagination, problems
from identity_service.web.authentication import Caller, MissingScope
from identity_service.web.dependencies import database_of
from identity_service.web.routing import StrictRoute

_POLL_INTERVAL_S = 0.25
"""Seconds between two reads of a long poll; each is a transaction of its own, so waiting holds no connection."""
_SEARCH_S: Final = 5.0
"""Seconds for which one request passes events that are filtered, before it answers with an empty page."""

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["events"])


class TwoStarts(Unprocessable):
    """Send either `after`, to continue from a cursor, or `from=now`, to begin with what happens next; not both."""


@router.get(
    "/events",
    response_model=EventList,
    dependencies=[authentication.requires("events:read")],
    responses=problems.error_responses(
        TwoStarts, pagination.InvalidCursor, actions.FeedRestored, *authentication.AUTH_ERRORS
    ),
)
async def list_events(
    request: Request,
    caller: Caller,
    after: Annotated[str | None, Query(max_length=200, description="the cursor of the previous page")] = None,
    start: Annotated[
        Literal["now"] | None,
        Query(alias="from", description="without a cursor: begin with what happens next, not with the first event"),
    ] = None,
    types: Annotated[
        list[schemas.EventType] | None,
        Query(alias="type", max_length=100, description="only events of this type; repeat it for several"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    wait: Annotated[
        int, Query(ge=0, le=30, description="seconds to wait for new events; give your HTTP client more than that")
    ] = 0,
) -> JSONResponse:
    """Read all events in sealed order, from a cursor; `wait` makes it a long poll.

    What staff and administrators did needs `audit:read` too. Keep `next` after every page: also an empty one moves it,
    past events that were filtered or are not yours to see.
    """
    if after is not None and start is not None:
        raise TwoStarts
    hidden = views.hidden_types(caller.scopes)
    if types is not None and not hidden.isdisjoint(types):
        raise MissingScope(f"Events of this type need the scope {views.SEES_STAFF}.", scope=views.SEES_STAFF)
    read = partial(actions.read_feed, from_now=start is not None, types=types, hidden=hidden, limit=limit)
    page = await _read_until_found(request, read, after, wait)
    return views.event_list(page, database_of(request).settings, caller.scopes)


async def _read_until_found(
    request: Request, read: Callable[..., Awaitable[actions.Page]], after: str | None, wait: int
) -> actions.Page:
    """Return the first page with an event, or an empty one when the time is up: `wait` seconds for new events, and at
    least `_SEARCH_S` for passing those that are filtered."""
    database, now = database_of(request), asyncio.get_running_loop().time
    waits_until, searches_until = now() + wait, now() + max(wait, _SEARCH_S)
    while True:
        page = await database.read_from_replica(partial(read, after=after))
        until = waits_until if page.is_last else searches_until
        if page.events or now() >= until or await request.is_disconnected():
            return page
        after = page.cursor
        if page.is_last:
            await asyncio.sleep(_POLL_INTERVAL_S)
