"""Response models of the token endpoints and the key set."""

from typing import Literal

from pydantic import ConfigDict, Field

from identity_service.web.schemas import ResponseModel


class AccessToken(ResponseModel):
    """An access token (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="seconds")
    scope: str = Field(description="the granted scopes, separated by blanks")
    id_token: str | None = Field(None, description="who signed in (OpenID Connect Core 1.0, 2)")
    refresh_token: str | None = Field(None, description="for new tokens, once")


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
    """A public key (RFC 7517; RFC 8037 for `crv` and `x`; `n` and `e` of an RSA key)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str
    alg: str
    use: Literal["sig"]
    crv: str | None = None
    x: str | None = None
    n: str | None = None
    e: str | None = None


class PublicKeySet(ResponseModel):
    """Every public key that we ever signed with, without revoked ones."""

    keys: list[PublicKey]
