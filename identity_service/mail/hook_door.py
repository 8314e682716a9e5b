"""The door for providers' webhooks: raw body first, its proof of origin next, then each notice in its own transaction.

A provider repeats what it got no good answer for. So what cannot be checked right now is answered 503, never 403: a
refusal is final for it, and the notice would be lost.
"""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from identity_service import doors, problems
from identity_service.doors import Now
from identity_service.mail import bounces, feedback, hooks

router = APIRouter(prefix="/hooks", tags=["hooks"])


@router.post(
    "/{provider}",
    responses=problems.documented(bounces.UnsignedNotice, bounces.UnreadableNotice, hooks.ProviderAway),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def take_hook(request: Request, provider: Literal["ses", "postmark", "dsn"], now: Now) -> Response:
    """Take what a provider reports about a letter; each with its own proof of origin."""
    body = await doors.read_body(request, bounces.MAXIMUM)
    database = doors.database_of(request)
    if provider == "dsn":
        hooks.check_secret(request.headers, database.settings)
        to = request.headers.get("x-envelope-to", "")[:320]
        async with database.transaction() as session:
            notice = await feedback.read_mail(session, body, envelope_from=None, envelope_to=to, now=now)
            await feedback.take(session, notice, via="hook", now=now)
        return JSONResponse({})
    fetch: hooks.Fetch = getattr(request.app.state, "fetch", hooks.fetch_over_tls)
    for notice in await hooks.ADAPTERS[provider](body, request.headers, database.settings, fetch, now):
        async with database.transaction() as session:
            await feedback.take(session, notice, via=provider, now=now)
    return JSONResponse({})
