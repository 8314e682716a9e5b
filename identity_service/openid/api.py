"""What applications call to sign customers in: metadata, pushed requests and userinfo."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from identity_service.clients import dependencies as clients
from identity_service.clients import oauth, registration
from identity_service.clients import rules as client_rules
from identity_service.clients.oauth import TokenAnswer
from identity_service.database.transactions import DatabaseSession
from identity_service.keys import signing
from identity_service.keys.ring import KeyRing
from identity_service.openid import grants, requests, rules, schemas, tokens
from identity_service.openid.rules import RequestRefused
from identity_service.settings import Settings as AllSettings
from identity_service.web import dependencies, problems, rate_limits, routing, scopes
from identity_service.web.dependencies import Keys, Now, Settings

_MAX_AGE: Final = {"Cache-Control": "public, max-age=300"}
router = APIRouter(tags=["sign in"])


@router.get("/.well-known/openid-configuration", responses={200: {"model": schemas.ProviderMetadata}})
async def read_provider_metadata(settings: Settings, keys: Keys, now: Now) -> JSONResponse:
    """Get the metadata of this OpenID provider (OpenID Connect Discovery 1.0, 3)."""
    return JSONResponse(_metadata(settings, keys, now), headers=_MAX_AGE)


@router.get("/.well-known/oauth-authorization-server", responses={200: {"model": schemas.ProviderMetadata}})
async def read_server_metadata(settings: Settings, keys: Keys, now: Now) -> JSONResponse:
    """Get the metadata of this authorization server (RFC 8414): the same document."""
    return JSONResponse(_metadata(settings, keys, now), headers=_MAX_AGE)


@router.post(
    "/oauth/par",
    status_code=201,
    responses=clients.oauth_responses(schemas.PushedRequest, 201),
    openapi_extra=clients.documented_form("client_id", "redirect_uri", "response_type", "scope", "code_challenge"),
)
async def push_request(request: Request, keys: Keys, now: Now) -> Response:
    """Push an authorization request, so that the browser carries a reference alone (RFC 9126)."""
    form = await clients.read_form(request)
    return await clients.answer_client(request, form, keys, now, _push)


_SECURITY: Final[dict[str, Any]] = {"security": [{"customerToken": []}]}
_USERINFO: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": schemas.Userinfo},
    **problems.error_responses(signing.InvalidToken, rate_limits.TooManyRequests),
}


@router.get("/oauth/userinfo", responses=_USERINFO, openapi_extra=_SECURITY)
async def read_userinfo(request: Request, now: Now) -> Response:
    """Get what the customer's access token may read (OpenID Connect Core 1.0, 5.3)."""
    return await _userinfo(request, now)


@router.post("/oauth/userinfo", responses=_USERINFO, openapi_extra=_SECURITY)
async def read_userinfo_by_form(request: Request, now: Now) -> Response:
    """Get the same by POST; the access token may stand in the form (RFC 6750, 2.2)."""
    return await _userinfo(request, now)


async def _userinfo(request: Request, now: datetime) -> Response:
    token = await _bearer(request)
    network = dependencies.client_network(request)
    try:
        claims = await dependencies.database_of(request).in_transaction(
            lambda session: grants.read_userinfo(session, token, now=now)
        )
    except signing.InvalidToken:
        limits: rate_limits.RateLimiter = request.app.state.throttle
        await limits.hit_network("wrong-access-token", clients.WRONG_PER_NETWORK, network)
        raise
    return JSONResponse(claims, headers={"Cache-Control": "no-store"})


async def _bearer(request: Request) -> str:
    """Return the access token of a header, or of a form (RFC 6750, 2.1 and 2.2)."""
    values = request.headers.getlist("authorization")
    scheme, _, token = (values[0] if values else "").partition(" ")
    if request.method == "POST" and not values:
        return (await clients.read_form(request)).get("access_token", "")
    body = await routing.read_body(request, routing.BODY_LIMIT)
    if len(values) != 1 or scheme.lower() != "bearer" or (body and b"access_token" in body):
        raise signing.InvalidToken
    return token.strip(" ")


async def _push(session: DatabaseSession, client_id: str, form: dict[str, str], *, now: datetime) -> TokenAnswer:
    """Keep a pushed request that is in order; whatever is wrong is told at once (OID-07)."""
    application = await registration.find_application(session, client_id)
    try:
        if application is None:
            raise RequestRefused("unauthorized_client", "This client does not sign customers in.")
        given, repeated = rules.take_once(form.items())
        rules.check_destination(given, application)
        asked = rules.parse(given, application, repeated=repeated)
        tokens.check_hint(asked, session.settings, session.keys)
    except RequestRefused as refused:
        return TokenAnswer(400, {"error": refused.error, "error_description": refused.description}, {})
    request_id = await requests.store_request(session, asked, browser=None, now=now)
    lifetime = int(rules.PUSHED_LIFETIME.total_seconds())
    return TokenAnswer(201, {"request_uri": f"{requests.URN}{request_id}", "expires_in": lifetime}, {})


def _metadata(settings: AllSettings, keys: KeyRing, now: datetime) -> dict[str, Any]:
    rsa = ["RS256"] if keys.id_token_key("RS256", now) is not None else []
    return {
        **_endpoints(settings.issuer),
        "scopes_supported": [*client_rules.SIGN_IN_SCOPES, *sorted(scopes.SCOPES)],
        "response_types_supported": ["code"],
        "response_modes_supported": list(client_rules.RESPONSE_MODES),
        "grant_types_supported": ["authorization_code", "refresh_token", client_rules.GRANT],
        "acr_values_supported": list(rules.ALL_LEVELS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", *rsa],
        "request_object_signing_alg_values_supported": ["ES256"],
        "claims_supported": "sub iss aud exp iat auth_time acr amr sid nonce at_hash name locale kind email "
        "email_verified".split(),
        "prompt_values_supported": list(rules.PROMPTS),
        "code_challenge_methods_supported": ["S256"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def _endpoints(base: str) -> dict[str, Any]:
    """Return the endpoints, and how clients authenticate there."""
    methods = {"token": oauth.PUBLIC_METHODS, "introspection": oauth.METHODS, "revocation": oauth.PUBLIC_METHODS}
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "jwks_uri": f"{base}/oauth/jwks.json",
        "pushed_authorization_request_endpoint": f"{base}/oauth/par",
        "introspection_endpoint": f"{base}/oauth/introspect",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "end_session_endpoint": f"{base}/oauth/logout",
        **{f"{name}_endpoint_auth_methods_supported": values for name, values in methods.items()},
        **{f"{name}_endpoint_auth_signing_alg_values_supported": list(signing.ALGORITHMS) for name in methods},
    }
