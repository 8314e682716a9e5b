"""An authenticator in software, whose every field can be changed, and a browser that has one."""

import hashlib
import json
import re
import secrets
from typing import Any, NamedTuple

import cbor2
import httpx2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from identity_service.keys.encoding import base64url_decode, base64url_encode
from tests.browser import Browser
from tests.conftest import BASE, Service
from tests.resets.given import ANNA, a_browser, a_password, forget_limits, sign_in

RP_ID = BASE.removeprefix("https://")
UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
USUAL = UP | UV | BE | BS
ES256, EDDSA, RS256 = -7, -8, -257
ME, SIGN_IN, NEW = "/me/passkeys", "/passkeys/sign-in", "/passkeys/new"
CANNOT_SIGN_IN = "sign you in with this passkey."
CANNOT_ADD = "add this passkey. Try again."
_RSA = rsa.generate_private_key(65537, 2048)


def _bytes_of(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


class Key:
    """A private key of an algorithm of COSE (RFC 9053), and its public half as an authenticator writes it."""

    def __init__(self, alg: int = ES256, curve: ec.EllipticCurve | None = None, private: Any = None) -> None:
        made = {
            ES256: lambda: ec.generate_private_key(curve or ec.SECP256R1()), RS256: lambda: _RSA,
            EDDSA: ed25519.Ed25519PrivateKey.generate,
        }  # fmt: skip
        self.alg, self.private = alg, private or made.get(alg, made[ES256])()

    @property
    def cose(self) -> dict[int, Any]:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {1: 3, 3: self.alg, -1: _bytes_of(numbers.n), -2: _bytes_of(numbers.e)}
        if isinstance(public, ed25519.Ed25519PublicKey):
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {1: 1, 3: self.alg, -1: 6, -2: raw}
        numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
        curve = {"secp256r1": 1, "secp384r1": 2, "secp521r1": 3}[public.curve.name]
        return {1: 2, 3: self.alg, -1: curve, -2: numbers.x.to_bytes(size, "big"), -3: numbers.y.to_bytes(size, "big")}

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


class Authenticator:
    """A device with one key. `counter` None: it counts nothing. What is given to `create` and `get` changes a field."""

    def __init__(self, alg: int = ES256, *, flags: int = USUAL, counter: int | None = None, key: Key | None = None):
        self.key, self.flags, self.counter = key or Key(alg), flags, counter
        self.credential_id, self.handle = secrets.token_bytes(32), b""

    def create(self, options: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """The response to `navigator.credentials.create()`, as our script sends it."""
        self.handle = base64url_decode(options["user"]["id"])
        client_data = _client_data("webauthn.create", options, changed)
        credential_id, cose = changed.get("credential_id", self.credential_id), changed.get("cose", self.key.cose)
        attested = bytes(16) + len(credential_id).to_bytes(2, "big") + credential_id + cbor2.dumps(cose)
        data = self._data(changed, AT) + changed.get("attested", attested) + changed.get("extensions", b"")
        fmt = changed.get("fmt", "none")
        if "statement" in changed:
            statement = changed["statement"]
        elif fmt == "packed":
            signed = data + hashlib.sha256(client_data).digest()
            statement = {"alg": self.key.alg, "sig": changed.get("signer", self.key).sign(signed)}
        else:
            statement = {}
        whole = {"fmt": fmt, "attStmt": statement, "authData": data, **changed.get("whole", {})}
        response = {
            "clientDataJSON": base64url_encode(client_data), "transports": ["internal", "hybrid", "smoke-signals"],
            "attestationObject": base64url_encode(changed.get("attestation", cbor2.dumps(whole))),
        }  # fmt: skip
        return self._whole({**response, **changed.get("response", {})}, changed)

    def get(self, options: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """The response to `navigator.credentials.get()`."""
        client_data = _client_data("webauthn.get", options, changed)
        data = self._data(changed, 0) + changed.get("extensions", b"")
        signature = changed.get("signer", self.key).sign(data + hashlib.sha256(client_data).digest())
        response = {
            "clientDataJSON": base64url_encode(client_data), "authenticatorData": base64url_encode(data),
            "signature": base64url_encode(changed.get("signature", signature)),
            "userHandle": base64url_encode(changed.get("handle", self.handle)),
        }  # fmt: skip
        return self._whole({**response, **changed.get("response", {})}, changed)

    def _whole(self, response: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
        name = base64url_encode(changed.get("credential_id", self.credential_id))
        whole = {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
        return {**whole, **changed.get("credential", {})}

    def _data(self, changed: dict[str, Any], more: int) -> bytes:
        if self.counter is not None:
            self.counter += 1
        counter = changed.get("counter", self.counter or 0)
        flags = changed.get("flags", self.flags) | more
        return hashlib.sha256(changed.get("rp_id", RP_ID).encode()).digest() + bytes([flags]) + counter.to_bytes(4)


def _client_data(kind: str, options: dict[str, Any], changed: dict[str, Any]) -> bytes:
    said = {"type": kind, "challenge": options["challenge"], "origin": BASE, "crossOrigin": False}
    return changed.get("client_data") or json.dumps({**said, **changed.get("said", {})}).encode()


class Begun(NamedTuple):
    """What the server asked a browser's script for, and the token of the form that it answers with."""

    ceremony: str
    options: dict[str, Any]
    token: str


def token_of(browser: Browser) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]


async def begin(browser: Browser, path: str, page: str | None = None, **fields: str) -> Begun:
    """Open the page whose script asks, and let it ask."""
    if page is not None:
        await browser.open(page)
    token = token_of(browser)
    answer = await browser.http.post(f"{path}/options", data={"form_token": token, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return Begun(answer.json()["ceremony"], answer.json()["options"], token)


async def answer(browser: Browser, path: str, begun: Begun, response: Any, **fields: str) -> httpx2.Response:
    """Send the form on with the response, and stay at the answer. `response` is JSON, or text as it is."""
    text = response if isinstance(response, str) else json.dumps(response)
    form = {"form_token": begun.token, "ceremony": begun.ceremony, "response": text, **fields}
    return await browser.http.post(path, data=form, follow_redirects=False)


async def enrol(browser: Browser, device: Authenticator | None = None, name: str = "", **changed: Any) -> Authenticator:
    """Add a passkey at /me/passkeys; it has to work."""
    device = device or Authenticator()
    begun = await begin(browser, ME, ME)
    done = await answer(browser, ME, begun, device.create(begun.options, **changed), name=name)
    assert (done.status_code, done.headers.get("location")) == (303, f"{ME}?saved=added#saved"), done.text
    return device


async def use(browser: Browser, device: Authenticator, **changed: Any) -> httpx2.Response:
    """Sign in with a passkey; the answer."""
    begun = await begin(browser, SIGN_IN, "/signin")
    return await answer(browser, SIGN_IN, begun, device.get(begun.options, **changed))


async def fits(service: Service, device: Authenticator, **changed: Any) -> bool:
    """Whether a passkey signs in, in a browser of its own."""
    done = await use(a_browser(service, "198.51.100.77"), device, **changed)
    assert done.status_code in (303, 422), done.text
    return done.status_code == 303


async def with_a_password(service: Service, caller, address: str = ANNA) -> tuple[str, Browser]:
    """A customer with a password, and the browser that they have just signed in with."""
    user_id = await a_password(service, caller, address)
    browser = a_browser(service)
    await sign_in(browser, address)
    await forget_limits(service)
    return user_id, browser


async def newly_issued(service: Service, source: str = "198.51.100.9") -> tuple[str, Browser, str]:
    """Somebody without an address: the User ID, the browser at its page, and the sealed field of that."""
    browser = a_browser(service, source)
    await browser.open("/")
    await browser.send("/without-email")
    user_id = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", browser.text)
    return user_id[0] if user_id else "", browser, re.search(r'name="account" value="([^"]+)"', browser.page.text)[1]


async def without_address(service: Service, source: str = "198.51.100.9", **given: Any):
    """Somebody of a User ID and a passkey: the User ID, the browser, the device."""
    user_id, browser, sealed = await newly_issued(service, source)
    device = Authenticator(**given)
    begun = await begin(browser, NEW, account=sealed)
    done = await answer(browser, NEW, begun, device.create(begun.options), account=sealed)
    assert (done.status_code, done.headers.get("location")) == (303, "/me"), done.text
    service.clock.advance(seconds=1)
    return user_id, browser, device


async def method(service: Service) -> str:
    """How the newest session was begun."""
    return (await service.rows("SELECT method FROM sign_in_session ORDER BY created_at DESC LIMIT 1"))[0][0]


async def event_names(service: Service, like: str = "passkey.%") -> list[str]:
    return [name for (name,) in await service.rows("SELECT name FROM event WHERE name LIKE :n ORDER BY id", n=like)]


async def passkey_ids(service: Service) -> list[str]:
    return [str(name) for (name,) in await service.rows("SELECT id FROM passkey ORDER BY created_at, id")]


async def remove(browser: Browser, passkey_id: str) -> httpx2.Response:
    """Press the button that removes a passkey, on the page in front of us."""
    form = {"form_token": token_of(browser)}
    return await browser.http.post(f"{ME}/{passkey_id}/remove", data=form, follow_redirects=False)
