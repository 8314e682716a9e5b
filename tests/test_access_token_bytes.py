"""A right signature makes no access token: its very bytes must be such as we make, the one spelling of it."""

import base64
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service.keys.signing import InvalidToken, verify
from tests.forging import CLAIMS, ED, HEADER, JSON, KEYS, P256, SAID, es, forge, part, read, refuse

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256."""

GOOD = forge()
HEAD, BODY, SIGNATURE = GOOD.split(".")
SHAPES = {
    "nothing": "",
    "one part": HEAD,
    "two parts": f"{HEAD}.{BODY}",
    "no signature": f"{HEAD}.{BODY}.",
    "no payload": f"{HEAD}..{SIGNATURE}",
    "no header": f".{BODY}.{SIGNATURE}",
    "four parts": f"{GOOD}.",
    "four parts, again the signature": f"{GOOD}.{SIGNATURE}",
    "five parts, as a JWE": f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}",
    "a JWE in a JWS": forge(claims=f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}".encode()),
    "a JWS in a JWS": forge(claims=GOOD.encode()),
    "JSON serialisation": json.dumps({"protected": HEAD, "payload": BODY, "signature": SIGNATURE}),
    "padding": f"{HEAD}.{BODY}.{SIGNATURE}==",
    "padding of the header": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "blank in front": " " + GOOD,
    "blank behind": GOOD + " ",
    "line feed behind": GOOD + "\n",
    "CRLF inside": f"{HEAD}.{BODY[:20]}\r\n{BODY[20:]}.{SIGNATURE}",
    "tab inside": f"{HEAD}.{BODY}.\t{SIGNATURE}",
    "NUL behind": GOOD + "\0",
    "twice": GOOD + GOOD,
    "two with a comma": f"{GOOD},{GOOD}",
    "quoted": f'"{GOOD}"',
    "scheme": f"Bearer {GOOD}",
    "full-width dot": GOOD.replace(".", "\uff0e", 1),
    "a letter that is not ASCII": GOOD[:-1] + "é",
    "half a character": GOOD[:-1] + "\ud800",
    "200 kB": "a" * 200_000,
    "200 kB of dots": "." * 200_000,
    "200 kB of payload": forge(claims={**CLAIMS, "more": "x" * 200_000}),
    "8193 characters": GOOD + "A" * (8193 - len(GOOD)),
}


def test_what_is_bent_here_was_right_before():
    """OAU-25: else the refusals below would prove nothing."""
    assert read(GOOD) == SAID
    assert read(forge(claims=json.dumps(CLAIMS, indent=1).encode())) == SAID


@pytest.mark.parametrize("token", SHAPES.values(), ids=SHAPES)
def test_a_text_of_another_shape_is_refused(token):
    """OAU-25."""
    refuse(token)


PAYLOADS = {
    "a list": b"[1]",
    "a text": b'"x"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "nothing": b"",
    "blank": b" ",
    "no JSON": b"{",
    "more behind": json.dumps(CLAIMS).encode() + b"x",
    "two objects": json.dumps(CLAIMS).encode() * 2,
    "a claim twice": json.dumps(CLAIMS).encode()[:-1] + b', "aud": "x"}',
    "a claim twice, alike": json.dumps(CLAIMS).encode()[:-1] + b', "jti": "t1"}',
    "a claim twice, escaped": json.dumps(CLAIMS).encode()[:-1] + b', "\\u0061ud": "x"}',
    "a member twice, deep inside": json.dumps(CLAIMS).encode()[:-1] + b', "x": [{"a": 1, "a": 2}]}',
    "not UTF-8": json.dumps(CLAIMS).encode()[:-1] + b', "x": "\xff"}',
    "UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
    "deep": b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    "a deep list": b"[" * 5_000 + b"]" * 1_000,
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_that_is_no_plain_object_is_refused(payload):
    """OAU-25: duplicate members too, RFC 8725."""
    refuse(forge(claims=payload))


@pytest.mark.parametrize(
    "header",
    [p for n, p in PAYLOADS.items() if "claim" not in n and n not in ("more behind", "two objects", "UTF-16")]
    + [
        b'{"alg":"ES256","kid":"p256","typ":"at+jwt","typ":"at+jwt"}',
        b'{"alg":"none","alg":"ES256","kid":"p256","typ":"at+jwt"}',
        b'{"alg":"ES256","kid":"ed","\\u006bid":"p256","typ":"at+jwt"}',
        json.dumps(HEADER).encode("utf-16"),
    ],
    ids=lambda header: header[:40].decode("latin-1"),
)
def test_a_header_that_is_no_plain_object_is_refused(header):
    """OAU-25."""
    refuse(forge(header=header))


def number(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\0",
        bytes(64),
        bytes(63),
        bytes(65),
        number(0, 1),
        number(1, 0),
        number(1, 1),
        number(ORDER, ORDER),
        number(ORDER, 1),
        number(1, ORDER),
        number(ORDER - 1, ORDER - 1),
        b"\xff" * 64,
    ],
    ids=lambda signature: f"{len(signature)} {signature[:2].hex()}-{signature[-2:].hex()}",
)
def test_a_signature_of_nothing_is_refused(signature):
    """OAU-25: among them the zero of CVE-2022-21449."""
    refuse(forge(sign=lambda _: signature))
    refuse(forge({**HEADER, "alg": "EdDSA", "kid": "ed"}, sign=lambda _: signature))


def test_a_right_signature_in_another_form_is_refused():
    """OAU-25: with bytes behind or in front, cut, or of the whole text in another encoding."""
    right = es(P256)
    for bend in (
        lambda s: s + b"\0",
        lambda s: b"\0" + s,
        lambda s: s[:-1],
        lambda s: s[32:] + s[:32],
        lambda s: s * 2,
    ):
        refuse(forge(sign=lambda message, bend=bend: bend(right(message))))
        refuse(forge({**HEADER, "alg": "EdDSA", "kid": "ed"}, sign=lambda message, bend=bend: bend(ED.sign(message))))


def test_a_change_of_any_character_is_refused():
    """OAU-25: each place of the whole token, with another letter, a dot, a blank, and nothing."""
    for place, symbol in enumerate(GOOD):
        other = ALPHABET[(ALPHABET.find(symbol) + 1) % 64]
        for instead in (other, ".", " ", "", symbol + symbol):
            changed = GOOD[:place] + instead + GOOD[place + 1 :]
            if changed != GOOD:
                refuse(changed)


def test_bits_that_say_nothing_must_be_zero():
    """OAU-25: base64 may end in bits that decode to nothing; a second spelling of one token would slip past a
    revocation by its text."""
    for token in (GOOD, forge(claims={**CLAIMS, "x": "y"}), forge(claims={**CLAIMS, "x": "yz"})):
        parts = token.split(".")
        for index, text in enumerate(parts):
            twins = [text[:-1] + c for c in ALPHABET if len(text) % 4 and c != text[-1] and _same(text[:-1] + c, text)]
            for twin in twins:
                refuse(".".join([*parts[:index], twin, *parts[index + 1 :]]))
    assert len([c for c in ALPHABET if _same(SIGNATURE[:-1] + c, SIGNATURE)]) == 16


def _same(one: str, other: str) -> bool:
    return base64.urlsafe_b64decode(one + "==") == base64.urlsafe_b64decode(other + "==")


@settings(deadline=None, max_examples=300)
@given(
    st.text(st.characters(exclude_categories=()), max_size=60)
    | st.lists(
        st.sampled_from([HEAD, BODY, SIGNATURE, part(b""), part([]), part({}), "", "A", "=", "é"]), max_size=6
    ).map(".".join)
)
def test_any_text_is_refused_and_nothing_else_happens(text):
    """OAU-25, ATT-17."""
    if text != GOOD:
        refuse(text)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_was_signed_is_what_is_read(claims):
    """OAU-25."""
    assert verify(forge(claims=claims), KEYS, typ="at+jwt") == claims


def test_eight_kilobytes_are_the_limit():
    """OAU-25."""
    made = [forge(claims={**CLAIMS, "more": "x" * size}) for size in range(5_600, 5_900)]
    assert {len(token) for token in made} >= {8_192, 8_194}
    for token in made:
        if len(token) <= 8_192:
            assert read(token) == SAID
        else:
            refuse(token)


def test_a_long_token_is_refused_before_it_is_read():
    """OAU-25, ATT-17: counted in calls, not in time: no more than for the shortest that is too long."""
    shortest = "x" * 8_193
    for token in (f"{HEAD}.{BODY * 1000}.{SIGNATURE}", "." * 200_000, "é" * 200_000):
        assert calls(token) <= calls(shortest)
    assert calls(f"{HEAD}.{BODY}.{SIGNATURE[::-1]}") > calls(shortest)


def calls(token: str) -> int:
    """Return how many calls, Python's and C's, refusing `token` makes: the fewest of some times, for what the
    interpreter does meanwhile (collecting, its callbacks) is counted as well."""
    return min(_calls_once(token) for _ in range(5))


def _calls_once(token: str) -> int:
    made: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: made.append(event))
    try:
        with pytest.raises(InvalidToken):
            read(token)
    finally:
        sys.setprofile(None)
    return len(made)
