"""The token endpoints and the key set (RFC 6749, 7009, 7517, 7662)."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from identity_service import entry_points
from identity_service.clients import dependencies, rules, schemas
from identity_service.clients.oauth import OAuthServer
from identity_service.keys import signing
from identity_service.keys.ring import CACHE_TIME
from identity_service.web.dependencies import Keys, Now

_CUSTOMER_GRANTS: Final = {
    "authorization_code": "openid.grants:redeem_code",
    "refresh_token": "openid.grants:refresh",
}
router = APIRouter(tags=["tokens"])


@router.post(
    "/oauth/token",
    responses=dependencies.oauth_responses(schemas.AccessToken),
    openapi_extra=dependencies.documented_form("grant_type", "scope", "resource"),
)
async def issue_token(request: Request, keys: Keys, now: Now) -> Response:
    """Get an access token by client credentials, or the tokens of a customer who signed in, by a code or refresh token.

    A client authenticates by Basic, a secret in the form, or a signed assertion; a public application names itself.
    """
    form = await dependencies.read_form(request)
    grant = _CUSTOMER_GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        return await dependencies.answer_by_authlib(request, form, keys, now, OAuthServer.token)
    return await dependencies.answer_client(request, form, keys, now, entry_points.load(grant))


@router.post(
    "/oauth/introspect",
    responses=dependencies.oauth_responses(schemas.Introspection),
    openapi_extra=dependencies.documented_form("token"),
)
async def introspect_token(request: Request, keys: Keys, now: Now) -> Response:
    """Check whether one of your own tokens, or a token for your own API, is still valid.

    Any other one gets `{"active": false}`.
    """
    form = await dependencies.read_form(request)
    if _is_of_customer(form.get("token", "")):
        introspect = entry_points.load("openid.introspection:introspect")
        return await dependencies.answer_client(request, form, keys, now, introspect)
    return await dependencies.answer_by_authlib(
        request, form, keys, now, partial(OAuthServer.endpoint, name="introspect")
    )


@router.post(
    "/oauth/revoke",
    responses=dependencies.oauth_responses(schemas.RevocationResult),
    openapi_extra=dependencies.documented_form("token"),
)
async def revoke_token(request: Request, keys: Keys, now: Now) -> Response:
    """Revoke one of your own tokens; it is refused everywhere within ten seconds. Unknown tokens are no error.

    A refresh token ends with all that came of the same sign-in.
    """
    form = await dependencies.read_form(request)
    if _is_of_customer(form.get("token", "")):
        return await dependencies.answer_client(request, form, keys, now, entry_points.load("openid.grants:revoke"))
    return await dependencies.answer_by_authlib(request, form, keys, now, partial(OAuthServer.endpoint, name="revoke"))


def _is_of_customer(token: str) -> bool:
    """Return whether a token says that it came of a customer's sign-in; what issued it looks closer."""
    if token.startswith(rules.REFRESH_TOKEN):
        return True
    try:
        return "grant" in signing.unverified(token)[1]
    except signing.InvalidToken:
        return False


@router.get("/oauth/jwks.json", responses={200: {"model": schemas.PublicKeySet}})
async def list_public_keys(keys: Keys) -> JSONResponse:
    """Get every public key that we ever signed with (RFC 7517)."""
    age = int(CACHE_TIME.total_seconds())
    return JSONResponse(keys.jwks(), headers={"Cache-Control": f"public, max-age={age}"})
