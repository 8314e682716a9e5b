"""One function verifies an access token; here every header it must refuse is forged by hand, and every wrong key.

Each forgery carries a signature that is right wherever it can be, so that only the rule under test can refuse it.
"""

import ast
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from identity_service.keys import encoding, signing
from identity_service.keys.signing import InvalidToken, verify
from tests.forging import (
    AT,
    CLAIMS,
    DER,
    ED,
    HEADER,
    JSON,
    KEYS,
    MISFITS,
    P256,
    P384,
    RSA,
    SAID,
    STRANGER,
    es,
    forge,
    hs,
    pss,
    public,
    read,
    refuse,
    without,
)
from tests.source import modules, with_planted


def uses_of_the_library(modules) -> set[tuple[str, str]]:
    """Where the package signs, or reads what is signed, and by which function."""
    named = (
        (module.name, alias.name)
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("joserfc", "authlib.jose"))
        for alias in node.names
        if alias.name in ("jws", "jwt", "jwe") or alias.name.endswith(("compact", "decode"))
    )
    called = (
        (module.name, ast.unparse(call.func))
        for module in modules
        for call in module.calls()
        if ast.unparse(call.func).startswith(("jws.", "jwt.", "jwe."))
    )
    return {*named, *called}


ALLOWED = {("keys.signing", name) for name in ("jws", "jwt", "jws.deserialize_compact", "jwt.encode")}


def test_signatures_are_checked_in_one_place_and_never_decoded_by_the_library_alone():
    """FACT-10: its `jwt.decode` takes expired tokens and looks at no type."""
    assert uses_of_the_library(modules()) == ALLOWED
    planted = with_planted("merges/new.py", "from joserfc import jwt\nclaims = jwt.decode(token, key).claims\n")
    assert uses_of_the_library(planted) - ALLOWED == {("merges.new", "jwt"), ("merges.new", "jwt.decode")}


def test_what_is_forged_here_is_right_before_it_is_bent():
    """OAU-20 to OAU-27: else the refusals below would prove nothing."""
    assert read(forge()) == SAID
    assert read(forge({"alg": "EdDSA", "kid": "ed", "typ": "at+jwt"}, sign=ED.sign)) == SAID
    assert read(forge(dict(reversed(HEADER.items())), {**CLAIMS, "nbf": AT, "more": [1]})) == SAID


@pytest.mark.parametrize("kind", ["ES256", "EdDSA"])
def test_what_we_sign_we_accept_and_its_header_has_three_members(kind):
    """OAU-12, OAU-22, OAU-23."""
    key = ECKey.generate_key("P-256") if kind == "ES256" else OKPKey.generate_key("Ed25519")
    key.ensure_kid()
    token = signing.sign(CLAIMS, key, typ="at+jwt")
    assert json.loads(encoding.base64url_decode(token.split(".")[0])) == {"alg": kind, "kid": key.kid, "typ": "at+jwt"}
    assert read(token, {key.kid: key}) == SAID
    refuse(token, {key.kid: KEYS["p256"]})


@pytest.mark.parametrize("alg", ["none", "None", "NoNe", "", "es256", "ES256 ", None, 0, [], ["ES256"], {"a": 1}])
def test_no_algorithm_is_no_algorithm(alg):
    """OAU-20: with no signature, and with a right one."""
    header = {**HEADER, "alg": alg}
    refuse(forge(header))
    refuse(forge(header, sign=lambda _: b""))


def test_a_missing_algorithm_is_refused():
    """OAU-20."""
    refuse(forge(without("alg", HEADER)))
    refuse(forge(without("alg", HEADER), sign=lambda _: b""))


SECRETS = {
    "PEM": public(P256),
    "PEM without its last line feed": public(P256).strip(),
    "DER": public(P256, DER),
    "JWK": json.dumps(KEYS["p256"].as_dict(private=False)).encode(),
    "JWK, sorted": json.dumps(KEYS["p256"].as_dict(private=False), sort_keys=True, separators=(",", ":")).encode(),
    "point": P256.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
    "kid": b"p256",
    "nothing": b"",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("alg", ["HS256", "hs256", "ES256"])
def test_the_public_key_is_nobodys_secret(secret, alg):
    """OAU-21."""
    refuse(forge({**HEADER, "alg": alg}, sign=hs(secret)))


UNLISTED = {
    "ES384": ("ES384", "p384", es(P384, hashes.SHA384())),
    "ES384 called ES256": ("ES256", "p384", es(P384)),
    "RS256": ("RS256", "rsa", lambda message: RSA.sign(message, padding.PKCS1v15(), hashes.SHA256())),
    "PS512": ("PS512", "rsa", pss),
    "RS256 called EdDSA": ("EdDSA", "rsa", lambda message: RSA.sign(message, padding.PKCS1v15(), hashes.SHA256())),
    "EdDSA by the name of RFC 9864": ("Ed25519", "ed", ED.sign),
    "EdDSA under a P-256 key": ("EdDSA", "p256", ED.sign),
    "ES256 under an Ed25519 key": ("ES256", "ed", es(P256)),
    "ES512": ("ES512", "p256", es(P256, hashes.SHA512())),
    "ES256K": ("ES256K", "p256", es(P256)),
}


@pytest.mark.parametrize(("alg", "kid", "sign"), UNLISTED.values(), ids=UNLISTED)
def test_an_algorithm_off_the_list_is_refused_though_a_key_fits(alg, kid, sign):
    """OAU-22."""
    refuse(forge({**HEADER, "alg": alg, "kid": kid}, sign=sign), MISFITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", KEYS["p256"].as_dict(private=False)),
        ("jku", "https://id.example.com/oauth/jwks.json"),
        ("x5u", "https://id.example.com/cert.pem"),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("crit", []),
        ("crit", ["exp"]),
        ("b64", True),
        ("b64", False),
        ("zip", "DEF"),
        ("cty", "JWT"),
        ("enc", "A256GCM"),
        ("nonce", "1"),
        ("", ""),
        ("ALG", "ES256"),
    ],
)
def test_a_header_with_another_member_is_refused(name, value):
    """OAU-23: the signature is ours; what we sign has three members."""
    refuse(forge({**HEADER, name: value}))


def test_a_key_that_comes_with_the_token_verifies_nothing():
    """OAU-23."""
    own = ECKey.import_key(public(STRANGER)).as_dict(private=False)
    refuse(forge({**HEADER, "jwk": own}, sign=es(STRANGER)))
    refuse(forge(sign=es(STRANGER)))


KIDS = {
    "unknown": "other",
    "path": "../../dev/null",
    "SQL": "' OR 1=1 --",
    "address": "https://evil.example/jwks.json",
    "four kilobytes": "k" * 4_000,
    "ten kilobytes": "k" * 10_000,
    "another key's": "ed",
    "case": "P256",
    "blank behind": "p256 ",
    "NUL behind": "p256\0",
    "empty": "",
    "null": None,
    "number": 0,
    "list": ["p256"],
    "object": {"p256": 1},
}


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS)
def test_a_kid_that_is_not_the_signers_is_refused(kid):
    """OAU-24: it is looked up in a mapping and nowhere else."""
    refuse(forge({**HEADER, "kid": kid}))
    refuse(forge({**HEADER, "kid": kid}), {**KEYS, "": KEYS["ed"]})


def test_a_missing_kid_is_refused_also_when_there_is_one_key():
    """OAU-24."""
    refuse(forge(without("kid", HEADER)), {"p256": KEYS["p256"]})
    refuse(forge(without("kid", HEADER)), {"": KEYS["p256"]})
    refuse(forge(), {})


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "AT+JWT", "at+jwt ", "application/at+jwt", "receipt+jwt", "logout+jwt", "secevent+jwt", "id_token",
     "client-authentication+jwt", "dpop+jwt", "", None, 1, ["at+jwt"], {"at+jwt": 1}],
    ids=str,
)  # fmt: skip
def test_a_token_of_another_type_is_no_access_token(typ):
    """OAU-27, RCP-04."""
    refuse(forge({**HEADER, "typ": typ}))


def test_a_token_without_a_type_is_no_access_token():
    """OAU-27, FACT-11."""
    refuse(forge(without("typ", HEADER)))


def test_a_type_is_bound_both_ways():
    """OAU-27: an access token is nothing else either."""
    receipt = forge({**HEADER, "typ": "receipt+jwt"})
    assert verify(receipt, KEYS, typ="receipt+jwt") == CLAIMS
    for token, typ in ((forge(), "receipt+jwt"), (receipt, "at+jwt"), (forge(), ""), (forge(), "JWT")):
        with pytest.raises(InvalidToken):
            verify(token, KEYS, typ=typ)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*HEADER, "other"]), JSON)
def test_no_header_but_the_right_one_is_accepted(name, value):
    """FACT-10, OAU-20, OAU-22, OAU-23, OAU-24, OAU-27."""
    header = {**HEADER, name: value}
    if header != HEADER:
        refuse(forge(header))
