"""Addresses with letters beyond ASCII before the @ (RFC 6531): one form, one key, and none that passes for another."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.values.email_addresses import MalformedEmailAddress, is_international_local_part, mask, parse

ACCEPTED = [
    "jürgen.groß", "BÜCHER", "łukasz+shop", "josé", "нина", "δοκιμή", "用户", "用户123", "山田.太郎", "らーめん",
    "佐々木",
    "테스트", "اختبار", "דוגמה", "परीक्षा", "ทดสอบ", "ľubomír", "åsa-öberg", "o'bríen", "ẞ", "مثال۱۲",
]  # fmt: skip


@pytest.mark.parametrize("local", ACCEPTED)
def test_letters_marks_and_digits_of_one_script_are_accepted(local):
    """EML-01."""
    found = parse(f"{local}@bücher.de")
    assert found.shown == f"{local}@bücher.de"
    assert found.ascii == f"{local}@xn--bcher-kva.de"
    assert found.key == found.ascii.lower()
    assert found.domain == "xn--bcher-kva.de"
    assert is_international_local_part(local)
    assert mask(found.shown) == f"{local[0]}…@bücher.de"


@pytest.mark.parametrize("local", ACCEPTED)
def test_one_mailbox_has_one_key_however_it_was_typed(local):
    """ATT-45: composed or not, in capitals or not; the stored form is NFC (RFC 6532)."""
    composed, apart = parse(f"{local}@example.com"), parse(unicodedata.normalize("NFD", local) + "@example.com")
    assert apart == composed
    assert unicodedata.is_normalized("NFC", apart.shown)
    if local.upper().lower() == local:
        assert parse(local.upper() + "@example.com").key == composed.key


REFUSED = {
    "Cyrillic а": "аnna",
    "Greek and Latin": "αnna",
    "Cyrillic and Greek": "ннα",
    "dotless i": "mıke",
    "I with a dot": "İnci",
    "long s": "ſam",
    "Kelvin sign": "\u212aim",
    "ligature": "ﬁn",
    "full-width": "ａ",
    "superscript": "a²",
    "micro sign": "µ",
    "variation selector": "нина\ufe0f",
    "Hangul filler": "테\u3164",
    "grapheme joiner": "ни\u034fна",
    "a mark of another script": "a\u093f",
    "emoji": "a💩",
    "emoji alone": "💩",
    "euro": "a€",
    "zero width space": "нина\u200b",
    "zero width joiner": "क\u200d",
    "soft hyphen": "ни\u00adна",
    "override": "\u202eнина",
    "byte order mark": "\ufeffнина",
    "no-break space": "ни\u00a0на",
    "line separator": "ни\u2028на",
    "half a character": "ни\ud800",
    "private use": "a\ue000",
    "not assigned": "a\u0378",
    "a mark in front": "\u0301нина",
    "Greek question mark": "α\u037e",
    "quoted": '"нина"',
    "blank": "ни на",
    "comma": "нина,b",
    "ideographic stop": "用户\u3002",
    "dot in front": ".нина",
    "dot behind": "нина.",
    "two dots": "ни..на",
    "encoded word": "=?нина",
    "hyphen in front": "-нина",
    "65 bytes": "я" * 32 + "1",
    "line feed": "нина\nRCPT TO:<x",
}


@pytest.mark.parametrize("local", REFUSED.values(), ids=REFUSED)
def test_what_passes_for_another_or_is_no_letter_is_refused(local):
    """ATT-02, ATT-43, ATT-44: with a sentence, which never repeats the input."""
    with pytest.raises(MalformedEmailAddress) as refused:
        parse(f"{local}@example.com")
    assert str(refused.value).startswith(("The part before the @ ", "There's a space in this address"))
    assert str(refused.value).isascii()
    assert not is_international_local_part(local)


@pytest.mark.parametrize(
    ("local", "fits"), [("я" * 32, True), ("я" * 33, False), ("用" * 21, True), ("用" * 22, False)]
)
def test_sixty_four_bytes_are_the_limit(local, fits):
    """RFC 5321, 4.5.3.1.1, counted as they are sent (RFC 6531)."""
    if fits:
        assert parse(f"{local}@example.com").shown == f"{local}@example.com"
        return
    with pytest.raises(MalformedEmailAddress):
        parse(f"{local}@example.com")


def test_the_whole_address_has_at_most_254_bytes():
    domain = ".".join(["d" * 63, "d" * 63, "d" * 57, "com"])
    assert len(parse("я" * 32 + "@" + domain).ascii.encode()) == 254
    with pytest.raises(MalformedEmailAddress):
        parse("я" * 32 + "@" + domain.replace(".com", ".info"))


@pytest.mark.parametrize("local", ["a", "anna", "", "a b", "=?x"])
def test_an_ascii_local_part_needs_no_smtputf8(local):
    assert not is_international_local_part(local)


@given(st.text(min_size=1, max_size=20))
def test_what_is_accepted_is_stored_in_a_form_that_is_accepted_as_it_is(local):
    """And holds nothing that ends a command or a header."""
    try:
        found = parse(f"{local}@example.com")
    except MalformedEmailAddress:
        return
    assert parse(found.shown) == found
    assert parse(found.ascii) == found
    assert not set(found.ascii) & set('\r\n <>",;:()[]\\\0')
    assert found.ascii.isprintable()
    assert (found.key.isascii()) == (found.ascii.isascii())
