"""The token endpoints, the key set, and the metadata that tells about them (RFC 6749, 7009, 7517, 7662, 8414)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from identity_service import doors, problems, throttle
from identity_service.clients import oauth, rules
from identity_service.clients.oauth import Answer, Server
from identity_service.doors import Keys, Now
from identity_service.keyring import CACHE_TIME, Keyring
from identity_service.tokens import ALGORITHMS

WRONG_PER_CLIENT = "30/minute; 300/hour"
WRONG_PER_NETWORK = "120/minute; 1000/hour"
UNKNOWN_PER_CLIENT = "120/minute; 1000/hour"
"""Tokens asked about that are not good, or not the caller's: whoever asks that often is trying (OAU-29)."""
_FIELDS = 20

router = APIRouter(tags=["tokens"])
_OAUTH_ERROR = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
        }
    }
}


class _Refused(Exception):
    """An error in OAuth's own form (RFC 6749, 5.2)."""

    def __init__(self, answer: Answer) -> None:
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


def _responses(schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    common = problems.documented(throttle.TooManyRequests)
    own: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer", "content": {"application/json": {"schema": schema}}},
        400: {"description": "`invalid_request`, `invalid_scope`, `unsupported_grant_type`", "content": _OAUTH_ERROR},
        401: {"description": "`invalid_client`: not authenticated", "content": _OAUTH_ERROR},
    }
    return {**{status: told for status, told in common.items() if status in (413, 415, 429, 500, 503)}, **own}


_TOKEN = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"type": "string", "enum": ["Bearer"]},
        "expires_in": {"type": "integer"},
        "scope": {"type": "string"},
    },
}


@router.post("/oauth/token", responses=_responses(_TOKEN), openapi_extra=_documented("grant_type", "scope"))
async def token(request: Request, keys: Keys, now: Now) -> Response:
    """Get an access token by client credentials: Basic, secret in the form, or a signed assertion."""
    form = await _form(request)
    return await _answer(request, form, keys, now, Server.token)


@router.post(
    "/oauth/introspect",
    responses=_responses({"type": "object", "required": ["active"], "properties": {"active": {"type": "boolean"}}}),
    openapi_extra=_documented("token"),
)
async def introspect(request: Request, keys: Keys, now: Now) -> Response:
    """Learn whether one of your own tokens is still good; of any other: `{"active": false}`."""
    form = await _form(request)
    return await _answer(request, form, keys, now, lambda server, *given: server.endpoint("introspect", *given))


@router.post("/oauth/revoke", responses=_responses({"type": "object"}), openapi_extra=_documented("token"))
async def revoke(request: Request, keys: Keys, now: Now) -> Response:
    """Take one of your own tokens back; it is dead everywhere within ten seconds. Unknown tokens are fine."""
    form = await _form(request)
    return await _answer(request, form, keys, now, lambda server, *given: server.endpoint("revoke", *given))


@router.get("/oauth/jwks.json")
async def key_set(keys: Keys) -> JSONResponse:
    """Get every public key we ever signed with (RFC 7517)."""
    age = int(CACHE_TIME.total_seconds())
    return JSONResponse(keys.jwks(), headers={"Cache-Control": f"public, max-age={age}"})


@router.get("/.well-known/oauth-authorization-server")
async def metadata(settings: doors.Settings) -> JSONResponse:
    """Get what this authorization server can do (RFC 8414)."""
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
            "scopes_supported": sorted(rules.SCOPES),
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
    """Answer in OAuth's own form."""
    assert isinstance(refused, _Refused)  # noqa: S101
    return _response(request, refused.answer)


def install(app: Any) -> None:  # noqa: ANN401
    """Let the application answer OAuth's errors in OAuth's form."""
    app.add_exception_handler(_Refused, answer_refused)


async def _form(request: Request) -> dict[str, str]:
    """Return the form's fields; each at most once, and none in the query (RFC 6749, 3.2; OAU-03)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise doors.UnsupportedMediaType("Send application/x-www-form-urlencoded.")
    body = await doors.read_body(request, doors.BODY_LIMIT)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_FIELDS
        )
    except ValueError as wrong:
        raise _Refused(_invalid("The form cannot be read.")) from wrong
    given = request.headers.getlist("authorization")
    # One without a value counts as left out (RFC 6749, 3.2).
    fields = {name: value for name, value in pairs if value}
    methods = [*given, *(name for name in ("client_secret", "client_assertion") if name in fields)]
    if len({name for name, _ in pairs}) != len(pairs) or request.url.query or len(methods) > 1:
        raise _Refused(_invalid("Each parameter once, in the form, with one way to authenticate."))
    if any("\x00" in value or "\ufffd" in value for value in fields.values()) or not fields:
        raise _Refused(_invalid("The form cannot be read."))
    return fields


def _headers(request: Request) -> dict[str, str]:
    # Authlib looks headers up by their written name; of all of them it needs this one.
    given = request.headers.get("authorization")
    return {} if given is None else {"Authorization": given}


def _invalid(description: str) -> Answer:
    return Answer(400, {"error": "invalid_request", "error_description": description}, {})


async def _answer(
    request: Request,
    form: dict[str, str],
    keys: Keyring,
    now: datetime,
    ask: Callable[[Server, dict[str, str], dict[str, str]], Answer],
) -> Response:
    """Ask in one short transaction, and count what failed when it is over.

    Counting takes a connection of its own; whoever waited for it with one in hand could be as many as there are
    connections, and nobody would get any.
    """
    database, headers = doors.database_of(request), _headers(request)
    claimed = oauth.claimed_by(headers, form)
    if claimed is None:
        answer = Answer(*oauth.INVALID_CLIENT)
    elif form.get("client_id", claimed) != claimed:
        answer = _invalid("The request names two clients.")
    else:
        answer = await database.short(
            lambda session: session.run_sync(lambda db: ask(Server(db, database.settings, keys, now), headers, form))
        )
    if claimed is not None:
        # Who got a token or took one back; whoever was refused has only said who he is (LOG-02).
        request.scope["log_fields"] = {"client" if answer.status == 200 else "claimed": claimed}
    limits: throttle.Throttle = request.app.state.throttle
    if answer.status == 401:
        network = doors.network_of(request)
        await limits.hit("wrong-client-secret", WRONG_PER_CLIENT, claimed or "", network)
        await limits.hit("wrong-client-secret", WRONG_PER_NETWORK, network)
    elif answer.body == {"active": False}:
        await limits.hit("unknown-token", UNKNOWN_PER_CLIENT, str(claimed))
    return _response(request, answer)


def _response(request: Request, answer: Answer) -> Response:
    request.scope["problem"] = answer.body.get("error")
    return JSONResponse(answer.body, answer.status, {**answer.headers, "Cache-Control": "no-store"})
