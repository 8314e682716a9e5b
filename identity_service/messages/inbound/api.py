"""Providers' webhooks: read the raw body, check its origin, then store each notice in its own transaction.

A provider repeats a request after a 5xx response, but treats 403 as final. So a notice that cannot be checked at this
moment is answered with 503; with 403 it would be lost.
"""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from identity_service.messages.inbound import dsn, feedback, reader_process, webhooks
from identity_service.web import dependencies, problems, routing
from identity_service.web.dependencies import Now

router = APIRouter(prefix="/webhooks", tags=["hooks"])


@router.post(
    "/{provider}",
    responses=problems.error_responses(
        dsn.UnsignedNotice, dsn.UnreadableNotice, webhooks.ProviderUnavailable, reader_process.ReaderNotStarted
    ),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def receive_webhook(request: Request, provider: Literal["ses", "postmark", "dsn"], now: Now) -> Response:
    """Receive a provider's report about messages; each provider proves its origin in its own way."""
    body = await routing.read_body(request, dsn.MAXIMUM)
    database = dependencies.database_of(request)
    if provider == "dsn":
        webhooks.check_secret(request.headers, database.settings)
        to = request.headers.get("x-envelope-to", "")[:320]
        reading = await reader_process.READER.read(body, None)
        async with database.transaction() as session:
            notice = feedback.notice_of(session, reading, body, envelope_from=None, envelope_to=to, now=now)
            await feedback.apply_notice(session, notice, via="webhook", now=now)
        return JSONResponse({})
    fetch: webhooks.Fetch = getattr(request.app.state, "fetch", webhooks.fetch_over_tls)
    for notice in await webhooks.ADAPTERS[provider](body, request.headers, database.settings, fetch, now):
        async with database.transaction() as session:
            await feedback.apply_notice(session, notice, via=provider, now=now)
    return JSONResponse({})
