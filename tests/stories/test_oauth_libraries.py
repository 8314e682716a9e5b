"""Somebody else's OAuth libraries walk the first road over a real port: find us, get a token, use it, take it back.

oauth4webapi in Node and Authlib's client, each told the issuer, its client id, how it proves itself, and no more.
"""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from authlib.integrations.base_client import OAuthError

from identity_service.clients import actions as clients
from identity_service.web.server import Server
from tests.clients.given import Signing, a_client, a_key, key_set
from tests.conftest import BASE
from tests.source import ROOT

NODE = ROOT / "tests/node"
SCOPE = "accounts:verify accounts:write"
WAYS = ["client_secret_basic", "ES256", "EdDSA"]
"""A secret in the header, or `private_key_jwt` with a key of either kind."""

pytestmark = [
    # Its signer prefers the name that RFC 9864 gives the algorithm, as oauth4webapi does; both names stand for it.
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864"),
]


class Proven(NamedTuple):
    """A client, and the private key that it signs with instead of a secret."""

    made: clients.Credentials
    key: Any


@pytest.fixture
def settings(settings):
    """The service's own name is where it listens, so that what the metadata says can be followed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = (BASE.removeprefix("https://"),)
    return settings.model_copy(update={"public_url": f"http://127.0.0.1:{port}", "allowed_hosts": hosts})


@pytest.fixture
async def issuer(service) -> AsyncIterator[str]:
    """The running service's issuer."""
    found = service.database.settings.issuer
    server = Server(service.app, host="127.0.0.1", port=int(found.rpartition(":")[2]), lifespan="off")
    running = asyncio.create_task(server.serve())
    await server.started_up()
    yield found
    server.should_exit = True
    await running


async def proven(service, way: str) -> Proven:
    key = None if way == "client_secret_basic" else a_key(way)
    made = await a_client(service, *SCOPE.split(), jwks=None if key is None else key_set(key))
    return Proven(made, key)


@pytest.fixture
def node(issuer):
    """Walk the road with oauth4webapi; return what it saw."""
    command = shutil.which("node")
    if command is None or not (NODE / "node_modules" / "oauth4webapi").is_dir():
        pytest.skip("Node and its package oauth4webapi are not installed: run `npm ci --prefix tests/node`")

    async def walk(who: Proven, **more: str) -> dict:
        asked = {
            "issuer": issuer, "client_id": who.made.client_id, "secret": who.made.client_secret, "scope": SCOPE,
            "key": None if who.key is None else who.key.as_dict(private=True), "email": "anna@example.com", **more,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            command, "--no-warnings", NODE / "client.mjs",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, wrong = await process.communicate(json.dumps(asked).encode())
        assert (process.returncode, wrong) == (0, b"")
        return json.loads(said)

    return walk


@pytest.mark.parametrize("way", WAYS)
async def test_oauth4webapi_walks_the_first_road(service, issuer, node, way):
    """OAU-01, OAU-13, OAU-33: it checks every answer's form, and the token against the key set it found, by itself."""
    who = await proven(service, way)
    told = await node(who)
    assert "refused" not in told, told
    assert told["grant"] == {"token_type": "bearer", "expires_in": 600, "scope": SCOPE}
    assert (told["claims"]["iss"], told["claims"]["client_id"]) == (issuer, who.made.client_id)
    assert [(result["user_id"], result["status"]) for result in told["verified"]] == [(told["user_id"], "valid")]
    assert told["before"] == {"active": True, "token_type": "Bearer", **told["claims"]}
    assert told["after"] == {"active": False}


@pytest.mark.parametrize("way", ["client_secret_basic", "ES256"])
async def test_oauth4webapi_reads_a_refusal(service, node, way):
    """OAU-33: a wrong secret, another's key: an error that the library has a name for."""
    who, another = await proven(service, way), await proven(service, way)
    mixed = Proven(clients.Credentials(who.made.client_id, another.made.client_secret, "shop"), another.key)
    expected = {"name": "WWWAuthenticateChallengeError", "code": "OAUTH_WWW_AUTHENTICATE_CHALLENGE", "status": 401}
    assert (await node(mixed))["refused"] == expected
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]


async def test_oauth4webapi_reads_a_scope_that_is_not_granted(service, node):
    """OAU-07, OAU-33: RFC 6749, 5.2."""
    refused = (await node(await proven(service, "client_secret_basic"), scope="accounts:erase"))["refused"]
    assert (refused["name"], refused["error"], refused["status"]) == ("ResponseBodyError", "invalid_scope", 400)


def authlib(issuer: str, who: Proven, way: str):
    # Imported here, where the filter above holds.
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    method = way if who.key is None else "private_key_jwt"
    client = AsyncOAuth2Client(
        who.made.client_id, who.made.client_secret or who.key, scope=SCOPE, token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method, base_url=issuer,
    )  # fmt: skip
    if who.key is not None:
        header = {"alg": way, "kid": who.key.kid, "typ": "client-authentication+jwt"}
        client.register_client_auth_method(Signing(issuer, headers=header, alg=way))
    return client


async def metadata(client) -> dict[str, str]:
    where = "/.well-known/oauth-authorization-server"
    return (await client.request("GET", where, withhold_token=True)).json()


@pytest.mark.parametrize("way", WAYS)
async def test_authlibs_client_walks_the_first_road(service, issuer, way):
    """OAU-01, OAU-13, OAU-33."""
    who = await proven(service, way)
    async with authlib(issuer, who, way) as client:
        found = await metadata(client)
        token = await client.fetch_token(found["token_endpoint"], grant_type="client_credentials")
        made = (await client.post("/v1/accounts", json={"email": "anna@example.com"})).json()
        asked = {"user_ids": [made["user_id"], "nonsense"]}
        verified = (await client.post("/v1/accounts/verifications", json=asked)).json()
        assert [result["status"] for result in verified["results"]] == ["valid", "malformed"]
        text = token["access_token"]
        assert (await client.introspect_token(found["introspection_endpoint"], text)).json()["active"] is True
        assert (await client.revoke_token(found["revocation_endpoint"], text)).status_code == 200
        assert (await client.introspect_token(found["introspection_endpoint"], text)).json() == {"active": False}


@pytest.mark.parametrize("way", ["client_secret_basic", "ES256"])
async def test_authlibs_client_reads_a_refusal(service, issuer, way):
    """OAU-33."""
    who, another = await proven(service, way), await proven(service, way)
    mixed = Proven(clients.Credentials(who.made.client_id, another.made.client_secret, "shop"), another.key)
    async with authlib(issuer, mixed, way) as client:
        endpoint = (await metadata(client))["token_endpoint"]
        with pytest.raises(OAuthError, match="invalid_client"):
            await client.fetch_token(endpoint, grant_type="client_credentials")
        assert client.token is None
