"""Requests of clients to the token endpoints: read strictly, authenticated, answered in OAuth's own form."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from identity_service import logs
from identity_service.clients import key_sets, oauth
from identity_service.clients.oauth import OAuthServer, TokenAnswer
from identity_service.database.transactions import DatabaseSession
from identity_service.keys.ring import KeyRing
from identity_service.web import dependencies, problems, rate_limits, routing
from identity_service.web.schemas import ResponseModel

WRONG_PER_CLIENT = "30/minute; 300/hour"
WRONG_PER_NETWORK = "120/minute; 1000/hour"
UNKNOWN_PER_CLIENT = "120/minute; 1000/hour"
"""Limit of introspections of invalid or foreign tokens: more is an attempt to guess tokens (OAU-29)."""
_FIELDS = 28


OAUTH_ERROR = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {"type": "string"},
                "error_description": {"type": "string"},
                "error_uri": {"type": "string", "format": "uri"},
            },
        }
    }
}


def documented_form(*fields: str) -> dict[str, Any]:
    """Return what the contract says of a form with these fields, of which the first is required."""
    properties = {
        name: {"type": "string"}
        for name in (*fields, "client_id", "client_secret", "client_assertion_type", "client_assertion")
    }
    schema = {"type": "object", "properties": properties, "required": [fields[0]]}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}, "security": [{"clientSecretBasic": []}]}


def oauth_responses(model: type[ResponseModel], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return what the contract says of the answers of an endpoint of OAuth, with this model where it succeeds."""
    common = problems.error_responses(rate_limits.TooManyRequests)
    own: dict[int | str, dict[str, Any]] = {
        status: {"model": model, "description": "The answer"},
        400: {
            "description": "`invalid_request`, `invalid_scope`, `invalid_target`, `unsupported_grant_type`",
            "content": OAUTH_ERROR,
        },
        401: {"description": "`invalid_client`: not authenticated", "content": OAUTH_ERROR},
    }
    kept = (408, 413, 415, 421, 429, 500, 503)
    return {**{status: {**common[status], "content": OAUTH_ERROR} for status in kept}, **own}


class _Refused(Exception):
    """An error in OAuth's own form (RFC 6749, 5.2)."""

    def __init__(self, answer: TokenAnswer) -> None:
        super().__init__()
        self.answer = answer


async def answer_refused(request: Request, refused: Exception) -> Response:
    """Return the OAuth error response that the exception carries (RFC 6749, 5.2)."""
    assert isinstance(refused, _Refused)  # noqa: S101
    return _response(request, refused.answer)


def install(app: Any) -> None:  # noqa: ANN401
    """Register the handler that returns OAuth errors in OAuth's own form."""
    app.add_exception_handler(_Refused, answer_refused)


async def read_form(request: Request) -> dict[str, str]:
    """Return the form's fields; each at most once, and none in the query (RFC 6749, 3.2; OAU-03)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise routing.UnsupportedMediaType("Send application/x-www-form-urlencoded.")
    body = await routing.read_body(request, routing.BODY_LIMIT)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as wrong:
        raise _Refused(_invalid("The form cannot be read.")) from wrong
    credentials = request.headers.getlist("authorization")
    # A parameter without a value counts as omitted (RFC 6749, 3.2).
    fields = {name: value for name, value in pairs if value}
    methods = [*credentials, *(name for name in ("client_secret", "client_assertion") if name in fields)]
    names = [name for name, _ in pairs if name != "resource"]
    if len(set(names)) != len(names) or request.url.query or len(methods) > 1:
        raise _Refused(_invalid("Send each parameter once, in the form only, with one way to authenticate."))
    if any("\x00" in value or "\ufffd" in value for value in fields.values()) or not fields:
        raise _Refused(_invalid("The form cannot be read."))
    # RFC 8707, 2: it may be repeated. A URI has no blanks, so several stand side by side.
    resources = dict.fromkeys(value for name, value in pairs if name == "resource" and value)
    return {**fields, "resource": " ".join(resources)} if resources else fields


def _headers(request: Request) -> dict[str, str]:
    # Authlib reads headers case-sensitively, and needs this one only.
    value = request.headers.get("authorization")
    return {} if value is None else {"Authorization": value}


def _invalid(description: str) -> TokenAnswer:
    return TokenAnswer(400, {"error": "invalid_request", "error_description": description}, {})


async def answer_by_authlib(
    request: Request,
    form: dict[str, str],
    keys: KeyRing,
    now: datetime,
    call: Callable[[OAuthServer, dict[str, str], dict[str, str]], TokenAnswer],
) -> Response:
    """Answer a request that Authlib serves as a whole."""
    settings, headers = dependencies.database_of(request).settings, _headers(request)
    return await _answer(
        request, form, now,
        lambda session: session.run_sync(lambda db: call(OAuthServer(db, settings, keys, now), headers, form)),
    )  # fmt: skip


async def answer_client(
    request: Request,
    form: dict[str, str],
    keys: KeyRing,
    now: datetime,
    action: Callable[..., Awaitable[TokenAnswer]],
) -> Response:
    """Authenticate the client, then answer with `action(session, client_id, form, now=now)` in the same transaction."""
    settings, headers, path = dependencies.database_of(request).settings, _headers(request), request.url.path

    async def respond(session: DatabaseSession) -> TokenAnswer:
        found = await session.run_sync(
            lambda db: OAuthServer(db, settings, keys, now).authenticate(path, headers, form)
        )
        return found if isinstance(found, TokenAnswer) else await action(session, found, form, now=now)

    return await _answer(request, form, now, respond)


async def _answer(
    request: Request,
    form: dict[str, str],
    now: datetime,
    respond: Callable[[DatabaseSession], Awaitable[TokenAnswer]],
) -> Response:
    """Answer in one short transaction, and count failures after it has ended.

    Counting needs a connection of its own: if every request waited for a second one while holding the first, the pool
    would deadlock.
    """
    database, headers = dependencies.database_of(request), _headers(request)
    claimed = oauth.claimed_by(headers, form)
    refused = oauth.why_assertion_refused(form, database.settings, request.url.path, now)
    if refused is not None:
        logs.log.warning("client.assertion_refused", claimed=claimed, reason=refused)
        answer = oauth.refuse_assertion(refused)
    elif claimed is None:
        answer = TokenAnswer(*oauth.INVALID_CLIENT)
    elif form.get("client_id", claimed) != claimed:
        answer = _invalid("The request names two clients.")
    else:
        if "client_assertion" in form:
            await key_sets.refresh(database, claimed, form["client_assertion"], now=now)
        answer = await database.in_transaction(respond)
    if claimed is not None:
        # `client` if it authenticated; otherwise the id is only what the request claims (LOG-02).
        request.scope["log_fields"] = {"client" if answer.status in (200, 201) else "claimed": claimed}
    limits: rate_limits.RateLimiter = request.app.state.throttle
    if answer.status == 401:
        network = dependencies.client_network(request)
        await limits.hit_network("wrong-client-secret", WRONG_PER_CLIENT, network, claimed or "")
        await limits.hit_network("wrong-client-secret", WRONG_PER_NETWORK, network)
    elif answer.body == {"active": False}:
        await limits.hit("unknown-token", UNKNOWN_PER_CLIENT, str(claimed))
    return _response(request, answer)


def _response(request: Request, answer: TokenAnswer) -> Response:
    request.scope["problem"] = answer.body.get("error")
    return JSONResponse(answer.body, answer.status, {**answer.headers, "Cache-Control": "no-store"})
