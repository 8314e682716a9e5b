"""The basic plan of the OpenID Foundation's suite, module by module under its name, by query and by form_post.

The client is registered as for a certification: confidential, excepted from PKCE, with RS256 where it counts.
"""

import re
import secrets
import uuid
from datetime import timedelta
from html import unescape
from typing import NamedTuple

import httpx2
import pytest
from sqlalchemy import insert

from identity_service.keys import hashing, signing
from identity_service.sign_in.tables import SignInSession
from tests.accounts.given import an_account, sql
from tests.browser import Browser
from tests.openid.asking import ISSUER, form_of, is_our_page
from tests.openid.given import BACK, Shop, a_customer, a_request, a_shop, answer_of, send, travel
from tests.resets.given import ANNA, GOOD, a_browser


class Plan(NamedTuple):
    """The suite's two clients, a browser that is signed in, and whose it is."""

    shop: Shop
    other: Shop
    browser: Browser
    sub: str
    mode: str

    async def ask(self, browser: Browser | None = None, **changed: str | None) -> dict[str, str] | str:
        """Send the browser with a request without PKCE: the answer, or the path of the page that is shown."""
        bare = {"code_challenge": None, "code_challenge_method": None, "nonce": "n-1", **changed}
        return self.read(await travel(browser or self.browser, a_request(self.shop, **bare).path))

    def read(self, page: httpx2.Response) -> dict[str, str] | str:
        """The parameters at the client's address, which must come in its own way."""
        if page.status_code == 303:
            assert self.mode == "query"
            return answer_of(page)
        if "data-continue" not in page.text:
            return page.url.path
        assert self.mode == "form_post"
        form = page.text.partition(f'action="{BACK}"')[2].partition("</form>")[0]
        return {name: unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form)}

    async def redeem(self, answer: dict[str, str] | str, shop: Shop | None = None) -> httpx2.Response:
        assert isinstance(answer, dict)
        assert answer["state"] == "xyz"
        assert answer["iss"] == ISSUER
        return await (shop or self.shop).token(grant_type="authorization_code", code=answer["code"], redirect_uri=BACK)

    async def tokens(self, answer: dict[str, str] | str) -> dict:
        answered = await self.redeem(answer)
        assert answered.status_code == 200, answered.text
        return answered.json()

    async def claims(self, **changed: str | None) -> dict:
        return self.shop.claims((await self.tokens(await self.ask(**changed)))["id_token"])

    async def userinfo(self, **changed: str | None) -> dict:
        return (await self.shop.userinfo((await self.tokens(await self.ask(**changed)))["access_token"])).json()


async def a_signed_in_browser(service, user_id: str) -> Browser:
    """A browser with a session of a password, without the way there."""
    browser, cookie, now = a_browser(service), secrets.token_urlsafe(32), service.clock()
    row = {
        "id": uuid.uuid4(), "cookie_hash": hashing.hash_secret(cookie), "user_id": user_id.replace("-", ""),
        "method": "password", "browser": "a browser", "proven_at": now, "created_at": now, "seen_at": now,
        "expires_at": now + timedelta(hours=12),
    }  # fmt: skip
    async with service.database.transaction() as session:
        await session.execute(insert(SignInSession), row)
    browser.http.cookies.set("__Host-session", cookie, domain="id.example.com", path="/")
    return browser


@pytest.fixture(params=["query", "form_post"])
async def plan(request, service, caller, owner) -> Plan:
    sub = await an_account(caller, email=ANNA, display_name="Anna Muster")
    await sql(owner, "UPDATE account SET email_state = 'confirmed'")
    given = {"needs_pkce": False, "response_mode": request.param}
    shop, other = await a_shop(service, **given), await a_shop(service, "Other", **given)
    browser = await a_signed_in_browser(service, sub)
    service.clock.advance(seconds=2)
    return Plan(shop, other, browser, sub, request.param)


async def test_server(plan, service):
    """server, idtoken-signature: the plain way by Basic: an ID token with kid and nonce, signed as is registered, and
    userinfo. What is not registered gets ES256 on purpose, where the suite wants RS256 of dynamic clients."""
    theirs = plan._replace(shop=plan.other)
    assert signing.unverified((await theirs.tokens(await theirs.ask()))["id_token"])[0]["alg"] == "ES256"
    shop = await a_shop(service, id_token_alg="RS256", needs_pkce=False, response_mode=plan.mode)
    plan = plan._replace(shop=shop)
    tokens = await plan.tokens(await plan.ask())
    claims = plan.shop.claims(tokens["id_token"])
    header = signing.unverified(tokens["id_token"])[0]
    assert (header["alg"], claims["nonce"], claims["aud"]) == ("RS256", "n-1", plan.shop.client_id)
    keys = (await service.http.get("/oauth/jwks.json")).json()["keys"]
    assert [key["alg"] for key in keys if key["kid"] == header["kid"]] == ["RS256"]
    assert claims["sub"] == (await plan.shop.userinfo(tokens["access_token"])).json()["sub"] == plan.sub


async def test_response_type_missing(plan):
    """No response_type: an error at the redirect URI."""
    assert (await plan.ask(response_type=None))["error"] == "invalid_request"


async def test_idtoken_unsigned(service):
    """Unsigned ID tokens: refused on purpose, and not listed (OID-38)."""
    said = (await service.http.get("/.well-known/openid-configuration")).json()
    assert "none" not in said["id_token_signing_alg_values_supported"]


async def test_userinfo(plan, service):
    """userinfo-get, -post-header and -post-body: the access token by GET, by POST in the header, and in the form."""
    token = (await plan.tokens(await plan.ask()))["access_token"]
    header = {"Authorization": f"Bearer {token}"}
    for method, options in (
        ("GET", {"headers": header}), ("POST", {"headers": header}), ("POST", {"data": {"access_token": token}}),
    ):  # fmt: skip
        answer = await service.http.request(method, "/oauth/userinfo", **options)
        assert (answer.status_code, answer.json()["sub"]) == (200, plan.sub)


async def test_ensure_request_without_nonce_succeeds_for_code_flow(plan):
    """A nonce is optional, and none is made up."""
    assert "nonce" not in await plan.claims(nonce=None)


SCOPES = {
    "profile": {"name", "locale", "kind"}, "email": {"email", "email_verified"}, "address": set(), "phone": set(),
    "profile email address phone": {"name", "locale", "kind", "email", "email_verified"},
}  # fmt: skip


async def test_scopes(plan, service):
    """scope-profile, -email, -address, -phone and -all: what is not listed in the metadata is ignored."""
    for scope, members in SCOPES.items():
        assert set(await plan.userinfo(scope=f"openid {scope}")) == {"sub", *members}
    said = (await service.http.get("/.well-known/openid-configuration")).json()
    assert not {"address", "phone"} & {*said["scopes_supported"]}


async def test_alternate_happy_flow(plan):
    """Scopes and parameters in another order."""
    query = a_request(plan.shop, scope="email openid", code_challenge=None, code_challenge_method=None).query
    path = "&".join(f"{name}={httpx2.QueryParams({'a': value})['a']}" for name, value in reversed(query.items()))
    assert await plan.tokens(plan.read(await travel(plan.browser, f"/oauth/authorize?{path}")))


HARMLESS = (
    {"display": "page"}, {"display": "popup"}, {"extra": "foobar"}, {"login_hint": "bob@example.com"},
    {"ui_locales": "se"}, {"claims_locales": "se"}, {"acr_values": "urn:identity-service:acr:password 0"},
)  # fmt: skip


async def test_harmless_parameters(plan):
    """display-page, display-popup, ensure-request-with-unknown-parameter-succeeds, login-hint, ui-locales,
    claims-locales and ensure-request-with-acr-values-succeeds: no error; `acr` is one of those that were asked for."""
    for more in HARMLESS:
        claims = await plan.claims(**more)
        assert claims["acr"] in more.get("acr_values", claims["acr"])


async def test_prompt_login(service, caller):
    """A customer who is signed in signs in again, and auth_time is later."""
    await _again(service, caller, prompt="login")


async def test_max_age_1(service, caller):
    """Two seconds after a sign-in a request for one of the last second asks again; auth_time is there, and later."""
    await _again(service, caller, max_age="1")


async def _again(service, caller, **changed) -> None:
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    times = []
    for more in ({}, changed):
        request = a_request(shop, **more)
        page = await travel(browser, request.path)
        assert page.url.path == "/signin"
        answer = answer_of(await send(browser, form_of(page), email=ANNA, password=GOOD))
        tokens = (await shop.redeem(answer["code"], request.verifier)).json()
        times.append(shop.claims(tokens["id_token"])["auth_time"])
        service.clock.advance(seconds=2)
    assert times[1] - times[0] == 2


async def test_prompt_none_not_logged_in(plan, service):
    """Nobody is signed in: an error that says so, with the state and without a code or a page."""
    answer = await plan.ask(a_browser(service, source="203.0.113.5"), prompt="none")
    assert (answer["error"], answer["state"], "code" in answer) == ("login_required", "xyz", False)


async def test_prompt_none_logged_in(plan):
    """At once, for the same customer and the same sign-in."""
    first, second = await plan.claims(), await plan.claims(prompt="none")
    assert [first[name] for name in ("sub", "auth_time")] == [second[name] for name in ("sub", "auth_time")]


async def test_max_age_10000(plan, service):
    """A sign-in that is recent enough is not asked for again, and keeps its auth_time."""
    first = await plan.claims(max_age="15000")
    service.clock.advance(seconds=5)
    assert (await plan.claims(max_age="10000"))["auth_time"] == first["auth_time"]


async def test_id_token_hint(plan):
    """With prompt=none: at once, for the same customer."""
    hint = (await plan.tokens(await plan.ask()))["id_token"]
    assert (await plan.claims(id_token_hint=hint, prompt="none"))["sub"] == plan.sub


@pytest.mark.parametrize("seconds", [0, 30])
async def test_codereuse(plan, service, seconds):
    """codereuse and codereuse-30seconds: 400 and invalid_grant in JSON; the first access token ends with it."""
    answer = await plan.ask()
    tokens = await plan.tokens(answer)
    service.clock.advance(seconds=seconds)
    again = await plan.redeem(answer)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert again.headers["content-type"] == "application/json"
    assert (await plan.shop.userinfo(tokens["access_token"])).status_code == 401


async def test_ensure_registered_redirect_uri(plan):
    """Another address: a page of ours, no redirect."""
    request = a_request(plan.shop, redirect_uri=f"{BACK}/other")
    is_our_page(await plan.browser.http.get(request.path, follow_redirects=False))


async def test_ensure_post_request_succeeds(plan):
    """The request by POST."""
    query = a_request(plan.shop, code_challenge=None, code_challenge_method=None).query
    page = await plan.browser.http.post("/oauth/authorize", data=query, follow_redirects=False)
    assert await plan.tokens(plan.read(await travel(plan.browser, page.headers["location"])))


async def test_server_client_secret_post(plan, service):
    """The secret in the form, of the same client."""
    answer = await plan.ask()
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": BACK}
    named = {"client_id": plan.shop.client_id, "client_secret": plan.shop.secret}
    assert (await service.http.post("/oauth/token", data={**form, **named})).status_code == 200


OBJECT = "eyJhbGciOiJub25lIn0.e30."


async def test_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(plan):
    """Refused on purpose, by the error of its own, and nothing is fetched (OID-04)."""
    answer = await plan.ask(request_uri="https://suite.example.org/request")
    assert (answer["error"], answer["state"]) == ("request_uri_not_supported", "xyz")


async def test_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(plan):
    """Refused on purpose, by the error of its own, never ignored."""
    assert (await plan.ask(request=OBJECT))["error"] == "request_not_supported"


async def test_ensure_request_object_with_redirect_uri(plan):
    """A foreign address outside of the object: a page, and no redirect to a default."""
    request = a_request(plan.shop, request=OBJECT, redirect_uri=f"{BACK}/other")
    is_our_page(await plan.browser.http.get(request.path, follow_redirects=False))


async def test_claims_essential(plan):
    """The claims parameter is ignored, as the metadata says; the name comes with its scope."""
    told = await plan.userinfo(claims='{"userinfo":{"name":{"essential":true}}}')
    assert told["name"] == "Anna Muster"


async def test_refresh_token(plan, service):
    """Access while the customer is away: new tokens of the same sign-in, for its own client alone."""
    page = await travel(
        plan.browser, a_request(
            plan.shop, scope="openid offline_access", prompt="consent", code_challenge=None, code_challenge_method=None
        ).path
    )  # fmt: skip
    tokens = await plan.tokens(plan.read(await send(plan.browser, form_of(page), decision="allow")))
    service.clock.advance(seconds=1)
    assert (await plan.other.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    again = await plan.shop.refresh(tokens["refresh_token"])
    assert (again.status_code, again.headers["cache-control"], again.json()["token_type"]) == (
        200,
        "no-store",
        "Bearer",
    )
    before, after = plan.shop.claims(tokens["id_token"]), plan.shop.claims(again.json()["id_token"])
    assert {name for name in after if after[name] != before[name]} == {"iat", "exp", "at_hash"}
    assert after["iat"] > before["iat"]


async def test_ensure_request_with_valid_pkce_succeeds(plan):
    """S256, with its verifier."""
    request = a_request(plan.shop)
    answer = plan.read(await travel(plan.browser, request.path))
    assert (await plan.shop.redeem(answer["code"], request.verifier)).status_code == 200
