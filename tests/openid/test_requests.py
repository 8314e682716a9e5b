"""Authorization requests of applications that are faulty, hostile or merely strict, and what the browser is shown."""

import asyncio
import base64
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from identity_service.clients import registration
from identity_service.clients import rules as client_rules
from identity_service.openid import rules
from tests.openid.asking import ISSUER, brought, error_of, form_of, is_our_page, opened, push
from tests.openid.given import (
    BACK,
    a_customer,
    a_request,
    a_shop,
    answer_of,
    follow,
    send,
    sign_in_at,
    travel,
)
from tests.resets.given import ANNA, GOOD, a_browser

HOST = "https://shop.example.org"
FOREIGN = [
    "", "https://shop.example.org/Callback", "https://SHOP.example.org/callback", "HTTPS://shop.example.org/callback",
    "http://shop.example.org/callback", "https://shop.example.org:443/callback", f"{HOST}:8443/callback",
    f"{HOST}/callback/", f"{HOST}//callback", f"{HOST}/callback?", f"{HOST}/callback?a=b", f"{HOST}/callback#",
    f"{HOST}/callback#a", f"{HOST}/callback/..;/x", f"{HOST}/..;/callback", f"{HOST}/a/../callback",
    f"{HOST}/./callback", f"{HOST}/%2e%2e/callback",
    f"{HOST}/a/%2E%2E/callback", f"{HOST}%2Fcallback", f"{HOST}/%63allback",
    f"{HOST}\\callback", f"{HOST}\\@evil.example/callback", f"{HOST}@evil.example/callback",
    "https://evil.example@shop.example.org/callback", "https://shop.example.org.evil.example/callback",
    "https://evil.example/callback", f"{HOST}/call\tback", f"{HOST}/callback\t", f" {HOST}/callback",
    f"{HOST}/callback ", f"{HOST}/callback\n", "https://shop.exämple.org/callback", "https://ѕhop.example.org/callback",
    "https://shop.example.org./callback", "//shop.example.org/callback", "/callback", f"{HOST}/callback/longer",
    f"{HOST}/callback,https://evil.example", "javascript:alert(1)", "data:text/html,x", f"{HOST}/callback*",
]  # fmt: skip
FOREIGN_TO_NATIVE = [
    "http://localhost/cb", "http://localhost:5000/cb", "http://127.0.0.1/cb/", "http://127.0.0.1:0/cb",
    "http://127.0.0.1:05/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:80/cb", "http://127.0.0.1:/cb",
    "http://127.0.0.2/cb", "http://127.1/cb", "http://0.0.0.0/cb", "https://127.0.0.1/cb",
    "http://127.0.0.1:5000@evil.example/cb", "http://127.0.0.1.evil.example/cb", "http://127.0.0.1:5000/cb?a=b",
    "http://[::1]:5000/other", "http://[::ffff:127.0.0.1]/cb", "com.example.app:/other", "COM.example.app:/cb",
]  # fmt: skip
NATIVE = ("http://127.0.0.1/cb", "http://[::1]:7000/cb", "com.example.app:/cb")


async def test_a_redirect_uri_that_is_not_registered_to_the_letter_gets_nothing(service):
    """OID-01, OID-03, ATT-54: forty ways to write another address; each is answered by a page of ours."""
    shop = await a_shop(service)
    browser = a_browser(service)
    for uri in [None, *FOREIGN]:
        is_our_page(await opened(browser, shop, redirect_uri=uri, state="canary"), "canary", "evil.example")
    assert (await opened(browser, shop)).status_code == 303


async def test_the_port_of_a_loopback_address_is_free_for_native_applications_alone(service):
    """OID-01, OID-02: RFC 8252, 7.3; everything else of the address is compared."""
    app = await a_shop(service, kind="native", redirect_uris=frozenset(NATIVE))
    web = await a_shop(service, redirect_uris=frozenset({"http://127.0.0.1/cb"}))
    browser = a_browser(service)
    for uri in (*NATIVE, "http://127.0.0.1:51004/cb", "http://[::1]:51004/cb", "http://[::1]/cb"):
        assert (await opened(browser, app, redirect_uri=uri)).status_code == 303, uri
    for uri in FOREIGN_TO_NATIVE:
        is_our_page(await opened(browser, app, redirect_uri=uri))
    is_our_page(await opened(browser, web, redirect_uri="http://127.0.0.1:51004/cb"))


WRONG = [
    ({"response_type": None}, "invalid_request"), ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_mode": "form_post"}, "invalid_request"), ({"response_mode": "web_message"}, "invalid_request"),
    ({"scope": None}, "invalid_scope"), ({"scope": "email"}, "invalid_scope"),
    ({"prompt": "wizard"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"), ({"state": "s" * 1025}, "invalid_request"),
    ({"nonce": "n" * 257}, "invalid_request"), ({"login_hint": "a" * 8193}, "invalid_request"),
    ({"request": "e30.e30."}, "request_not_supported"), ({"registration": "{}"}, "registration_not_supported"),
    ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"), ({"resource": "x:y"}, "invalid_target"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"), ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"), ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge": "a" * 42}, "invalid_request"), ({"code_challenge": "a" * 129}, "invalid_request"),
    ({"code_challenge": "a" * 42 + "="}, "invalid_request"), ({"id_token_hint": "e30.e30.e30"}, "invalid_request"),
]  # fmt: skip


async def test_an_error_goes_to_a_verified_address_or_nowhere(service):
    """OID-03, OID-04, OID-05, OID-08, OID-09: each fault is told at the registered address, with state and issuer; an
    unknown application or a foreign address gets a page, whatever else is wrong."""
    shop = await a_shop(service)
    unknown = shop._replace(client_id="cli_unknown")
    for number, (changed, error) in enumerate(WRONG):
        browser = a_browser(service, source=f"203.0.113.{number}")
        state = changed.get("state") or 'x"> &y'
        answer = await opened(browser, shop, **{"state": state, **changed})
        told = answer_of(answer)
        assert told["error"] == error, (changed, told)
        assert told["iss"] == ISSUER
        assert told.get("state") == (None if len(state) > 1024 else state)
        assert set(told["error_description"]) <= {*map(chr, range(32, 127))} - {'"', "\\"}
        is_our_page(await opened(browser, unknown, **changed))
        is_our_page(await opened(browser, shop, **{**changed, "redirect_uri": "https://evil.example/"}), "evil.example")


async def test_every_parameter_counts_once_and_within_its_limit(service):
    """OID-04: twice is refused, by query and by form; what says where to answer leads nowhere; unknown ones are
    ignored, however often."""
    shop, leading = await a_shop(service), {"client_id", "redirect_uri", "request_uri"}
    known = dict.fromkeys(sorted(rules.KNOWN), "1") | a_request(shop).query
    for number, name in enumerate(known):
        browser, query = a_browser(service, source=f"203.0.113.{number}"), a_request(shop).query
        pairs = [*{name: known[name], **query}.items(), (name, known[name])]
        for answer in (
            await browser.http.get(f"/oauth/authorize?{urlencode(pairs)}", follow_redirects=False),
            await browser.http.post(
                "/oauth/authorize", content=urlencode(pairs), follow_redirects=False,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            ),
        ):  # fmt: skip
            if name in leading:
                is_our_page(answer)
            else:
                assert answer_of(answer)["error"].startswith(("invalid", f"{name}_not")), name
    twice = urlencode([*a_request(shop).query.items(), ("extra", "foo"), ("extra", "bar"), ("utm", "x" * 9000)])
    answer = await a_browser(service).http.get(f"/oauth/authorize?{twice}", follow_redirects=False)
    assert answer.headers["location"].startswith("/oauth/authorize/")


@pytest.mark.parametrize("wrong", ["a\0b", "\udcff"])
async def test_what_no_database_can_keep_is_refused_before_one_is_asked(service, wrong):
    """OID-04: NUL and broken UTF-8 in any parameter, by GET and POST, at sign-in and sign-out."""
    shop = await a_shop(service)
    browser = a_browser(service)
    for name in ("client_id", "redirect_uri", "state", "nonce", "login_hint", "id_token_hint", "code_challenge"):
        query = urlencode({**a_request(shop).query, name: wrong}, errors="surrogateescape")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        for path in ("/oauth/authorize", "/oauth/logout"):
            is_our_page(await browser.http.get(f"{path}?{query}", follow_redirects=False))
            is_our_page(await browser.http.post(path, content=query, headers=headers, follow_redirects=False))


async def test_a_request_by_post_is_as_good_and_bound_when_it_comes_by_get(service, caller):
    """OID-04, OID-06: a form of another site brings no cookie, so it must not give the browser a new one, which would
    end the requests of its other tabs."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    first = await travel(browser, a_request(shop, state="first").path)
    foreign = await service.http.post("/oauth/authorize", data=a_request(shop, state="second").query)
    assert foreign.status_code == 303
    assert "set-cookie" not in foreign.headers
    page = await travel(browser, foreign.headers["location"])
    assert answer_of(await send(browser, form_of(page), email=ANNA, password=GOOD))["state"] == "second"
    assert answer_of(await travel(browser, first.url.params["next"]))["state"] == "first"


async def test_the_mode_of_an_answer_is_the_clients_and_nothing_stands_in_a_fragment(service):
    """OID-05, OID-09: a form_post client gets errors by form, too, and its own mode may be named; a query of its
    redirect URI stays."""
    posted = await a_shop(service, response_mode="form_post")
    with_query = await a_shop(service, redirect_uris=frozenset({f"{BACK}?shop=1"}))
    page = await opened(a_browser(service), posted, response_mode="form_post", scope="email")
    assert page.status_code == 200
    assert 'name="error" value="invalid_scope"' in page.text
    assert f'name="iss" value="{ISSUER}"' in page.text
    assert "signed in" not in page.text
    answer = await opened(a_browser(service), with_query, redirect_uri=f"{BACK}?shop=1", scope="email")
    where = urlsplit(answer.headers["location"])
    assert (where.fragment, dict(parse_qsl(where.query))["shop"]) == ("", "1")


async def test_later_steps_carry_the_id_alone(service, caller):
    """OID-06: what is added to the address of a stored request, or to its form, changes nothing of it."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, first_party=False), a_browser(service)
    page = await travel(browser, a_request(shop, scope="openid").path)
    extra = f"&{urlencode({'redirect_uri': 'https://evil.example/', 'scope': 'openid email', 'state': 'other'})}"
    page = await send(browser, f"{form_of(page)}{extra}", email=ANNA, password=GOOD)
    path = form_of(page)
    refused = await send(browser, path, decision="allow", scope="openid email")
    assert refused.status_code == 422
    await travel(browser, f"{path}?redirect_uri=https://evil.example/&scope=openid+email")
    answer = answer_of(await send(browser, path, decision="allow"))
    assert answer["state"] == "xyz"
    scopes = await service.rows("SELECT scope FROM oauth_grant")
    assert scopes == [(["openid"],)]


async def test_a_request_ends_with_its_time_and_with_its_answer(service, caller):
    """OID-06, OID-22: after an hour, and after one answer, the path leads to no second code."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    page = await travel(browser, a_request(shop).path)
    path = page.url.params["next"]
    answer_of(await send(browser, form_of(page), email=ANNA, password=GOOD))
    assert (await browser.open(path)).status_code == 410
    late = await opened(browser, shop)
    service.clock.advance(minutes=61)
    assert (await browser.open(late.headers["location"])).status_code == 410


@pytest.mark.parametrize(
    "taken", [{"redirect_uris": {f"{BACK}/new"}}, {"scopes": {"openid", "profile"}}], ids=["address", "scope"]
)
async def test_what_is_taken_from_an_application_is_taken_from_requests_on_their_way(service, caller, taken):
    """OID-19, OID-01: an address that is no longer registered gets no code of a request that was stored before; a scope
    that is no longer allowed is not granted."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    page = await travel(browser, a_request(shop).path)
    await service.database.in_transaction(
        lambda s: registration.set_sign_in(s, shop.client_id, now=service.clock(), **taken)
    )
    page = await send(browser, form_of(page), email=ANNA, password=GOOD)
    if "scopes" in taken:
        answer_of(page)
        assert await service.rows("SELECT scope FROM oauth_grant") == [(["openid", "profile"],)]
    else:
        assert page.status_code == 410
        assert await service.rows("SELECT 1 FROM oauth_grant") == []


async def test_a_pushed_request_is_used_once_in_a_minute_by_its_own_client(service, caller):
    """OID-07: a reference of another client, used before, or of 61 seconds ago is refused before any page to sign in;
    scope and address beside it have no effect."""
    await a_customer(service, caller)
    shop, other = await a_shop(service, needs_par=True), await a_shop(service, "Other")
    browser = a_browser(service)
    pushed, request = await push(shop)
    assert pushed.status_code == 201
    uri = pushed.json()["request_uri"]
    assert pushed.json()["expires_in"] == 60
    assert len(base64.urlsafe_b64decode(uri.rpartition(":")[2] + "==")) * 8 >= 128
    assert (await travel(a_browser(service), brought(other, uri))).status_code == 410
    page = await travel(browser, brought(shop, uri, scope="openid offline_access", redirect_uri="https://evil.example"))
    answer = answer_of(await send(browser, form_of(page), email=ANNA, password=GOOD))
    tokens = (await shop.redeem(answer["code"], request.verifier)).json()
    assert tokens["scope"] == "email openid profile"
    assert (await travel(browser, brought(shop, uri))).status_code == 410
    for seconds, status in ((59, 303), (61, 410)):
        late = (await push(shop))[0].json()["request_uri"]
        service.clock.advance(seconds=seconds)
        assert (await travel(browser, brought(shop, late))).status_code == status, seconds
    assert await error_of(browser, shop) == "invalid_request"
    assert (await travel(browser, brought(shop, "urn:ietf:params:oauth:request_uri:"))).status_code == 410


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"), ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "request_uri_not_supported"),
        ({"request": "e30.e30."}, "request_not_supported"), ({"id_token_hint": "e30.e30.e30"}, "invalid_request"),
        ({"state": "a\0b"}, "invalid_request"), ({"max_age": "1.5"}, "invalid_request"),
        ({"client_id": "cli_other"}, "invalid_request"),
    ],
)  # fmt: skip
async def test_a_push_is_checked_at_once(service, changed, error):
    """OID-07, OID-13: whatever is wrong is told to the client, not to the customer later."""
    answer, _ = await push(await a_shop(service), **changed)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert await service.rows("SELECT 1 FROM authorization_request") == []


async def test_only_the_client_itself_pushes(service):
    """OID-07, OID-13: without a secret, with a wrong one, or as a client of the API alone nothing is stored."""
    shop, caller = await a_shop(service), await service.caller("events:read")
    for auth, status in (
        (None, 401),
        ((shop.client_id, "wrong"), 401),
        ((caller.client_id, caller.client_secret), 400),
    ):
        form = {**a_request(shop).query, "client_id": auth[0] if auth else shop.client_id}
        answer = await service.http.post("/oauth/par", data=form, **({"auth": auth} if auth else {}))
        assert answer.status_code == status
    public = await a_shop(service, kind="public")
    assert (await push(public))[0].status_code == 201


async def test_of_fifty_uses_of_a_pushed_request_one_counts(service):
    """OID-07: at once."""
    shop = await a_shop(service)
    uri = (await push(shop))[0].json()["request_uri"]
    browsers = [a_browser(service, source=f"203.0.113.{number}") for number in range(50)]
    answers = await asyncio.gather(
        *(browser.http.get(brought(shop, uri), follow_redirects=False) for browser in browsers)
    )
    assert sorted(answer.status_code for answer in answers) == [303, *[410] * 49]


async def test_an_excepted_client_may_go_without_a_challenge_and_is_held_to_one_that_it_sends(service, caller):
    """OID-08: the exception is for confidential clients alone and stands in the feed; a verifier without a challenge,
    and a challenge without a verifier, are refused."""
    await a_customer(service, caller)
    for kind in ("public", "native"):
        with pytest.raises(client_rules.WrongSignInSettings):
            await a_shop(service, kind=kind, needs_pkce=False)
    shop, browser = await a_shop(service, needs_pkce=False), a_browser(service)
    without = {"code_challenge": None, "code_challenge_method": None}
    first = await sign_in_at(browser, shop, **without)
    redeemed = await shop.token(grant_type="authorization_code", code=first["code"], redirect_uri=BACK)
    assert redeemed.status_code == 200
    second = await sign_in_at(browser, shop, **without)
    assert (await shop.redeem(second["code"], second["verifier"])).json()["error"] == "invalid_grant"
    third = await sign_in_at(browser, shop)
    bare = await shop.token(grant_type="authorization_code", code=third["code"], redirect_uri=BACK)
    assert bare.json()["error"] == "invalid_grant"
    for verifier in ("a" * 42, "a" * 129, "ä" * 43, third["verifier"][:-1]):
        wrong = await sign_in_at(browser, shop)
        assert (await shop.redeem(wrong["code"], verifier)).json()["error"] == "invalid_grant"
    (data,) = await service.rows(
        "SELECT data FROM event WHERE name = 'client.sign_in_changed' AND data->>'pkce' = 'false'"
    )
    assert data[0]["client_id"] == shop.client_id


async def test_answers_are_kept_by_nobody(service, caller, log):
    """OID-10, LOG-03: 303 after a form, no-store and no-referrer all along, and no code, state, hint or
    verifier in a log line."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    request = a_request(shop, state="canary-state", login_hint="canary@hint.example", nonce="canary-nonce")
    answers = [await browser.http.get(request.path, follow_redirects=False)]
    page = await follow(browser, answers[0])
    answers += [page, await send(browser, form_of(page), email=ANNA, password=GOOD)]
    code = answer_of(answers[-1])["code"]
    answers.append(await shop.redeem(code, request.verifier))
    assert [answer.status_code for answer in answers] == [303, 200, 303, 200]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
    said = log.text
    path = answers[0].headers["location"]
    for secret in ("canary", code, request.verifier, path.rpartition("/")[2], answers[-1].json()["refresh_token"]):
        assert secret not in said
