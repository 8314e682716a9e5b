"""Tracking a message of any purpose: the event stream of a tracking page, and sending by another relay."""

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from identity_service.one_time_tokens import actions, tracking
from identity_service.web import dependencies, pages
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute

STREAM_SECONDS = 300
POLL_SECONDS = 0.5
REROUTES = "10/hour"

router = APIRouter(prefix="/messages", route_class=FormRoute, include_in_schema=False)


@router.get("/{handle}/stream")
async def stream(request: Request, handle: str, now: Now) -> StreamingResponse:
    """Send each change of a tracking page as a server-sent event; no database connection is held between reads."""
    database, locale, clock = dependencies.database_of(request), pages.locale_of(request), request.app.state.clock
    found = await database.in_transaction(lambda session: actions.find_by_tracking(session, handle, now=now))

    async def load() -> tracking.TrackingView:
        async with database.transaction() as session:
            newest = await actions.find_token(session, found.token.id)
            return await tracking.tracking_view(session, newest or found, locale=locale, now=clock())

    async def changes() -> AsyncIterator[bytes]:
        sent, loop = b"", asyncio.get_running_loop()
        until = loop.time() + STREAM_SECONDS
        while True:
            view = await load()
            current = orjson.dumps(view.as_dict())
            if current != sent:
                sent = current
                yield b"event: changed\ndata: " + current + b"\n\n"
            if not view.is_moving:
                yield b"event: over\ndata: {}\n\n"
                return
            if loop.time() > until or await request.is_disconnected():
                return
            await asyncio.sleep(POLL_SECONDS)

    return StreamingResponse(changes(), media_type="text/event-stream")


@router.post("/{handle}/reroute")
async def send_by_another_route(request: Request, handle: str, form: Form, session: Session, now: Now) -> Response:
    """Retry a pending message now, at the next relay."""
    form.take()
    await request.app.state.throttle.hit("reroute", REROUTES, handle)
    found = await actions.find_by_tracking(session, handle, now=now)
    await tracking.reroute_message(session, found, now=now)
    return RedirectResponse(f"{tracking.PAGES[found.token.purpose]}/{handle}", 303)
