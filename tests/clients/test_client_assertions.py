"""A client that signs: its assertion is for us alone, short, of the right type, and good once in all processes."""

import asyncio
import hashlib
import hmac
import json
import socket

import pytest
from joserfc.jwk import OKPKey, RSAKey

from identity_service.clients import actions as clients
from identity_service.keys import encoding
from tests.clients.given import GRANT, a_client, a_key, assertion, key_set, proven_by, signed, status_with

ISSUER = "https://id.example.com"
KEY = a_key()
ANOTHER = a_key(kid="another")
GOOD = {"alg": "ES256", "kid": "first", "typ": "client-authentication+jwt"}


@pytest.fixture
async def signer(service):
    return await a_client(service, jwks=key_set(KEY))


async def ask(service, text: str, **form: str):
    return await service.http.post("/oauth/token", data={**GRANT, **proven_by(text), **form})


def refused(answer) -> bool:
    """Tell whether this is the answer of whoever is not authenticated, whatever it explains."""
    return (answer.status_code, answer.json().get("error")) == (401, "invalid_client")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["first", None])
async def test_a_signature_stands_for_a_secret(service, algorithm, kid):
    """OAU-13, OAU-18: with a key of either kind; a key without a name gets its thumbprint."""
    key = a_key(algorithm, kid)
    made = await a_client(service, "events:read", jwks=key_set(key))
    assert made.client_secret is None
    header = None if kid else {"alg": algorithm, "typ": "client-authentication+jwt"}
    answer = await ask(service, assertion(service, made.client_id, key, header=header))
    assert answer.status_code == 200, answer.text
    assert await status_with(service, answer.json()["access_token"]) == 200


async def test_both_names_of_one_algorithm_are_known_and_neither_signs_for_a_key_of_another_kind(service):
    """OAU-18, RFC 9864: libraries that are newer than its name for EdDSA on Ed25519 sign under that name alone."""
    key, other = a_key("EdDSA", "first"), a_key("ES256", "first")
    made, another = await a_client(service, jwks=key_set(key)), await a_client(service, jwks=key_set(other))
    for name in ("EdDSA", "Ed25519"):
        header = {"alg": name, "kid": "first", "typ": "client-authentication+jwt"}
        assert (await ask(service, assertion(service, made.client_id, key, header=header))).status_code == 200
        assert refused(await ask(service, assertion(service, another.client_id, other, header=header)))
    for name in ("Ed448", "ED25519", "ES256"):
        header = {"alg": name, "kid": "first", "typ": "client-authentication+jwt"}
        assert refused(await ask(service, assertion(service, made.client_id, key, header=header)))


TOKEN_URL = f"{ISSUER}/oauth/token"
AUDIENCES = [
    (ISSUER, 200), ([ISSUER], 200), (TOKEN_URL, 200), ([TOKEN_URL], 200), ([ISSUER, TOKEN_URL], 200),
    ([ISSUER, ISSUER], 200), ([ISSUER, "https://evil.example"], 401), (["https://evil.example", ISSUER], 401),
    (f"{ISSUER}/", 401), (f"{ISSUER}/v1", 401), (f"{ISSUER}/oauth/revoke", 401), ([], 401),
    ("HTTPS://ID.EXAMPLE.COM", 401), ("http://id.example.com", 401), ("", 401), (None, 401), ({"a": ISSUER}, 401),
    ([[ISSUER]], 401), ([None], 401), (True, 401),
]  # fmt: skip


@pytest.mark.parametrize(("aud", "status"), AUDIENCES)
async def test_an_assertion_is_for_us_alone(service, signer, aud, status):
    """OAU-15, RFC 7523, 3: one that is good elsewhere too could be replayed here by whoever runs elsewhere."""
    answer = await ask(service, assertion(service, signer.client_id, KEY, aud=aud))
    assert answer.status_code == status
    if status == 401:
        assert f"aud must be {ISSUER} or {TOKEN_URL}" in answer.json()["error_description"]


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
async def test_an_assertion_may_name_the_endpoint_that_it_is_sent_to(service, signer, path):
    """OAU-15: libraries put the URL that they call."""
    for aud in (ISSUER, TOKEN_URL, f"{ISSUER}{path}", [f"{ISSUER}{path}", ISSUER]):
        text = assertion(service, signer.client_id, KEY, aud=aud)
        assert (await service.http.post(path, data={"token": "x", **proven_by(text)})).status_code == 200


TYPES = [
    ("client-authentication+jwt", 200), ("Client-Authentication+JWT", 200), ("JWT", 200), ("jwt", 200), ("at+jwt", 401),
    ("receipt+jwt", 401), ("logout+jwt", 401), ("application/client-authentication+jwt", 401), ("", 401), (1, 401),
    (["at+jwt"], 401), (None, 401), ("JWS", 401),
]  # fmt: skip


@pytest.mark.parametrize(("typ", "status"), TYPES)
async def test_an_assertion_is_typed_as_one_or_not_at_all(service, signer, typ, status):
    """OAU-16: what was signed for something else does not pass as one; `JWT` is what nearly every library writes."""
    text = assertion(service, signer.client_id, KEY, header={**GOOD, "typ": typ})
    answer = await ask(service, text)
    assert answer.status_code == status
    assert status == 200 or "typ must be one of" in answer.json()["error_description"]


LIBRARIES = {
    "MSAL": ({"alg": "ES256", "typ": "JWT", "x5t": "9e2G"}, {"exp": 600, "nbf": 0, "iat": None}, TOKEN_URL),
    "MSAL with SHA-256": ({"alg": "ES256", "typ": "JWT", "x5t#S256": "9e2G"}, {"exp": 600}, TOKEN_URL),
    "Authlib": ({"alg": "ES256", "kid": "first"}, {"exp": 300}, TOKEN_URL),
    "openid-client 5": ({"alg": "ES256", "kid": "first"}, {"exp": 60}, [ISSUER, TOKEN_URL]),
    "openid-client 6": ({"alg": "ES256", "kid": "first"}, {"exp": 60, "nbf": 0}, ISSUER),
    "Spring Security": ({"alg": "ES256", "kid": "first"}, {"exp": 60}, [TOKEN_URL]),
    "Nimbus": ({"alg": "ES256"}, {"exp": 60, "iat": None}, [ISSUER, TOKEN_URL]),
    "IdentityModel": ({"alg": "ES256", "kid": "first", "typ": "JWT"}, {"exp": 60, "nbf": 0}, TOKEN_URL),
    "Okta": ({"alg": "ES256"}, {"exp": 300.5}, TOKEN_URL),
}


@pytest.mark.parametrize(("header", "times", "aud"), LIBRARIES.values(), ids=LIBRARIES.keys())
async def test_an_assertion_is_taken_as_common_libraries_make_it(service, signer, header, times, aud):
    """OAU-33."""
    moment = int(service.clock().timestamp())
    claims = {name: None if seconds is None else moment + seconds for name, seconds in times.items()}
    answer = await ask(service, assertion(service, signer.client_id, KEY, header=header, aud=aud, **claims))
    assert answer.status_code == 200, answer.text


TOLD = {
    "another type": ({"header": {**GOOD, "typ": "at+jwt"}}, "typ must be one of"),
    "a key of its own": ({"header": {**GOOD, "jwk": {}}}, "keys come from the registration"),
    "too long": ({"exp": 4_000_000_000}, "at most 10 minutes ahead"),
    "over": ({"exp": 1}, "compare the clocks"),
    "time as text": ({"exp": "soon"}, "seconds since 1970"),
    "no number": ({"jti": None}, "jti must be"),
    "two names": ({"iss": "cli_0000000000000000"}, "iss and sub"),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("change", "words"), TOLD.values(), ids=TOLD.keys())
async def test_what_an_assertion_says_wrong_is_told_and_logged(service, signer, log, change, words, known):
    """OAU-05: the same for a client that does not exist; nothing but the assertion decides."""
    client_id = signer.client_id if known else "cli_0000000000000001"
    log.configure()
    answer = await ask(service, assertion(service, client_id, KEY, **change))
    assert refused(answer)
    assert words in answer.json()["error_description"]
    (line,) = [line for line in log.lines if line["event"] == "client.assertion_refused"]
    assert (line["claimed"], line["reason"]) == (client_id, answer.json()["error_description"])


SILENT = {
    "unknown_client": ("cli_0000000000000001", KEY, GOOD),
    "unknown_key": (None, KEY, {**GOOD, "kid": "nobody"}),
    "wrong_signature": (None, ANOTHER, GOOD),
}


@pytest.mark.parametrize("reason", SILENT)
async def test_what_would_tell_who_is_a_client_is_logged_alone(service, signer, log, reason):
    """OAU-05: one answer for all of them."""
    other, key, header = SILENT[reason]
    client_id = other or signer.client_id
    log.configure()
    answer = await ask(service, assertion(service, client_id, key, header=header))
    assert (answer.status_code, answer.content) == (401, b'{"error":"invalid_client"}')
    (line,) = [line for line in log.lines if line["event"] == "client.assertion_refused"]
    assert (line["claimed"], line["reason"]) == (client_id, reason)


async def test_a_client_without_a_key_is_logged_as_one(service, log):
    made = await a_client(service)
    log.configure()
    answer = await ask(service, assertion(service, made.client_id, KEY))
    assert answer.content == b'{"error":"invalid_client"}'
    assert [line["reason"] for line in log.lines if line["event"] == "client.assertion_refused"] == [
        "client_has_no_key"
    ]


async def test_an_assertion_may_have_no_type(service, signer):
    """OAU-16."""
    text = assertion(service, signer.client_id, KEY, header={"alg": "ES256", "kid": "first"})
    assert (await ask(service, text)).status_code == 200


YEARS = 10 * 365 * 86400
TIMES = {
    "five minutes": ({"exp": 300}, 200),
    "ten minutes": ({"exp": 600}, 200),
    "eleven minutes": ({"exp": 660}, 401),
    "an hour": ({"exp": 3600}, 401),
    "ten years": ({"exp": YEARS}, 401),
    "over": ({"exp": -1}, 401),
    "just over": ({"exp": 0}, 401),
    "issued 20 s ahead": ({"iat": 20}, 200),
    "issued a minute ahead": ({"iat": 61}, 401),
    "not before 20 s from now": ({"nbf": 20}, 200),
    "not before a minute from now": ({"nbf": 61}, 401),
    "issued long ago, ends in ten years": ({"iat": -YEARS, "exp": YEARS}, 401),
}


@pytest.mark.parametrize(("times", "status"), TIMES.values(), ids=TIMES.keys())
async def test_an_assertion_lives_ten_minutes_at_most(service, signer, times, status):
    """OAU-17."""
    moment = int(service.clock().timestamp())
    claims = {name: moment + seconds for name, seconds in times.items()}
    assert (await ask(service, assertion(service, signer.client_id, KEY, **claims))).status_code == status


STRANGE = {
    "no end": {"exp": None},
    "end as text": {"exp": "9999999999"},
    "end as truth": {"exp": True},
    "end as list": {"exp": []},
    "end without end": {"exp": float("inf")},
    "end is no number": {"exp": float("nan")},
    "issued: no number": {"iat": float("nan")},
    "issued: text": {"iat": "0"},
    "not before: text": {"nbf": "0"},
    "no jti": {"jti": None},
    "empty jti": {"jti": ""},
    "long jti": {"jti": "x" * 256},
    "jti: list": {"jti": ["x"]},
    "jti: integer": {"jti": 7},
    "jti: NUL": {"jti": "a\x00b"},
    "jti: half a character": {"jti": "\ud800"},
    "no issuer": {"iss": None},
    "no subject": {"sub": None},
    "issuer is another": {"iss": "cli_0000000000000000"},
    "issuer: list": {"iss": ["x"]},
    "subject: list": {"sub": ["x"]},
    "subject: NUL": {"sub": "cli_\x00", "iss": "cli_\x00"},
    "subject: half a character": {"sub": "\ud800", "iss": "\ud800"},
    "nobody": {"sub": "cli_0", "iss": "cli_0"},
}


@pytest.mark.parametrize("claims", STRANGE.values(), ids=STRANGE.keys())
async def test_a_strange_claim_is_refused_like_a_wrong_signature(service, signer, claims):
    """OAU-17, OAU-18: each with a good signature."""
    assert refused(await ask(service, assertion(service, signer.client_id, KEY, **claims)))


def hmac_with(secret: bytes, header: dict, text: str) -> str:
    first = f"{encoding.base64url_encode(json.dumps(header).encode())}.{text.split('.')[1]}"
    return f"{first}.{encoding.base64url_encode(hmac.digest(secret, first.encode(), hashlib.sha256))}"


HEADERS = {
    "key of its own": {**GOOD, "jwk": ANOTHER.as_dict(private=False)},
    "key elsewhere": {**GOOD, "jku": "https://evil.example/jwks.json"},
    "certificate elsewhere": {**GOOD, "x5u": "https://evil.example/cert.pem"},
    "certificate": {**GOOD, "x5c": ["MIIB"]},
    "crit": {**GOOD, "crit": ["exp"], "exp": 1},
    "b64": {**GOOD, "b64": False, "crit": ["b64"]},
    "zip": {**GOOD, "zip": "DEF"},
    "unknown member": {**GOOD, "colour": "red"},
    "unknown kid": {**GOOD, "kid": "nobody"},
    "kid is a path": {**GOOD, "kid": "../../dev/null"},
    "kid is SQL": {**GOOD, "kid": "' OR 1=1 --"},
    "kid is a list": {**GOOD, "kid": ["first"]},
    "kid is an object": {**GOOD, "kid": {"a": 1}},
    "kid is null": {**GOOD, "kid": None},
    "no alg": {"kid": "first"},
    "alg none": {**GOOD, "alg": "none"},
    "alg NoNe": {**GOOD, "alg": "NoNe"},
    "alg is a list": {**GOOD, "alg": ["ES256"]},
    "another alg": {**GOOD, "alg": "EdDSA"},
    "ES384": {**GOOD, "alg": "ES384"},
    "RS256": {**GOOD, "alg": "RS256"},
    "HS256": {**GOOD, "alg": "HS256"},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_a_header_decides_nothing(service, signer, header, monkeypatch):
    """OAU-18: algorithm and key come from the registration alone, and nobody is called to ask for a key."""
    called = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: called.append(where))
    for key in (KEY, ANOTHER):
        assert refused(await ask(service, assertion(service, signer.client_id, key, header=header)))
    assert called == []


async def test_no_other_key_and_no_other_algorithm_fits(service, signer):
    """OAU-18: the key of another, of another kind, the public key as a secret, no signature, half a token."""
    made = await a_client(service, jwks=key_set(ANOTHER))
    good = assertion(service, signer.client_id, KEY)
    first, second, third = good.split(".")
    claims = encoding.strict_json_object(encoding.base64url_decode(second))
    texts = [
        signed(GOOD, claims, ANOTHER),
        signed({**GOOD, "kid": "another"}, claims, ANOTHER),
        assertion(service, made.client_id, KEY),
        signed(GOOD, claims, OKPKey.generate_key("Ed25519"), "EdDSA"),
        signed({**GOOD, "alg": "RS256"}, claims, RSAKey.generate_key(2048), "RS256"),
        *(hmac_with(KEY.as_bytes(form, private=False), {**GOOD, "alg": "HS256"}, good) for form in ("PEM", "DER")),
        hmac_with(json.dumps(KEY.as_dict(private=False)).encode(), {**GOOD, "alg": "HS256"}, good),
        f"{first}.{second}.", f"{first}.{second}", f"{first}.{second}.{'A' * 86}", f"{good}.x", f"{good}=", f" {good}",
        f".{second}.{third}", f"{first}..{third}", "x", "...", "a.b.c", "é.é.é", "x" * 60_000,
        signed(b"[]", claims, KEY), signed(b"1", claims, KEY), signed(b"\xff", claims, KEY), signed(b"", claims, KEY),
        signed(GOOD, b"[]", KEY), signed(GOOD, b"null", KEY), signed(GOOD, b"\xff", KEY), signed(GOOD, b"", KEY),
        signed(GOOD, b"[" * 20_000, KEY),
    ]  # fmt: skip
    for number, text in enumerate(texts):
        assert refused(await ask(service, text)), number
        if number % 20 == 0:
            await service.rows("SELECT 1")
    assert (await ask(service, good)).status_code == 200


@pytest.mark.parametrize("kind", ["urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "jwt", ""])
async def test_an_assertion_of_another_kind_proves_nothing(service, signer, kind):
    text = assertion(service, signer.client_id, KEY)
    assert refused(await ask(service, text, client_assertion_type=kind))


async def test_a_client_with_a_secret_cannot_sign_with_it(service):
    """OAU-18: nor can one that signs be given a secret to guess."""
    made = await a_client(service)
    claims = assertion(service, made.client_id, KEY)
    assert refused(await ask(service, hmac_with(made.client_secret.encode(), {**GOOD, "alg": "HS256"}, claims)))
    assert refused(await ask(service, claims))


async def test_an_assertion_is_good_once(service, other, signer):
    """OAU-19: in every process, and at every door that takes one."""
    text = assertion(service, signer.client_id, KEY)
    assert (await ask(service, text)).status_code == 200
    assert refused(await ask(service, text))
    assert refused(await ask(other, text))
    for path in ("/oauth/introspect", "/oauth/revoke"):
        assert refused(await other.http.post(path, data={"token": "x", **proven_by(text)}))


async def test_an_assertion_is_used_up_by_a_request_that_is_refused(service, signer):
    """OAU-19: whoever overhears one that got no token cannot get one with it either."""
    text = assertion(service, signer.client_id, KEY)
    assert (await ask(service, text, scope="nothing")).json()["error"] == "invalid_scope"
    assert refused(await ask(service, text))


async def test_an_assertion_nobody_signed_uses_nothing_up(service, signer):
    """OAU-19: else a stranger could make a client's next assertion worthless by guessing its number."""
    assert refused(await ask(service, assertion(service, signer.client_id, ANOTHER, header=GOOD, jti="next")))
    assert (await ask(service, assertion(service, signer.client_id, KEY, jti="next"))).status_code == 200


async def test_fifty_at_once_get_one_token(service, other, signer):
    """OAU-19, Fosite CVE-2020-15222: two processes, 25 requests each, one number."""
    text = assertion(service, signer.client_id, KEY)
    answers = await asyncio.gather(*(ask(process, text) for process in (service, other) for _ in range(25)))
    assert sorted(answer.status_code for answer in answers).count(200) == 1
    assert {answer.status_code for answer in answers} <= {200, 401, 429}
    assert await service.rows("SELECT count(*) FROM used_assertion") == [(1,)]


async def test_a_number_is_kept_until_its_assertion_is_over(service, signer):
    """OAU-19, Keycloak CVE-2026-9802: upkeep forgets none that could still be replayed, and a restart none at all."""
    text = assertion(service, signer.client_id, KEY, jti="kept")
    assert (await ask(service, text)).status_code == 200
    await service.database.in_transaction(clients.purge_tokens)
    assert refused(await ask(service, text))
    ((expires_at,),) = await service.rows("SELECT expires_at FROM used_assertion")
    assert expires_at.timestamp() >= int(service.clock().timestamp()) + 60


async def test_two_clients_may_use_one_number(service, signer):
    made = await a_client(service, jwks=key_set(ANOTHER))
    assert (await ask(service, assertion(service, signer.client_id, KEY, jti="1"))).status_code == 200
    assert (await ask(service, assertion(service, made.client_id, ANOTHER, jti="1"))).status_code == 200
