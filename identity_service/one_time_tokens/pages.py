"""Tracking a message of any purpose: the event stream of a tracking page, and sending by another relay."""

from typing import Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from identity_service.one_time_tokens import actions, tracking
from identity_service.web import brand_assets, dependencies, pages, streams
from identity_service.web.dependencies import Now, Session
from identity_service.web.forms import Form, FormRoute

_SHOWN = tuple(tracking.PAGES)
"""Purposes whose page shows the delivery; that of others must not be seen anywhere."""
REROUTES = "10/hour"
REROUTES_PER_NETWORK = "60/hour"

FOLLOWED: Final = tuple(tracking.PAGES)
"""Purposes whose message may be followed; that of a text would tell whose number it is."""
router = APIRouter(prefix="/messages", route_class=FormRoute, include_in_schema=False)


@router.get("/{handle}/stream")
async def stream(request: Request, handle: str, now: Now) -> Response:
    """Send each change of a tracking page as a server-sent event; no database connection is held between reads."""
    database, locale, clock = dependencies.database_of(request), pages.locale_of(request), request.app.state.clock
    found = await database.in_transaction(lambda own: actions.find_by_tracking(own, handle, _SHOWN, now=now))
    brand_assets.wear(request, found.message.brand)

    async def load() -> streams.Snapshot:
        async with database.transaction() as session:
            newest = await actions.find_token(session, found.token.id)
            view = await tracking.tracking_view(session, newest or found, locale=locale, now=clock())
        return streams.Snapshot(orjson.dumps(view.as_dict()), not view.is_moving, is_slow=view.is_taken)

    subject = str(found.token.id)
    return await streams.stream_changes(request, subject, "changed", load, over=b"event: over\ndata: {}\n\n")


@router.post("/{handle}/reroute")
async def send_by_another_route(request: Request, handle: str, form: Form, session: Session, now: Now) -> Response:
    """Retry a pending message now, at the next relay."""
    form.take()
    limits, database = request.app.state.throttle, dependencies.database_of(request)
    await limits.hit_network("reroute", REROUTES_PER_NETWORK, dependencies.client_network(request))
    # Looked up before it is counted, so that a stranger's handle makes no counter; the transaction is over by then,
    # because counting takes a connection of its own.
    known = await database.in_transaction(lambda own: actions.find_by_tracking(own, handle, _SHOWN, now=now))
    brand_assets.wear(request, known.message.brand)
    await limits.hit_network("reroute", REROUTES, str(known.token.message_id))
    found = await actions.find_by_tracking(session, handle, _SHOWN, now=now)
    await tracking.reroute_message(session, found, now=now)
    return RedirectResponse(f"{tracking.PAGES[found.token.purpose]}/{handle}", 303)
