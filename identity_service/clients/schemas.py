"""Response models of the token endpoints, the key set and the server metadata."""

from typing import Literal

from pydantic import ConfigDict, Field

from identity_service.web.schemas import ResponseModel


class AccessToken(ResponseModel):
    """An access token (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="seconds")
    scope: str = Field(description="the granted scopes, separated by blanks")


class Introspection(ResponseModel):
    """The claims of an active token; of any other one `active` alone (RFC 7662, 2.2)."""

    model_config = ConfigDict(extra="allow")

    active: bool
    token_type: Literal["Bearer"] | None = None
    client_id: str | None = None
    scope: str | None = None
    iss: str | None = None
    sub: str | None = None
    aud: str | None = None
    exp: int | None = None
    iat: int | None = None
    jti: str | None = None


class RevocationResult(ResponseModel):
    """Empty: whether there was such a token is told to nobody (RFC 7009, 2.2)."""


class PublicKey(ResponseModel):
    """A public key (RFC 7517; RFC 8037 for `crv` and `x`)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str
    alg: str
    use: Literal["sig"]
    crv: str
    x: str


class PublicKeySet(ResponseModel):
    """Every public key that we ever signed with, without revoked ones."""

    keys: list[PublicKey]


class ServerMetadata(ResponseModel):
    """The metadata of this authorization server (RFC 8414, 2)."""

    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
