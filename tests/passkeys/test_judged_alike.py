"""Two hundred responses, changed at random places, judged by us and by another implementation."""

import asyncio
import base64
import copy
import json
import random
import secrets
import shutil
from pathlib import Path
from types import SimpleNamespace

import cbor2
import pytest

from identity_service.keys.encoding import base64url_encode
from identity_service.passkeys import responses
from identity_service.passkeys.responses import Malformed
from tests.conftest import BASE
from tests.passkeys.given import (
    CANNOT_ADD,
    CANNOT_SIGN_IN,
    EDDSA,
    ES256,
    ME,
    RP_ID,
    RS256,
    SIGN_IN,
    Authenticator,
    begin,
    enrol,
    with_a_password,
)
from tests.passkeys.given import answer as answer_with
from tests.resets.given import a_browser, forget_limits

NODE = Path(__file__).parent.parent / "node"
OURS = SimpleNamespace(issuer=BASE)
CHALLENGE = secrets.token_bytes(32)
ASKED = {"challenge": base64url_encode(CHALLENGE), "user": {"id": base64url_encode(secrets.token_bytes(64))}}
FIELDS = {
    "register": ("clientDataJSON", "attestationObject"), "sign_in": ("clientDataJSON", "authenticatorData", "signature")
}  # fmt: skip
SPECIAL = {
    "type": [{"said": {"type": "webauthn.get"}}, {"said": {"type": "webauthn.create"}}],
    "challenge": [{"said": {"challenge": "AAAA"}}],
    "origin": [{"said": {"origin": "https://evil.example"}}, {"said": {"origin": f"{BASE}/"}}],
    "RP ID": [{"rp_id": "evil.example"}],
    "flags": [{"flags": number} for number in (0, 1, 4, 5, 9, 13, 16, 17, 25, 29)],
    "statement": [{"statement": {"sig": b"0"}}, {"fmt": "packed"}, {"fmt": "packed", "statement": {"alg": -7}}],
    "id": [{"credential": {"id": "AAAA"}}, {"credential": {"type": "other"}}],
}


def changed(number: int) -> tuple[str, dict, Authenticator]:
    """One response: as it is, with a field changed and signed over, or with bytes turned over or cut off."""
    chosen = random.Random(number)
    kind, device = chosen.choice(list(FIELDS)), Authenticator(chosen.choice([ES256, EDDSA, RS256]), counter=number)
    make = device.create if kind == "register" else device.get
    how = chosen.choice(["not", "special", "turned", "cut"])
    given = chosen.choice(chosen.choice(list(SPECIAL.values()))) if how == "special" else {}
    response = make(ASKED, **given)
    if how in ("turned", "cut"):
        field = chosen.choice(FIELDS[kind])
        text = response["response"][field]
        raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        place = chosen.randrange(len(raw))
        if how == "turned":
            raw[place] ^= 1 << chosen.randrange(8)
        else:
            del raw[place:]
        response["response"][field] = base64url_encode(bytes(raw))
    return kind, response, device


def ours(kind: str, response: dict, device: Authenticator) -> bool | None:
    """Our verdict; None for a new key that is no point of its curve, which others notice at the first sign-in."""
    text = json.dumps(response)
    try:
        if kind == "register":
            responses.read_new(OURS, text, CHALLENGE)
        else:
            responses.read_claimed(text)
            responses.check_assertion(OURS, text, CHALLENGE, cbor2.dumps(device.key.cose))
    except Malformed as refused:
        return None if "not on the curve" in str(refused.__cause__) else False
    return True


async def theirs(asked: list[tuple[str, dict, Authenticator]]) -> list[bool]:
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "@simplewebauthn").is_dir():
        pytest.skip("Node and its package @simplewebauthn/server are missing: run `npm ci --prefix tests/node`")
    whole = [
        {"kind": kind, "challenge": ASKED["challenge"], "response": response,
         "publicKey": base64url_encode(cbor2.dumps(device.key.cose))}
        for kind, response, device in asked
    ]  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, NODE / "passkeys.mjs", stdin=pipe, stdout=pipe)
    given = {"origin": BASE, "rpId": RP_ID, "asked": whole}
    out, _ = await process.communicate(json.dumps(given).encode())
    return json.loads(out)


async def test_another_implementation_judges_the_same():
    """PKY-12: the verdict on 200 changed responses is that of @simplewebauthn/server, counters aside."""
    asked = [changed(number) for number in range(200)]
    mine = [ours(*one) for one in asked]
    pairs = enumerate(zip(mine, await theirs(asked), strict=True))
    assert [(number, one, other) for number, (one, other) in pairs if one not in (other, None)] == []
    assert mine.count(None) < 5
    assert 40 < mine.count(True) < 160


async def test_no_changed_response_is_an_internal_error(service, caller):
    """PKY-12: over HTTP each is refused in the usual words, and the passkey goes on working."""
    _, anna = await with_a_password(service, caller)
    device = await enrol(anna)
    browser, words = a_browser(service), {ME: CANNOT_ADD, SIGN_IN: CANNOT_SIGN_IN}
    await browser.open("/signin")
    await anna.open(ME)
    for number in range(40):
        chosen = random.Random(number)
        path = chosen.choice([ME, SIGN_IN])
        who = anna if path == ME else browser
        begun = await begin(who, path)
        made = Authenticator().create(begun.options) if path == ME else device.get(begun.options)
        done = await answer_with(who, path, begun, spoilt(json.dumps(made), chosen))
        assert (done.status_code, words[path] in done.text) == (422, True), number
        if not number % 10:
            await forget_limits(service)
    begun = await begin(browser, SIGN_IN)
    assert (await answer_with(browser, SIGN_IN, begun, device.get(begun.options))).status_code == 303


def spoilt(text: str, chosen: random.Random) -> str:
    """A response that is certainly none any more: without a member, cut off, with a value of another type."""
    whole = json.loads(text)
    how = chosen.choice(["cut", "missing", "type"])
    if how == "cut":
        return text[: chosen.randrange(len(text))]
    place = chosen.choice([whole, whole["response"]])
    needed = [name for name in copy.copy(list(place)) if name not in ("transports", "clientExtensionResults")]
    name = chosen.choice(needed)
    if how == "missing":
        del place[name]
    else:
        place[name] = chosen.choice([None, 7, [], {}, "\ud83d\ude00", "!" * 500])
    return json.dumps(whole)
