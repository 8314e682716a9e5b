"""What a response may say: each field that is wrong, each key and attestation that we do not take."""

import importlib
import json
import secrets
from types import SimpleNamespace

import cbor2
import pytest
import webauthn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity_service.keys.encoding import base64url_encode
from identity_service.passkeys import responses, rules
from identity_service.passkeys.responses import Malformed
from tests.conftest import BASE
from tests.passkeys.given import AT, BE, BS, ED, EDDSA, ES256, RS256, UP, UV, Authenticator, Key

OURS = SimpleNamespace(issuer=BASE)
CHALLENGE = secrets.token_bytes(32)
ASKED = {"challenge": base64url_encode(CHALLENGE), "user": {"id": base64url_encode(secrets.token_bytes(64))}}
TO_CREATE, TO_GET = "webauthn.create", "webauthn.get"


def register(device: Authenticator | None = None, **changed) -> responses.NewCredential:
    return responses.read_new(OURS, json.dumps((device or Authenticator()).create(ASKED, **changed)), CHALLENGE)


def sign_in(device: Authenticator | None = None, **changed) -> responses.Assertion:
    device = device or Authenticator()
    text = json.dumps(device.get(ASKED, **changed))
    responses.read_claimed(text)
    return responses.check_assertion(OURS, text, CHALLENGE, cbor2.dumps(device.key.cose))


@pytest.mark.parametrize("alg", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("fmt", ["none", "packed"])
def test_three_algorithms_register_and_sign_in(alg, fmt):
    """PKY-02, PKY-11: ES256, EdDSA and RS256, with no attestation or a signature by the key itself."""
    device = Authenticator(alg, counter=6)
    made = register(device, fmt=fmt)
    assert (made.credential_id, made.sign_count, made.verified) == (device.credential_id, 7, True)
    assert (made.backup_eligible, made.backed_up, made.transports) == (True, True, ["hybrid", "internal"])
    text = json.dumps(device.get(ASKED, flags=UP | BE))
    assert responses.check_assertion(OURS, text, CHALLENGE, made.public_key) == (False, 8, True, False)


WRONG = {
    "type": {"said": {"type": "webauthn.other"}},
    "type of a payment": {"said": {"type": "payment.get"}},
    "challenge": {"said": {"challenge": base64url_encode(bytes(32))}},
    "challenge padded": {"said": {"challenge": f"{ASKED['challenge']}="}},
    "no challenge": {"said": {"challenge": None}},
    "origin": {"said": {"origin": "https://evil.example"}},
    "origin by http": {"said": {"origin": BASE.replace("https", "http")}},
    "origin with a port": {"said": {"origin": f"{BASE}:443"}},
    "origin below": {"said": {"origin": "https://shop.id.example.com"}},
    "origin that begins like ours": {"said": {"origin": f"{BASE}.evil.example"}},
    "origin with a slash": {"said": {"origin": f"{BASE}/"}},
    "crossOrigin": {"said": {"crossOrigin": True}},
    "crossOrigin as text": {"said": {"crossOrigin": "false"}},
    "topOrigin": {"said": {"topOrigin": BASE}},
    "topOrigin null": {"said": {"topOrigin": None}},
    "RP ID": {"rp_id": "evil.example"},
    "RP ID above": {"rp_id": "example.com"},
    "not present": {"flags": UV},
    "BS without BE": {"flags": UP | UV | BS},
    "id is not rawId": {"credential": {"id": "AAAA"}},
    "credential type": {"credential": {"type": "password"}},
    "no response": {"credential": {"response": []}},
    "client data in UTF-16": {"client_data": json.dumps({"origin": BASE}).encode("utf-16")},
    "client data a list": {"client_data": b"[]"},
    "client data nested": {"client_data": b"[" * 9000},
    "client data of long numbers": {"client_data": b'{"challenge":' + b"9" * 5000 + b"}"},
    "padded": {"response": {"clientDataJSON": "e30="}},
    "with a blank": {"response": {"clientDataJSON": "e3 0"}},
    "of another alphabet": {"response": {"clientDataJSON": "++//"}},
    "left over": {"extensions": b"\x00"},
    "extensions that are none": {"flags": UP | UV | ED, "extensions": b"\xff"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_each_wrong_field_is_refused(wrong):
    """PKY-02, PKY-10, PKY-12: at a registration, and at a sign-in with a good signature over it."""
    with pytest.raises(Malformed):
        register(**WRONG[wrong])
    with pytest.raises(Malformed):
        sign_in(**WRONG[wrong])


@pytest.mark.parametrize(
    "other", [ASKED["challenge"][:-1] + "_", ASKED["challenge"] + "A"], ids=["another last character", "one more"]
)
def test_only_one_spelling_of_a_challenge_is_right(other):
    """PKY-12: base64url that decodes to the same bytes, or nearly, is another text."""
    with pytest.raises(Malformed):
        sign_in(said={"challenge": other})


@pytest.mark.parametrize("spelling", ["{}=", "{}==", " {}", "{}\n", "!{}", "{}*"])
@pytest.mark.parametrize("read", ["register", "sign_in"])
def test_base64url_is_strict(read, spelling):
    """PKY-12: a good response is refused in any other spelling of any of its fields; a lax decoder reads over signs."""
    device = Authenticator()
    good = device.create(ASKED) if read == "register" else device.get(ASKED)
    for name in ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"):
        if name in good["response"]:
            other = spelling.format(good["response"][name])
            text = json.dumps({**good, "response": {**good["response"], name: other}})
            with pytest.raises(Malformed):
                responses.read_new(OURS, text, CHALLENGE) if read == "register" else responses.read_claimed(text)


def test_a_field_that_stands_twice_is_refused():
    """PKY-12: two readers of the same response never see different ones."""
    device = Authenticator()
    said = f'{{"type":"{TO_GET}","challenge":"{ASKED["challenge"]}","origin":"https://evil.example","origin":"{BASE}"}}'
    with pytest.raises(Malformed):
        sign_in(device, client_data=said.encode())
    text = json.dumps(device.get(ASKED))
    with pytest.raises(Malformed):
        responses.read_claimed(text.replace('"type"', '"id": "AAAA", "type"', 1))


def test_ceremonies_do_not_stand_for_each_other():
    """PKY-01, PKY-02: a registration is no sign-in and the other way round, with the same challenge too."""
    with pytest.raises(Malformed):
        sign_in(said={"type": TO_CREATE})
    with pytest.raises(Malformed):
        register(said={"type": TO_GET})


def test_a_wrong_signature_is_refused():
    """PKY-04: of another key, of another text, cut off, empty."""
    for changed in ({"signer": Key()}, {"signature": b""}, {"signature": b"0" * 70}, {"signer": Key(EDDSA)}):
        with pytest.raises(Malformed):
            sign_in(**changed)
    device = Authenticator()
    good = device.get(ASKED)
    good["response"]["authenticatorData"] = device.get(ASKED, flags=UP)["response"]["authenticatorData"]
    with pytest.raises(Malformed):
        responses.check_assertion(OURS, json.dumps(good), CHALLENGE, cbor2.dumps(device.key.cose))


KEYS = {
    "ES384": Key(-35, ec.SECP384R1()).cose,
    "ES256K": {**Key().cose, 3: -47, -1: 8},
    "PS256": {**Key(RS256).cose, 3: -37},
    "RS1": {**Key(RS256).cose, 3: -65535},
    "none": {**Key().cose, 3: 0},
    "P-384 as ES256": Key(ES256, ec.SECP384R1()).cose,
    "P-521 as ES256": Key(ES256, ec.SECP521R1()).cose,
    "off the curve": {**Key().cose, -3: bytes(31) + b"\x01"},
    "RSA as ES256": {**Key(RS256).cose, 3: ES256},
    "EC as RS256": {**Key().cose, 3: RS256},
    "EC as EdDSA": {**Key().cose, 3: EDDSA},
    "Ed448": {**Key(EDDSA).cose, -1: 7, -2: bytes(57)},
    "RSA of 1024": Key(RS256, private=rsa.generate_private_key(65537, 1024)).cose,
    "RSA filled up": {**Key(RS256).cose, -1: bytes(200) + b"\x01" * 100},
    "RSA with the exponent 1": {**Key(RS256).cose, -2: b"\x01"},
    "no type": {3: ES256},
    "an integer": 4,
    "an empty map": {},
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_could_not_sign_in_is_not_registered(key):
    """PKY-02: algorithms that we do not offer, and keys that are not of the algorithm that they name."""
    with pytest.raises(Malformed):
        register(cose=KEYS[key])


SELF = {"alg": ES256, "sig": b"0" * 70}
CERTIFICATE = [b"\x30\x82\xff\xff" + b"0" * 4000]
ATTESTATIONS = {
    "tpm": ("tpm", {"ver": "2.0", "alg": -65535, "sig": b"0", "x5c": CERTIFICATE, "certInfo": b"", "pubArea": b""}),
    "android-key": ("android-key", {**SELF, "x5c": CERTIFICATE}),
    "android-safetynet": ("android-safetynet", {"ver": "1", "response": b"a.b.c"}),
    "fido-u2f": ("fido-u2f", {"sig": b"0", "x5c": CERTIFICATE}),
    "apple": ("apple", {"x5c": CERTIFICATE}),
    "packed with a certificate": ("packed", {**SELF, "x5c": CERTIFICATE}),
    "packed with a thousand": ("packed", {**SELF, "x5c": CERTIFICATE * 1000}),
    "packed with none of them": ("packed", {**SELF, "x5c": []}),
    "packed without a signature": ("packed", {}),
    "packed of another algorithm": ("packed", {**SELF, "alg": EDDSA}),
    "packed with a wrong signature": ("packed", SELF),
    "none with a certificate": ("none", {"x5c": CERTIFICATE}),
    "none with more": ("none", {"more": 1}),
    "a list": ("none", []),
    "unknown": ("compound", [{"fmt": "none", "attStmt": {}}]),
    "no name": (None, {}),
    "a name that has no hash": ({}, {}),
}


@pytest.mark.parametrize("name", ATTESTATIONS)
def test_no_certificate_of_a_stranger_is_parsed(monkeypatch, name):
    """PKY-11: refused before any certificate is looked at."""

    def parsed(*given, **more):
        pytest.fail("a certificate was parsed")

    for parser in ("load_der_x509_certificate", "load_pem_x509_certificate"):
        monkeypatch.setattr(x509, parser, parsed)
    for fmt in ("packed", "tpm", "android_key", "fido_u2f", "apple", "android_safetynet"):
        module = importlib.import_module(f"webauthn.registration.formats.{fmt}")
        monkeypatch.setattr(module, "validate_certificate_chain", parsed)
    fmt, statement = ATTESTATIONS[name]
    with pytest.raises(Malformed):
        register(fmt=fmt, statement=statement)


def _nested(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


BOMBS = {
    "deep": _nested(8000),
    "endless": b"\x9f" * 4000,
    "a long array": b"\x9b\x7f" + b"\xff" * 7,
    "a long text": b"\x7b\x7f" + b"\xff" * 7,
    "a long map": b"\xbb\x00\x00\x00\x7f\xff\xff\xff\xff",
    "a shared value in itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a large exponent": b"\xc5\x82\x1b\x00\x00\x00\x7f\xff\xff\xff\xff\x01",
    "a large decimal": b"\xc4\x82\x1b\x00\x00\x00\x7f\xff\xff\xff\xff\x01",
    "a fraction by zero": b"\xd8\x1e\x82\x01\x00",
    "an expression": b"\xd8\x23" + cbor2.dumps("(a{1,65535}){1,65535}"),
    "a set": b"\xd9\x01\x02\x81\x80",
    "a key twice": b"\xa2\x63fmt\x64none\x63fmt\x64none",
    "nothing": b"",
    "cut off": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": bytes(40)})[:-1],
    "more behind": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": bytes(40)}) + b"\x00",
}


WELL_FORMED = ("a large decimal", "an expression", "a set")


@pytest.mark.parametrize("bomb", BOMBS)
def test_cbor_is_bounded(bomb):
    """PKY-12: what a parser chokes on is refused, as the attestation, as a key, and as an extension, of which only the
    form counts, for we ask for none."""
    device = Authenticator()
    attested = bytes(16) + b"\x00\x20" + device.credential_id
    for changed in ({"attestation": BOMBS[bomb]}, {"attested": attested + BOMBS[bomb]}):
        with pytest.raises(Malformed):
            register(device, **changed)
    extended = {"flags": UP | UV | ED, "extensions": BOMBS[bomb]}
    for read in (register, sign_in):
        if bomb in WELL_FORMED:
            assert read(**extended).verified
        else:
            with pytest.raises(Malformed):
                read(**extended)


@pytest.mark.parametrize("length", [0, rules.LONGEST_ID + 1, 3000])
def test_the_id_of_a_credential_has_a_length(length):
    """PKY-12: WebAuthn allows 1,023 bytes; an index of the database takes no 3,000."""
    with pytest.raises(Malformed):
        register(credential_id=secrets.token_bytes(length))
    assert len(register(credential_id=secrets.token_bytes(rules.LONGEST_ID)).credential_id) == rules.LONGEST_ID


@pytest.mark.parametrize("flags", [UP | UV, UP | UV | AT])
def test_a_registration_without_a_key_is_refused(flags):
    """PKY-12."""
    with pytest.raises(Malformed):
        register(attested=b"", flags=flags)


def test_success_is_what_the_library_returns(monkeypatch):
    """PKY-04 (Yubico CVE-2026-46419): a library that returns nothing has proven nothing, error or not."""
    for name in ("verify_registration_response", "verify_authentication_response"):
        monkeypatch.setattr(webauthn, name, lambda **_: None)
    with pytest.raises(Malformed):
        register()
    with pytest.raises(Malformed):
        sign_in()
