"""The token endpoints, the key set and the server metadata (RFC 6749, 7009, 7517, 7662, 8414)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from identity_service import logs
from identity_service.clients import oauth, rules, schemas
from identity_service.clients.oauth import OAuthServer, TokenAnswer
from identity_service.keys.ring import CACHE_TIME, KeyRing
from identity_service.keys.signing import ALGORITHMS
from identity_service.web import dependencies, problems, rate_limits, routing, scopes
from identity_service.web.dependencies import Keys, Now
from identity_service.web.schemas import ResponseModel

WRONG_PER_CLIENT = "30/minute; 300/hour"
WRONG_PER_NETWORK = "120/minute; 1000/hour"
UNKNOWN_PER_CLIENT = "120/minute; 1000/hour"
"""Limit of introspections of invalid or foreign tokens: more is an attempt to guess tokens (OAU-29)."""
_FIELDS = 20

router = APIRouter(tags=["tokens"])
_OAUTH_ERROR = {
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


class _Refused(Exception):
    """An error in OAuth's own form (RFC 6749, 5.2)."""

    def __init__(self, answer: TokenAnswer) -> None:
        super().__init__()
        self.answer = answer


def _documented(*fields: str) -> dict[str, Any]:
    properties = {
        name: {"type": "string"}
        for name in (*fields, "client_id", "client_secret", "client_assertion_type", "client_assertion")
    }
    schema = {"type": "object", "properties": properties, "required": [fields[0]]}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}, "security": [{"clientSecretBasic": []}]}


def _responses(model: type[ResponseModel]) -> dict[int | str, dict[str, Any]]:
    common = problems.error_responses(rate_limits.TooManyRequests)
    own: dict[int | str, dict[str, Any]] = {
        200: {"model": model, "description": "The answer"},
        400: {
            "description": "`invalid_request`, `invalid_scope`, `invalid_target`, `unsupported_grant_type`",
            "content": _OAUTH_ERROR,
        },
        401: {"description": "`invalid_client`: not authenticated", "content": _OAUTH_ERROR},
    }
    kept = (408, 413, 415, 421, 429, 500, 503)
    return {**{status: {**common[status], "content": _OAUTH_ERROR} for status in kept}, **own}


@router.post(
    "/oauth/token", responses=_responses(schemas.AccessToken), openapi_extra=_documented("grant_type", "scope")
)
async def issue_token(request: Request, keys: Keys, now: Now) -> Response:
    """Get an access token by client credentials: Basic, secret in the form, or a signed assertion."""
    form = await _form(request)
    return await _answer(request, form, keys, now, OAuthServer.token)


@router.post(
    "/oauth/introspect",
    responses=_responses(schemas.Introspection),
    openapi_extra=_documented("token"),
)
async def introspect_token(request: Request, keys: Keys, now: Now) -> Response:
    """Check whether one of your own tokens is still valid; any other one gets `{"active": false}`."""
    form = await _form(request)
    return await _answer(request, form, keys, now, lambda server, *parts: server.endpoint("introspect", *parts))


@router.post("/oauth/revoke", responses=_responses(schemas.RevocationResult), openapi_extra=_documented("token"))
async def revoke_token(request: Request, keys: Keys, now: Now) -> Response:
    """Revoke one of your own tokens; it is refused everywhere within ten seconds. Unknown tokens are no error."""
    form = await _form(request)
    return await _answer(request, form, keys, now, lambda server, *parts: server.endpoint("revoke", *parts))


@router.get("/oauth/jwks.json", responses={200: {"model": schemas.PublicKeySet}})
async def list_public_keys(keys: Keys) -> JSONResponse:
    """Get every public key that we ever signed with (RFC 7517)."""
    age = int(CACHE_TIME.total_seconds())
    return JSONResponse(keys.jwks(), headers={"Cache-Control": f"public, max-age={age}"})


@router.get("/.well-known/oauth-authorization-server", responses={200: {"model": schemas.ServerMetadata}})
async def read_server_metadata(settings: dependencies.Settings) -> JSONResponse:
    """Get the metadata of this authorization server (RFC 8414)."""
    base = settings.issuer
    methods = oauth.METHODS
    return JSONResponse(
        {
            "issuer": base,
            "token_endpoint": f"{base}/oauth/token",
            "introspection_endpoint": f"{base}/oauth/introspect",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "jwks_uri": f"{base}/oauth/jwks.json",
            "grant_types_supported": [rules.GRANT],
            "response_types_supported": [],
            "scopes_supported": sorted(scopes.SCOPES),
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        },
        headers={"Cache-Control": "public, max-age=300"},
    )


async def answer_refused(request: Request, refused: Exception) -> Response:
    """Return the OAuth error response that the exception carries (RFC 6749, 5.2)."""
    assert isinstance(refused, _Refused)  # noqa: S101
    return _response(request, refused.answer)


def install(app: Any) -> None:  # noqa: ANN401
    """Register the handler that returns OAuth errors in OAuth's own form."""
    app.add_exception_handler(_Refused, answer_refused)


async def _form(request: Request) -> dict[str, str]:
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
    _check_resources(request, [value for name, value in pairs if name == "resource"])
    return fields


def _check_resources(request: Request, wanted: list[str]) -> None:
    """Refuse a token for another service; `resource` may be repeated (RFC 8707, 2)."""
    ours = dependencies.database_of(request).settings.audience
    if any(resource not in ("", ours) for resource in wanted):
        description = f"Tokens of this server are for the resource {ours} alone."
        raise _Refused(TokenAnswer(400, {"error": "invalid_target", "error_description": description}, {}))


def _headers(request: Request) -> dict[str, str]:
    # Authlib reads headers case-sensitively, and needs this one only.
    value = request.headers.get("authorization")
    return {} if value is None else {"Authorization": value}


def _invalid(description: str) -> TokenAnswer:
    return TokenAnswer(400, {"error": "invalid_request", "error_description": description}, {})


async def _answer(
    request: Request,
    form: dict[str, str],
    keys: KeyRing,
    now: datetime,
    respond: Callable[[OAuthServer, dict[str, str], dict[str, str]], TokenAnswer],
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
        answer = await database.in_transaction(
            lambda session: session.run_sync(
                lambda db: respond(OAuthServer(db, database.settings, keys, now), headers, form)
            )
        )
    if claimed is not None:
        # `client` if it authenticated; otherwise the id is only what the request claims (LOG-02).
        request.scope["log_fields"] = {"client" if answer.status == 200 else "claimed": claimed}
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
