"""What the metadata says is what the service does, and somebody else's client library can live by it."""

import httpx2
import pytest
from joserfc.jwk import KeySet

from identity_service.clients.rules import SIGN_IN_SCOPES
from identity_service.keys import signing
from identity_service.web import scopes
from tests.clients.given import GRANT, Signing, a_client, a_key, assertion, key_set, proven_by, status_with

WELL_KNOWN = "/.well-known/oauth-authorization-server"
ISSUER = "https://id.example.com"


async def metadata(service, **headers: str) -> dict:
    answer = await service.http.get(WELL_KNOWN, headers=headers)
    assert answer.status_code == 200
    return answer.json()


async def test_the_metadata_is_what_is_configured(service):
    """OAU-01, OID-39, RFC 8414, ATT-32: the issuer to the letter, whatever the request says of hosts; both documents
    agree."""
    said = await metadata(service)
    assert said["issuer"] == ISSUER
    assert said["response_types_supported"] == ["code"]
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token", "client_credentials"]
    assert said["scopes_supported"] == [*SIGN_IN_SCOPES, *sorted(scopes.SCOPES)]
    assert "none" not in said["id_token_signing_alg_values_supported"]
    assert (await service.http.get("/.well-known/openid-configuration")).json() == said
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Forwarded": "host=evil.example"}
    assert await metadata(service, **forged) == said
    assert (await service.http.get(WELL_KNOWN, headers={"Host": "evil.example"})).status_code == 421


async def test_every_address_in_the_metadata_answers(service):
    """OAU-01."""
    said = await metadata(service)
    addresses = {name: url for name, url in said.items() if name.endswith(("_endpoint", "_uri"))}
    posted = {"token_endpoint", "introspection_endpoint", "revocation_endpoint"}
    posted.add("pushed_authorization_request_endpoint")
    got = {"jwks_uri": 200, "authorization_endpoint": 400, "userinfo_endpoint": 401, "end_session_endpoint": 303}
    assert addresses.keys() == posted | got.keys()
    for name, url in addresses.items():
        assert url.startswith(f"{ISSUER}/oauth/")
        assert (await service.http.get(url)).status_code == got.get(name, 405)


async def test_there_is_no_door_to_register_or_change_a_client(service, caller):
    """ATT-51, ATT-53: clients are the operator's alone; nothing of one can be changed from outside, its keys least."""
    assert not {"registration_endpoint", "device_authorization_endpoint"} & (await metadata(service)).keys()
    for path in ("/oauth/register", "/oauth/clients", "/v1/clients", f"/v1/clients/{caller.client_id}"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = await caller.http.request(method, path, headers=caller.headers)
            assert answer.status_code == 404, (method, path)


async def ways(service, method: str, algorithm: str = "ES256"):
    """Return a way to authenticate as form and headers, fresh at every call."""
    key = a_key(algorithm)
    made = await a_client(service, jwks=key_set(key) if method == "private_key_jwt" else None)

    def way() -> dict:
        post = {"client_id": made.client_id, "client_secret": made.client_secret}
        match method:
            case "client_secret_basic":
                return {"auth": tuple(made), "form": {}}
            case "client_secret_post":
                return {"form": post}
            case _:
                header = {"alg": algorithm, "kid": key.kid, "typ": "client-authentication+jwt"}
                return {"form": proven_by(assertion(service, made.client_id, key, header=header))}

    return way


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "Ed25519"])
async def test_every_method_in_the_metadata_works_where_it_stands(service, method, algorithm):
    """OAU-01: at all three endpoints."""
    said, way = await metadata(service), await ways(service, method, algorithm)
    for endpoint, form in (("token", GRANT), ("introspection", {"token": "x"}), ("revocation", {"token": "x"})):
        assert method in said[f"{endpoint}_endpoint_auth_methods_supported"]
        assert algorithm in said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        how = way()
        answer = await service.http.post(
            said[f"{endpoint}_endpoint"], data={**form, **how.pop("form")}, **how
        )  # fmt: skip
        assert answer.status_code == 200, answer.text


async def test_no_method_and_no_algorithm_is_listed_that_a_test_does_not_use(service):
    """OAU-01, OAU-13: the test above walks through the whole lists; RS256 is left out on purpose."""
    said = await metadata(service)
    for endpoint in ("token", "introspection", "revocation"):
        assert said[f"{endpoint}_endpoint_auth_methods_supported"] == [
            "client_secret_basic", "client_secret_post", "private_key_jwt",
            *(["none"] if endpoint != "introspection" else []),
        ]  # fmt: skip
        assert said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == ["ES256", "EdDSA", "Ed25519"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
async def test_authlibs_client_gets_a_token_uses_it_and_takes_it_back(service, method):
    """OAU-33: with nothing but what the metadata says, checking the token against the key set as a service would."""
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    said, key = await metadata(service), a_key()
    made = await a_client(service, "events:read", jwks=key_set(key) if method == "private_key_jwt" else None)
    transport = httpx2.ASGITransport(service.app, client=("198.51.100.9", 40000))
    client = AsyncOAuth2Client(
        made.client_id, made.client_secret or key, scope="events:read", token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method, transport=transport, base_url=ISSUER,
    )  # fmt: skip
    if method == "private_key_jwt":
        header = {"alg": "ES256", "kid": "first", "typ": "client-authentication+jwt"}
        client.register_client_auth_method(Signing(said["issuer"], headers=header, alg="ES256"))
    async with client:
        token = await client.fetch_token(said["token_endpoint"], grant_type="client_credentials")
        assert (token["token_type"], token["scope"]) == ("Bearer", "events:read")
        assert (await client.get("/v1/events")).status_code == 200
        keys = KeySet.import_key_set((await client.request("GET", said["jwks_uri"], withhold_token=True)).json())
        claims = signing.verify(token["access_token"], {key.kid: key for key in keys.keys}, typ="at+jwt")
        assert (claims["iss"], claims["client_id"]) == (said["issuer"], made.client_id)
        read = await client.introspect_token(said["introspection_endpoint"], token["access_token"])
        assert read.json()["active"] is True
        back = await client.revoke_token(said["revocation_endpoint"], token["access_token"])
        assert back.status_code == 200
    await service.app.state.gate.reload()
    assert await status_with(service, token["access_token"]) == 401
