"""OID-42: somebody else's OpenID clients over a real port: told the issuer and their registration, and no more."""

import asyncio
import json
import re
import shutil
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.openid.given import BACK, HOME, SCOPE, Shop, a_customer, a_shop, send, travel
from tests.resets.given import ANNA, GOOD, a_browser
from tests.stories.test_oauth_libraries import NODE, issuer, settings  # noqa: F401 (fixtures)

WAYS = {
    "basic": ("openid-client", {}, {"method": "client_secret_basic"}),
    "post": ("openid-client", {}, {"method": "client_secret_post"}),
    "public": ("openid-client", {"kind": "public"}, {"method": "none"}),
    "RS256": ("openid-client", {"id_token_alg": "RS256"}, {"method": "client_secret_basic", "algorithm": "RS256"}),
    "ES256 told": ("openid-client", {}, {"method": "client_secret_basic", "algorithm": "ES256"}),
    "PAR": ("openid-client", {"needs_par": True}, {"method": "client_secret_basic", "par": True}),
    "public PAR": ("openid-client", {"kind": "public", "needs_par": True}, {"method": "none", "par": True}),
    "form_post": (
        "openid-client", {"response_mode": "form_post"},
        {"method": "client_secret_basic", "more": {"response_mode": "form_post"}},
    ),
    "oauth4webapi basic": ("oauth4webapi", {}, {}),
    "oauth4webapi public": ("oauth4webapi", {"kind": "public"}, {}),
    "oauth4webapi RS256": ("oauth4webapi", {"id_token_alg": "RS256"}, {}),
}  # fmt: skip


class Node:
    """A shop in a process of its own; lines of JSON go there and back."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, script: str) -> "Node":
        command = shutil.which("node")
        if command is None or not (NODE / "node_modules" / "openid-client").is_dir():
            pytest.skip("Node and its package openid-client are not installed: run `npm ci --prefix tests/node`")
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(command, "--no-warnings", NODE / script, stdin=pipe, stdout=pipe)
        )

    async def ask(self, **said: object) -> dict:
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        told = json.loads(await self._process.stdout.readline())
        assert "refused" not in told, told
        return told

    async def end(self) -> None:
        self._process.stdin.close()
        assert await self._process.wait() == 0


async def sign_in(browser, url: str) -> dict:
    """Take the customer to the shop's request and through the sign-in page; how the shop gets the browser back."""
    page = await travel(browser, f"{(asked := urlsplit(url)).path}?{asked.query}")
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    if page.status_code == 303:
        return {"url": page.headers["location"]}
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {"url": BACK, "form": {name: unescape(value) for name, value in fields}}


@pytest.mark.parametrize("way", WAYS)
async def test_a_library_of_node_signs_a_customer_in(service, caller, issuer: str, way):  # noqa: F811
    """OID-05, 07, 08, 09, 13, 14, 16, 20, 35: it checks `iss`, state, nonce, signature and `auth_time` by itself."""
    user_id = await a_customer(service, caller)
    library, registered, told = WAYS[way]
    shop, browser, node = await a_shop(service, **registered), a_browser(service), await Node.start("sign_in.mjs")
    begun = await node.ask(
        library=library, issuer=issuer, client_id=shop.client_id, secret=shop.secret, redirect_uri=BACK,
        logout_uri=HOME, scope=SCOPE, **told,
    )  # fmt: skip
    seen = await node.ask(**await sign_in(browser, begun["url"]))
    await node.end()
    assert (seen["claims"]["sub"], seen["claims"]["amr"]) == (user_id, ["pwd"])
    assert (seen["userinfo"]["sub"], seen["userinfo"]["email"]) == (user_id, ANNA)
    same = ("sub", "sid", "auth_time", "aud", "iss")
    assert [seen["renewed"][name] for name in same] == [seen["claims"][name] for name in same]
    assert seen["after"] == "invalid_grant"
    await check_sign_out(browser, seen["logout"], seen["state"])


async def check_sign_out(browser, url: str, state: str) -> None:
    """The library's address signs out and leads home with the state; with the page that asks, once the grant ended."""
    parts = urlsplit(url)
    page = await travel(browser, f"{parts.path}?{parts.query}")
    if page.status_code == 200:
        sealed = re.search(r'name="request" value="([^"]+)"', page.text)[1]
        page = await send(browser, "/oauth/logout/confirmed", request=sealed)
    assert (page.status_code, page.headers["location"]) == (303, f"{HOME}?state={state}")
    assert (await browser.open("/me")).url.path == "/signin"


def authlib(shop: Shop, method: str):
    # Imported here: it warns at import, where the filter of pytest.ini does not hold yet.
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    return AsyncOAuth2Client(
        shop.client_id, shop.secret, scope=SCOPE, redirect_uri=BACK, code_challenge_method="S256",
        token_endpoint_auth_method=method, revocation_endpoint_auth_method=method,
    )  # fmt: skip


@pytest.mark.parametrize(("method", "kind"), [("client_secret_basic", "confidential"), ("none", "public")])
async def test_authlibs_client_signs_a_customer_in(service, caller, issuer: str, method, kind):  # noqa: F811
    """OID-05, 08, 13, 14, 16, 20."""
    user_id = await a_customer(service, caller)
    shop, browser = await a_shop(service, kind=kind), a_browser(service)
    async with authlib(shop, method) as client:
        where = f"{issuer}/.well-known/openid-configuration"
        found = (await client.request("GET", where, withhold_token=True)).json()
        keys = KeySet.import_key_set((await client.request("GET", found["jwks_uri"], withhold_token=True)).json())
        verifier = "v" * 43
        url, state = client.create_authorization_url(
            found["authorization_endpoint"], code_verifier=verifier, nonce="n-1"
        )
        assert parse_qs(urlsplit(url).query)["code_challenge"] == [create_s256_code_challenge(verifier)]
        came = (await sign_in(browser, url))["url"]
        token = await client.fetch_token(
            found["token_endpoint"], authorization_response=came, state=state, code_verifier=verifier
        )
        claims = jwt.decode(token["id_token"], keys, algorithms=["ES256"]).claims
        assert (claims["sub"], claims["nonce"], claims["aud"]) == (user_id, "n-1", shop.client_id)
        assert (await client.get(found["userinfo_endpoint"])).json()["email"] == ANNA
        await client.revoke_token(found["revocation_endpoint"], token["access_token"])
        assert (await client.get(found["userinfo_endpoint"])).status_code == 401
        renewed = await client.refresh_token(found["token_endpoint"], token["refresh_token"])
        assert (await client.get(found["userinfo_endpoint"])).status_code == 200
        gone = await client.revoke_token(found["revocation_endpoint"], renewed["refresh_token"])
        assert gone.status_code == 200
        assert (await client.get(found["userinfo_endpoint"])).status_code == 401
