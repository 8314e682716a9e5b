"""Cursors, keyed hashes, and the one spelling of bytes: what we made is read, and nothing else is."""

import hashlib
import hmac
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service.keys.encoding import base64url_decode, base64url_encode, strict_json_object
from identity_service.keys.hashing import keyed_hash
from identity_service.web.pagination import InvalidCursor, make_cursor, read_cursor

KEY, OTHER = b"k" * 32, b"o" * 32
CURSOR = make_cursor(KEY, "feed", 1, 4711)
VALUES = st.lists(st.integers() | st.text(max_size=20), max_size=4)
TEXTS = st.text(st.sampled_from("AZaz09-_+/= \n\té٣\0") | st.characters(exclude_categories=()), max_size=30)


def refuse(cursor: str, place: str = "feed", key: bytes = KEY) -> None:
    with pytest.raises(InvalidCursor) as found:
        read_cursor(key, place, cursor)
    assert (found.value.status, found.value.code(), found.value.members) == (400, "invalid_cursor", {})


@settings(deadline=None)
@given(st.text(max_size=20), VALUES)
def test_a_cursor_is_read_as_it_was_made(place, values):
    """API-08: in letters that need no escaping in a query."""
    cursor = make_cursor(KEY, place, *values)
    assert read_cursor(KEY, place, cursor) == values
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


def test_a_cursor_is_the_same_for_the_same_place_and_values():
    """API-08: so that two processes agree."""
    assert make_cursor(KEY, "feed", 1, 4711) == CURSOR
    assert (
        len({CURSOR, *(make_cursor(KEY, *made) for made in [("feed", 1, 4712), ("feed", "1", 4711), ("f", 1, 4711)])})
        == 4
    )


def test_a_cursor_of_another_list_or_another_key_is_refused():
    """API-08."""
    refuse(CURSOR, place="messages")
    refuse(CURSOR, place="")
    refuse(CURSOR, place="feed ")
    refuse(CURSOR, key=OTHER)
    refuse(make_cursor(KEY, "feed\0", 1, 4711))


def test_a_cursor_with_any_character_changed_is_refused():
    """API-08: each place, with each other letter of the alphabet; added and left out as well."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, symbol in enumerate(CURSOR):
        for instead in {*alphabet, "", "=", " ", symbol * 2} - {symbol}:
            changed = CURSOR[:place] + instead + CURSOR[place + 1 :]
            refuse(changed)


def test_a_cursor_with_other_values_under_the_old_tag_is_refused():
    """API-08: what it says can be read by whoever decodes it, and changed by nobody."""
    raw = base64url_decode(CURSOR)
    assert raw[12:] == b"[1,4711]"
    for body in (b"[1,4712]", b"[1,4711] ", b"[]", b"", b"null", b"{", b"[1,4711]\0"):
        refuse(base64url_encode(raw[:12] + body))
    for tag in (b"", bytes(12), raw[:11], raw[:12] + b"\0", raw[:12][::-1]):
        refuse(base64url_encode(tag + raw[12:]))


@settings(deadline=None)
@given(TEXTS | st.binary(max_size=40).map(base64url_encode))
def test_any_text_is_no_cursor(text):
    """API-08, ATT-17."""
    refuse(text)


@pytest.mark.parametrize("text", ["A" * 100_000, "=" * 100_000, "1" * 10**6, "\0" * 100_000, "é" * 100_000], ids=len)
def test_a_long_text_is_no_cursor(text):
    """API-08, ATT-17."""
    refuse(text)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
        (b"\xfb\xff\xbf", "-_-_"),
        (bytes(32), "A" * 43),
    ],
)
def test_bytes_have_the_spelling_of_the_standard_without_padding(raw, text):
    """RFC 4648, sections 5 and 10."""
    assert (base64url_encode(raw), base64url_decode(text)) == (text, raw)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_what_is_encoded_is_decoded(raw):
    assert base64url_decode(base64url_encode(raw)) == raw


@settings(deadline=None)
@given(TEXTS)
def test_no_bytes_have_a_second_spelling(text):
    """OAU-25, API-08: anything else is a ValueError and no other error."""
    try:
        raw = base64url_decode(text)
    except ValueError:
        return
    assert base64url_encode(raw) == text


@pytest.mark.parametrize(
    "text",
    ["Zg==", "Zg=", "=", "Z", "Zm9vY", "Zh", "Zm9", "+_-_", "/_-_", "Zm 8", "Zm8\n", "\nZm8", "Zm8\r\n", "Zm\t8",
     "Zm8\0", "Zm8.", "Zm8é", "Zm8\uff21", "\ud800", "Zm8,Zm8"],
    ids=ascii,
)  # fmt: skip
def test_what_is_not_the_one_spelling_is_refused(text):
    """OAU-25: padding, blanks, the other alphabet, bits that say nothing."""
    with pytest.raises(ValueError, match=r"base64url|encoding"):
        base64url_decode(text)


def test_a_keyed_hash_is_hmac_over_lengths_and_parts():
    """Snapshot of the construction, computed here from its words: a change would orphan everything that was hashed."""
    message = b"\0\0\0\x06cursor\0\0\0\x04feed\0\0\0\x00"
    assert keyed_hash(KEY, "cursor", b"feed", b"") == hmac.new(KEY, message, hashlib.sha256).digest()


PARTS = st.lists(st.binary(max_size=6), max_size=4)


@settings(deadline=None)
@given(st.text(max_size=4), PARTS, st.text(max_size=4), PARTS)
def test_other_parts_have_another_hash(label, parts, other_label, other_parts):
    if (label, parts) != (other_label, other_parts):
        assert keyed_hash(KEY, label, *parts) != keyed_hash(KEY, other_label, *other_parts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", b"c"), ("a", b"bc")),
        (("a", b"b", b"c"), ("a", b"bc")),
        (("a", b"", b"b"), ("a", b"b", b"")),
        (("a",), ("a", b"")),
        (("a", b"b"), ("", b"a", b"b")),
        (("a\0\0\0\x01b",), ("a", b"b")),
    ],
)
def test_a_border_that_moves_makes_another_hash(one, other):
    assert keyed_hash(KEY, *one) != keyed_hash(KEY, *other)


def test_another_key_makes_another_hash():
    assert keyed_hash(KEY, "a") != keyed_hash(OTHER, "a")
    assert len(keyed_hash(KEY, "a")) == 32


@pytest.mark.parametrize("text", [b'{"a": 1}', b' {"a": 1}\n', b'{"\\u0061": 1}'])
def test_a_plain_object_is_read(text):
    assert strict_json_object(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [b'{"a": 1, "a": 1}', b'{"a": 1, "\\u0061": 2}', b'{"x": {"a": 1, "a": 2}}', b'{"x": [[{"a": 1, "a": 2}]]}', b"[]",
     b"1", b"null", b'"a"', b"", b"{", b"{} {}", b"\xff{}", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16")],
)  # fmt: skip
def test_a_member_twice_and_what_is_no_object_is_refused(text):
    """OAU-25: RFC 8725, 2.4, at any depth."""
    with pytest.raises(ValueError):  # noqa: PT011
        strict_json_object(text)
