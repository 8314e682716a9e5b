"""Access tokens for other services' own APIs (RFC 8707), and their introspection by those services (RFC 7662)."""

import pytest

from identity_service.clients import actions as clients
from identity_service.clients import registration, resource_servers
from identity_service.clients.rules import SIGN_IN_SCOPES, UnknownScope
from identity_service.keys import signing
from tests.clients.given import a_client
from tests.conftest import BASE
from tests.openid.asking import error_of, push, send_away
from tests.openid.given import a_customer, a_request, a_shop, answer_of, send, sign_in_at, signed_in, travel
from tests.resets.given import ANNA, GOOD, a_browser

ORDERS = "https://orders.example.org"
STOCK = "https://stock.example.org/v2"
READ, WRITE, COUNT = "orders:read", "orders:write", "stock:count"
ALL = f"openid email {READ} {WRITE} {COUNT}"


async def an_api(service, audience: str = ORDERS, scopes: dict | None = None, name: str = "Orders", **more):
    """Register an API with a service of its own; the credentials of that service."""
    made = await a_client(service, "events:read", source=name.lower())
    scopes = scopes or {READ: "see your orders", WRITE: "change your orders"}
    given = {"name": name, "client_id": made.client_id, "scopes": scopes, **more}
    await service.database.in_transaction(
        lambda session: resource_servers.set_api(session, audience, **given, now=service.clock())
    )
    return made


async def two_apis(service):
    orders = await an_api(service)
    return orders, await an_api(service, STOCK, {COUNT: "count what is there"}, "Stock")


async def a_shop_with(service, *scopes: str, **given):
    return await a_shop(service, scopes=frozenset({*SIGN_IN_SCOPES, *scopes}), **given)


def claims_of(service, token: str) -> dict:
    return signing.verify(token, service.database.keys.verifying(service.clock()), typ=signing.ACCESS_TOKEN_TYPE)


async def introspected(service, who, token: str) -> dict:
    auth = (who.client_id, who.client_secret if hasattr(who, "client_secret") else who.secret)
    answer = await service.http.post("/oauth/introspect", data={"token": token}, auth=auth)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_customer_uses_the_api_of_another_service(service, caller):
    """OID-15: one audience per token, of which it has the scopes alone; each refresh names its own."""
    orders, _ = await two_apis(service)
    user_id, shop = await a_customer(service, caller), await a_shop_with(service, READ, COUNT)
    browser = a_browser(service)
    came = await sign_in_at(browser, shop, scope=ALL, resource=ORDERS)
    issued = (await shop.redeem(came["code"], came["verifier"], resource=ORDERS)).json()
    said = claims_of(service, issued["access_token"])
    assert (said["aud"], said["scope"], issued["scope"]) == (ORDERS, READ, READ)
    assert (said["sub"], said["client_id"], said["exp"] - said["iat"]) == (user_id, shop.client_id, 300)
    assert (said["amr"], said["acr"]) == (["pwd"], "urn:identity-service:acr:password")
    assert shop.claims(issued["id_token"])["aud"] == shop.client_id
    for ours in (shop.userinfo(issued["access_token"]), call_us(service, issued["access_token"])):
        assert (await ours).status_code == 401
    told = await introspected(service, orders, issued["access_token"])
    assert (told["active"], told["sub"], told["scope"], told["aud"]) == (True, user_id, READ, ORDERS)
    # Without a resource a token is for userinfo.
    plain = (await shop.refresh(issued["refresh_token"])).json()
    assert (await shop.userinfo(plain["access_token"])).json()["email"] == ANNA
    assert plain["scope"] == "email openid"
    again = (await shop.refresh(plain["refresh_token"], resource=ORDERS, scope=f"{READ} email")).json()
    assert claims_of(service, again["access_token"])["scope"] == READ
    # The stock was not named when the customer signed in, so its scope was not granted.
    refused = await shop.refresh(again["refresh_token"], resource=STOCK)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert (await shop.refresh(again["refresh_token"])).status_code == 200


async def call_us(service, token: str):
    return await service.http.get("/v1/events", headers={"Authorization": f"Bearer {token}"})


async def test_several_resources_are_asked_for_at_once_and_used_one_by_one(service, caller):
    """RFC 8707, 2: also pushed; without any, every scope that the client may ask for counts."""
    await two_apis(service)
    await a_customer(service, caller)
    shop = await a_shop_with(service, READ, WRITE, COUNT)
    browser = a_browser(service)
    for asked in (f"&resource={ORDERS}&resource={STOCK}", ""):
        request = a_request(shop, scope=ALL)
        page = await travel(browser, request.path + asked)
        if page.url.path == "/signin":
            page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
        tokens = (await shop.redeem(answer_of(page)["code"], request.verifier, resource=STOCK)).json()
        assert claims_of(service, tokens["access_token"])["scope"] == COUNT
        both = await shop.refresh(tokens["refresh_token"], resource=f"{ORDERS} {STOCK}")
        assert both.json()["error"] == "invalid_target"
        other = (await shop.refresh(tokens["refresh_token"], resource=ORDERS)).json()
        assert claims_of(service, other["access_token"])["scope"] == f"{READ} {WRITE}"
    pushed, _ = await push(shop, resource=[ORDERS, STOCK], scope=ALL)
    assert pushed.status_code == 201, pushed.text
    pushed, _ = await push(shop, resource=[ORDERS, "https://unknown.example.org"], scope=ALL)
    assert pushed.json()["error"] == "invalid_target"


@pytest.mark.parametrize(("resource", "scope", "error"), [
    *((uri, ALL, "invalid_target") for uri in (
        "https://unknown.example.org", f"{ORDERS}/", "x:y", f"{BASE}/v1", f"{BASE}/oauth/userinfo", STOCK,
    )),
    (ORDERS, "openid email", "invalid_scope"), (ORDERS, f"openid {WRITE}", "invalid_scope"),
])  # fmt: skip
async def test_a_resource_that_a_client_may_not_use_is_refused(service, resource, scope, error):
    """It has no scope of the stock, and may not change orders; the answer goes to the shop."""
    await two_apis(service)
    shop = await a_shop_with(service, READ)
    assert await error_of(a_browser(service), shop, resource=resource, scope=scope) == error


async def test_introspection_is_for_the_api_of_the_token_and_for_its_client(service, caller):
    """OAU-29: nobody else is told; it ends with the sign-in, with the token, with the API."""
    orders, stock = await two_apis(service)
    await a_customer(service, caller)
    shop, other = await a_shop_with(service, READ), await a_shop_with(service, READ, name="Other")
    browser = a_browser(service)

    async def a_token() -> dict:
        came = await sign_in_at(browser, shop, scope=ALL)
        return (await shop.redeem(came["code"], came["verifier"], resource=ORDERS)).json()

    issued = await a_token()
    token, refresh = issued["access_token"], issued["refresh_token"]
    assert [(await introspected(service, who, token))["active"] for who in (orders, shop, stock, other)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert [(await introspected(service, who, refresh))["active"] for who in (shop, orders, other)] == [
        True, False, False,
    ]  # fmt: skip
    renewed = (await shop.refresh(refresh)).json()
    assert await introspected(service, shop, refresh) == {"active": False}
    assert (await introspected(service, shop, renewed["refresh_token"]))["active"]
    assert (await introspected(service, shop, renewed["access_token"]))["active"]
    assert not (await introspected(service, orders, renewed["access_token"]))["active"]
    revoked = await service.http.post("/oauth/revoke", data={"token": token}, auth=(shop.client_id, shop.secret))
    assert revoked.status_code == 200
    assert await introspected(service, orders, token) == {"active": False}

    token = (await a_token())["access_token"]
    service.clock.advance(minutes=5)
    assert await introspected(service, orders, token) == {"active": False}

    token = (await a_token())["access_token"]
    await browser.open("/me")
    await browser.send("/signout")
    assert await introspected(service, orders, token) == {"active": False}


async def test_an_api_that_is_removed_or_loses_a_scope_gets_no_tokens(service, caller):
    orders, _ = await two_apis(service)
    await a_customer(service, caller)
    shop = await a_shop_with(service, READ, WRITE)
    browser = a_browser(service)
    came = await sign_in_at(browser, shop, scope=ALL)
    issued = (await shop.redeem(came["code"], came["verifier"], resource=ORDERS)).json()

    async def change(action, **given) -> None:
        await service.database.in_transaction(lambda session: action(session, ORDERS, **given, now=service.clock()))

    less = {"name": None, "client_id": None, "scopes": {READ: "see your orders"}}
    await change(resource_servers.set_api, **less)
    issued = (await shop.refresh(issued["refresh_token"], resource=ORDERS)).json()
    assert claims_of(service, issued["access_token"])["scope"] == READ
    await change(resource_servers.remove_api)
    assert await introspected(service, orders, issued["access_token"]) == {"active": False}
    refused = await shop.refresh(issued["refresh_token"], resource=ORDERS)
    assert refused.json()["error"] == "invalid_target"
    assert (await shop.refresh(issued["refresh_token"])).status_code == 200
    with pytest.raises(resource_servers.UnknownResourceServer):
        await change(resource_servers.remove_api)


async def test_a_service_calls_the_api_of_another_one(service):
    """By client credentials: for its own API without `resource`, as before, and with it for another, never for both."""
    orders, stock = await two_apis(service)
    made = await a_client(service, "events:read", READ, source="reports")
    auth = (made.client_id, made.client_secret)

    async def ask(**form):
        return await service.http.post("/oauth/token", data={"grant_type": "client_credentials", **form}, auth=auth)

    ours, theirs = (await ask()).json(), (await ask(resource=ORDERS)).json()
    assert (ours["scope"], theirs["scope"]) == ("events:read", READ)
    said = claims_of(service, theirs["access_token"])
    assert (said["aud"], said["sub"]) == (ORDERS, made.client_id)
    assert (await call_us(service, theirs["access_token"])).status_code == 401
    assert (await ask(scope=READ)).json()["error"] == "invalid_scope"
    assert (await ask(scope="events:read", resource=ORDERS)).json()["error"] == "invalid_scope"
    assert (await ask(resource=STOCK)).json()["error"] == "invalid_target"
    who = (orders, made, stock)
    assert [(await introspected(service, one, theirs["access_token"]))["active"] for one in who] == [True, True, False]
    # What a client loses, no token of it holds for the API.
    await service.database.in_transaction(
        lambda session: clients.change_client(session, made.client_id, scopes=["events:read"], now=service.clock())
    )
    assert await introspected(service, orders, theirs["access_token"]) == {"active": False}


async def test_the_page_that_asks_says_what_an_api_allows(service, caller):
    """OID-30, OID-31: in the operator's words, with the API's name, there and at /me."""
    await an_api(service, scopes={READ: "see your <b>orders</b>"})
    await a_customer(service, caller)
    shop = await a_shop_with(service, READ, first_party=False)
    browser = a_browser(service)
    request = a_request(shop, scope=f"openid {READ}", resource=ORDERS)
    page = await travel(browser, request.path)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    words = "Orders: see your &lt;b&gt;orders&lt;/b&gt;"
    assert words in page.text
    page = await send_away(browser, page, decision="allow")
    tokens = await shop.redeem(answer_of(page)["code"], request.verifier, resource=ORDERS)
    assert tokens.status_code == 200
    assert words in (await browser.open("/me")).text
    await service.database.in_transaction(
        lambda session: resource_servers.remove_api(session, ORDERS, now=service.clock())
    )
    assert f"<bdi>{READ}</bdi>" in (await browser.open("/me")).text


GOOD_API = {"name": "Orders", "client_id": None, "scopes": {READ: "see your orders"}}


@pytest.mark.parametrize(("audience", "given"), [
    ("http://orders.example.org", {}), ("orders", {}), ("urn:orders", {}), ("https://orders.example.org/#a", {}),
    ("https://orders.example.org/../x", {}), ("https://a@orders.example.org", {}), (BASE, {}), (f"{BASE}/v1", {}),
    (f"{BASE}/oauth/userinfo", {}), (ORDERS, {"scopes": {}}), (ORDERS, {"name": None}),
    *((ORDERS, {"scopes": {scope: "see"}}) for scope in (
        "openid", "email", "phone", "offline_access", "events:read", "Orders", "a b", "a\"b", "", "ordérs", "a" * 61,
    )),
    *((ORDERS, {"scopes": {READ: words}}) for words in ("", " ", "a\nb", "a" * 201)),
])  # fmt: skip
async def test_an_api_that_could_be_mistaken_is_not_registered(service, audience, given):
    with pytest.raises(resource_servers.WrongResourceServer):
        await service.database.in_transaction(
            lambda session: resource_servers.set_api(session, audience, **{**GOOD_API, **given}, now=service.clock())
        )


async def test_a_scope_belongs_to_one_api_and_a_client_gets_those_that_exist(service):
    await an_api(service)
    with pytest.raises(resource_servers.ScopeTaken):
        await an_api(service, STOCK, {READ: "see"}, "Stock")
    with pytest.raises(UnknownScope, match="orders:read"):
        await a_client(service, "orders:delete", source="other")
    shop = await a_shop(service)
    with pytest.raises(registration.rules.WrongSignInSettings):
        await service.database.in_transaction(
            lambda session: registration.set_sign_in(
                session, shop.client_id, scopes=frozenset({"openid", "orders:delete"}), now=service.clock()
            )
        )


async def test_nothing_changes_when_an_api_is_registered_again(service):
    await an_api(service)
    (before,) = await service.database.in_transaction(resource_servers.list_apis)
    given = {"name": None, "client_id": None, "scopes": {}}
    after = await service.database.in_transaction(
        lambda session: resource_servers.set_api(session, ORDERS, **given, now=service.clock())
    )
    assert after == before
    assert len(await service.rows("SELECT data FROM event WHERE name = 'resource_server.set'")) == 1


async def test_a_sign_in_without_apis_is_as_before(service, caller):
    await a_customer(service, caller)
    shop = await a_shop(service)
    issued = await signed_in(service, shop)
    assert claims_of(service, issued["access_token"])["aud"] == f"{BASE}/oauth/userinfo"
