"""The token endpoint: one grant, one way to authenticate, one answer to whoever fails, and never more than granted."""

import base64
from urllib.parse import urlencode

import pytest

from identity_service.clients import actions as clients
from identity_service.keys import encoding, hashing, signing
from identity_service.web import scopes
from tests.accounts.given import an_account, sql
from tests.clients.given import GRANT, REALM, a_client, a_key, assertion, key_set, proven_by, token_of

FORM = "application/x-www-form-urlencoded"


def basic(text: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text).decode()}


async def test_an_answer_is_whole_and_kept_nowhere(service):
    """OAU-06."""
    answer = await token_of(service, await a_client(service, "events:read"))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json() | {"access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 600, "scope": "events:read",
    }  # fmt: skip


async def test_a_token_says_what_rfc_9068_asks_for(service):
    """OAU-12: ten minutes and never more, for our own audience, each with a number of its own."""
    made = await a_client(service, "events:read", "accounts:verify")
    texts = [(await token_of(service, made, lifetime="3600")).json()["access_token"] for _ in range(2)]
    keys = service.database.keys.verifying(service.clock())
    first, second = (signing.verify(text, keys, typ="at+jwt") for text in texts)
    moment = int(service.clock().timestamp())
    assert len(first["jti"]) >= 20
    assert first["jti"] != second["jti"]
    assert first | {"jti": ""} == {
        "iss": "https://id.example.com", "aud": "https://id.example.com/v1",
        "sub": made.client_id, "client_id": made.client_id, "jti": "",
        "iat": moment, "exp": moment + 600, "scope": "accounts:verify events:read", "desk": False, "source": "shop",
    }  # fmt: skip
    header = encoding.strict_json_object(encoding.base64url_decode(texts[0].split(".")[0]))
    assert header.keys() == {"alg", "kid", "typ"}
    assert header["typ"] == "at+jwt"


@pytest.mark.parametrize("grant", [
    "password", "implicit", "token", "CLIENT_CREDENTIALS",
    "client_credentials ", "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange",
])  # fmt: skip
async def test_there_is_no_other_grant(service, grant):
    """OAU-02: and no refresh token."""
    made = await a_client(service)
    refused = await token_of(
        service, made, grant_type=grant, username="anna", password="x", code="x", refresh_token="x"
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")
    assert grant.strip() not in refused.text.replace("unsupported_grant_type", "")


FORMS = {
    "scope=events:read&scope=accounts:read": "Send each parameter once",
    "grant_type=client_credentials&grant_type=client_credentials": "Send each parameter once",
    "client_id=a&client_id=b": "Send each parameter once",
    "scope=%00": "cannot be read",
    "scope=%ff": "cannot be read",
    "scope=é": "cannot be read",
    "scope": "cannot be read",
    "&": "cannot be read",
    "": "cannot be read",
    "&".join(f"a{number}=1" for number in range(30)): "cannot be read",
    "scope=events:read": "grant_type",
    "grant_type=&scope=events:read": "grant_type",
}


@pytest.mark.parametrize(("form", "reason"), FORMS.items(), ids=lambda text: text[:30])
async def test_a_form_is_read_in_one_way_or_refused(service, form, reason):
    """OAU-03: a parameter that stands there twice, or one that is missing, is an invalid request (RFC 6749, 5.2)."""
    made = await a_client(service)
    refused = await service.http.post(
        "/oauth/token", content=form.encode(), headers={"Content-Type": FORM}, auth=(made.client_id, made.client_secret)
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert reason in refused.json()["error_description"]


async def test_a_parameter_without_a_value_counts_as_left_out(service):
    """RFC 6749, 3.2."""
    made = await a_client(service, "events:read")
    answer = await token_of(service, made, scope="", client_secret="", client_assertion="")
    assert (answer.status_code, answer.json()["scope"]) == (200, "events:read")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
async def test_only_a_form_by_post_is_taken(service, path):
    """OAU-03, OAU-31: not in the query, not as JSON, not by GET; and what lies beside the path is not redirected."""
    made = await a_client(service)
    form = {**GRANT, "token": "x", "client_id": made.client_id, "client_secret": made.client_secret}
    assert (await service.http.get(path, params=form)).status_code == 405
    in_query = await service.http.post(f"{path}?{urlencode(form)}", data=GRANT)
    assert (in_query.status_code, in_query.json()["error"]) == (400, "invalid_request")
    both = await service.http.post(f"{path}?client_secret=x", data=form)
    assert both.status_code == 400
    assert (await service.http.post(path, json=form)).status_code == 415
    assert (await service.http.post(f"{path}/", data=form)).status_code == 404
    assert (await service.http.post(path, data={"token": "x" * 70_000})).status_code == 413


async def test_a_request_authenticates_in_one_way(service):
    """OAU-04: two ways, or two headers, are refused, also where each of them is right."""
    made = await a_client(service)
    post = {"client_id": made.client_id, "client_secret": made.client_secret}
    by_basic = basic(f"{made.client_id}:{made.client_secret}".encode())["Authorization"]
    key = a_key()
    signer = await a_client(service, jwks=key_set(key))
    by_key = proven_by(assertion(service, signer.client_id, key))
    for form, headers in (
        (post, [("Authorization", by_basic)]),
        (by_key, [("Authorization", by_basic)]),
        ({**post, **by_key}, []),
        ({}, [("Authorization", by_basic), ("Authorization", by_basic)]),
        ({"client_id": signer.client_id}, [("Authorization", by_basic)]),
        ({**by_key, "client_id": made.client_id}, []),
    ):
        refused = await service.http.post("/oauth/token", data={**GRANT, **form}, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    for form, headers in ((post, []), ({**by_key, "client_id": signer.client_id}, [])):
        assert (await service.http.post("/oauth/token", data={**GRANT, **form}, headers=headers)).status_code == 200


async def wrong_ways(service) -> dict[str, tuple[dict, dict]]:
    """Return forms and headers that prove nothing."""
    made, another, closed = [await a_client(service) for _ in range(3)]
    signer = await a_client(service, jwks=key_set(a_key()))
    await service.database.in_transaction(lambda s: clients.close_client(s, closed.client_id, now=service.clock()))

    def post(client_id: str, secret: str | None) -> tuple[dict, dict]:
        return {"client_id": client_id, "client_secret": secret or "x"}, {}

    def header(client_id: str, secret: str | None) -> tuple[dict, dict]:
        return {}, basic(f"{client_id}:{secret or 'x'}".encode())

    ways = {}
    for name, way in (("post", post), ("basic", header)):
        ways |= {
            f"{name}, wrong": way(made.client_id, "ids_wrong"),
            f"{name}, unknown": way("cli_0000000000000000", made.client_secret),
            f"{name}, closed": way(closed.client_id, closed.client_secret),
            f"{name}, another's": way(made.client_id, another.client_secret),
            f"{name}, its hash": way(made.client_id, hashing.hash_secret(made.client_secret).hex()),
            f"{name}, no secret of its own": way(signer.client_id, "x"),
            f"{name}, case": way(made.client_id.upper(), made.client_secret),
            f"{name}, a User ID": way("3W08-K7QX-M1C4", made.client_secret),
        }
    text = f"{made.client_id}:{made.client_secret}".encode()
    return ways | {
        "nothing": ({}, {}),
        "an id alone": ({"client_id": made.client_id}, {}),
        "bearer": ({}, {"Authorization": f"Bearer {made.client_secret}"}),
        "not base64": ({}, {"Authorization": "Basic %%%"}),
        "no colon": ({}, basic(made.client_id.encode())),
        "NUL in the id": ({}, basic(b"cli_\x00:" + text)),
        "NUL in the secret": ({}, basic(text + b"\x00")),
        "not UTF-8": ({}, basic(b"\xff\xfe:" + text)),
        "no text": ({}, {"Authorization": "Basic"}),
    }


async def test_every_wrong_proof_reads_the_same(service, owner):
    """OAU-05: unknown, closed, wrong or unreadable; the caller learns nothing but that it was not authenticated."""
    seen = set()
    for name, (form, headers) in (await wrong_ways(service)).items():
        for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
            refused = await service.http.post(path, data={**GRANT, "token": "x", **form}, headers=headers)
            assert refused.status_code == 401, (name, path, refused.text)
            assert refused.headers["WWW-Authenticate"] == REALM, (name, path)
            assert refused.headers["Cache-Control"] == "no-store"
            seen.add(refused.content)
        await sql(owner, "DELETE FROM rate_limit_counter")
    assert seen == {b'{"error":"invalid_client"}'}


async def test_nobody_gets_more_than_was_registered(service):
    """OAU-07, ATT-51: more is refused and named, never narrowed in silence; without a wish everything registered."""
    made = await a_client(service, "accounts:verify", "events:read")
    whole = await token_of(service, made)
    assert whole.json()["scope"] == "accounts:verify events:read"
    part = await token_of(service, made, scope="events:read events:read")
    assert part.json()["scope"] == "events:read"
    more = await token_of(service, made, scope="events:read accounts:write mail:operate")
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")
    assert more.json()["error_description"] == "Not granted to this client: accounts:write, mail:operate."


@pytest.mark.parametrize("scope", ["nothing:read", "EVENTS:READ", "*", "events:read,accounts:read", "events:*", "admin",
                                   "events:read  x", "events:read\t", " ", "<script>", "x" * 5000])  # fmt: skip
async def test_a_scope_that_does_not_exist_is_refused_and_not_echoed(service, scope):
    """OAU-07: the sentence names the scopes there are; what was sent does not come back."""
    refused = await token_of(service, await a_client(service), scope=scope)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    assert all(known in refused.json()["error_description"] for known in scopes.SCOPES)
    assert len(refused.text) < 600
    assert "<" not in refused.text


async def test_client_ids_and_user_ids_are_never_mistaken(service, caller, owner):
    """OAU-11, RFC 9700, 2.6: neither reads as the other, at the doors and in the database."""
    made = await a_client(service)
    assert made.client_id.startswith("cli_")
    refused = await caller.get(f"/v1/accounts/{made.client_id}")
    assert (refused.status_code, refused.json()["code"]) == (422, "malformed_user_id")
    user_id = await an_account(caller)
    with pytest.raises(Exception, match="ck_client_id"):
        await sql(owner, "UPDATE client SET id = :id WHERE id = :old", id=user_id, old=made.client_id)


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
async def test_no_page_of_another_origin_may_use_the_endpoints(service, path):
    """OAU-31: no CORS, no redirect."""
    made = await a_client(service)
    origin = {"Origin": "https://shop.example"}
    answer = await service.http.post(path, data={**GRANT, "token": "x"}, auth=tuple(made), headers=origin)
    preflight = await service.http.options(path, headers={**origin, "Access-Control-Request-Method": "POST"})
    assert (answer.status_code, preflight.status_code) == (200, 405)
    for found in (answer, preflight):
        assert not [name for name in found.headers if name.lower().startswith("access-control")]


async def test_a_client_certificate_in_a_header_proves_nothing(service):
    """OAU-32: mutual TLS is not offered, and a proxy's header for it changes nothing."""
    made = await a_client(service)
    forged = {"X-Client-Cert": "x", "X-SSL-Client-S-DN": f"CN={made.client_id}", "X-SSL-Client-Verify": "SUCCESS"}
    refused = await service.http.post("/oauth/token", data={**GRANT, "client_id": made.client_id}, headers=forged)
    assert refused.status_code == 401
