"""Tokens forged in one thing each: algorithm, key, header, shape, claim, type. None opens anything."""

import hashlib
import hmac
import json
import secrets

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from identity_service.clients.actions import Credentials
from identity_service.keys import encoding
from tests.clients.given import a_client, signed

USER_ID = "3W08-K7QX-M1C4"


class Forge:
    """The service's own key, and a token as the service would make it: what is forged differs in one thing alone."""

    def __init__(self, service, client: Credentials) -> None:
        self.client, client_id = client, client.client_id
        moment = int(service.clock().timestamp())
        self.now = moment
        self.key: ECKey = service.database.keys.signing(service.clock())
        self.header = {"alg": "ES256", "kid": self.key.kid, "typ": "at+jwt"}
        self.claims = {
            "iss": "https://id.example.com", "aud": "https://id.example.com/v1", "sub": client_id, "source": "shop",
            "client_id": client_id, "iat": moment, "exp": moment + 600, "jti": secrets.token_urlsafe(16),
            "scope": "events:read",
        }  # fmt: skip

    def token(self, header=None, key=None, algorithm="ES256", **claims) -> str:
        wanted = {name: value for name, value in {**self.claims, **claims}.items() if value is not ...}
        return signed({**self.header, **(header or {})}, wanted, key or self.key, algorithm)

    def without(self, *members: str) -> str:
        header = {name: value for name, value in self.header.items() if name not in members}
        return signed(header, self.claims, self.key)

    def hmac(self, secret: bytes) -> str:
        parts = ({**self.header, "alg": "HS256"}, self.claims)
        first = ".".join(encoding.base64url_encode(json.dumps(part).encode()) for part in parts)
        return f"{first}.{encoding.base64url_encode(hmac.digest(secret, first.encode(), hashlib.sha256))}"

    def raw(self, header: bytes | None = None, payload: bytes | None = None) -> str:
        return signed(
            json.dumps(self.header).encode() if header is None else header,
            json.dumps(self.claims).encode() if payload is None else payload,
            self.key,
        )

    def encrypted(self) -> str:
        header = {"alg": "dir", "enc": "A128CBC-HS256", "cty": "JWT", "kid": self.key.kid}
        return jwe.encrypt_compact(header, self.token().encode(), OctKey.import_key(bytes(32)))


@pytest.fixture
async def forge(service):
    return Forge(service, await a_client(service))


STRANGER = ECKey.generate_key("P-256")


def with_header(**members):
    return lambda forge: forge.token(members)


def text(value: str):
    return lambda _: value


NONE = {
    "none": lambda f: f.token({"alg": "none"}),
    "none, unsigned": lambda f: f.token({"alg": "none"}).rpartition(".")[0] + ".",
    "NoNe": lambda f: f.token({"alg": "NoNe"}).rpartition(".")[0] + ".",
    "missing": lambda f: f.without("alg"),
    "empty": lambda f: f.token({"alg": ""}),
    "null": lambda f: f.token({"alg": None}),
    "list": lambda f: f.token({"alg": ["ES256"]}),
}
CONFUSED = {
    "PEM": lambda f: f.hmac(f.key.as_pem(private=False)),
    "DER": lambda f: f.hmac(f.key.as_der(private=False)),
    "JWK": lambda f: f.hmac(json.dumps(f.key.as_dict(private=False)).encode()),
    "empty": lambda f: f.hmac(b""),
}
ALGORITHMS = {
    "ES384": lambda f: f.token({"alg": "ES384"}, ECKey.generate_key("P-384"), "ES384"),
    "RS256": lambda f: f.token({"alg": "RS256"}, RSAKey.generate_key(2048), "RS256"),
    "PS512": lambda f: f.token({"alg": "PS512"}, RSAKey.generate_key(2048), "PS512"),
    "EdDSA under the name of ours": lambda f: f.token({"alg": "EdDSA"}, OKPKey.generate_key("Ed25519"), "EdDSA"),
    "EdDSA said to be ES256": lambda f: f.token(None, OKPKey.generate_key("Ed25519"), "EdDSA"),
    "ES256 said to be EdDSA": lambda f: f.token({"alg": "EdDSA"}),
    "another key": lambda f: f.token(None, ECKey.generate_key("P-256")),
}
MEMBERS = {
    "jwk": lambda f: f.token({"jwk": f.key.as_dict(private=False)}),
    "jwk, its own": lambda f: f.token({"jwk": STRANGER.as_dict(private=False)}, STRANGER),
    "jku": lambda f: f.token({"jku": "https://evil.example/jwks.json"}),
    "x5u": lambda f: f.token({"x5u": "https://evil.example/cert.pem"}),
    "x5c": lambda f: f.token({"x5c": ["MIIB"]}),
    "crit": lambda f: f.token({"crit": ["exp"], "exp": 1}),
    "empty crit": lambda f: f.token({"crit": []}),
    "b64": lambda f: f.token({"b64": True, "crit": ["b64"]}),
    "zip": lambda f: f.token({"zip": "DEF"}),
    "cty": lambda f: f.token({"cty": "JWT"}),
    "unknown": lambda f: f.token({"colour": "red"}),
}
STRANGE_KIDS = ("", "nobody", "../../dev/null", "' OR 1=1 --", "https://evil.example", "x" * 10_000, 1, None, ["a"], {})
KIDS = {
    "missing": lambda f: f.without("kid"),
    **{f"{kid}"[:20]: with_header(kid=kid) for kid in STRANGE_KIDS},
    "of another kind": with_header(kid="internal-1"),
}
SHAPES = {
    "two parts": lambda f: f.token().rpartition(".")[0],
    "four parts": lambda f: f.token() + ".x",
    "five parts": lambda f: f.token() + ".x.y",
    "encrypted": lambda f: f.encrypted(),
    "padding": lambda f: f.token() + "=",
    "blank inside": lambda f: f.token().replace(".", ". ", 1),
    "no signature": lambda f: f.token().rpartition(".")[0] + ".",
    "zero signature": lambda f: f.token().rpartition(".")[0] + "." + "A" * 86,
    "signature in DER": lambda f: f.token()[:-20] + "A" * 20,
    "longer signature": lambda f: f.token() + "AAAA",
    "twice exp": lambda f: f.raw(payload=json.dumps(f.claims).encode()[:-1] + b', "exp": 9999999999}'),
    "twice alg": lambda f: f.raw(json.dumps(f.header).encode()[:-1] + b', "alg": "ES256"}'),
    "list": lambda f: f.raw(payload=b"[]"),
    "text": lambda f: f.raw(payload=b'"x"'),
    "null": lambda f: f.raw(payload=b"null"),
    "empty payload": lambda f: f.raw(payload=b""),
    "header a list": lambda f: f.raw(b"[]"),
    "not UTF-8": lambda f: f.raw(payload=b"\xff\xfe"),
    "BOM": lambda f: f.raw(payload=b"\xef\xbb\xbf" + json.dumps(f.claims).encode()),
    "deep": lambda f: f.raw(payload=b"[" * 4000),
    "200 kB": lambda f: f.token(more="x" * 200_000),
    "dots": text(".."),
    "nothing": text("x"),
}


def changed(**claims):
    return lambda f: f.token(**claims)


CLAIMS = {
    **{f"aud {aud!r}": changed(aud=aud) for aud in
       ("https://id.example.com", "https://id.example.com/v1/", "https://evil.example/v1", "", ..., None, 1,
        ["https://id.example.com/v1"], ["https://id.example.com/v1", "https://evil.example"])},
    **{f"iss {iss!r}": changed(iss=iss) for iss in
       ("https://ID.example.com", "https://id.example.com/", "http://id.example.com", "https://evil.example", ..., None,
        ["https://id.example.com"])},
    **{f"exp {exp!r}": changed(exp=exp) for exp in
       ("9999999999", True, -1, 0, 9999999999.5, ..., None, [9999999999], float("inf"), float("nan"))},
    "over": lambda f: f.token(exp=f.now),
    "not before a minute from now": lambda f: f.token(nbf=f.now + 60),
    "not before, as text": changed(nbf="0"),
    "issued a minute ahead": lambda f: f.token(iat=f.now + 60),
    "no iat": changed(iat=...),
    **{f"no {name}": changed(**{name: ...}) for name in ("jti", "sub", "client_id", "scope", "source")},
    **{f"empty {name}": changed(**{name: ""}) for name in ("jti", "sub", "client_id", "scope", "source")},
    "sub is another": changed(sub="cli_0000000000000000"),
    "scope is a list": changed(scope=["events:read"]),
}  # fmt: skip
OTHER_TYPES = (
    "JWT",
    "receipt+jwt",
    "logout+jwt",
    "client-authentication+jwt",
    "AT+JWT",
    "application/at+jwt",
    "",
    None,
    1,
)
TYPES = {"missing": lambda f: f.without("typ"), **{f"{typ}": with_header(typ=typ) for typ in OTHER_TYPES}}
FORGED = {
    f"{number} {name}": make
    for number, kind in (
        ("OAU-20", NONE), ("OAU-21", CONFUSED), ("OAU-22", ALGORITHMS), ("OAU-23", MEMBERS), ("OAU-24", KIDS),
        ("OAU-25", SHAPES), ("OAU-26", CLAIMS), ("OAU-27", TYPES),
    )
    for name, make in kind.items()
}  # fmt: skip


async def answers(service, token: str):
    """Ask an ordinary door and the one on the hot road."""
    headers = {"Authorization": f"Bearer {token}"}
    yield await service.http.get("/v1/events", headers=headers)
    yield await service.http.post("/v1/accounts/verifications", json={"user_ids": [USER_ID]}, headers=headers)


async def test_a_token_that_differs_in_nothing_passes(service, forge):
    """What the forged ones below are measured against."""
    good = forge.token(scope="events:read accounts:verify")
    assert [answer.status_code async for answer in answers(service, good)] == [200, 200]
    said = await service.http.post("/oauth/introspect", data={"token": good}, auth=tuple(forge.client))
    assert said.json()["active"] is True
    ahead = forge.token(nbf=forge.now + 20, iat=forge.now + 20)
    assert (await service.http.get("/v1/events", headers={"Authorization": f"Bearer {ahead}"})).status_code == 200


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_token_opens_nothing(service, forge, make):
    """OAU-20 … OAU-27, ASVS 11.2.5: 401 at every door, the same for each reason, also where we are asked about it."""
    token = make(forge)
    async for answer in answers(service, token):
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert answer.json()["detail"] == "The access token is invalid, expired or revoked; request a new one."
    if len(token) < 60_000:
        said = await service.http.post("/oauth/introspect", data={"token": token}, auth=tuple(forge.client))
        assert said.content == b'{"active":false}'
