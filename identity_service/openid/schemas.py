"""Response models of metadata, pushed requests and userinfo."""

from pydantic import ConfigDict, Field

from identity_service.web.schemas import ResponseModel


class ProviderMetadata(ResponseModel):
    """The metadata of this OpenID provider and authorization server (OpenID Connect Discovery 1.0, 3; RFC 8414, 2)."""

    model_config = ConfigDict(extra="allow")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    pushed_authorization_request_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    end_session_endpoint: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    acr_values_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    code_challenge_methods_supported: list[str]
    request_parameter_supported: bool
    request_uri_parameter_supported: bool
    authorization_response_iss_parameter_supported: bool
    backchannel_logout_supported: bool
    backchannel_logout_session_supported: bool


class PushedRequest(ResponseModel):
    """The reference of a pushed request, and its life in seconds (RFC 9126, 2.2)."""

    request_uri: str
    expires_in: int


class Userinfo(ResponseModel):
    """What a customer's application reads by its scopes; a member that is not known or not confirmed is left out."""

    sub: str = Field(description="the User ID", examples=["C0FH-JK23-MPQR"])
    name: str | None = None
    locale: str | None = None
    kind: str | None = Field(None, description="consumer or business")
    email: str | None = None
    email_verified: bool | None = None
