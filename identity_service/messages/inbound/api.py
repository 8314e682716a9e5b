"""Providers' webhooks: read the raw body, check its origin, then store each notice in its own transaction.

A provider repeats a request after a 5xx response, but treats 403 as final. So a notice that cannot be checked at this
moment is answered with 503; with 403 it would be lost.
"""

from collections import Counter
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from identity_service import logs
from identity_service.messages.inbound import dsn, feedback, reader_process, webhooks
from identity_service.messages.inbound.registry import PROVIDERS
from identity_service.web import dependencies, problems, routing
from identity_service.web.dependencies import Now

SOURCES: Final = (*PROVIDERS, "dsn")
Source = Annotated[str, Path(pattern=f"^({'|'.join(SOURCES)})$", json_schema_extra={"enum": list(SOURCES)})]
"""Where a webhook comes from: a provider, or `dsn` for a mail server that pipes returned mail."""

router = APIRouter(prefix="/webhooks", tags=["hooks"])


@router.post(
    "/{provider}",
    responses=problems.error_responses(
        dsn.UnsignedNotice, dsn.UnreadableNotice, webhooks.ProviderUnavailable, reader_process.ReaderNotStarted
    ),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def receive_webhook(request: Request, provider: Source, now: Now) -> Response:
    """Receive a provider's report about messages; each provider proves its origin in its own way."""
    database = dependencies.database_of(request)
    if provider == "dsn":
        body = await routing.read_body(request, dsn.MAXIMUM)
        webhooks.check_secret(request.headers, database.settings, provider)
        to = request.headers.get("x-envelope-to", "")[:320]
        reading = await reader_process.READER.read(body, None)
        async with database.transaction() as session:
            notice = feedback.notice_of(session, reading, body, envelope_from=None, envelope_to=to, now=now)
            await feedback.apply_notice(session, notice, via="webhook", now=now)
        return JSONResponse({})
    body = await routing.read_body(request, webhooks.MAXIMUM)
    fetch: webhooks.Fetch = getattr(request.app.state, "fetch", webhooks.fetch_over_tls)
    webhook = webhooks.Webhook(provider, body, request.headers, database.settings, fetch, now)
    results: Counter[str] = Counter()
    for notice in await webhooks.read_notices(PROVIDERS[provider], webhook):
        async with database.transaction() as session:
            results[await feedback.apply_notice(session, notice, via=provider, now=now)] += 1
    logs.log.info("webhook.received", provider=provider, **results)
    return JSONResponse({})
