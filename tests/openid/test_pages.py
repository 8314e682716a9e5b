"""The pages between an application and its customer, and what applications may read afterwards."""

import base64

import pytest

from tests.accounts.given import sql
from tests.openid.asking import ISSUER, error_of, form_of, opened, outcome, send_away
from tests.openid.given import (
    a_customer,
    a_request,
    a_shop,
    answer_of,
    send,
    signed_in,
    travel,
)
from tests.resets.given import ANNA, GOOD, a_browser, sign_in

NATIVE = ("http://127.0.0.1/cb", "http://[::1]:7000/cb", "com.example.app:/cb")


async def test_the_forms_of_a_request_are_of_its_browser_and_session(service, caller):
    """OID-28: a value of another browser's form, a form of another site, and the id of another browser's request are
    refused; signing in gives a new session cookie, whatever was there."""
    await a_customer(service, caller)
    shop = await a_shop(service, first_party=False)
    attacker, victim = a_browser(service, source="203.0.113.5"), a_browser(service)
    page = await travel(victim, a_request(shop).path)
    victim.http.cookies.set("__Host-session", "fixed", domain="id.example.com")
    page = await send(victim, form_of(page), email=ANNA, password=GOOD)
    path, asks = form_of(page), page
    cookies = [cookie.value for cookie in victim.http.cookies.jar if cookie.name == "__Host-session"]
    assert cookies != ["fixed"]
    lure = await travel(attacker, a_request(shop).path)
    lured = lure.url.params["next"]
    assert (await travel(victim, lured)).status_code == 410
    victim.page = lure
    assert (await send(victim, path, decision="allow")).status_code == 403
    victim.page = asks
    assert (await send(victim, lured, decision="allow")).status_code == 410
    token = asks.text.partition('name="form_token" value="')[2].partition('"')[0]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        form = {"decision": "allow", "form_token": token}
        refused = await victim.http.post(path, data=form, headers=headers, follow_redirects=False)
        assert refused.status_code == 403
    assert await service.rows("SELECT 1 FROM oauth_grant") == []
    assert "code" in answer_of(await send(victim, path, decision="allow"))


async def test_forms_lead_to_us_and_to_the_verified_address_alone(service, caller):
    """OID-29: no page of the way may stand in a frame; https, loopback and own schemes are named in the policy of the
    pages that lead there, and on no other."""
    await a_customer(service, caller)
    app = await a_shop(service, kind="native", redirect_uris=frozenset({"http://127.0.0.1/cb", "com.example.app:/cb"}))
    browser = a_browser(service)
    for uri, origin in (
        ("http://127.0.0.1:5005/cb", "http://127.0.0.1:5005"),
        ("com.example.app:/cb", "com.example.app:"),
    ):
        page = await travel(browser, a_request(app, redirect_uri=uri).path)
        if page.url.path == "/signin":
            assert f"form-action 'self' {origin};" in page.headers["content-security-policy"]
            page = await send(browser, form_of(page), email=ANNA, password=GOOD)
        policy = page.headers["content-security-policy"]
        assert f"form-action 'self' {origin};" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        answer = await send_away(browser, page, decision="allow")
        assert answer.headers["location"].startswith(f"{uri}?code=")
    page = await browser.open("/me")
    assert "form-action 'self';" in page.headers["content-security-policy"]


GRANTS = [
    # first party, what is asked for, what was granted before → is a page shown?
    ({}, {}, None, False),
    ({"first_party": False}, {}, None, True),
    ({"first_party": False}, {}, "openid profile email", False),
    ({"first_party": False}, {}, "openid profile", True),
    ({"first_party": False}, {"scope": "openid"}, "openid profile", False),
    ({}, {"prompt": "consent"}, "openid profile email", True),
    ({}, {"scope": "openid offline_access"}, None, True),
    ({"first_party": False}, {"scope": "openid offline_access"}, "openid", True),
]


async def test_who_is_asked_on_a_page(service, caller):
    """OID-30: third parties before the first grant and for each new scope; access while the customer is away always
    needs a page once."""
    await a_customer(service, caller)
    browser = a_browser(service)
    await sign_in(browser)
    for registered, asked, before, is_asked in GRANTS:
        shop = await a_shop(service, **registered)
        if before is not None:
            page = await travel(browser, a_request(shop, scope=before, prompt="consent").path)
            answer_of(await send(browser, form_of(page), decision="allow"))
        page = await travel(browser, a_request(shop, **asked).path)
        assert (page.status_code == 200) == is_asked, (registered, asked, before)
        if is_asked and asked.get("prompt") is None:
            assert await error_of(browser, shop, prompt="none", **asked) == "consent_required"


async def test_loopback_addresses_are_never_silent(service, caller):
    """OID-30: RFC 8252, 8.6: any program of the machine may listen there, so a grant of before does not count."""
    await a_customer(service, caller)
    app, browser = await a_shop(service, kind="native", redirect_uris=frozenset(NATIVE)), a_browser(service)
    await sign_in(browser)
    for uri in NATIVE:
        for _ in range(2):
            page = await travel(browser, a_request(app, redirect_uri=uri).path)
            assert page.status_code == 200
            assert (await send_away(browser, page, decision="allow")).status_code == 303
        waiting = (await opened(browser, app, redirect_uri=uri, prompt="none")).headers["location"]
        silent = await browser.http.get(waiting, follow_redirects=False)
        assert "error=consent_required" in silent.headers["location"]


async def test_the_page_says_who_wants_what_and_no_is_an_answer(service, caller):
    """OID-30: name, host, what is read in words, how long; a refusal grants nothing, also when another tab has just
    allowed it."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, "Third and Co.", first_party=False), a_browser(service)
    await sign_in(browser)
    page = await travel(browser, a_request(shop, scope="openid email offline_access").path)
    for words in (
        "Third and Co.",
        "shop.example.org",
        "your email address",
        "up to 90 days",
        "no permission for marketing",
    ):
        assert words in browser.text
    assert "your language" not in browser.text
    refused = answer_of(await send(browser, form_of(page), decision="deny"))
    assert (refused["error"], refused["iss"]) == ("access_denied", ISSUER)
    assert await service.rows("SELECT 1 FROM granted_scope") == []
    first, second = [await travel(browser, a_request(shop).path) for _ in range(2)]
    browser.page = first
    assert "code" in answer_of(await send(browser, form_of(first), decision="allow"))
    browser.page = second
    assert answer_of(await send(browser, form_of(second), decision="deny"))["error"] == "access_denied"


@pytest.mark.parametrize(
    ("scope", "members"),
    [
        ("openid", set()), ("openid email", {"email", "email_verified"}), ("openid phone address", set()),
        ("openid profile", {"locale", "kind"}),
    ],
)  # fmt: skip
async def test_userinfo_tells_by_scope(service, caller, scope, members):
    """OID-32: a member that is not known is left out; ID and access tokens hold ids only."""
    await a_customer(service, caller)
    shop = await a_shop(service)
    browser = a_browser(service)
    await sign_in(browser)
    tokens = await signed_in(service, shop, browser, scope=scope)
    told = (await shop.userinfo(tokens["access_token"])).json()
    assert set(told) == {"sub", *members}
    for token in (tokens["access_token"], tokens["id_token"]):
        body = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
        assert ANNA not in body


async def test_an_address_that_is_not_confirmed_leaves_to_nobody(service, caller, owner):
    """OID-32: neither of the two claims is there."""
    user_id = await a_customer(service, caller)
    shop = await a_shop(service)
    tokens = await signed_in(service, shop)
    change = "UPDATE account SET email_state = 'unconfirmed' WHERE user_id = :user_id"
    await sql(owner, change, user_id=user_id.replace("-", ""))
    assert not {"email", "email_verified"} & set((await shop.userinfo(tokens["access_token"])).json())


async def test_the_metadata_claims_nothing_that_is_not_there(service, caller):
    """OID-34, OID-39: no session iframe, no front-channel logout; what is not supported is denied in writing, because
    an absent member means yes; each mode, type and method that stands there works, others do not."""
    said = (await service.http.get("/.well-known/openid-configuration")).json()
    assert not {name for name in said if "iframe" in name or "frontchannel" in name}
    assert not {name for name in said if said[name] is None}
    for name in ("request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported"):
        assert said[name] is False
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert not {"none", "HS256"} & {*said["id_token_signing_alg_values_supported"]}
    await a_customer(service, caller)
    browser = a_browser(service)
    for mode in said["response_modes_supported"]:
        shop = await a_shop(service, response_mode=mode)
        page = await travel(browser, a_request(shop, response_mode=mode).path)
        if page.url.path == "/signin":
            page = await send(browser, form_of(page), email=ANNA, password=GOOD)
        assert page.status_code == (200 if mode == "form_post" else 303)
        assert "session_state" not in page.text + page.headers.get("location", "")
    service.clock.advance(seconds=1)
    for prompt in said["prompt_values_supported"]:
        await outcome(browser, await a_shop(service), prompt=prompt)


async def test_scripts_read_answers_from_their_registered_origins_alone(service):
    """OID-41: origins of public applications; `null`, siblings and origins of servers get no header; authorization and
    logout none at all; never with credentials."""
    await a_shop(service, redirect_uris=frozenset({"https://server.example.org/cb"}))
    await a_shop(service, kind="public", redirect_uris=frozenset({"https://spa.example.org:8443/cb"}))
    mine = "https://spa.example.org:8443"
    origins = {
        mine: True, "null": False, "https://spa.example.org": False, "https://a.spa.example.org:8443": False,
        "http://spa.example.org:8443": False, "https://server.example.org": False, f"{mine}/": False, "": False,
    }  # fmt: skip
    open_ones = (
        "/oauth/token",
        "/oauth/userinfo",
        "/oauth/revoke",
        "/oauth/jwks.json",
        "/.well-known/openid-configuration",
    )
    for path in (*open_ones, "/oauth/authorize", "/oauth/logout", "/oauth/par", "/oauth/introspect", "/signin", "/me"):
        for origin, may in origins.items():
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for answer in (
                await service.http.get(path, headers={"Origin": origin}),
                await service.http.options(path, headers=preflight),
            ):
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (mine if may and path in open_ones else None), (path, origin)
                assert "access-control-allow-credentials" not in answer.headers
