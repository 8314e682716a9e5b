"""The config plan of the OpenID Foundation's suite."""

import re
from urllib.parse import urlsplit

from tests.openid.given import a_shop

KNOWN = (
    "issuer authorization_endpoint token_endpoint userinfo_endpoint jwks_uri scopes_supported response_types_supported "
    "response_modes_supported grant_types_supported acr_values_supported subject_types_supported "
    "id_token_signing_alg_values_supported request_object_signing_alg_values_supported claims_supported "
    "token_endpoint_auth_methods_supported token_endpoint_auth_signing_alg_values_supported claims_parameter_supported "
    "request_parameter_supported request_uri_parameter_supported require_request_uri_registration "
    "pushed_authorization_request_endpoint introspection_endpoint introspection_endpoint_auth_methods_supported "
    "introspection_endpoint_auth_signing_alg_values_supported revocation_endpoint "
    "revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported "
    "code_challenge_methods_supported authorization_response_iss_parameter_supported end_session_endpoint "
    "backchannel_logout_supported backchannel_logout_session_supported prompt_values_supported"
).split()
"""OpenID Connect Discovery 1.0, RFC 8414, RFC 9126, RFC 9207, the logout specifications, and prompt create."""
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


async def test_discovery_endpoint_verification(service):
    """OID-38, OID-39: the document at the issuer's address: its own issuer, RS256 once a client is registered for it,
    every endpoint https and ours, only members that a specification names; and the keys that it leads to."""
    await a_shop(service, id_token_alg="RS256")
    answer = await service.http.get("/.well-known/openid-configuration")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert said["issuer"] == "https://id.example.com"
    assert set(said) <= {*KNOWN}
    assert {"code"} == {*said["response_types_supported"]}
    assert "public" in said["subject_types_supported"]
    assert "RS256" in said["id_token_signing_alg_values_supported"]
    assert "authorization_code" in said["grant_types_supported"]
    assert "openid" in said["scopes_supported"]
    assert {"sub", "iss", "aud", "exp", "iat", "auth_time", "acr"} <= {*said["claims_supported"]}
    for name in said:
        if name.endswith(("_endpoint", "_uri")):
            where = urlsplit(said[name])
            assert (where.scheme, where.netloc, where.query) == ("https", "id.example.com", "")
    keys = (await service.http.get(urlsplit(said["jwks_uri"]).path)).json()["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert not PRIVATE & {*key}
        assert {"kty", "kid", "use", "alg"} <= {*key}
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key[name]) for name in ("x", "y", "n", "e") if name in key)
    assert {"RSA", "EC"} == {key["kty"] for key in keys}
