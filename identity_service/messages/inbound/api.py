"""Providers' webhooks: read the raw body, check its origin, then store each notice in its own transaction.

A provider repeats a request after a 5xx response, but treats 403 as final. So a notice that cannot be checked at this
moment is answered with 503; with 403 it would be lost.
"""

import uuid
from collections import Counter
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from identity_service import logs
from identity_service.messages import text_rendering
from identity_service.messages.carriers.interface import Call, Report, Stop
from identity_service.messages.carriers.registry import interface_of
from identity_service.messages.inbound import dsn, feedback, reader_process, texts, webhooks
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


Carrier = Annotated[
    str, Path(max_length=32, pattern=r"^[a-z0-9][a-z0-9-]*$", description="the name of a carrier in the settings")
]
"""The name of a carrier in the settings."""
_REFUSALS: Final = problems.error_responses(texts.UnknownCarrier, dsn.UnsignedNotice, dsn.UnreadableNotice)
_ANY_BODY: Final = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


@router.post(
    "/texts/{carrier}/{message_id}", status_code=204, responses=_REFUSALS, openapi_extra=_ANY_BODY,
)  # fmt: skip
async def receive_text_report(request: Request, carrier: Carrier, message_id: uuid.UUID, now: Now) -> Response:
    """Receive a carrier's report about one text, signed over the configured URL of this route."""
    return await _receive_call(request, carrier, message_id, now)


@router.post(
    "/texts/{carrier}", status_code=204, responses=_REFUSALS, openapi_extra=_ANY_BODY,
)  # fmt: skip
async def receive_text_answer(request: Request, carrier: Carrier, now: Now) -> Response:
    """Receive what somebody has answered to our texts; STOP ends them for that number."""
    return await _receive_call(request, carrier, None, now)


async def _receive_call(request: Request, name: str, message_id: uuid.UUID | None, now: datetime) -> Response:
    database = dependencies.database_of(request)
    carrier = texts.find_carrier(database.settings, name)
    body = await routing.read_body(request, texts.MAXIMUM)
    url = (
        f"{database.settings.public_url}{text_rendering.REPORTS}/{name}{'' if message_id is None else f'/{message_id}'}"
    )
    try:
        said = interface_of(carrier).read_call(Call(url, body, request.headers, now, message_id))
    except dsn.UnsignedNotice:
        logs.log.warning("webhook.refused", provider=name, reason="the signature does not match, or is old")
        raise
    result = "ignored"
    async with database.transaction() as session:
        if isinstance(said, Report):
            result = await texts.apply_report(session, said, name, now=now)
        elif isinstance(said, Stop):
            result = "stopped" if await texts.apply_stop(session, said, now=now) else "unmatched"
    logs.log.info("webhook.received", provider=name, result=result)
    return Response(status_code=204)
