"""Following a letter, whatever it is for: the live stream behind a watch page, and sending by another route."""

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from identity_service import doors, pages
from identity_service.doors import Now, Session
from identity_service.forms import Form, PageDoor
from identity_service.proofs import actions, watch

STREAM_SECONDS = 300
LOOK_EVERY = 0.5
REROUTES = "10/hour"

router = APIRouter(prefix="/letters", route_class=PageDoor, include_in_schema=False)


@router.get("/{handle}/stream")
async def stream(request: Request, handle: str, now: Now) -> StreamingResponse:
    """Tell each change of a letter's way as a server-sent event; each look is a short read, no connection is held."""
    database, locale, clock = doors.database_of(request), pages.locale_of(request), request.app.state.clock
    found = await database.short(lambda session: actions.followed(session, handle, now=now))

    async def look() -> watch.Watched:
        async with database.transaction() as session:
            newest = await actions.find(session, found.proof.id)
            return await watch.look(session, newest or found, locale=locale, now=clock())

    async def changes() -> AsyncIterator[bytes]:
        told, loop = b"", asyncio.get_running_loop()
        until = loop.time() + STREAM_SECONDS
        while True:
            watched = await look()
            said = orjson.dumps(watched.as_dict())
            if said != told:
                told = said
                yield b"event: letter\ndata: " + said + b"\n\n"
            if not watched.is_moving:
                yield b"event: over\ndata: {}\n\n"
                return
            if loop.time() > until or await request.is_disconnected():
                return
            await asyncio.sleep(LOOK_EVERY)

    return StreamingResponse(changes(), media_type="text/event-stream")


@router.post("/{handle}/again")
async def send_by_another_route(request: Request, handle: str, form: Form, session: Session, now: Now) -> Response:
    """Try a waiting letter now, by the next relay."""
    form.take()
    await request.app.state.throttle.hit("reroute", REROUTES, handle)
    found = await actions.followed(session, handle, now=now)
    await watch.by_another_route(session, found, now=now)
    return RedirectResponse(f"{watch.PAGES[found.proof.purpose]}/{handle}", 303)
